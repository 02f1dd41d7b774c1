//! `inspect`: a farm as the directory holds it, compared with what was asked and what is on record.
//!
//! Reads only; takes no lock, so that it answers while another workflow works on the farm.

use std::sync::Arc;

use domain::WorkflowKind;
use serde_json::Value;

use crate::runbook::{Replan, RunResult, Runbook};
use crate::steps::inspect::{self, InspectFarm};
use crate::{StepContext, StepError};

pub fn runbook() -> Runbook {
    Runbook {
        kind: WorkflowKind::INSPECT,
        needs_farm: true,
        replan: Replan::FromStart,
        steps: vec![Arc::new(InspectFarm)],
        result,
    }
}

/// The workflow's `result` is an [`inspect::Inspection`]; the record stays as it is.
fn result(cx: &StepContext) -> Result<RunResult, StepError> {
    Ok(RunResult { result: cx.output::<Value>(inspect::NAME)?, farm: None })
}
