//! `disable-old-account`: side by side, the old account logs on no more once its hosts have let go of it.

use async_trait::async_trait;
use directory::Entry;
use domain::request::ReplaceRequest;
use domain::{AttributeChange, Change};

use super::carry::{CONTROL, values};
use super::{find, replaced_already, surveyed};
use crate::steps::contain::exposure_end;
use crate::steps::find_farm;
use crate::steps::gmsa::fields::DISABLED;
use crate::steps::outputs::not_as_written;
use crate::{Step, StepContext, StepError, StepPlan, Verified};

/// The change that disables the account; `None`: it is.
pub fn disabled(account: &Entry) -> Option<AttributeChange> {
    let bits = account.int(CONTROL).filter(|bits| bits & DISABLED == 0)?;
    Some(AttributeChange::set(CONTROL, values(account, CONTROL), vec![(bits | DISABLED).to_string().into()]))
}

#[derive(Debug)]
pub struct DisableOld;

#[async_trait]
impl Step for DisableOld {
    type Observed = Option<Entry>;

    fn name(&self) -> &'static str {
        "disable-old-account"
    }

    async fn check(&self, cx: &StepContext) -> Result<Self::Observed, StepError> {
        let Some(survey) = surveyed(cx)? else { return Ok(None) };
        if survey.parking.is_some() {
            // There will be nothing to verify.
            announce(cx, "the exposed account is parked and disabled, and another has its place").await?;
        }
        let old = find::old(cx.dc().await?.as_ref(), &survey, &[CONTROL]).await?;
        Ok(Some(old.ok_or_else(|| find_farm::gone(&survey.old.dn))?))
    }

    fn plan(&self, cx: &StepContext, old: &Self::Observed) -> Result<StepPlan, StepError> {
        let (Some(old), Some(survey)) = (old, surveyed(cx)?) else { return Ok(replaced_already()) };
        if survey.parking.is_some() {
            return Ok(StepPlan::skip("the old account was disabled when it was parked"));
        }
        let change = disabled(old).map(|change| Change::modify(old.dn.clone(), vec![change]));
        let detail = match &change {
            Some(_) => format!("{} is disabled", old.dn),
            None => format!("{} is disabled already", old.dn),
        };
        Ok(StepPlan::new(change.into_iter().collect(), detail, serde_json::Value::Null))
    }

    async fn verify(&self, cx: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        if let Some(old) = self.check(cx).await?.filter(|old| disabled(old).is_some()) {
            return Err(not_as_written(format!("{} is not disabled", old.dn)));
        }
        announce(cx, "the exposed account is disabled, and another has its place").await?;
        Ok(Verified { output: plan.expected.clone(), detail: plan.detail.clone() })
    }
}

/// Where a containment asked for the replacement, the old password opens nothing from here on.
async fn announce(cx: &StepContext, evidence: &str) -> Result<(), StepError> {
    let Some(parent) = cx.parent() else { return Ok(()) };
    let request: ReplaceRequest = cx.input()?;
    exposure_end::announce(cx, parent, &request.account_sid, evidence).await
}
