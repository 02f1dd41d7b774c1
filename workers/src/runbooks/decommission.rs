//! `decommission`: a whole farm retires.
//!
//! What will be lost is shown to a second person first. Then nobody may read the password, on any DC;
//! the account is disabled and cools down, watched; and only then account and group are deleted. Until
//! the first deletion a cancel puts the directory back, byte for byte.

use std::sync::Arc;

use domain::request::DecommissionRequest;
use domain::{HostActionKind, Sid, WorkflowKind};
use serde::Serialize;
use store::FarmRecord;

use crate::runbook::{Replan, RunResult, Runbook};
use crate::steps::approval::Approval;
use crate::steps::ensure_group::GroupOutput;
use crate::steps::find_farm::FarmAccount;
use crate::steps::on_hosts::{HostJob, OnHosts};
use crate::steps::outputs::{count, to_value};
use crate::steps::preflight::HostTarget;
use crate::steps::retire::{
    CoolDown, CoolDownOutput, DELETE_GROUP, DeleteAccount, DeleteGroup, DeletedGroupOutput, DisableAccount,
    EmptyReaders, FindRemains, GoneOutput, ProveUnreadable, RemainsOutput, Survey, SurveyOutput, VerifyGone,
};
use crate::{StepContext, StepError};

const COOL_DOWN: &str = "cool-down";
const VERIFY_GONE: &str = "verify-gone";

pub fn runbook() -> Runbook {
    let account = RemainsOutput::account;
    Runbook {
        kind: WorkflowKind::DECOMMISSION,
        needs_farm: true,
        replan: Replan::FromLastChange,
        steps: vec![
            Arc::new(FindRemains),
            Arc::new(Survey),
            Arc::new(Approval),
            Arc::new(OnHosts {
                name: "uninstall-from-hosts",
                actions: |_| vec![HostActionKind::Uninstall],
                job: uninstall,
            }),
            Arc::new(EmptyReaders { name: "empty-readers", account }),
            Arc::new(ProveUnreadable { name: "prove-unreadable", account, hosts: SurveyOutput::hosts }),
            Arc::new(DisableAccount { name: "disable-account", account }),
            Arc::new(CoolDown { name: COOL_DOWN, account, seconds: cool_down }),
            Arc::new(DeleteAccount { name: "delete-account", account }),
            Arc::new(DeleteGroup),
            Arc::new(VerifyGone { name: VERIFY_GONE, what: gone }),
        ],
        result,
    }
}

fn cool_down(cx: &StepContext) -> Result<u64, StepError> {
    Ok(cx.input::<DecommissionRequest>()?.cool_down_seconds)
}

/// Where the account is gone, hosts have nothing to uninstall.
fn uninstall(cx: &StepContext) -> Result<HostJob, StepError> {
    let recorded = cx.farm().map(|farm| farm.spec.account.sam_account_name.to_string());
    Ok(match RemainsOutput::of(cx)?.account {
        Some(account) => HostJob { hosts: SurveyOutput::hosts(cx)?, account: account.sam_account_name },
        None => HostJob { hosts: Vec::new(), account: recorded.unwrap_or_default() },
    })
}

fn gone(cx: &StepContext) -> Result<Vec<Sid>, StepError> {
    let remains = RemainsOutput::of(cx)?;
    let deleted = cx.output::<Option<DeletedGroupOutput>>(DELETE_GROUP)?.unwrap_or_default();
    let group = remains.group.filter(|_| deleted.gone).and_then(|group| group.sid);
    Ok(remains.account.map(|account| account.sid).into_iter().chain(group).collect())
}

