//! `remove-membership`: what lets the leaving hosts in, and them alone, is taken away.

use std::collections::HashSet;

use async_trait::async_trait;
use directory::{DirectoryRead, Entry};
use domain::{Change, Dn, Sid, Write};

use super::leaving::LeavingOutput;
use super::{PREFLIGHT, account, names, standing_members};
use crate::steps::find_farm::{self, FarmOutput};
use crate::steps::gmsa;
use crate::steps::members;
use crate::steps::outputs::{count, list, not_as_written};
use crate::{Step, StepContext, StepError, StepPlan, Verified};

pub const NAME: &str = "remove-membership";

/// Takes the hosts out of the farm's group and, where it names them, out of the reader list. Groups
/// that others share are not touched.
#[derive(Debug)]
pub struct RemoveMembership;

pub struct Observed {
    farm: FarmOutput,
    leaving: LeavingOutput,
    account: Entry,
    /// Leaving hosts that the group names.
    members: Vec<Dn>,
}

#[async_trait]
impl Step for RemoveMembership {
    type Observed = Observed;

    fn name(&self) -> &'static str {
        NAME
    }

    async fn check(&self, cx: &StepContext) -> Result<Observed, StepError> {
        let farm: FarmOutput = cx.output(find_farm::NAME)?;
        let leaving: LeavingOutput = cx.output(PREFLIGHT)?;
        let dc: &dyn DirectoryRead = cx.dc().await?.as_ref();
        let members = match &farm.group {
            None => Vec::new(),
            Some(group) => {
                let named = standing_members(dc, &farm.domain, group).await?.named;
                let hosts = leaving.hosts.iter().filter_map(|host| host.computer.as_ref());
                hosts.map(|host| host.dn.clone()).filter(|dn| named.contains(dn)).collect()
            }
        };
        let account = account(dc, &farm).await?;
        Ok(Observed { farm, leaving, account, members })
    }

    fn plan(&self, _: &StepContext, observed: &Observed) -> Result<StepPlan, StepError> {
        let Observed { farm, members, .. } = observed;
        let mut changes = Vec::new();
        if let Some(group) = &farm.group {
            changes.extend(members::removals(&group.dn, members));
        }
        let listed = listed(observed)?;
        changes.extend(fewer_readers(observed)?);
        let mut found = Vec::new();
        if let (Some(group), false) = (&farm.group, members.is_empty()) {
            found.push(format!("{} holds {}", group.dn, count(members.len(), "leaving host")));
        }
        if !listed.is_empty() {
            found.push(format!("the reader list names {}", list(&listed)));
        }
        let detail = if found.is_empty() { "none of the hosts is in".to_owned() } else { found.join("; ") };
        Ok(StepPlan::new(changes, detail, serde_json::Value::Null))
    }

    async fn verify(&self, cx: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        let observed = self.check(cx).await?;
        let mut left: Vec<_> = observed.members.iter().map(ToString::to_string).collect();
        left.extend(listed(&observed)?);
        if !left.is_empty() {
            return Err(not_as_written(format!("{} in again right after being removed", list(&left))));
        }
        let detail = match plan.changes.is_empty() {
            true => plan.detail.clone(),
            false => format!("taken away: {}", plan.detail),
        };
        Ok(Verified { output: plan.expected.clone(), detail })
    }

    async fn undo(&self, cx: &StepContext, writes: &[Write]) -> Result<(), StepError> {
        super::undo(cx, writes).await
    }
}

fn sids(observed: &Observed) -> impl Iterator<Item = &Sid> {
    observed.leaving.hosts.iter().filter_map(|host| host.sid.as_ref())
}

/// Leaving hosts that the reader list lets in itself.
fn listed(observed: &Observed) -> Result<Vec<String>, StepError> {
    let readers = gmsa::readers_of(&observed.account)?.map(|readers| readers.readers()).unwrap_or_default();
    let readers: HashSet<_> = readers.into_iter().collect();
    let listed = observed
        .leaving
        .hosts
        .iter()
        .filter(|host| host.sid.as_ref().is_some_and(|sid| readers.contains(sid)));
    Ok(listed.map(|host| host.name.clone()).collect())
}

fn fewer_readers(observed: &Observed) -> Result<Option<Change>, StepError> {
    // An account without a list has nobody to take out, and gets none here.
    if observed.account.bytes(gmsa::READERS).is_none() {
        return Ok(None);
    }
    let computers: Vec<_> = observed.leaving.hosts.iter().filter_map(|host| host.computer.clone()).collect();
    gmsa::change_readers(&observed.account, names(&observed.farm, &computers), |readers| {
        sids(observed).for_each(|sid| {
            readers.remove(sid);
        });
    })
}

#[cfg(test)]
mod tests {
    use directory::ReaderDescriptor;

    use super::super::leaving::Leaving;
    use super::*;
    use crate::steps::members::Standing;
    use crate::steps::testing::{self, farm_output, host, sid};

    fn leaving(name: &str) -> Leaving {
        let computer = host(name);
        let (group, listed, on_record) = (Standing::Member, false, true);
        Leaving {
            name: name.into(),
            sid: Some(computer.sid.clone()),
            computer: Some(computer),
            group,
            listed,
            on_record,
        }
    }
    fn observed(hosts: &[&str], members: &[&str], readers: &[Sid]) -> Observed {
        let list = ReaderDescriptor::allowing(readers).to_bytes().expect("fits");
        Observed {
            farm: farm_output(true),
            leaving: LeavingOutput {
                hosts: hosts.iter().map(|name| leaving(name)).collect(),
                off_record: vec![],
                warnings: vec![],
            },
            account: testing::account(&[(gmsa::READERS, vec![list])]),
            members: members.iter().map(|name| host(name).dn).collect(),
        }
    }
    fn plan(observed: &Observed) -> StepPlan {
        RemoveMembership.plan(&testing::context(), observed).expect("a plan")
    }

    #[test]
    fn only_what_lets_these_hosts_in_is_taken() {
        let planned =
            plan(&observed(&["Host1", "Host2"], &["Host1"], &[sid(1200), host("Host2").sid, sid(4711)]));
        assert_eq!(planned.changes.len(), 2);
        let member = &planned.changes[0].attributes[0];
        assert_eq!(
            member.removed().iter().map(ToString::to_string).collect::<Vec<_>>(),
            [host("Host1").dn.as_str()]
        );
        assert!(member.added().is_empty());
        let list = planned.changes[1].attributes[0].added()[0].wire().expect("bytes").to_vec();
        let list = ReaderDescriptor::from_bytes(&list).expect("a list");
        assert_eq!(list.readers(), [sid(1200), sid(4711)]);
    }

    #[test]
    fn one_who_is_not_in_is_out_already() {
        let planned = plan(&observed(&["Host1"], &[], &[sid(1200)]));
        assert!(planned.changes.is_empty() && planned.detail.contains("none"));
    }
}
