//! `await-roll`: an exposed password is watched until it has rolled.
//!
//! The patient half of a recovery; the other is `replace`. Reads only, takes no lock, and lives for as
//! long as the account's interval.

use std::sync::Arc;

use domain::WorkflowKind;
use serde_json::Value;

use crate::runbook::{Replan, RunResult, Runbook};
use crate::steps::roll::{self, AwaitRoll};
use crate::{StepContext, StepError};

pub fn runbook() -> Runbook {
    with(AwaitRoll::default())
}

/// With other times than a domain's.
pub fn with(step: AwaitRoll) -> Runbook {
    Runbook {
        kind: WorkflowKind::AWAIT_ROLL,
        needs_farm: false,
        replan: Replan::FromStart,
        steps: vec![Arc::new(step)],
        result,
    }
}

/// The workflow's `result` is a [`domain::containment::Rolled`].
fn result(cx: &StepContext) -> Result<RunResult, StepError> {
    Ok(RunResult { result: cx.output::<Value>(roll::NAME)?, farm: None })
}
