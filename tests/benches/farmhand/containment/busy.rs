//! Lifecycle work that keeps every slot of a worker for a while, as steps do that wait for a DC.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::WorkflowKind;
use serde_json::Value;
use store::NewWorkflow;
use workers::runbook::{Replan, RunResult, Runbook};
use workers::step::DynStep;
use workers::{Step, StepContext, StepError, StepPlan, Verified};

use crate::noop;

const KIND: &str = "busy-steps";
const NAMES: [&str; 6] = ["first", "second", "third", "fourth", "fifth", "sixth"];
/// What a write to a busy DC takes.
const STEP: Duration = Duration::from_millis(50);

struct Busy(&'static str);

#[async_trait]
impl Step for Busy {
    type Observed = ();

    fn name(&self) -> &'static str {
        self.0
    }

    async fn check(&self, _: &StepContext) -> Result<(), StepError> {
        tokio::time::sleep(STEP).await;
        Ok(())
    }

    fn plan(&self, _: &StepContext, (): &()) -> Result<StepPlan, StepError> {
        Ok(StepPlan::nothing("nothing to do", Value::Null))
    }

    async fn verify(&self, _: &StepContext, _: &StepPlan) -> Result<Verified, StepError> {
        Ok(Verified { output: Value::Null, detail: "nothing was to do".to_owned() })
    }
}

pub fn runbook() -> Runbook {
    Runbook {
        needs_farm: false,
        replan: Replan::FromStart,
        kind: WorkflowKind::known(KIND),
        steps: NAMES.map(|name| Arc::new(Busy(name)) as Arc<dyn DynStep>).to_vec(),
        result: |_| Ok(RunResult::default()),
    }
}

pub fn request() -> NewWorkflow {
    NewWorkflow { kind: WorkflowKind::known(KIND), ..noop::request() }
}
