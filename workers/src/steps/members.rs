//! Who is in a farm's group, and the writes that change it.

use std::collections::HashSet;

use directory::{DirectoryRead, Scope, Search};
use domain::{AttributeChange, AttributeValue, Change, Dn};
use serde::{Deserialize, Serialize};

use super::ensure_group::GroupOutput;
use crate::StepError;

/// Values in one Modify. Microsoft advises against transactions over 5,000 values; a fifth of
/// that also keeps a write well below the engine's step timeout on a slow DC.
const CHUNK: usize = 1_000;

/// How a host stands to a group, or to a reader list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    Absent,
    /// Named itself. Membership through a nested group does not count: it ends with that group's.
    Member,
    /// The group is its primary group: a member that `member` does not name. Adding it is refused
    /// with entryAlreadyExists, and it cannot be removed.
    PrimaryGroup,
}

/// Direct members of a group on one DC.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Members {
    pub named: HashSet<Dn>,
    /// Computers whose primary group it is.
    pub primary: HashSet<Dn>,
}

impl Members {
    pub fn standing(&self, dn: &Dn) -> Standing {
        match dn {
            dn if self.named.contains(dn) => Standing::Member,
            dn if self.primary.contains(dn) => Standing::PrimaryGroup,
            _ => Standing::Absent,
        }
    }
}

/// The members of a group; `None` where the DC has no such group.
pub async fn members(
    dc: &dyn DirectoryRead,
    domain: &Dn,
    group: &GroupOutput,
) -> Result<Option<Members>, StepError> {
    let Some(named) = named(dc, group).await? else { return Ok(None) };
    Ok(Some(Members { named, primary: primary(dc, domain, group).await? }))
}

/// Which of `hosts` are no members on this DC; `None` where it has no such group.
pub async fn missing<'a>(
    dc: &dyn DirectoryRead,
    domain: &Dn,
    group: &GroupOutput,
    hosts: impl Iterator<Item = &'a Dn>,
) -> Result<Option<Vec<Dn>>, StepError> {
    let hosts: Vec<_> = hosts.cloned().collect();
    let Some(named) = named(dc, group).await? else { return Ok(None) };
    let mut missing: Vec<_> = hosts.into_iter().filter(|dn| !named.contains(dn)).collect();
    if !missing.is_empty() {
        let primary = primary(dc, domain, group).await?;
        missing.retain(|dn| !primary.contains(dn));
    }
    Ok(Some(missing))
}

async fn named(dc: &dyn DirectoryRead, group: &GroupOutput) -> Result<Option<HashSet<Dn>>, StepError> {
    let entry = dc.read(&(&group.dn).into(), &["member"]).await?;
    Ok(entry.map(|entry| entry.dns("member").into_iter().collect()))
}

async fn primary(dc: &dyn DirectoryRead, domain: &Dn, group: &GroupOutput) -> Result<HashSet<Dn>, StepError> {
    let Some(rid) = group.sid.as_ref().and_then(domain::Sid::rid) else { return Ok(HashSet::new()) };
    let filter = format!("(&(objectCategory=computer)(primaryGroupID={rid}))");
    let search = Search::new(domain, Scope::Subtree, filter, &["primaryGroupID"]);
    Ok(dc.search(&search).await?.into_iter().map(|entry| entry.dn).collect())
}

/// The writes that add `hosts`, none of which is a member: one that is fails its whole chunk.
pub fn additions(group: &Dn, hosts: &[Dn]) -> Vec<Change> {
    chunks(group, hosts, |values| AttributeChange::values("member", values, Vec::new()))
}

/// The writes that remove `hosts`, all of which are named members.
pub fn removals(group: &Dn, hosts: &[Dn]) -> Vec<Change> {
    chunks(group, hosts, |values| AttributeChange::values("member", Vec::new(), values))
}

fn chunks(group: &Dn, hosts: &[Dn], change: impl Fn(Vec<AttributeValue>) -> AttributeChange) -> Vec<Change> {
    let values = |chunk: &[Dn]| chunk.iter().map(|dn| AttributeValue::from(dn.as_str())).collect();
    hosts.chunks(CHUNK).map(|chunk| Change::modify(group.clone(), vec![change(values(chunk))])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing::{dn, group_output, host};

    #[test]
    fn values_come_and_go_a_thousand_at_a_time_and_nothing_else_is_touched() {
        let hosts: Vec<_> = (1..=2_500).map(|n| host(&format!("Host{n}")).dn).collect();
        let added = additions(&group_output().dn, &hosts);
        let sizes: Vec<_> = added.iter().map(|change| change.attributes[0].added().len()).collect();
        assert_eq!(sizes, [1_000, 1_000, 500]);
        assert!(added.iter().all(|change| change.attributes[0].removed().is_empty()));
        let removed = removals(&group_output().dn, &hosts);
        let sizes: Vec<_> = removed.iter().map(|change| change.attributes[0].removed().len()).collect();
        assert_eq!(sizes, [1_000, 1_000, 500]);
        assert!(removed.iter().all(|change| change.attributes[0].added().is_empty()));
        assert!(additions(&group_output().dn, &[]).is_empty());
    }

    #[test]
    fn a_member_is_named_without_regard_to_case_or_has_the_group_as_its_primary_one() {
        let members = Members {
            named: [dn("cn=HOST1,ou=servers,dc=contoso,dc=com")].into(),
            primary: [host("Host2").dn].into(),
        };
        let standings = ["Host1", "Host2", "Host3"].map(|name| members.standing(&host(name).dn));
        assert_eq!(standings, [Standing::Member, Standing::PrimaryGroup, Standing::Absent]);
    }
}
