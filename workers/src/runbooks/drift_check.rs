//! `drift-check`: what the directory holds of a directory's farms, or of one, is compared with what was
//! asked for and what is on record.
//!
//! Reads only, and takes no lock. What it finds goes into the record, farm by farm; the workflow's
//! `result` is a summary. Where a farm wants it, an update is asked for that mends the drift.

use std::sync::Arc;

use domain::WorkflowKind;
use serde_json::Value;

use crate::runbook::{Replan, RunResult, Runbook};
use crate::steps::drift::{ASK, AskForMending, CompareFarms};
use crate::{StepContext, StepError};

pub fn runbook() -> Runbook {
    Runbook {
        kind: WorkflowKind::DRIFT_CHECK,
        // Where one is named.
        needs_farm: true,
        replan: Replan::FromStart,
        steps: vec![Arc::new(CompareFarms), Arc::new(AskForMending)],
        result,
    }
}

/// A [`domain::drift::DriftSummary`].
fn result(cx: &StepContext) -> Result<RunResult, StepError> {
    Ok(RunResult { result: cx.output::<Value>(ASK)?, farm: None })
}
