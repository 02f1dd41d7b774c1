//! `quarantine-release`: a host leaves the quarantine.
//!
//! A second person agrees; then tickets from before the containment are waited for (unless there is a
//! reason not to), and what the containment wrote to keep the host out goes. The record goes last: a
//! release that fails or is cancelled puts everything back, and the host stays under quarantine.

use std::sync::Arc;

use domain::request::QuarantineReleaseRequest;
use domain::{Dn, Sid, WorkflowKind};
use serde::Serialize;

use crate::runbook::{Replan, RunResult, Runbook};
use crate::steps::approval::ApprovalOfAnything;
use crate::steps::outputs::{count, to_value};
use crate::steps::quarantine::{
    AwaitTickets, ComputerEnabled, ENABLE_COMPUTER, EnableComputer, FIND, FindQuarantine, Found, LIFT,
    LiftDenials, LiftedOutput, ReleasedOutput, VERIFY, VerifyReleased,
};
use crate::{StepContext, StepError};

pub fn runbook() -> Runbook {
    with(AwaitTickets::default())
}

/// With another life of tickets than a domain's default policy gives them.
pub fn with(tickets: AwaitTickets) -> Runbook {
    Runbook {
        kind: WorkflowKind::QUARANTINE_RELEASE,
        needs_farm: false,
        replan: Replan::FromStart,
        steps: vec![
            Arc::new(FindQuarantine),
            Arc::new(ApprovalOfAnything),
            Arc::new(tickets),
            Arc::new(LiftDenials),
            Arc::new(EnableComputer),
            Arc::new(VerifyReleased),
        ],
        result,
    }
}

/// The workflow's `result`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Released {
    /// One line for people.
    summary: String,
    changed: bool,
    host: Host,
    /// gMSAs that had a deny entry of Farmhand's.
    lifted: Vec<Dn>,
    /// Deny entries that stay, since others wrote them, in words.
    left: Vec<String>,
    /// gMSAs of those that the host can read from now on, since something else lets it in.
    reads: Vec<String>,
    computer: ComputerEnabled,
    /// Why tickets of before the containment were not waited for.
    forced: Option<String>,
    domain_controllers: Vec<String>,
    /// What people should do next.
    next: Vec<String>,
    /// The directory is Farmhand's own small one, for trying out.
    embedded_directory: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Host {
    name: String,
    sid: Sid,
    dn: Dn,
}

fn result(cx: &StepContext) -> Result<RunResult, StepError> {
    let found: Found = cx.output(FIND)?;
    let lifted: LiftedOutput = cx.output(LIFT)?;
    let computer: ComputerEnabled = cx.output(ENABLE_COMPUTER)?;
    let verified: ReleasedOutput = cx.output(VERIFY)?;
    let name = found.quarantine.host_name.clone();
    let released = Released {
        summary: format!(
            "{name} is out of quarantine: {} taken back on {}",
            count(lifted.accounts.len(), "denial"),
            count(verified.domain_controllers.len(), "DC"),
        ),
        changed: cx.changed(),
        next: next(&name, computer),
        host: Host {
            dn: found.computer.unwrap_or(found.quarantine.computer_dn),
            sid: found.quarantine.host_sid,
            name,
        },
        lifted: lifted.accounts,
        left: lifted.left,
        reads: verified.reads,
        computer,
        forced: cx.input::<QuarantineReleaseRequest>()?.force,
        domain_controllers: verified.domain_controllers,
        embedded_directory: cx.forest()?.is_embedded(),
    };
    Ok(RunResult { result: to_value(&released)?, farm: None })
}

fn next(name: &str, computer: ComputerEnabled) -> Vec<String> {
    match computer {
        ComputerEnabled::Gone => vec![
            "the computer account that was under quarantine is gone; one of the same name that was made since is \
             another, and was never under it"
                .to_owned(),
        ],
        ComputerEnabled::Enabled | ComputerEnabled::LeftAsItIs => vec![format!(
            "its places in groups and reader lists are not given back: `farmhand farm add-host FARM {name}` puts it \
             into a farm again"
        )],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_person_decides_first_and_the_record_goes_last() {
        let names: Vec<_> = runbook().steps.iter().map(|step| step.name()).collect();
        let expected = [
            "find-quarantine",
            "approval",
            "await-tickets",
            "lift-denials",
            "enable-computer",
            "verify-released",
        ];
        assert_eq!(names, expected);
        assert!(runbook().steps[1].approves_anything(), "also of a host that could read nothing");
    }
}
