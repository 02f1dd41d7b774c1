//! `install-on-hosts`: the account is installed on every host that a deploy newly let in, and each
//! host says whether it can fetch the password.

use std::collections::HashSet;

use async_trait::async_trait;
use domain::farm::HostActionsSpec;
use domain::{Dn, FarmSpec, HostActionKind, MembershipMode};

use super::ensure_gmsa::{self, AccountOutput};
use super::ensure_members::{self, MembersOutput};
use super::on_hosts::{HostJob, OnHosts};
use super::preflight::{self, HostTarget, PreflightOutput};
use crate::{Step, StepContext, StepError, StepPlan, Verified};

pub const NAME: &str = "install-on-hosts";

/// Output: [`super::on_hosts::OnHostsOutput`], or `null` where nothing was done on hosts.
#[derive(Debug)]
pub struct InstallOnHosts;

#[async_trait]
impl Step for InstallOnHosts {
    type Observed = (MembershipMode, HostJob);

    fn name(&self) -> &'static str {
        NAME
    }

    async fn check(&self, cx: &StepContext) -> Result<Self::Observed, StepError> {
        Ok((cx.input::<FarmSpec>()?.membership.mode, job(cx)?))
    }

    fn plan(&self, cx: &StepContext, (mode, job): &Self::Observed) -> Result<StepPlan, StepError> {
        on_hosts(*mode).plan(cx, job)
    }

    async fn verify(&self, cx: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        on_hosts(cx.input::<FarmSpec>()?.membership.mode).verify(cx, plan).await
    }
}

fn on_hosts(mode: MembershipMode) -> OnHosts {
    let actions = match mode {
        MembershipMode::Group => through_group,
        MembershipMode::Direct => by_name,
    };
    OnHosts { name: NAME, actions, job }
}

/// A host learns of its new group with its next Kerberos ticket, so the old ones go first.
fn through_group(_: &HostActionsSpec) -> Vec<HostActionKind> {
    vec![HostActionKind::PurgeTickets, HostActionKind::Install, HostActionKind::Test]
}

fn by_name(_: &HostActionsSpec) -> Vec<HostActionKind> {
    vec![HostActionKind::Install, HostActionKind::Test]
}

fn job(cx: &StepContext) -> Result<HostJob, StepError> {
    let preflight: PreflightOutput = cx.output(preflight::NAME)?;
    let members: Option<MembersOutput> = cx.output(ensure_members::NAME)?;
    let account: AccountOutput = cx.output(ensure_gmsa::NAME)?;
    Ok(HostJob { hosts: newly_let_in(preflight, members), account: account.sam_account_name })
}

/// Of an account that this deploy made: every host. Of one that stood there: those that its group
/// took in; its reader list is never changed by a deploy.
fn newly_let_in(preflight: PreflightOutput, members: Option<MembersOutput>) -> Vec<HostTarget> {
    if !preflight.account.exists {
        return preflight.hosts;
    }
    let added: HashSet<Dn> = members.into_iter().flat_map(|members| members.added).collect();
    preflight.hosts.into_iter().filter(|host| added.contains(&host.dn)).collect()
}

#[cfg(test)]
mod tests {
    use domain::HostAdapter;

    use super::*;
    use crate::steps::testing::{self, dn, host};

    fn preflight(exists: bool) -> PreflightOutput {
        let mut preflight = testing::preflight();
        preflight.account.exists = exists;
        preflight
    }
    fn members(added: &[&str]) -> Option<MembersOutput> {
        let group = dn("CN=ITFarmHosts,CN=Users,DC=contoso,DC=com");
        let hosts = preflight(true).hosts.into_iter().map(|host| host.dn).collect();
        Some(MembersOutput { group, hosts, added: added.iter().map(|name| host(name).dn).collect() })
    }
    fn names(hosts: Vec<HostTarget>) -> Vec<String> {
        hosts.into_iter().map(|host| host.name).collect()
    }

    #[test]
    fn a_new_account_is_installed_everywhere_and_an_old_one_where_it_is_new() {
        assert_eq!(names(newly_let_in(preflight(false), members(&[]))), ["Host1", "Host2"]);
        assert_eq!(names(newly_let_in(preflight(false), None)), ["Host1", "Host2"]);
        assert_eq!(names(newly_let_in(preflight(true), members(&["Host2"]))), ["Host2"]);
        assert!(newly_let_in(preflight(true), members(&[])).is_empty());
        assert!(newly_let_in(preflight(true), None).is_empty());
    }

    #[test]
    fn tickets_are_purged_only_where_a_group_lets_the_host_in() {
        let actions = |mode| {
            let kinds = (on_hosts(mode).actions)(&HostActionsSpec::default());
            kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(actions(MembershipMode::Group), ["purge-tickets", "install", "test"]);
        assert_eq!(actions(MembershipMode::Direct), ["install", "test"]);
        assert_eq!(HostAdapter::default(), HostAdapter::None, "and nothing, unless it is configured");
    }
}
