//! The host as one DC shows it, and the token that it gets there.

use directory::preflight::Token;
use directory::{Base, DirectoryRead, Entry, Scope, Search};
use domain::{Dn, Sid};

use crate::StepError;
use crate::steps::gmsa::fields::CONTROL;
use crate::steps::ways::domain_of;

const ATTRIBUTES: [&str; 4] = ["objectSid", "tokenGroups", CONTROL, "primaryGroupID"];

/// One DC's copy of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostCopy {
    pub dn: Dn,
    /// userAccountControl; `None`: not to be seen by us.
    pub control: Option<i64>,
    pub token: Vec<Sid>,
    /// tokenGroups was not to be seen, so that memberships were followed instead.
    pub pieced_together: bool,
}

/// `None` where the DC has no such account (yet, or any more).
pub async fn read(dc: &dyn DirectoryRead, host: &Sid) -> Result<Option<HostCopy>, StepError> {
    // tokenGroups is computed for a base read only.
    let Some(found) = dc.read(&Base::from(host), &ATTRIBUTES).await? else { return Ok(None) };
    let mut groups: Vec<_> =
        found.values("tokenGroups").iter().filter_map(|bytes| Sid::from_bytes(bytes).ok()).collect();
    // Every account has a primary group at least.
    let pieced_together = groups.is_empty();
    if pieced_together {
        groups = followed(dc, &found, host).await?;
    }
    let control = found.int(CONTROL);
    Ok(Some(HostCopy { dn: found.dn, control, token: token(host, groups), pieced_together }))
}

/// Own SID, the groups, and what every logon holds.
pub fn token(host: &Sid, groups: impl IntoIterator<Item = Sid>) -> Vec<Sid> {
    let everyone = Sid::new(1, vec![0]);
    let authenticated = Sid::new(5, vec![11]);
    union([host.clone()].into_iter().chain(groups).chain(everyone).chain(authenticated))
}

/// Each once, in an order of its own: a plan must not depend on which DC answered first.
pub fn union(sids: impl IntoIterator<Item = Sid>) -> Vec<Sid> {
    let mut sids: Vec<_> = sids.into_iter().collect();
    sids.sort();
    sids.dedup();
    sids
}

pub fn as_token(host: &Sid, sids: &[Sid]) -> Token {
    Token { sid: host.clone(), sids: sids.to_vec() }
}

/// The groups to which memberships lead: what tokenGroups would say, but for groups of the primary group.
async fn followed(dc: &dyn DirectoryRead, host: &Entry, sid: &Sid) -> Result<Vec<Sid>, StepError> {
    let domain = domain_of(dc).await?;
    let dn = directory::ldap::filter_value(host.dn.as_str());
    let filter = format!("(&(objectClass=group)(member:1.2.840.113556.1.4.1941:={dn}))");
    let search = Search::new(&domain, Scope::Subtree, filter, &["objectSid", "groupType"]);
    let found = dc.search(&search).await?;
    // Distribution groups never enter a token.
    let security = found.iter().filter(|group| group.int("groupType").is_some_and(|kind| kind < 0));
    let primary = host.int("primaryGroupID").and_then(|rid| sid.sibling(u32::try_from(rid).ok()?));
    Ok(security.filter_map(|group| group.sid("objectSid")).chain(primary).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing::sid;

    #[test]
    fn a_token_is_the_same_whoever_told_it() {
        let one = token(&sid(1), [sid(7), sid(5), sid(7)]);
        assert_eq!(one, token(&sid(1), [sid(5), sid(7)]));
        assert_eq!(one.len(), 5, "own, two groups, Everyone, Authenticated Users");
    }
}
