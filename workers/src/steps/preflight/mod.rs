//! `preflight`: everything that can be known to go wrong, looked at before anything is written.
//!
//! Read only. Collects all problems of a request at once, each with the manifest's field that it
//! belongs to; what is allowed but unwise becomes a warning. `observe` reads, the other files
//! judge what was read and are pure.

mod account;
mod forest;
mod group;
pub(in crate::steps) mod hosts;
pub(in crate::steps) mod observe;
pub(in crate::steps) mod report;
pub(in crate::steps) mod rights;
mod update;

use async_trait::async_trait;
use domain::{Dn, DnsHostName, FarmSpec, Mode, Sid};
use serde::{Deserialize, Serialize};
use store::Quarantined;

pub use self::update::{PreflightUpdate, UpdateTargets};

use self::report::Report;
use super::outputs::{count, to_value};
use super::quarantine;
use crate::{Step, StepContext, StepError, StepPlan, Verified};

pub const NAME: &str = "preflight";

/// Output: what the manifest's names mean in this directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PreflightOutput {
    /// The domain's naming context.
    pub domain: Dn,
    pub container: Dn,
    pub account: AccountTarget,
    /// `null` where membership is direct.
    pub group: Option<GroupTarget>,
    /// In the manifest's order, each object once.
    pub hosts: Vec<HostTarget>,
    /// dNSHostName of every writable DC of the domain.
    pub domain_controllers: Vec<String>,
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountTarget {
    pub dn: Dn,
    /// It stood there before this workflow, as asked.
    pub exists: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupTarget {
    /// sAMAccountName.
    pub name: String,
    pub dn: Dn,
    pub sid: Option<Sid>,
    /// It stood there before this workflow.
    pub exists: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostTarget {
    /// sAMAccountName without its `$`.
    pub name: String,
    pub dn: Dn,
    pub sid: Sid,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns_host_name: Option<DnsHostName>,
}

/// What was read, by subject.
pub struct Observed {
    domain: Dn,
    forest: forest::Seen,
    account: account::Seen,
    group: Option<group::Seen>,
    hosts: Vec<hosts::Seen>,
    quarantined: Vec<Quarantined>,
    domain_controllers: Vec<String>,
}

#[derive(Debug)]
pub struct Preflight;

#[async_trait]
impl Step for Preflight {
    type Observed = Observed;

    fn name(&self) -> &'static str {
        NAME
    }

    async fn check(&self, cx: &StepContext) -> Result<Observed, StepError> {
        observe::all(cx, &cx.input()?).await
    }

    fn plan(&self, cx: &StepContext, observed: &Observed) -> Result<StepPlan, StepError> {
        let spec: FarmSpec = cx.input()?;
        let (output, report) = judge(&spec, observed, cx.mode);
        let output = match (report.into_error(cx.environment.clock.now()), output) {
            (Some(error), _) => return Err(error),
            (None, Some(output)) => output,
            (None, None) => return Err(report::no_target()),
        };
        Ok(StepPlan::nothing(summary(&output), to_value(&output)?))
    }

    async fn verify(&self, _: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        Ok(Verified { output: plan.expected.clone(), detail: plan.detail.clone() })
    }
}

/// Whether this forest can have another gMSA.
pub(super) async fn judge_forest(cx: &StepContext, report: &mut Report) -> Result<(), StepError> {
    let (seen, _) = observe::seen_forest(cx, cx.dc().await?.as_ref()).await?;
    forest::judge(&seen, cx.mode, report);
    Ok(())
}

/// The targets, where all of them could be found, and everything that speaks against going on.
fn judge(spec: &FarmSpec, observed: &Observed, mode: Mode) -> (Option<PreflightOutput>, Report) {
    let mut report = Report::new(spec.warnings());
    forest::judge(&observed.forest, mode, &mut report);
    let hosts = hosts::judge("spec.hosts", &spec.hosts, &observed.hosts, &observed.domain, &mut report);
    quarantine::judge("spec.hosts", &spec.hosts, &observed.hosts, &observed.quarantined, &mut report);
    let group = observed.group.as_ref().map(|seen| group::judge(spec, seen, &hosts, &mut report));
    let account = account::judge(spec, &observed.account, group.as_ref(), &hosts, &mut report);
    let (Some((container, account)), Some(group)) =
        (account, group.map_or(Some(None), |found| found.map(Some)))
    else {
        return (None, report);
    };
    let output = PreflightOutput {
        domain: observed.domain.clone(),
        container,
        account,
        group,
        hosts,
        domain_controllers: observed.domain_controllers.clone(),
        warnings: report.warnings().to_vec(),
    };
    (Some(output), report)
}

fn summary(output: &PreflightOutput) -> String {
    let state = |exists| if exists { "exists" } else { "to be made" };
    let group = output.group.as_ref();
    let group = group.map_or_else(
        || "no group".to_owned(),
        |group| format!("group {} ({})", group.dn, state(group.exists)),
    );
    let mut text = format!(
        "account {} ({}), {group}, {}, {}",
        output.account.dn,
        state(output.account.exists),
        count(output.hosts.len(), "host"),
        count(output.domain_controllers.len(), "writable DC"),
    );
    if !output.warnings.is_empty() {
        text.push_str(&format!(
            "; {}: {}",
            count(output.warnings.len(), "warning"),
            output.warnings.join("; ")
        ));
    }
    text
}
