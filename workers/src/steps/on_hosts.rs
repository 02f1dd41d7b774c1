//! Work on member hosts, as a step: through the adapter that the farm uses, or told to people.

use async_trait::async_trait;
use domain::farm::HostActionsSpec;
use domain::{AccountName, ErrorCode, HostActionKind, HostAdapter, HostWork, MemberHost};
use serde::{Deserialize, Serialize};

use super::outputs::{count, to_value};
use super::preflight::HostTarget;
use crate::{Step, StepContext, StepError, StepPlan, Verified};

/// What is to be done, and where. Read from the context, since it may depend on earlier steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostJob {
    pub hosts: Vec<HostTarget>,
    /// The gMSA: with or without its `$`.
    pub account: String,
}

/// A step that does the same on every host of a job.
pub struct OnHosts {
    pub name: &'static str,
    /// In order; empty: nothing is to be done.
    pub actions: fn(&HostActionsSpec) -> Vec<HostActionKind>,
    pub job: fn(&StepContext) -> Result<HostJob, StepError>,
}

/// Output.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OnHostsOutput {
    /// How many hosts were seen to.
    pub hosts: usize,
}

#[async_trait]
impl Step for OnHosts {
    type Observed = HostJob;

    fn name(&self) -> &'static str {
        self.name
    }

    async fn check(&self, cx: &StepContext) -> Result<HostJob, StepError> {
        (self.job)(cx)
    }

    fn plan(&self, cx: &StepContext, job: &HostJob) -> Result<StepPlan, StepError> {
        let farm = cx.host_actions()?;
        let adapter = cx.environment.hosts.adapter(&farm);
        let work = work(job, &(self.actions)(&farm))?;
        plan(adapter, work)
    }

    async fn verify(&self, _: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        let hosts = plan.host_actions.len();
        Ok(Verified {
            output: to_value(&OnHostsOutput { hosts })?,
            detail: format!("done on {}", count(hosts, "host")),
        })
    }
}

pub(super) fn work(job: &HostJob, actions: &[HostActionKind]) -> Result<Vec<HostWork>, StepError> {
    let account = AccountName::parse(&job.account).map_err(|error| {
        StepError::fail(
            ErrorCode::StepFault,
            format!("{} is no account name for hosts: {error}", job.account),
            "rename the account so that hosts can use it: 1 to 15 of A-Z a-z 0-9 _ -",
        )
    })?;
    let of = |host: &HostTarget| HostWork {
        host: MemberHost {
            name: host.name.clone(),
            sid: host.sid.clone(),
            dns_host_name: host.dns_host_name.clone(),
        },
        account: account.clone(),
        actions: actions.to_vec(),
    };
    Ok(if actions.is_empty() { Vec::new() } else { job.hosts.iter().map(of).collect() })
}

pub(super) fn plan(adapter: HostAdapter, work: Vec<HostWork>) -> Result<StepPlan, StepError> {
    let Some(first) = work.first() else { return Ok(StepPlan::skip("there is no host to do anything on")) };
    let commands: Vec<_> = first.each().map(|action| action.powershell()).collect();
    let (hosts, commands) = (count(work.len(), "host"), commands.join("; "));
    if adapter == HostAdapter::None {
        let detail =
            format!("not done by Farmhand (no host adapter); on {hosts}, where it is needed: {commands}");
        return Ok(StepPlan::skip(detail));
    }
    let expected = to_value(&OnHostsOutput { hosts: work.len() })?;
    Ok(StepPlan::on_hosts(work, format!("{commands} on {hosts}, {adapter}"), expected))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing::host;

    fn job(hosts: &[&str]) -> HostJob {
        HostJob { hosts: hosts.iter().map(|name| host(name)).collect(), account: "ITFarm1$".into() }
    }

    #[test]
    fn every_host_gets_the_same_actions_in_order() {
        let actions = [HostActionKind::PurgeTickets, HostActionKind::Install];
        let planned = plan(HostAdapter::Manual, work(&job(&["Host1", "Host2"]), &actions).expect("work"));
        let planned = planned.expect("a plan");
        assert_eq!(planned.host_actions.len(), 2);
        assert!(planned.host_actions.iter().all(|work| work.actions == actions));
        assert!(planned.detail.contains("Install-ADServiceAccount"), "{}", planned.detail);
    }

    #[test]
    fn without_an_adapter_people_are_told_what_to_run_and_nobody_waits() {
        let planned =
            plan(HostAdapter::None, work(&job(&["Host1"]), &[HostActionKind::Install]).expect("work"));
        let planned = planned.expect("a plan");
        assert!(planned.skipped && planned.detail.contains("Install-ADServiceAccount -Identity ITFarm1"));
    }

    #[test]
    fn no_host_and_no_action_are_no_work() {
        assert!(
            plan(HostAdapter::Command, work(&job(&[]), &[HostActionKind::Test]).expect("work"))
                .expect("a plan")
                .skipped
        );
        assert!(work(&job(&["Host1"]), &[]).expect("work").is_empty());
    }
}
