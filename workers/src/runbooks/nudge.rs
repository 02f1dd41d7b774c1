//! `nudge`: a member host is asked to fetch a password that is due, and every DC shows the new key.
//!
//! Writes nothing to the directory itself (a DC does, as for any host's read), so it takes no lock.

use std::sync::Arc;

use domain::WorkflowKind;
use domain::rotation::Nudged;

use crate::runbook::{Replan, RunResult, Runbook};
use crate::steps::outputs::to_value;
use crate::steps::rotation::{AskAHost, CONFIRM, ConfirmRoll, Confirmed, DueFarm, FIND_DUE, FindDue};
use crate::{StepContext, StepError};

pub fn runbook() -> Runbook {
    Runbook {
        kind: WorkflowKind::NUDGE,
        needs_farm: true,
        replan: Replan::FromStart,
        steps: vec![Arc::new(FindDue), Arc::new(AskAHost), Arc::new(ConfirmRoll)],
        result,
    }
}

fn result(cx: &StepContext) -> Result<RunResult, StepError> {
    let due: DueFarm = cx.output(FIND_DUE)?;
    let Confirmed { copies } = cx.output(CONFIRM)?;
    let host = due.host.map(|host| host.name);
    let summary = match &host {
        Some(host) => {
            format!("{host} fetched the password of {}, and every DC shows the new key", due.account)
        }
        None => format!("{} had rolled before a host was asked", due.account),
    };
    let after = copies.first().map(|copy| copy.key_id.clone());
    let nudged = Nudged { summary, account: due.account, host, before: due.due_key, after, copies };
    Ok(RunResult { result: to_value(&nudged)?, farm: None })
}
