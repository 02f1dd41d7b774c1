//! `compromise-removal`: a compromised host is cut off from every gMSA that it could read.
//!
//! On the urgent lane, under no farm's lock, without approval. First the deny entries, on every DC
//! side by side; then everything that takes longer: other workflows stopped, groups left, the
//! computer disabled, all gMSAs swept; then the proof. Nothing of it is taken back by a failure or a
//! cancellation: that is `quarantine-release`.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::WorkflowKind;
use domain::containment::{ComputerState, ContainedAccount, ContainedDc, ContainedHost, Containment};
use store::Preempted;

use crate::runbook::{Replan, RunResult, Runbook};
use crate::steps::contain::await_stopped::{self, AwaitStopped};
use crate::steps::contain::blast_radius::{self, BlastRadius, RadiusOutput};
use crate::steps::contain::close_doors::{self, CloseDoors, DoorsOutput};
use crate::steps::contain::contain_everywhere::{self, ContainEverywhere, EverywhereOutput};
use crate::steps::contain::deny_on_record::{self, Case, DenyOnRecord};
use crate::steps::contain::disable_computer::{self, ComputerOutput, DisableComputer};
use crate::steps::contain::doors;
use crate::steps::contain::preempt::Preempt;
use crate::steps::contain::sweep::{self, Sweep, SweepOutput};
use crate::steps::gmsa::fields::CONTROL;
use crate::steps::outputs::{count, list, to_value};
use crate::{StepContext, StepError};

pub fn runbook() -> Runbook {
    Runbook {
        kind: WorkflowKind::COMPROMISE_REMOVAL,
        needs_farm: false,
        replan: Replan::FromStart,
        steps: vec![
            Arc::new(DenyOnRecord),
            Arc::new(Preempt),
            Arc::new(CloseDoors),
            Arc::new(DisableComputer),
            Arc::new(Sweep),
            Arc::new(AwaitStopped),
            Arc::new(ContainEverywhere),
            Arc::new(BlastRadius),
        ],
        result,
    }
}

/// What every step left.
struct Left {
    case: Case,
    doors: DoorsOutput,
    computer: ComputerOutput,
    swept: SweepOutput,
    stopped: Vec<Preempted>,
    everywhere: EverywhereOutput,
    radius: RadiusOutput,
}

/// The workflow's `result` is a [`Containment`]. No farm's record changes: whose host it was is
/// still true, and a release has to know.
fn result(cx: &StepContext) -> Result<RunResult, StepError> {
    let left = Left {
        case: cx.output(deny_on_record::NAME)?,
        doors: cx.output(close_doors::NAME)?,
        computer: cx.output(disable_computer::NAME)?,
        swept: cx.output(sweep::NAME)?,
        stopped: cx.output(await_stopped::NAME)?,
        everywhere: cx.output(contain_everywhere::NAME)?,
        radius: cx.output(blast_radius::NAME)?,
    };
    let contained = contained(left, cx.changed(), cx.forest()?.is_embedded(), &cx.workflow_id.to_string());
    Ok(RunResult { result: to_value(&contained)?, farm: None })
}

fn contained(left: Left, changed: bool, embedded: bool, id: &str) -> Containment {
    let domain_controllers = domain_controllers(&left);
    let (not_done, computer) = (not_done(&left), computer(&left));
    let next = next(&left, id);
    let Left { case, swept, stopped, everywhere, radius, .. } = left;
    let mut warnings = [case.warnings, swept.warnings, everywhere.warnings, radius.warnings].concat();
    if let Some(before) = &case.rebuilt_from {
        warnings.push(format!(
            "another computer account of this name is under quarantine ({before}): this host was rebuilt, and is \
             compromised again"
        ));
    }
    warnings.sort();
    warnings.dedup();
    Containment {
        summary: summary(&case.host.name, &radius.accounts, domain_controllers.len(), changed),
        changed,
        host: ContainedHost {
            name: case.host.name,
            dn: case.host.dn,
            sid: case.host.sid,
            dns_host_name: case.host.dns_host_name,
            computer,
            rebuilt_from: case.rebuilt_from,
        },
        accounts: radius.accounts,
        domain_controllers,
        preempted: stopped.into_iter().map(|one| one.workflow).collect(),
        swept: everywhere.swept.max(swept.looked_at),
        not_done,
        warnings,
        next,
        embedded_directory: embedded,
    }
}

