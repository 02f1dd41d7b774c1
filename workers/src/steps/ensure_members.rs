//! `ensure-members`: every host is a member of the farm's group.

use std::collections::HashSet;

use async_trait::async_trait;
use directory::DirectoryRead;
use domain::{AttributeValue, Change, Dn, ErrorCode};
use serde::{Deserialize, Serialize};

use super::ensure_group::{self, GroupOutput};
use super::members;
use super::outputs::{count, list, not_as_written, to_value};
use super::preflight::{self, HostTarget, PreflightOutput};
use crate::{Step, StepContext, StepError, StepPlan, Verified};

pub const NAME: &str = "ensure-members";

/// Output. `null` where membership is direct or the farm has no hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MembersOutput {
    pub group: Dn,
    /// The farm's hosts, all of which are members; the group may have others.
    pub hosts: Vec<Dn>,
    /// Those of them that this workflow put in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<Dn>,
}

/// Adds the hosts that are missing, leaves every other member alone.
#[derive(Debug)]
pub struct EnsureMembers;

/// What there is to compare.
pub struct Observed {
    group: Option<GroupOutput>,
    hosts: Vec<HostTarget>,
    missing: Vec<Dn>,
}

#[async_trait]
impl Step for EnsureMembers {
    type Observed = Observed;

    fn name(&self) -> &'static str {
        NAME
    }

    async fn check(&self, cx: &StepContext) -> Result<Observed, StepError> {
        let PreflightOutput { domain, hosts, .. } = cx.output(preflight::NAME)?;
        let group: Option<GroupOutput> = cx.output(ensure_group::NAME)?;
        let missing = match &group {
            Some(group) if !hosts.is_empty() => {
                let dc = cx.dc().await?;
                match missing(dc.as_ref(), &domain, group, &hosts).await? {
                    Some(missing) => missing,
                    // A dry run before the group is made.
                    None if group.sid.is_none() => hosts.iter().map(|host| host.dn.clone()).collect(),
                    None => return Err(gone(group)),
                }
            }
            _ => Vec::new(),
        };
        Ok(Observed { group, hosts, missing })
    }

    fn plan(&self, _: &StepContext, observed: &Observed) -> Result<StepPlan, StepError> {
        let Some(group) = &observed.group else {
            return Ok(StepPlan::skip("membership is direct: the farm has no group"));
        };
        if observed.hosts.is_empty() {
            return Ok(StepPlan::skip("the farm has no hosts"));
        }
        plan(group, &observed.hosts, &observed.missing)
    }

    async fn verify(&self, cx: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        let Observed { group, hosts, missing } = self.check(cx).await?;
        let group = group.ok_or_else(|| not_as_written("the farm has no group to verify"))?;
        if !missing.is_empty() {
            return Err(not_as_written(format!("{} lacks the members {}", group.dn, list(&missing))));
        }
        // After a crash the plan is empty and the writes are those of the attempt before.
        let added = added(&hosts, plan.changes.iter().chain(cx.written().iter().map(|write| &write.change)));
        let detail = match added.len() {
            0 => format!("{} already held {}", group.dn, count(hosts.len(), "host")),
            added => format!("{} took {}", group.dn, count(added, "new member")),
        };
        Ok(Verified { output: to_value(&output(&group, &hosts, added))?, detail })
    }
}

/// The hosts that are no members on this DC; `None` where the DC has no such group.
pub(super) async fn missing(
    dc: &dyn DirectoryRead,
    domain: &Dn,
    group: &GroupOutput,
    hosts: &[HostTarget],
) -> Result<Option<Vec<Dn>>, StepError> {
    members::missing(dc, domain, group, hosts.iter().map(|host| &host.dn)).await
}

/// The hosts that any of the changes puts in, in the farm's order.
fn added<'a>(hosts: &[HostTarget], changes: impl Iterator<Item = &'a Change>) -> Vec<Dn> {
    let values = changes.flat_map(|change| &change.attributes).flat_map(|attribute| attribute.added());
    let values: HashSet<&AttributeValue> = values.collect();
    let dns = hosts.iter().map(|host| &host.dn);
    dns.filter(|dn| values.contains(&AttributeValue::from(dn.as_str()))).cloned().collect()
}

fn plan(group: &GroupOutput, hosts: &[HostTarget], missing: &[Dn]) -> Result<StepPlan, StepError> {
    let changes = members::additions(&group.dn, missing);
    let detail = match missing.len() {
        0 => format!("{} already holds {}", group.dn, count(hosts.len(), "host")),
        number => format!("{} lacks {} of {}", group.dn, number, count(hosts.len(), "host")),
    };
    Ok(StepPlan::new(changes, detail, to_value(&output(group, hosts, missing.to_vec()))?))
}

fn output(group: &GroupOutput, hosts: &[HostTarget], added: Vec<Dn>) -> MembersOutput {
    MembersOutput {
        group: group.dn.clone(),
        hosts: hosts.iter().map(|host| host.dn.clone()).collect(),
        added,
    }
}

fn gone(group: &GroupOutput) -> StepError {
    StepError::fail(
        ErrorCode::GroupNotFound,
        format!("the group {} is not there any more", group.dn),
        "somebody deleted the group while the farm was deployed: find out who, then deploy again",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing::{self, group_output, host};

    fn hosts(number: usize) -> Vec<HostTarget> {
        (1..=number).map(|n| host(&format!("Host{n}"))).collect()
    }

    #[test]
    fn missing_hosts_are_added_and_all_hosts_are_put_out() {
        let hosts = hosts(2_500);
        let missing: Vec<_> = hosts.iter().skip(1).map(|host| host.dn.clone()).collect();
        let planned = plan(&group_output(), &hosts, &missing).expect("a plan");
        let added: usize = planned.changes.iter().map(|change| change.attributes[0].added().len()).sum();
        assert_eq!(added, 2_499);
        assert_eq!(planned.expected["hosts"].as_array().map(Vec::len), Some(2_500));
    }

    #[test]
    fn what_was_put_in_is_known_from_the_writes_and_not_from_what_is_there() {
        let write = members::additions(&group_output().dn, &[host("Host2").dn]).remove(0);
        assert_eq!(added(&hosts(3), [&write, &write].into_iter()), [host("Host2").dn]);
        assert!(added(&hosts(3), std::iter::empty()).is_empty());
    }

    #[test]
    fn nothing_is_planned_where_nobody_is_missing() {
        let planned = plan(&group_output(), &hosts(2), &[]).expect("a plan");
        assert!(planned.changes.is_empty() && !planned.skipped);
    }

    #[test]
    fn a_farm_without_group_or_without_hosts_skips_the_step() {
        let cx = testing::context();
        for (group, hosts) in [(None, hosts(1)), (Some(group_output()), vec![])] {
            let observed = Observed { group, hosts, missing: vec![] };
            assert!(EnsureMembers.plan(&cx, &observed).expect("a plan").skipped);
        }
    }
}
