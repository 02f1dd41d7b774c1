//! `withdraw-members`: hosts that are no longer the farm's leave its group.

use async_trait::async_trait;
use domain::Dn;

use super::ensure_group::{self, GroupOutput};
use super::members::removals;
use super::outputs::{count, list, not_as_written};
use super::preflight::{self, UpdateTargets};
use crate::{Step, StepContext, StepError, StepPlan, Verified};

pub const NAME: &str = "withdraw-members";

/// Takes out the hosts that the record lists and the manifest does not; other members stay.
#[derive(Debug)]
pub struct WithdrawMembers;

#[async_trait]
impl Step for WithdrawMembers {
    /// The group, and those who are still in it.
    type Observed = Option<(Dn, Vec<Dn>)>;

    fn name(&self) -> &'static str {
        NAME
    }

    async fn check(&self, cx: &StepContext) -> Result<Self::Observed, StepError> {
        let gone = cx.output::<UpdateTargets>(preflight::NAME)?.gone;
        let group: Option<GroupOutput> = cx.output(ensure_group::NAME)?;
        let Some(group) = group.filter(|_| !gone.is_empty()) else { return Ok(None) };
        let entry = cx.dc().await?.read(&(&group.dn).into(), &["member"]).await?;
        let members = entry.map(|entry| entry.dns("member")).unwrap_or_default();
        let still = gone.into_iter().map(|host| host.dn).filter(|dn| members.contains(dn)).collect();
        Ok(Some((group.dn, still)))
    }

    fn plan(&self, _: &StepContext, observed: &Self::Observed) -> Result<StepPlan, StepError> {
        Ok(match observed {
            None => StepPlan::skip("no host leaves the group"),
            Some((group, still)) => plan(group, still),
        })
    }

    async fn verify(&self, cx: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        match self.check(cx).await? {
            Some((group, still)) if !still.is_empty() => {
                Err(not_as_written(format!("{group} still holds {}", list(&still))))
            }
            _ => Ok(Verified { output: plan.expected.clone(), detail: plan.detail.clone() }),
        }
    }
}

fn plan(group: &Dn, still: &[Dn]) -> StepPlan {
    let detail = match still.len() {
        0 => format!("{group} holds none of the hosts that left"),
        number => format!("{group}: {} leave", count(number, "host")),
    };
    StepPlan::new(removals(group, still), detail, serde_json::Value::Null)
}
