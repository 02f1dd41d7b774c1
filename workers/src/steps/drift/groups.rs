//! The groups that reader lists name, with everybody who is in them through other groups.

use std::collections::{BTreeSet, HashMap, HashSet};

use directory::preflight::Principal;
use directory::{DirectoryRead, Scope, Search};
use domain::{Dn, Sid};
use store::Object;

use crate::StepError;

/// Values in one search; each is one look into an index of the DC.
const TERMS: usize = 250;
/// Groups in groups in groups: deeper ones are not followed. A circle ends by itself.
const DEPTH: usize = 16;
/// GROUP_TYPE_SECURITY_ENABLED, the sign of the signed number (MS-ADTS 2.2.12): what is nested
/// through a distribution group is in no token.
const SECURITY: i64 = -1;

const ATTRIBUTES: [&str; 3] = ["objectSid", "member", "groupType"];

/// A group as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub dn: Dn,
    pub sid: Sid,
    pub members: HashSet<Dn>,
    security: bool,
}

/// Those that were asked for and those within them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Groups(HashMap<Sid, Group>);

impl Groups {
    /// Reads those groups, then those within them, one level after the other.
    pub async fn read(
        dc: &dyn DirectoryRead,
        domain: &Dn,
        sids: impl IntoIterator<Item = Sid>,
    ) -> Result<Self, StepError> {
        let mut groups = Self::default();
        let sids: BTreeSet<Sid> = sids.into_iter().collect();
        let terms = sids.iter().map(|sid| format!("(objectSid={sid})")).collect();
        let mut fresh = groups.learn(dc, domain, terms).await?;
        for _ in 0..DEPTH {
            // Whoever is no group is not asked about: a farm's thousand hosts would be a thousand terms.
            let within =
                fresh.iter().map(|dn| format!("(memberOf={})", directory::ldap::filter_value(dn.as_str())));
            fresh = groups.learn(dc, domain, within.collect()).await?;
            if fresh.is_empty() {
                break;
            }
        }
        Ok(groups)
    }

    /// The groups that one of these terms selects and that were not known.
    async fn learn(
        &mut self,
        dc: &dyn DirectoryRead,
        domain: &Dn,
        terms: Vec<String>,
    ) -> Result<Vec<Dn>, StepError> {
        let mut fresh = Vec::new();
        for terms in terms.chunks(TERMS) {
            let filter = format!("(&(objectCategory=group)(|{}))", terms.concat());
            for entry in dc.search(&Search::new(domain, Scope::Subtree, filter, &ATTRIBUTES)).await? {
                let Some(sid) = entry.sid("objectSid") else { continue };
                let security = entry.int("groupType").is_some_and(|kind| kind <= SECURITY);
                let members = entry.dns("member").into_iter().collect();
                let group = Group { dn: entry.dn.clone(), sid: sid.clone(), members, security };
                if self.0.insert(sid, group).is_none() {
                    fresh.push(entry.dn);
                }
            }
        }
        Ok(fresh)
    }

    #[cfg(test)]
    pub fn of(groups: impl IntoIterator<Item = (Sid, Dn, Vec<Dn>)>) -> Self {
        let group = |(sid, dn, members): (Sid, Dn, Vec<Dn>)| {
            let members = members.into_iter().collect();
            (sid.clone(), Group { dn, sid, members, security: true })
        };
        Self(groups.into_iter().map(group).collect())
    }

    pub fn get(&self, sid: &Sid) -> Option<&Group> {
        self.0.get(sid)
    }

    /// The group itself and the groups within it through which somebody can be in.
    pub fn within(&self, sid: &Sid) -> Vec<&Group> {
        let by_dn: HashMap<&Dn, &Group> = self.0.values().map(|group| (&group.dn, group)).collect();
        let (mut found, mut seen) = (Vec::new(), HashSet::new());
        let mut open: Vec<&Group> = self.get(sid).into_iter().collect();
        while let Some(group) = open.pop() {
            if !group.security || !seen.insert(&group.sid) {
                continue;
            }
            found.push(group);
            open.extend(group.members.iter().filter_map(|dn| by_dn.get(dn).copied()));
        }
        found
    }

    /// Whether that host is in the group: directly, through another one, or by its primary group.
    pub fn hold(&self, sid: &Sid, host: &Principal) -> bool {
        let primary = primary_group(host);
        let holds = |group: &&Group| group.members.contains(&host.dn) || primary.as_ref() == Some(&group.sid);
        self.within(sid).iter().any(holds)
    }

    /// The group and those within it, as objects that a result rests on.
    pub fn objects(&self, sid: &Sid) -> impl Iterator<Item = Object> {
        self.within(sid).into_iter().map(|group| Object(group.sid.clone(), group.dn.clone()))
    }
}

pub fn primary_group(host: &Principal) -> Option<Sid> {
    let rid = u32::try_from(host.primary_group_id?).ok()?;
    host.sid.as_ref()?.domain()?.with_rid(rid)
}

#[cfg(test)]
mod tests {
    use directory::preflight::PrincipalKind;

    use super::*;
    use crate::steps::testing::{dn, principal, sid};

    fn group(number: u32) -> Dn {
        dn(&format!("CN=G{number},DC=contoso,DC=com"))
    }

    #[test]
    fn a_host_is_in_directly_through_other_groups_or_by_its_primary_group() {
        let host = Principal { sid: Some(sid(1101)), ..principal("Host1$", PrincipalKind::Computer) };
        let groups = Groups::of([
            (sid(1), group(1), vec![group(2)]),
            // A circle.
            (sid(2), group(2), vec![group(1), host.dn.clone()]),
            (sid(3), group(3), vec![group(515)]),
            (sid(515), group(515), vec![]),
            (sid(4), group(4), vec![]),
        ]);
        for (rid, holds) in [(1, true), (2, true), (3, true), (515, true), (4, false), (9, false)] {
            assert_eq!(groups.hold(&sid(rid), &host), holds, "{rid}");
        }
        assert_eq!(groups.within(&sid(1)).len(), 2);
    }

    #[test]
    fn nobody_is_in_through_a_distribution_group() {
        let host = principal("Host1$", PrincipalKind::Computer);
        let mut groups =
            Groups::of([(sid(1), group(1), vec![group(2)]), (sid(2), group(2), vec![host.dn.clone()])]);
        assert!(groups.hold(&sid(1), &host));
        groups.0.get_mut(&sid(2)).expect("the group").security = false;
        assert!(!groups.hold(&sid(1), &host));
    }
}
