//! `carry-memberships`: the new account joins the groups that the old one is in.

use std::collections::HashSet;

use async_trait::async_trait;
use domain::{AttributeChange, Change, Dn};

use super::{Survey, find, replaced_already, surveyed};
use crate::steps::outputs::{count, not_as_written};
use crate::{Step, StepContext, StepError, StepPlan, Verified};

#[derive(Debug)]
pub struct CarryMemberships;

#[async_trait]
impl Step for CarryMemberships {
    /// The groups that it is not in.
    type Observed = Option<(Survey, Vec<Dn>)>;

    fn name(&self) -> &'static str {
        "carry-memberships"
    }

    async fn check(&self, cx: &StepContext) -> Result<Self::Observed, StepError> {
        let Some(survey) = surveyed(cx)? else { return Ok(None) };
        let new = find::new(cx.dc().await?.as_ref(), &survey, &["memberOf"]).await?;
        let has: HashSet<Dn> = new.iter().flat_map(|new| new.dns("memberOf")).collect();
        let missing = survey.groups.iter().filter(|group| !has.contains(group)).cloned().collect();
        Ok(Some((survey, missing)))
    }

    fn plan(&self, _: &StepContext, observed: &Self::Observed) -> Result<StepPlan, StepError> {
        let Some((survey, missing)) = observed else { return Ok(replaced_already()) };
        let member = |group: &Dn| {
            let added = vec![survey.new.dn.as_str().into()];
            Change::modify(group.clone(), vec![AttributeChange::values("member", added, Vec::new())])
        };
        let detail = match (survey.groups.len(), missing.len()) {
            (0, _) => "the old account is in no group".to_owned(),
            (all, 0) => format!("in {} as the old account", count(all, "group")),
            (_, missing) => format!("joins {}", count(missing, "group")),
        };
        Ok(StepPlan::new(missing.iter().map(member).collect(), detail, serde_json::Value::Null))
    }

    async fn verify(&self, cx: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        if let Some((survey, missing)) = self.check(cx).await?
            && let Some(group) = missing.first()
        {
            return Err(not_as_written(format!("{} is no member of {group}", survey.new.dn)));
        }
        Ok(Verified { output: plan.expected.clone(), detail: plan.detail.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{group, survey};
    use super::*;
    use crate::steps::testing::context;

    #[test]
    fn a_group_takes_the_new_account_beside_its_other_members() {
        let plan = |missing| CarryMemberships.plan(&context(), &Some((survey(), missing))).expect("a plan");
        let joining = plan(vec![group()]);
        let change = &joining.changes[0];
        assert_eq!((joining.changes.len(), &change.dn), (1, &group()));
        assert_eq!(change.attributes[0].added(), [survey().new.dn.as_str().into()]);
        assert!(change.attributes[0].removed().is_empty());
        assert!(plan(vec![]).changes.is_empty());
    }
}
