//! `update`: a farm on record becomes what its changed manifest asks for.
//!
//! The account's attributes are changed by one Modify. Where hosts or the way in which they read
//! change, the new way in is opened first and seen on every DC; only then is the old one closed,
//! so that no host that is to read ever cannot. Updating again changes nothing.

use std::sync::Arc;

use domain::{Dn, FarmSpec, MembershipMode, WorkflowKind};
use serde::Serialize;
use store::{FarmFacts, FarmRecord};

use crate::runbook::{Replan, RunResult, Runbook};
use crate::steps::approval::ApprovalOfMending;
use crate::steps::ensure_group::{self, EnsureGroup, GroupOutput};
use crate::steps::ensure_members::EnsureMembers;
use crate::steps::find_farm::{self, FarmAccount, FarmOutput, FindFarm};
use crate::steps::outputs::{count, to_value};
use crate::steps::preflight::{self, HostTarget, PreflightUpdate, UpdateTargets};
use crate::steps::switch_readers::{AdmitReaders, RenewTickets, WithdrawReaders};
use crate::steps::update_account::{self, AccountUpdateOutput, SettleSpns, UpdateAccount};
use crate::steps::verify_everywhere::{EverywhereOutput, Seen};
use crate::steps::verify_update::{self, VerifyUpdate};
use crate::steps::withdraw_members::WithdrawMembers;
use crate::{StepContext, StepError};

pub fn runbook() -> Runbook {
    Runbook {
        kind: WorkflowKind::UPDATE,
        needs_farm: true,
        replan: Replan::FromStart,
        steps: vec![
            // First, so that all that is read is read after it.
            Arc::new(ApprovalOfMending),
            Arc::new(FindFarm),
            Arc::new(PreflightUpdate),
            Arc::new(UpdateAccount),
            Arc::new(SettleSpns),
            Arc::new(EnsureGroup),
            Arc::new(EnsureMembers),
            Arc::new(AdmitReaders),
            Arc::new(VerifyUpdate::admitted()),
            Arc::new(RenewTickets),
            Arc::new(WithdrawReaders),
            Arc::new(WithdrawMembers),
            Arc::new(VerifyUpdate::updated()),
        ],
        result,
    }
}

/// The workflow's `result`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Updated {
    /// One line for people.
    summary: String,
    /// Whether any step changed the directory.
    changed: bool,
    account: FarmAccount,
    /// Attributes of the account that were changed, its reader list aside.
    attributes: Vec<String>,
    group: Option<GroupOutput>,
    /// The group that the farm used before and that stays as it is; nothing of the farm is in its way
    /// any more.
    group_left_standing: Option<Dn>,
    hosts: Vec<HostTarget>,
    /// Hosts that left the group.
    hosts_gone: Vec<String>,
    domain_controllers: Vec<Seen>,
    warnings: Vec<String>,
    embedded_directory: bool,
}

fn result(cx: &StepContext) -> Result<RunResult, StepError> {
    let spec: FarmSpec = cx.input()?;
    let farm: FarmOutput = cx.output(find_farm::NAME)?;
    let UpdateTargets { targets, gone, left_group, .. } = cx.output(preflight::NAME)?;
    let account: AccountUpdateOutput = cx.output(update_account::UPDATE)?;
    let group: Option<GroupOutput> = cx.output(ensure_group::NAME)?;
    let everywhere: EverywhereOutput = cx.output(verify_update::UPDATED)?;
    let group_made = ensure_group::is_ours(cx, group.as_ref().and_then(|group| group.sid.as_ref()));
    let facts = FarmFacts { group_made, ..facts(cx.facts()?, &spec, &farm, group.as_ref()) };
    let updated = Updated {
        summary: summary(&spec, cx.changed(), everywhere.domain_controllers.len()),
        changed: cx.changed(),
        account: farm.account,
        attributes: account.attributes,
        group,
        group_left_standing: left_group,
        hosts: targets.hosts,
        hosts_gone: gone.into_iter().map(|host| host.name).collect(),
        domain_controllers: everywhere.domain_controllers,
        warnings: targets.warnings,
        embedded_directory: cx.forest()?.is_embedded(),
    };
    Ok(RunResult { result: to_value(&updated)?, farm: Some(FarmRecord::Deployed(facts)) })
}

fn summary(spec: &FarmSpec, changed: bool, dcs: usize) -> String {
    let (farm, dcs) = (&spec.name, count(dcs, "DC"));
    match changed {
        true => format!("farm {farm} is updated and seen on {dcs}"),
        false => format!("nothing to change: farm {farm} stands as asked on {dcs}"),
    }
}

/// The record with the new manifest; what the manifest does not speak of stays.
fn facts(before: &FarmFacts, spec: &FarmSpec, farm: &FarmOutput, group: Option<&GroupOutput>) -> FarmFacts {
    let group = group.filter(|_| spec.membership.mode == MembershipMode::Group);
    FarmFacts {
        spec: spec.clone(),
        account_dn: farm.account.dn.clone(),
        group_dn: group.map(|group| group.dn.clone()),
        group_sid: group.and_then(|group| group.sid.clone()),
        ..before.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_new_way_in_is_seen_everywhere_before_the_old_one_is_closed() {
        let names: Vec<_> = runbook().steps.iter().map(|step| step.name()).collect();
        let at = |name: &str| names.iter().position(|other| *other == name).expect("a step");
        assert!(at("ensure-members") < at("admit-readers"));
        assert!(at("admit-readers") < at("verify-admitted"));
        assert!(at("verify-admitted") < at("renew-tickets"));
        assert!(at("renew-tickets") < at("withdraw-readers"));
        assert_eq!(names.last(), Some(&"verify-everywhere"));
    }
}
