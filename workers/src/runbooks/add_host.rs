//! `add-host`: one or many hosts join a farm.
//!
//! All of them are judged before anything is written; then they are entered in the farm's group, or
//! in its reader list, every writable DC is seen to have them, and the hosts fetch the password.
//! A host that is in and on record changes nothing.

use std::sync::Arc;

use domain::{MembershipMode, Sid, WorkflowKind};
use serde::Serialize;
use store::FarmRecord;

use crate::runbook::{Replan, RunResult, Runbook};
use crate::steps::ensure_group::GroupOutput;
use crate::steps::find_farm::{self, FarmAccount, FarmOutput, FindFarm};
use crate::steps::members::Standing;
use crate::steps::membership::ensure_membership::EnsureMembership;
use crate::steps::membership::install_on_hosts::InstallOnHosts;
use crate::steps::membership::joining::{Joining, JoiningOutput, PreflightJoining};
use crate::steps::membership::verify_joined::VerifyJoined;
use crate::steps::membership::{self, PREFLIGHT};
use crate::steps::outputs::{count, list, to_value};
use crate::steps::verify_everywhere::{self, EverywhereOutput, Seen};
use crate::{StepContext, StepError};

pub fn runbook() -> Runbook {
    Runbook {
        kind: WorkflowKind::ADD_HOST,
        needs_farm: true,
        replan: Replan::FromStart,
        steps: vec![
            Arc::new(FindFarm),
            Arc::new(PreflightJoining),
            Arc::new(EnsureMembership),
            Arc::new(VerifyJoined),
            Arc::new(InstallOnHosts),
        ],
        result,
    }
}

/// The workflow's `result`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Added {
    /// One line for people.
    summary: String,
    /// Whether the directory, the hosts or the record changed.
    changed: bool,
    mode: MembershipMode,
    account: FarmAccount,
    group: Option<GroupOutput>,
    hosts: Vec<Host>,
    access_takes_effect: AccessTakesEffect,
    domain_controllers: Vec<Seen>,
    warnings: Vec<String>,
    /// The directory is Farmhand's own small one, for trying out.
    embedded_directory: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Host {
    name: String,
    sid: Sid,
    outcome: Outcome,
    /// The farm's record did not name it before.
    new_on_record: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    Added,
    AlreadyMember,
    /// A member for as long as the farm's group is its primary group.
    PrimaryGroup,
}

/// When a host can read the password.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct AccessTakesEffect {
    when: &'static str,
    /// Run on the host, as administrator, makes it sooner.
    #[serde(skip_serializing_if = "Option::is_none")]
    sooner: Option<&'static str>,
}

fn result(cx: &StepContext) -> Result<RunResult, StepError> {
    let farm: FarmOutput = cx.output(find_farm::NAME)?;
    let joining: JoiningOutput = cx.output(PREFLIGHT)?;
    let everywhere: EverywhereOutput = cx.output(verify_everywhere::NAME)?;
    let mut facts = cx.facts()?.clone();
    facts.spec.hosts.extend(joining.new_on_record());
    let mode = membership::mode(&farm);
    let added = Added {
        summary: summary(facts.spec.name.as_str(), &joining.hosts, everywhere.domain_controllers.len()),
        changed: cx.changed() || joining.hosts.iter().any(|host| !host.on_record),
        mode,
        account: farm.account,
        group: farm.group,
        hosts: joining.hosts.iter().map(host).collect(),
        access_takes_effect: takes_effect(mode),
        domain_controllers: everywhere.domain_controllers,
        warnings: joining.warnings,
        embedded_directory: cx.forest()?.is_embedded(),
    };
    Ok(RunResult { result: to_value(&added)?, farm: Some(FarmRecord::Deployed(facts)) })
}

fn host(joining: &Joining) -> Host {
    Host {
        name: joining.host.name.clone(),
        sid: joining.host.sid.clone(),
        outcome: match joining.found {
            Standing::Absent => Outcome::Added,
            Standing::Member => Outcome::AlreadyMember,
            Standing::PrimaryGroup => Outcome::PrimaryGroup,
        },
        new_on_record: !joining.on_record,
    }
}

fn takes_effect(mode: MembershipMode) -> AccessTakesEffect {
    match mode {
        // A DC reads the list for every question.
        MembershipMode::Direct => AccessTakesEffect { when: "at once", sooner: None },
        // A host's groups are in its Kerberos tickets, which live for hours.
        MembershipMode::Group => AccessTakesEffect {
            when: "when each host renews its Kerberos tickets (within 10 hours, or at a restart)",
            sooner: Some("klist -li 0x3e7 purge"),
        },
    }
}

fn summary(farm: &str, hosts: &[Joining], dcs: usize) -> String {
    let new: Vec<_> =
        hosts.iter().filter(|host| host.found == Standing::Absent).map(|host| &host.host.name).collect();
    let recorded = hosts.iter().filter(|host| host.found != Standing::Absent && !host.on_record).count();
    let dcs = count(dcs, "DC");
    match (new.len(), recorded) {
        (0, 0) => {
            format!("nothing to change: farm {farm} has {} on {dcs} already", count(hosts.len(), "host"))
        }
        (0, _) => format!("{} in farm {farm} on {dcs} already, now on record", count(recorded, "host")),
        (number, _) => format!("{} joined farm {farm}, seen on {dcs}: {}", count(number, "host"), list(&new)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing;

    fn joining(name: &str, found: Standing, on_record: bool) -> Joining {
        Joining { host: testing::host(name), found, on_record }
    }

    #[test]
    fn hosts_are_judged_before_they_are_written_and_asked_only_when_every_dc_has_them() {
        let names: Vec<_> = runbook().steps.iter().map(|step| step.name()).collect();
        let expected =
            ["find-farm", "preflight-hosts", "ensure-membership", "verify-everywhere", "install-on-hosts"];
        assert_eq!(names, expected);
    }

    #[test]
    fn the_summary_says_what_happened() {
        let known = joining("Host1", Standing::Member, true);
        let by_hand = joining("Host2", Standing::PrimaryGroup, false);
        let new = joining("Host3", Standing::Absent, false);
        assert!(
            summary("F", std::slice::from_ref(&known), 2).starts_with("nothing to change: farm F has 1 host")
        );
        assert!(summary("F", &[known.clone(), by_hand.clone()], 2).contains("now on record"));
        assert_eq!(summary("F", &[known, by_hand, new], 1), "1 host joined farm F, seen on 1 DC: Host3");
    }

    #[test]
    fn only_a_group_makes_a_host_wait_for_its_tickets() {
        assert_eq!(takes_effect(MembershipMode::Direct), AccessTakesEffect { when: "at once", sooner: None });
        assert_eq!(takes_effect(MembershipMode::Group).sooner, Some("klist -li 0x3e7 purge"));
    }
}
