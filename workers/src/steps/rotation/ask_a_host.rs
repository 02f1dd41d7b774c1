//! `ask-a-host`: a member host fetches the password, which makes the DC that it asks roll it.

use async_trait::async_trait;
use domain::HostActionKind;

use super::find_due::{self, DueFarm};
use crate::steps::on_hosts::{HostJob, OnHosts};
use crate::{Step, StepContext, StepError, StepPlan, Verified};

pub const NAME: &str = "ask-a-host";

/// Output: [`crate::steps::on_hosts::OnHostsOutput`], or `null` where nobody was asked.
#[derive(Debug)]
pub struct AskAHost;

const TEST: OnHosts = OnHosts { name: NAME, actions: |_| vec![HostActionKind::Test], job };

fn job(cx: &StepContext) -> Result<HostJob, StepError> {
    let due: DueFarm = cx.output(find_due::NAME)?;
    Ok(HostJob { hosts: due.host.into_iter().collect(), account: due.account })
}

#[async_trait]
impl Step for AskAHost {
    type Observed = HostJob;

    fn name(&self) -> &'static str {
        NAME
    }

    async fn check(&self, cx: &StepContext) -> Result<HostJob, StepError> {
        TEST.check(cx).await
    }

    fn plan(&self, cx: &StepContext, job: &HostJob) -> Result<StepPlan, StepError> {
        TEST.plan(cx, job)
    }

    async fn verify(&self, cx: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        TEST.verify(cx, plan).await
    }
}
