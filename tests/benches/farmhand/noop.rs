//! The runbook that is measured: six steps that find nothing to do.

use std::sync::Arc;

use async_trait::async_trait;
use domain::{Clock, DirectoryName, Lane, Mode, SystemClock, SystemRng, WorkflowId, WorkflowKind};
use serde_json::{Value, json};
use store::NewWorkflow;
use workers::runbook::{RunResult, Runbook};
use workers::step::DynStep;
use workers::{Step, StepContext, StepError, StepPlan, Verified};

const KIND: &str = "six-no-op-steps";
const NAMES: [&str; 6] = ["first", "second", "third", "fourth", "fifth", "sixth"];

struct NoOp(&'static str);

#[async_trait]
impl Step for NoOp {
    type Observed = ();

    fn name(&self) -> &'static str {
        self.0
    }

    async fn check(&self, _: &StepContext) -> Result<(), StepError> {
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
        replan: workers::runbook::Replan::FromStart,
        kind: WorkflowKind::known(KIND),
        steps: NAMES.map(|name| Arc::new(NoOp(name)) as Arc<dyn DynStep>).to_vec(),
        result: |_| Ok(RunResult::default()),
    }
}

pub fn request() -> NewWorkflow {
    let now = SystemClock.now();
    NewWorkflow {
        id: WorkflowId::new(now, &SystemRng),
        kind: WorkflowKind::known(KIND),
        directory: DirectoryName::default(),
        farm: None,
        hosts: Vec::new(),
        lane: Lane::Lifecycle,
        mode: Mode::Apply,
        requested_by: "benchmark".to_owned(),
        reason: None,
        input: json!({}),
        traceparent: None,
        parent: None,
        farm_spec: None,
        now,
    }
}
