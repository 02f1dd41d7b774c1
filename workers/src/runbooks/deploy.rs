//! `deploy`: a farm comes into being.
//!
//! Everything that can go wrong is looked for first, then group, members and account are made or
//! adopted on one DC, then every writable DC is seen to have them, and at last the account is
//! installed on the hosts that were let in, where an adapter for that is configured. Deploying
//! again what stands changes nothing.

use std::sync::Arc;

use domain::farm::ForeignReader;
use domain::{FarmSpec, MembershipMode, WorkflowKind};
use serde::Serialize;
use store::{FarmFacts, FarmRecord};

use crate::runbook::{Replan, RunResult, Runbook};
use crate::steps::ensure_gmsa::{self, AccountOutput, EnsureGmsa};
use crate::steps::ensure_group::{self, EnsureGroup, GroupOutput};
use crate::steps::ensure_members::EnsureMembers;
use crate::steps::gmsa::Reader;
use crate::steps::install_on_hosts::{self, InstallOnHosts};
use crate::steps::on_hosts::OnHostsOutput;
use crate::steps::outputs::{count, to_value};
use crate::steps::preflight::{self, HostTarget, Preflight, PreflightOutput};
use crate::steps::verify_everywhere::{self, EverywhereOutput, Seen, VerifyEverywhere};
use crate::{StepContext, StepError};

/// A host's group memberships are in its Kerberos tickets, which live for hours.
const BY_TICKET: &str = "when each host renews its Kerberos tickets (a restart, or `klist -li 0x3e7 purge` as \
                         administrator)";
/// The reader list names the host itself, and a DC reads the list for every question.
const AT_ONCE: &str = "at once";

pub fn runbook() -> Runbook {
    Runbook {
        kind: WorkflowKind::DEPLOY,
        // For those whom an imported account lets read besides; without a record there is nobody.
        needs_farm: true,
        replan: Replan::FromStart,
        steps: vec![
            Arc::new(Preflight),
            Arc::new(EnsureGroup),
            Arc::new(EnsureMembers),
            Arc::new(EnsureGmsa),
            Arc::new(VerifyEverywhere),
            Arc::new(InstallOnHosts),
        ],
        result,
    }
}

/// The workflow's `result`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Deployed {
    /// One line for people.
    summary: String,
    /// Whether any step changed the directory.
    changed: bool,
    account: AccountOutput,
    group: Option<GroupOutput>,
    hosts: Vec<HostTarget>,
    /// Whom the account's reader list names.
    readers: Vec<Reader>,
    access_takes_effect: &'static str,
    /// On how many hosts Farmhand installed the account; each of them can fetch the password.
    installed_on_hosts: usize,
    /// With the true rollover, which is counted in slots of ten hours.
    managed_password_interval: String,
    domain_controllers: Vec<Seen>,
    warnings: Vec<String>,
    /// The directory is Farmhand's own small one, for trying out.
    embedded_directory: bool,
}

fn result(cx: &StepContext) -> Result<RunResult, StepError> {
    let spec: FarmSpec = cx.input()?;
    let preflight: PreflightOutput = cx.output(preflight::NAME)?;
    let group: Option<GroupOutput> = cx.output(ensure_group::NAME)?;
    let account: AccountOutput = cx.output(ensure_gmsa::NAME)?;
    let everywhere: EverywhereOutput = cx.output(verify_everywhere::NAME)?;
    let installed: Option<OnHostsOutput> = cx.output(install_on_hosts::NAME)?;
    let foreign =
        cx.farm().and_then(|farm| farm.recorded.as_ref()).map(|facts| facts.foreign_readers.clone());
    let farm = facts(
        &spec,
        &group,
        &account,
        ensure_group::is_ours(cx, group.as_ref().and_then(|group| group.sid.as_ref())),
        foreign.unwrap_or_default(),
    );
    let deployed = Deployed {
        summary: summary(&spec, cx.changed(), everywhere.domain_controllers.len()),
        changed: cx.changed(),
        readers: account.readers.clone(),
        account,
        group,
        hosts: preflight.hosts,
        access_takes_effect: match spec.membership.mode {
            MembershipMode::Direct => AT_ONCE,
            MembershipMode::Group => BY_TICKET,
        },
        installed_on_hosts: installed.map_or(0, |installed| installed.hosts),
        managed_password_interval: spec.account.managed_password_interval_in_days.to_string(),
        domain_controllers: everywhere.domain_controllers,
        warnings: preflight.warnings,
        embedded_directory: cx.forest()?.is_embedded(),
    };
    Ok(RunResult { result: to_value(&deployed)?, farm: farm.map(FarmRecord::Deployed) })
}

fn summary(spec: &FarmSpec, changed: bool, dcs: usize) -> String {
    let (farm, dcs) = (&spec.name, count(dcs, "DC"));
    match changed {
        true => format!("farm {farm} is deployed and seen on {dcs}"),
        false => format!("nothing to change: farm {farm} stands as asked on {dcs}"),
    }
}

/// What goes on record; `None` while the account has no SID.
fn facts(
    spec: &FarmSpec,
    group: &Option<GroupOutput>,
    account: &AccountOutput,
    group_made: bool,
    foreign_readers: Vec<ForeignReader>,
) -> Option<FarmFacts> {
    Some(FarmFacts {
        spec: spec.clone(),
        account_dn: account.dn.clone(),
        account_sid: account.sid.clone()?,
        group_dn: group.as_ref().map(|group| group.dn.clone()),
        group_sid: group.as_ref().and_then(|group| group.sid.clone()),
        group_made,
        foreign_readers,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing::{self, dn, sid};

    fn account(known: bool) -> AccountOutput {
        AccountOutput {
            dn: dn("CN=ITFarm1,DC=contoso,DC=com"),
            sam_account_name: "ITFarm1$".into(),
            sid: known.then(|| sid(1300)),
            guid: None,
            key_id: None,
            readers: vec![],
        }
    }

    #[test]
    fn a_deploy_looks_before_it_writes_and_makes_the_readers_before_the_account() {
        let names: Vec<_> = runbook().steps.iter().map(|step| step.name()).collect();
        let expected = [
            "preflight",
            "ensure-group",
            "ensure-members",
            "ensure-gmsa",
            "verify-everywhere",
            "install-on-hosts",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn facts_are_recorded_of_an_account_that_is_there() {
        let group = Some(testing::group_output());
        let facts = facts(&testing::spec(), &group, &account(true), true, vec![]).expect("it has a SID");
        assert_eq!(
            (facts.account_sid, facts.group_sid, facts.group_made),
            (sid(1300), Some(sid(1200)), true)
        );
        assert_eq!(super::facts(&testing::spec(), &group, &account(false), true, vec![]), None);
    }

    #[test]
    fn a_second_deploy_says_that_there_was_nothing_to_change() {
        let spec = testing::spec();
        assert!(summary(&spec, false, 2).starts_with("nothing to change: farm ITFarm1"));
        assert!(summary(&spec, true, 1).contains("seen on 1 DC"));
    }
}