/// The workflow's `result`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Decommissioned {
    /// One line for people.
    summary: String,
    /// Whether any step changed the directory.
    changed: bool,
    /// `null`: it was gone before.
    account: Option<FarmAccount>,
    group: Option<GroupOutput>,
    /// `null`: it was deleted, or there was none.
    group_kept_because: Option<String>,
    hosts: Vec<HostTarget>,
    /// SPNs that are free now.
    service_principal_names: Vec<String>,
    cool_down: Option<CoolDownOutput>,
    domain_controllers: Vec<String>,
    warnings: Vec<String>,
    /// The directory is Farmhand's own small one, for trying out.
    embedded_directory: bool,
}

fn result(cx: &StepContext) -> Result<RunResult, StepError> {
    let remains = RemainsOutput::of(cx)?;
    let survey = SurveyOutput::of(cx)?;
    let group = cx.output::<Option<DeletedGroupOutput>>(DELETE_GROUP)?.unwrap_or_default();
    let farm = cx.farm().map(|farm| farm.name.clone());
    let name = farm.as_ref().map(ToString::to_string).unwrap_or_default();
    let dcs = cx.output::<Option<GoneOutput>>(VERIFY_GONE)?.unwrap_or_default().domain_controllers;
    let decommissioned = Decommissioned {
        summary: summary(&name, &remains, &group, dcs.len()),
        changed: cx.changed(),
        account: remains.account,
        group: remains.group,
        group_kept_because: group.kept_because,
        hosts: survey.hosts,
        service_principal_names: survey.service_principal_names,
        cool_down: cx.output(COOL_DOWN)?,
        domain_controllers: dcs,
        warnings: survey.warnings,
        embedded_directory: cx.forest()?.is_embedded(),
    };
    let record = farm.filter(|_| !remains.decommissioned);
    let record = record.map(|farm| FarmRecord::Decommissioned { directory: cx.directory.clone(), farm });
    Ok(RunResult { result: to_value(&decommissioned)?, farm: record })
}

fn summary(farm: &str, remains: &RemainsOutput, group: &DeletedGroupOutput, dcs: usize) -> String {
    if remains.decommissioned {
        return format!("nothing to change: farm {farm} is decommissioned already");
    }
    let kept = group.kept_because.as_ref();
    let group = kept.map(|reason| format!("; its group is kept: {reason}")).unwrap_or_default();
    match &remains.account {
        Some(_) => {
            format!("farm {farm} is decommissioned, its account gone from {}{group}", count(dcs, "DC"))
        }
        None => format!("farm {farm} is decommissioned; its account was gone before{group}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing::{dn, group_output, sid};

    fn remains() -> RemainsOutput {
        let dn = dn("CN=ITFarm1,DC=contoso,DC=com");
        let account = Some(FarmAccount { dn, sid: sid(1300), sam_account_name: "ITFarm1$".into() });
        RemainsOutput { account, group: Some(group_output()), ..RemainsOutput::default() }
    }

    #[test]
    fn a_person_decides_before_anything_is_done_and_deletions_come_last() {
        let names: Vec<_> = runbook().steps.iter().map(|step| step.name()).collect();
        let expected = [
            "find-farm",
            "preflight",
            "approval",
            "uninstall-from-hosts",
            "empty-readers",
            "prove-unreadable",
            "disable-account",
            "cool-down",
            "delete-account",
            "delete-group",
            "verify-gone",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn the_summary_says_what_became_of_account_and_group() {
        let group = DeletedGroupOutput { gone: true, kept_because: None };
        assert!(summary("F", &remains(), &group, 2).contains("gone from 2 DCs"));
        let kept = DeletedGroupOutput { gone: false, kept_because: Some("other farms use it: G".into()) };
        assert!(summary("F", &remains(), &kept, 1).contains("its group is kept: other farms use it: G"));
        let none = RemainsOutput { account: None, ..remains() };
        assert!(summary("F", &none, &group, 1).contains("was gone before"));
        let again = RemainsOutput { decommissioned: true, ..RemainsOutput::default() };
        assert!(summary("F", &again, &DeletedGroupOutput::default(), 0).starts_with("nothing to change"));
    }
}
