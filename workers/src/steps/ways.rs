//! Ways in: how a host's token comes to hold what a reader list lets in.

use std::collections::{HashMap, HashSet, VecDeque};

use directory::preflight::Token;
use directory::{Base, DirectoryRead, Entry, Scope, Search};
use domain::{Dn, Sid};
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

use super::outputs::list;
use crate::StepError;

/// Groups in one search. Each term of the filter is one look into an index of the DC.
const TERMS: usize = 100;
/// Searches side by side.
const AT_ONCE: usize = 4;

/// The groups of one host's token and how they lie in each other, as one DC showed them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ways {
    host: Option<Sid>,
    /// Groups that name the host itself.
    direct: Vec<Dn>,
    /// Its primary group, which names nobody.
    primary: Option<Sid>,
    groups: Vec<Group>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    sid: Sid,
    dn: Dn,
    member_of: Vec<Dn>,
}

impl Ways {
    /// Two reads, and one search more for each hundred groups beyond the first.
    pub async fn read(dc: &dyn DirectoryRead, token: &Token) -> Result<Self, StepError> {
        let groups: Vec<_> = token.sids.iter().filter(|sid| **sid != token.sid && is_object(sid)).collect();
        let domain = domain_of(dc).await?;
        let searches: Vec<_> = groups.chunks(TERMS).map(|chunk| groups_of(dc, &domain, chunk)).collect();
        let base = Base::from(&token.sid);
        let host = dc.read(&base, &["memberOf", "primaryGroupID"]);
        let (host, groups) =
            futures::join!(host, stream::iter(searches).buffered(AT_ONCE).try_collect::<Vec<_>>());
        let (host, groups) = (host?, groups?);
        let primary = host.as_ref().and_then(|host| host.int("primaryGroupID"));
        let primary = primary.and_then(|rid| token.sid.sibling(u32::try_from(rid).ok()?));
        Ok(Self {
            host: Some(token.sid.clone()),
            direct: host.map(|host| host.dns("memberOf")).unwrap_or_default(),
            primary,
            groups: groups.into_iter().flatten().collect(),
        })
    }

    /// How the host is let in by an entry for that SID, which its token holds.
    pub fn of(&self, sid: &Sid) -> String {
        if self.host.as_ref() == Some(sid) {
            return "by an entry of its own in the reader list".to_owned();
        }
        let group = self.groups.iter().find(|group| group.sid == *sid);
        let name = group.map(|group| group.dn.to_string()).or_else(|| well_known(sid).map(str::to_owned));
        let name = name.map_or_else(|| sid.to_string(), |name| format!("{name} ({sid})"));
        match group.map(|group| self.between(group)).unwrap_or_default() {
            none if none.is_empty() => format!("as a member of {name}"),
            between => format!("as a member of {name}, through {}", list(&between)),
        }
    }

    /// The DN of that group, where the DC showed it.
    pub fn dn(&self, sid: &Sid) -> Option<&Dn> {
        self.groups.iter().find(|group| group.sid == *sid).map(|group| &group.dn)
    }

    /// Every group with its name.
    pub fn names(&self) -> impl Iterator<Item = (Sid, String)> + '_ {
        self.groups.iter().map(|group| (group.sid.clone(), group.dn.rdn().value.clone()))
    }

    /// The groups between `outer` and the host on the shortest way, the outer ones first.
    fn between(&self, outer: &Group) -> Vec<String> {
        let by_dn: HashMap<_, _> = self.groups.iter().map(|group| (group.dn.key(), group)).collect();
        let starts = self
            .groups
            .iter()
            .filter(|group| self.primary.as_ref() == Some(&group.sid) || self.direct.contains(&group.dn));
        // Breadth first from the host outwards; each group remembers where it was reached from.
        let mut waiting: VecDeque<_> = starts.collect();
        let mut seen: HashSet<_> = waiting.iter().map(|group| group.dn.key()).collect();
        let mut inner: HashMap<&str, &Group> = HashMap::new();
        while let Some(group) = waiting.pop_front() {
            if group.dn == outer.dn {
                break;
            }
            for next in group.member_of.iter().filter_map(|dn| by_dn.get(dn.key()).copied()) {
                if seen.insert(next.dn.key()) {
                    inner.insert(next.dn.key(), group);
                    waiting.push_back(next);
                }
            }
        }
        let steps = std::iter::successors(inner.get(outer.dn.key()), |group| inner.get(group.dn.key()));
        steps.map(|group| group.dn.to_string()).collect()
    }
}

