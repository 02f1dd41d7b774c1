//! `rotation-check`: how the password of every gMSA of a directory, or of one farm's, stands.
//!
//! Reads only, and takes no lock. What it finds goes into the record, account by account; the
//! workflow's `result` is a summary.

use std::sync::Arc;

use domain::WorkflowKind;
use serde_json::Value;

use crate::runbook::{Replan, RunResult, Runbook};
use crate::steps::rotation::{NUDGE_DUE, NudgeDue, Sweep};
use crate::{StepContext, StepError};

pub fn runbook() -> Runbook {
    Runbook {
        kind: WorkflowKind::ROTATION_CHECK,
        // Of a farm's, where one is named.
        needs_farm: true,
        replan: Replan::FromStart,
        steps: vec![Arc::new(Sweep), Arc::new(NudgeDue)],
        result,
    }
}

/// A [`domain::rotation::RotationSummary`].
fn result(cx: &StepContext) -> Result<RunResult, StepError> {
    Ok(RunResult { result: cx.output::<Value>(NUDGE_DUE)?, farm: None })
}
