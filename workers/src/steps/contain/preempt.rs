//! `preempt`: lifecycle workflows that could let the host in again are stopped at their next step.
//!
//! The fence, not the farm's lock: a containment waits for nobody.

use async_trait::async_trait;
use domain::{FarmName, Write};
use serde_json::Value;
use store::{Preempted, Preemption};

use super::affected::Affected;
use super::deny_on_record::{self, Case};
use crate::steps::outputs::{count, list, to_value};
use crate::{Step, StepContext, StepError, StepPlan, Verified};

pub const NAME: &str = "preempt";

/// Raises the fence of the affected farms. Output: what was stopped.
#[derive(Debug)]
pub struct Preempt;

#[async_trait]
impl Step for Preempt {
    type Observed = Case;

    fn name(&self) -> &'static str {
        NAME
    }

    fn is_kept(&self) -> bool {
        true
    }

    async fn check(&self, cx: &StepContext) -> Result<Case, StepError> {
        cx.output(deny_on_record::NAME)
    }

    fn plan(&self, _: &StepContext, case: &Case) -> Result<StepPlan, StepError> {
        let farms = farms(&case.affected);
        let of = match farms.is_empty() {
            true => String::new(),
            false => format!(" of {}", list(&farms)),
        };
        let detail = format!("workflows{of} and about {} stop at their next step", case.host.name);
        Ok(StepPlan::nothing(detail, Value::Array(Vec::new())))
    }

    async fn verify(&self, cx: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        let case: Case = cx.output(deny_on_record::NAME)?;
        let stopped = raise(cx, &case, farms(&case.affected)).await?;
        let detail = match stopped.len() {
            0 => format!("{}: there were none", plan.detail),
            number => format!("{} stopped", count(number, "workflow")),
        };
        Ok(Verified { output: to_value(&stopped)?, detail })
    }

    async fn undo(&self, _: &StepContext, _: &[Write]) -> Result<(), StepError> {
        Ok(())
    }
}

pub fn farms(affected: &[Affected]) -> Vec<FarmName> {
    affected.iter().filter_map(|one| one.farm.clone()).collect()
}

/// Repeated, it also stops what came since.
pub async fn raise(cx: &StepContext, case: &Case, farms: Vec<FarmName>) -> Result<Vec<Preempted>, StepError> {
    let preemption =
        Preemption { by: cx.workflow_id, directory: cx.directory.clone(), farms, hosts: case.host.forms() };
    Ok(cx.records()?.preempt(&preemption, cx.environment.clock.now()).await?)
}