fn domain_controllers(left: &Left) -> Vec<ContainedDc> {
    let written = [&left.case.denied, &left.swept.denied, &left.everywhere.denied];
    let denied_at = |name: &str| -> Option<DateTime<Utc>> {
        written.iter().flat_map(|list| list.iter()).filter(|one| one.dc == name).map(|one| one.at).max()
    };
    let dcs = left.everywhere.verified.iter();
    dcs.map(|one| ContainedDc { denied_at: denied_at(&one.dc), name: one.dc.clone(), verified_at: one.at })
        .collect()
}

/// As it stands after the last look at every DC.
fn computer(left: &Left) -> ComputerState {
    let refused = left.everywhere.not_taken.iter().any(|one| one.attribute == CONTROL);
    match left.computer.state {
        ComputerState::KeptEnabled => ComputerState::KeptEnabled,
        _ if refused => ComputerState::StillEnabled,
        _ if left.everywhere.disabled => ComputerState::Disabled,
        // What is not to be read could not be changed either.
        ComputerState::StillEnabled if left.computer.why.is_none() => ComputerState::Disabled,
        other => other,
    }
}

/// Deny entries that were not taken at first are there by now, or this would not have come to an
/// end: what is left are groups, the computer, and what was left on purpose.
fn not_done(left: &Left) -> Vec<String> {
    let affected =
        [left.case.affected.clone(), left.swept.affected.clone(), left.everywhere.affected.clone()].concat();
    let closed = [left.doors.closed.clone(), left.everywhere.closed.clone()].concat();
    let mut not_done = doors::left(&affected, &left.case.host, &left.case.ways, &closed);
    let (enabled, doors): (Vec<_>, Vec<_>) =
        left.everywhere.not_taken.iter().partition(|one| one.attribute == CONTROL);
    not_done.extend(doors.iter().map(|one| format!("the host is still in {one}")));
    not_done.extend(enabled.iter().map(|one| format!("the computer is not disabled: {one}")));
    not_done.extend(left.computer.why.clone());
    if computer(left) == ComputerState::StillEnabled {
        not_done.push(
            "the computer account is still enabled: let Farmhand's account write userAccountControl of computers in \
             the hosts' container, and ask again, or disable it by hand"
                .to_owned(),
        );
    }
    if !left.swept.beyond.is_empty() {
        not_done.push(format!(
            "only the farms that were named were cut off; the host can still read {}",
            list(&left.swept.beyond)
        ));
    }
    not_done
}

fn next(left: &Left, id: &str) -> Vec<String> {
    let mut next = vec![ContainedHost::advice(&left.case.host.name)];
    let accounts = &left.radius.accounts;
    let farms: Vec<_> = accounts.iter().filter_map(|one| one.farm.as_ref()).collect();
    if !farms.is_empty() {
        let choices: Vec<_> = farms.iter().map(|farm| format!("{farm}=replace|wait")).collect();
        next.push(format!(
            "choose for each farm whether to replace its account now or to wait for the roll: `farmhand recover {id} {}`",
            choices.join(" ")
        ));
    }
    let strangers: Vec<_> =
        accounts.iter().filter(|one| one.farm.is_none()).map(|one| &one.account).collect();
    if !strangers.is_empty() {
        next.push(format!(
            "{} of no farm on record: import them (`farmhand farm import`) to have them replaced, or replace them by \
             hand",
            list(&strangers)
        ));
    }
    next
}

