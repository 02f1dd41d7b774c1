//! `remove-host`: member hosts retire from a farm.
//!
//! The hosts uninstall the account first, then what lets them in is taken away, and every writable
//! DC is seen to keep them out. Not for a compromised host: its open sessions and its tickets still
//! carry the group.

use std::collections::HashSet;
use std::sync::Arc;

use domain::{MembershipMode, Sid, WorkflowKind};
use serde::Serialize;
use store::FarmRecord;

use crate::runbook::{Replan, RunResult, Runbook};
use crate::steps::ensure_group::GroupOutput;
use crate::steps::find_farm::{self, FarmAccount, FarmOutput, FindFarm};
use crate::steps::members::Standing;
use crate::steps::membership::leaving::{Leaving, LeavingOutput, PreflightLeaving};
use crate::steps::membership::remove_membership::RemoveMembership;
use crate::steps::membership::verify_no_access::{self, NoAccessOutput, Seen, VerifyNoAccess};
use crate::steps::membership::{self, PREFLIGHT, uninstall_from_hosts};
use crate::steps::outputs::{count, list, to_value};
use crate::{StepContext, StepError};

pub fn runbook() -> Runbook {
    Runbook {
        kind: WorkflowKind::REMOVE_HOST,
        needs_farm: true,
        replan: Replan::FromStart,
        steps: vec![
            Arc::new(FindFarm),
            Arc::new(PreflightLeaving),
            Arc::new(uninstall_from_hosts::step()),
            Arc::new(RemoveMembership),
            Arc::new(VerifyNoAccess),
        ],
        result,
    }
}

/// The workflow's `result`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Removed {
    /// One line for people.
    summary: String,
    /// Whether the directory, the hosts or the record changed.
    changed: bool,
    mode: MembershipMode,
    account: FarmAccount,
    group: Option<GroupOutput>,
    hosts: Vec<Host>,
    /// What the hosts can still do, and for how long.
    access_ends: &'static str,
    domain_controllers: Vec<Seen>,
    warnings: Vec<String>,
    /// The directory is Farmhand's own small one, for trying out.
    embedded_directory: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Host {
    name: String,
    sid: Option<Sid>,
    outcome: Outcome,
    /// The farm's record named it before.
    was_on_record: bool,
    /// Why it cannot be told from here whether it still can read.
    #[serde(skip_serializing_if = "Option::is_none")]
    still_reads_depends_on: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    /// Out of the group, or out of the reader list.
    Removed,
    /// Nothing let it in by name.
    NotAMember,
}

fn result(cx: &StepContext) -> Result<RunResult, StepError> {
    let farm: FarmOutput = cx.output(find_farm::NAME)?;
    let leaving: LeavingOutput = cx.output(PREFLIGHT)?;
    let seen: NoAccessOutput = cx.output(verify_no_access::NAME)?;
    let mut facts = cx.facts()?.clone();
    let off: HashSet<_> = leaving.off_record.iter().collect();
    facts.spec.hosts.retain(|host| !off.contains(host));
    let mode = membership::mode(&farm);
    let mut warnings = leaving.warnings;
    warnings.extend(seen.depends.iter().map(|depends| {
        format!(
            "whether {} can still read the password cannot be told from here: {}",
            depends.host, depends.why
        )
    }));
    let removed = Removed {
        summary: summary(facts.spec.name.as_str(), &leaving.hosts, seen.domain_controllers.len()),
        changed: cx.changed() || !leaving.off_record.is_empty(),
        mode,
        account: farm.account,
        group: farm.group,
        hosts: leaving.hosts.iter().map(|leaving| host(leaving, &seen)).collect(),
        access_ends: access_ends(leaving.hosts.iter().any(|host| host.group != Standing::Absent)),
        domain_controllers: seen.domain_controllers,
        warnings,
        embedded_directory: cx.forest()?.is_embedded(),
    };
    Ok(RunResult { result: to_value(&removed)?, farm: Some(FarmRecord::Deployed(facts)) })
}

fn host(leaving: &Leaving, seen: &NoAccessOutput) -> Host {
    let depends = seen.depends.iter().find(|depends| depends.host == leaving.name);
    Host {
        name: leaving.name.clone(),
        sid: leaving.sid.clone(),
        outcome: match leaving.group != Standing::Absent || leaving.listed {
            true => Outcome::Removed,
            false => Outcome::NotAMember,
        },
        was_on_record: leaving.on_record,
        still_reads_depends_on: depends.map(|depends| depends.why.clone()),
    }
}

/// A ticket carries the groups of its moment for as long as it lives; the reader list is read for
/// every question.
fn access_ends(by_group: bool) -> &'static str {
    match by_group {
        true => {
            "new logons are refused at once; sessions that are open and Kerberos tickets that a host holds carry the \
             group for up to 10 hours, and a password that a host has fetched stays valid until it rolls. Cut a \
             compromised host off with compromise-removal instead"
        }
        false => {
            "at once, in open sessions too; a password that a host has fetched stays valid until it rolls. Cut a \
             compromised host off with compromise-removal instead"
        }
    }
}

fn summary(farm: &str, hosts: &[Leaving], dcs: usize) -> String {
    let left: Vec<_> = hosts.iter().filter(|host| host.was_in()).map(|host| &host.name).collect();
    let dcs = count(dcs, "DC");
    match left.len() {
        0 => format!(
            "nothing to change: none of {} is in farm {farm}, seen on {dcs}",
            count(hosts.len(), "host")
        ),
        number => format!("{} left farm {farm}, seen on {dcs}: {}", count(number, "host"), list(&left)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing;

    fn leaving(name: &str, group: Standing, on_record: bool) -> Leaving {
        let computer = testing::host(name);
        let sid = Some(computer.sid.clone());
        Leaving { name: name.into(), sid, computer: Some(computer), group, listed: false, on_record }
    }

    #[test]
    fn hosts_are_asked_before_they_lose_access_and_judged_after() {
        let names: Vec<_> = runbook().steps.iter().map(|step| step.name()).collect();
        let expected =
            ["find-farm", "preflight-hosts", "uninstall-from-hosts", "remove-membership", "verify-no-access"];
        assert_eq!(names, expected);
    }

    #[test]
    fn the_summary_says_what_happened() {
        let out = leaving("Host1", Standing::Absent, false);
        assert!(summary("F", std::slice::from_ref(&out), 1).starts_with("nothing to change"));
        let hosts = [out, leaving("Host2", Standing::Member, true), leaving("Host3", Standing::Absent, true)];
        assert_eq!(summary("F", &hosts, 2), "2 hosts left farm F, seen on 2 DCs: Host2; Host3");
    }

    #[test]
    fn the_result_does_not_hide_what_a_removed_host_can_still_do() {
        assert!(access_ends(true).contains("up to 10 hours"));
        assert!([true, false].map(access_ends).iter().all(|text| text.contains("compromise-removal")));
    }
}