async fn groups_of(dc: &dyn DirectoryRead, domain: &Dn, sids: &[&Sid]) -> Result<Vec<Group>, StepError> {
    let terms: String = sids.iter().map(|sid| format!("(objectSid={sid})")).collect();
    let filter = format!("(&(objectClass=group)(|{terms}))");
    let search = Search::new(domain, Scope::Subtree, filter, &["objectSid", "memberOf"]);
    let group = |entry: Entry| {
        Some(Group { sid: entry.sid("objectSid")?, member_of: entry.dns("memberOf"), dn: entry.dn })
    };
    Ok(dc.search(&search).await?.into_iter().filter_map(group).collect())
}

/// The naming context of the DC's domain, asked for only where it is not known.
pub async fn domain_of(dc: &dyn DirectoryRead) -> Result<Dn, StepError> {
    match dc.known_root_dse() {
        Some(root) => Ok(root.default_naming_context.clone()),
        None => Ok(dc.root_dse().await?.default_naming_context),
    }
}

/// Whether a SID can be looked up at all.
fn is_object(sid: &Sid) -> bool {
    well_known(sid).is_none()
}

fn well_known(sid: &Sid) -> Option<&'static str> {
    match sid.to_string().as_str() {
        "S-1-1-0" => Some("Everyone"),
        "S-1-5-11" => Some("Authenticated Users"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing::{dn, sid};

    fn group(rid: u32, name: &str, member_of: &[&str]) -> Group {
        Group { sid: sid(rid), dn: dn(name), member_of: member_of.iter().map(|name| dn(name)).collect() }
    }
    fn ways(direct: &[&str], groups: Vec<Group>) -> Ways {
        let direct = direct.iter().map(|name| dn(name)).collect();
        Ways { host: Some(sid(1)), direct, primary: Some(sid(515)), groups }
    }

    #[test]
    fn a_way_in_is_told_with_every_group_that_it_leads_through() {
        let nested = vec![
            group(5, "CN=All,DC=x", &[]),
            group(6, "CN=Web,DC=x", &["cn=all, dc=x"]),
            group(7, "CN=Db,DC=x", &["CN=Web,DC=x", "CN=Elsewhere,DC=y"]),
        ];
        let ways = ways(&["CN=Db,DC=x"], nested);
        assert_eq!(
            ways.of(&sid(5)),
            "as a member of CN=All,DC=x (S-1-5-21-1-2-3-5), through CN=Web,DC=x; CN=Db,DC=x"
        );
        assert_eq!(ways.of(&sid(7)), "as a member of CN=Db,DC=x (S-1-5-21-1-2-3-7)");
        assert_eq!(ways.of(&sid(1)), "by an entry of its own in the reader list");
    }

    #[test]
    fn the_primary_group_and_what_everyone_is_in_lead_in_too() {
        let groups =
            vec![group(515, "CN=Domain Computers,DC=x", &["CN=Wide,DC=x"]), group(9, "CN=Wide,DC=x", &[])];
        let ways = ways(&[], groups);
        assert!(ways.of(&sid(9)).ends_with("through CN=Domain Computers,DC=x"), "{}", ways.of(&sid(9)));
        assert_eq!(ways.of(&"S-1-1-0".parse().expect("valid")), "as a member of Everyone (S-1-1-0)");
        assert_eq!(ways.of(&sid(77)), "as a member of S-1-5-21-1-2-3-77", "a group that the DC did not show");
    }

    #[test]
    fn groups_that_lie_in_each_other_in_a_circle_come_to_an_end() {
        let circle = vec![group(5, "CN=A,DC=x", &["CN=B,DC=x"]), group(6, "CN=B,DC=x", &["CN=A,DC=x"])];
        let ways = ways(&["CN=A,DC=x"], circle);
        assert!(ways.of(&sid(6)).ends_with("through CN=A,DC=x"));
        assert!(!ways.of(&sid(5)).contains("through"));
    }
}