fn summary(host: &str, accounts: &[ContainedAccount], dcs: usize, changed: bool) -> String {
    let dcs = count(dcs, "DC");
    let accounts_text = count(accounts.len(), "gMSA");
    let ends = accounts.iter().filter_map(|one| one.exposure.ends_at).max();
    let ends = ends.map_or_else(String::new, |ends| {
        format!("; what it may know works until {} at least", ends.format("%Y-%m-%d %H:%M UTC"))
    });
    match (accounts.len(), changed) {
        (0, _) => format!("{host} can read no gMSA, seen on {dcs}; it is under quarantine"),
        (_, true) => format!("{host} is cut off from {accounts_text}, seen on {dcs}{ends}"),
        (_, false) => {
            format!("nothing to change: {host} was cut off from {accounts_text} before, seen on {dcs}{ends}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::contain::contain_everywhere::VerifiedAt;
    use crate::steps::contain::testing;
    use crate::steps::contain::wrote::{DeniedAt, NotTaken};

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).expect("a time")
    }
    fn left() -> Left {
        let denied = |dc: &str, second| DeniedAt { dc: dc.into(), at: at(second) };
        let verified = ["dc1", "dc2", "dc3"].map(|dc| VerifiedAt { dc: dc.into(), at: at(50) }).to_vec();
        Left {
            case: Case { denied: vec![denied("dc1", 10), denied("dc2", 11)], ..testing::case() },
            doors: DoorsOutput::default(),
            computer: ComputerOutput {
                state: ComputerState::Disabled,
                away: vec![],
                not_taken: vec![],
                why: None,
            },
            swept: SweepOutput { looked_at: 9, denied: vec![denied("dc1", 20)], ..SweepOutput::default() },
            stopped: vec![],
            everywhere: EverywhereOutput { verified, swept: 12, ..EverywhereOutput::default() },
            radius: RadiusOutput::default(),
        }
    }

    #[test]
    fn denial_comes_first_and_proof_last() {
        let names: Vec<_> = runbook().steps.iter().map(|step| step.name()).collect();
        let expected = [
            "deny-on-record",
            "preempt",
            "close-doors",
            "disable-computer",
            "sweep",
            "await-stopped",
            "contain-everywhere",
            "blast-radius",
        ];
        assert_eq!(names, expected);
        assert!(runbook().steps.iter().all(|step| step.is_kept()), "nothing of it is ever taken back");
    }

    #[test]
    fn each_dc_is_told_with_its_last_denial_and_one_that_needed_none_without() {
        let told = contained(left(), true, false, "ID");
        let dcs: Vec<_> =
            told.domain_controllers.iter().map(|dc| dc.denied_at.map(|at| at.timestamp())).collect();
        assert_eq!(dcs, [Some(20), Some(11), None]);
        assert_eq!(told.swept, 12);
    }

    #[test]
    fn what_was_not_done_is_told_with_the_right_that_is_missing() {
        let mut left = left();
        left.everywhere.not_taken = vec![NotTaken {
            attribute: CONTROL.into(),
            dc: "dc1".into(),
            dn: left.case.host.dn.clone(),
            why: "a right is missing".into(),
            hint: "farmhand doctor".into(),
        }];
        left.swept.beyond = vec!["Wild$".into()];
        let told = contained(left, true, false, "ID");
        assert_eq!(told.host.computer, ComputerState::StillEnabled);
        let told = told.not_done;
        assert!(told.iter().any(|text| text.contains("userAccountControl")), "{told:?}");
        assert!(told.iter().any(|text| text.contains("Wild$")), "{told:?}");
    }

    #[test]
    fn a_computer_that_was_disabled_at_the_second_try_is_disabled() {
        let mut left = left();
        left.computer.state = ComputerState::StillEnabled;
        left.everywhere.disabled = true;
        assert_eq!(contained(left, true, false, "ID").host.computer, ComputerState::Disabled);
    }

    #[test]
    fn a_host_that_reads_nothing_is_contained_all_the_same() {
        let told = contained(left(), true, true, "ID");
        assert!(
            told.summary.contains("can read no gMSA") && told.summary.contains("quarantine"),
            "{}",
            told.summary
        );
        assert!(told.embedded_directory);
    }
}
