//! `delete-old-account`: the point of no return. With the account its password dies: no key is ever
//! derived for its SID again.

use async_trait::async_trait;
use directory::{DirectoryRead, Entry};
use domain::{AttributeChange, Change};

use super::carry::{SAM, values};
use super::{Survey, find, replaced_already, surveyed};
use crate::steps::everywhere::{Lag, Look, every_dc};
use crate::steps::outputs::{count, list};
use crate::{Step, StepContext, StepError, StepPlan, Verified};

#[derive(Debug)]
pub struct DeleteOld;

struct Gone<'a>(&'a Survey);

#[async_trait]
impl Look for Gone<'_> {
    type Seen = String;

    async fn look(&self, dc: &dyn DirectoryRead) -> Result<String, Lag> {
        match find::old(dc, self.0, &[]).await? {
            Some(old) => Err(Lag::Behind(format!("{} is still there", old.dn))),
            None => Ok(dc.dc().to_owned()),
        }
    }
}

#[async_trait]
impl Step for DeleteOld {
    type Observed = Option<(Survey, Option<Entry>)>;

    fn name(&self) -> &'static str {
        "delete-old-account"
    }

    async fn check(&self, cx: &StepContext) -> Result<Self::Observed, StepError> {
        let Some(survey) = surveyed(cx)? else { return Ok(None) };
        let old = find::old(cx.dc().await?.as_ref(), &survey, &[SAM]).await;
        Ok(Some((survey, old.map_err(StepError::or_park)?)))
    }

    fn plan(&self, _: &StepContext, observed: &Self::Observed) -> Result<StepPlan, StepError> {
        let Some((survey, old)) = observed else { return Ok(replaced_already()) };
        let Some(old) = old else {
            return Ok(StepPlan::nothing("the old account is gone", serde_json::Value::Null));
        };
        // In a rehearsal it is not parked yet.
        let dn = if old.dn == survey.old.dn { survey.old_dn_then() } else { &old.dn };
        let held = ["objectSid", "objectGUID"].map(|name| values(old, name));
        let sid = AttributeChange::set("objectSid", held[0].clone(), Vec::new());
        let guid = AttributeChange::set("objectGUID", held[1].clone(), Vec::new());
        let change = Change::delete(dn.clone(), vec![sid, guid]);
        let detail = format!("{dn} ({}) is deleted", survey.old.sid);
        Ok(StepPlan::new(vec![change], detail, serde_json::Value::Null))
    }

    async fn verify(&self, cx: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        let Some(survey) = surveyed(cx)? else {
            return Ok(Verified { output: plan.expected.clone(), detail: plan.detail.clone() });
        };
        let dcs = every_dc(cx, &Gone(&survey)).await.map_err(StepError::or_park)?;
        let detail = format!("{} is gone on {}: {}", survey.old.sid, count(dcs.len(), "DC"), list(&dcs));
        Ok(Verified { output: plan.expected.clone(), detail })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{side_by_side, survey};
    use super::*;
    use crate::steps::testing::{account, context};

    #[test]
    fn a_rehearsal_names_the_account_by_where_it_will_be_parked() {
        let planned = |survey: Survey| {
            let dn = survey.old_dn_then().clone();
            let plan = DeleteOld.plan(&context(), &Some((survey, Some(account(&[])))));
            (plan.expect("a plan").changes[0].dn.clone(), dn)
        };
        for survey in [survey(), side_by_side()] {
            let (found, expected) = planned(survey);
            assert_eq!(found, expected);
        }
        let gone = DeleteOld.plan(&context(), &Some((survey(), None))).expect("a plan");
        assert!(gone.changes.is_empty() && !gone.skipped);
    }
}
