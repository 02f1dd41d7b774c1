//! `ensure-group`: the security group whose members read the password.

use async_trait::async_trait;
use directory::preflight::{Principal, principal_at};
use domain::{ErrorCode, FarmSpec, MembershipMode, Sid};
use serde::{Deserialize, Serialize};

use super::group;
use super::outputs::{not_as_written, to_value};
use super::preflight::{self, GroupTarget, PreflightOutput};
use crate::{Step, StepContext, StepError, StepPlan, Verified};

pub const NAME: &str = "ensure-group";

/// Output. `null` where membership is direct.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupOutput {
    /// sAMAccountName.
    pub name: String,
    pub dn: domain::Dn,
    /// `null` only in a dry run, where the group is yet to be made.
    pub sid: Option<Sid>,
}

/// Adopts the group as it is, or makes a global security group.
#[derive(Debug)]
pub struct EnsureGroup;

/// Whether this farm's group was made for it, by this workflow or by an earlier one that is on record:
/// then it may go when the farm goes.
pub fn is_ours(cx: &StepContext, group: Option<&Sid>) -> bool {
    let recorded = cx.farm().and_then(|farm| farm.recorded.as_ref());
    let earlier = recorded.filter(|facts| facts.group_sid.as_ref() == group);
    group.is_some() && (earlier.is_some_and(|facts| facts.group_made) || cx.changed_by(NAME))
}

/// `None`: the farm has no group.
type Wanted = Option<GroupTarget>;

#[async_trait]
impl Step for EnsureGroup {
    type Observed = (Wanted, Option<Principal>);

    fn name(&self) -> &'static str {
        NAME
    }

    async fn check(&self, cx: &StepContext) -> Result<Self::Observed, StepError> {
        let target = cx.output::<PreflightOutput>(preflight::NAME)?.group;
        let found = match &target {
            Some(target) => read(cx, target).await?,
            None => None,
        };
        Ok((target, found))
    }

    fn plan(&self, cx: &StepContext, (target, found): &Self::Observed) -> Result<StepPlan, StepError> {
        let spec: FarmSpec = cx.input()?;
        match target {
            Some(target) if spec.membership.mode == MembershipMode::Group => {
                plan(&spec, target, found.as_ref())
            }
            _ => Ok(StepPlan::skip("membership is direct: the farm has no group")),
        }
    }

    async fn verify(&self, cx: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        let target = cx.output::<PreflightOutput>(preflight::NAME)?.group;
        let target = target.ok_or_else(|| not_as_written("the farm has no group to verify"))?;
        let found = read(cx, &target).await?.filter(|found| group::unsuitable(found).is_none());
        let found = found.ok_or_else(|| {
            not_as_written(format!("the security group {} is not there any more", target.dn))
        })?;
        let made = !plan.changes.is_empty();
        let output = output_of(&target, &found);
        let detail = format!("{} {}", target.dn, if made { "was made" } else { "is used as it is" });
        Ok(Verified { output: to_value(&output)?, detail })
    }
}

async fn read(cx: &StepContext, target: &GroupTarget) -> Result<Option<Principal>, StepError> {
    Ok(principal_at(cx.dc().await?.as_ref(), &(&target.dn).into()).await?)
}

fn plan(spec: &FarmSpec, target: &GroupTarget, found: Option<&Principal>) -> Result<StepPlan, StepError> {
    match found {
        Some(found) => match group::unsuitable(found) {
            Some(reason) => Err(StepError::fail(
                ErrorCode::GroupUnsuitable,
                format!("{} cannot hold the farm's hosts: {reason}", target.dn),
                "name another group, or another groupContainer for a new one",
            )),
            None => {
                let output = output_of(target, found);
                Ok(StepPlan::nothing(format!("{} exists and is used as it is", found.dn), to_value(&output)?))
            }
        },
        None if group::may_be_made(spec) => {
            let change = group::addition(&target.dn, &target.name, &spec.name);
            let expected = GroupOutput { name: target.name.clone(), dn: target.dn.clone(), sid: None };
            let detail = format!("{} is missing: make it, a global security group", target.dn);
            Ok(StepPlan::new(vec![change], detail, to_value(&expected)?))
        }
        None => Err(StepError::fail(
            ErrorCode::GroupNotFound,
            format!("the group {} is not there", target.dn),
            "make the group, or name one and leave createGroup out so that Farmhand makes it",
        )),
    }
}

fn output_of(target: &GroupTarget, found: &Principal) -> GroupOutput {
    let name = found.sam_account_name.clone().unwrap_or_else(|| target.name.clone());
    GroupOutput { name, dn: found.dn.clone(), sid: found.sid.clone() }
}

#[cfg(test)]
mod tests {
    use directory::preflight::{GroupScope, PrincipalKind};
    use domain::{ChangeKind, PrincipalRef};

    use super::*;
    use crate::steps::testing::{self, dn};

    fn target() -> GroupTarget {
        GroupTarget {
            name: "ITFarmHosts".into(),
            dn: dn("CN=ITFarmHosts,CN=Users,DC=contoso,DC=com"),
            sid: None,
            exists: false,
        }
    }

    #[test]
    fn a_missing_group_is_made_by_one_add_and_its_sid_is_not_known_yet() {
        let planned = plan(&testing::spec(), &target(), None).expect("a plan");
        assert_eq!(planned.changes.len(), 1);
        assert_eq!((planned.changes[0].kind, &planned.changes[0].dn), (ChangeKind::Add, &target().dn));
        assert_eq!(planned.expected["sid"], serde_json::Value::Null);
        assert_eq!(planned.expected["dn"], "CN=ITFarmHosts,CN=Users,DC=contoso,DC=com");
    }

    #[test]
    fn a_standing_group_is_adopted_unchanged() {
        let found = testing::group();
        let planned = plan(&testing::spec(), &target(), Some(&found)).expect("a plan");
        assert!(planned.changes.is_empty() && !planned.skipped);
        assert_eq!(planned.expected["sid"], testing::GROUP_SID);
    }

    #[test]
    fn an_unsuitable_group_and_one_that_may_not_be_made_are_refused() {
        let code = |result: Result<StepPlan, StepError>| result.expect_err("refused").problem().code;
        let kind = PrincipalKind::Group { security: false, scope: GroupScope::Global };
        let distribution = Principal { kind, ..testing::group() };
        assert_eq!(code(plan(&testing::spec(), &target(), Some(&distribution))), ErrorCode::GroupUnsuitable);
        let mut spec = testing::spec();
        spec.membership.create_group = false;
        assert_eq!(code(plan(&spec, &target(), None)), ErrorCode::GroupNotFound);
        let mut spec = testing::spec();
        spec.membership.group = Some(PrincipalRef::Dn(target().dn));
        assert_eq!(code(plan(&spec, &target(), None)), ErrorCode::GroupNotFound);
    }
}
