//! The groups that let the host in, and from which it is taken out.

use directory::ldap::filter_value;
use directory::{DirectoryRead, Scope, Search};
use domain::{AttributeChange, Change, Dn, Sid};

use super::affected::Affected;
use super::host::Host;
use super::wrote::NotTaken;
use crate::steps::ways::{Ways, domain_of};
use crate::{StepContext, StepError};

const MEMBER: &str = "member";

/// Relative identifiers below this belong to what every domain has: Domain Computers, Domain Admins
/// (MS-DTYP 2.4.2.4).
const FIRST_OWN: u32 = 1000;

/// The groups that may be left: farms' groups on record, and those that the reader list of an
/// affected account names. Nothing that every domain has.
pub fn candidates(affected: &[Affected], host: &Host) -> Vec<Sid> {
    let named = affected.iter().flat_map(|one| one.by.iter().chain(&one.group));
    let mut candidates: Vec<_> =
        named.filter(|sid| **sid != host.sid && is_own_group(sid, host)).cloned().collect();
    candidates.sort();
    candidates.dedup();
    candidates
}

/// Made by people of this domain, so that it is theirs to leave.
fn is_own_group(sid: &Sid, host: &Host) -> bool {
    sid.rid().is_some_and(|rid| rid >= FIRST_OWN && host.sid.sibling(rid).as_ref() == Some(sid))
}

/// Those of the candidates that name the host itself on that DC.
pub async fn open(dc: &dyn DirectoryRead, host: &Dn, candidates: &[Sid]) -> Result<Vec<Dn>, StepError> {
    if candidates.is_empty() {
        return Ok(Vec::new());
    }
    let domain = domain_of(dc).await?;
    let terms: String = candidates.iter().map(|sid| format!("(objectSid={sid})")).collect();
    let filter = format!("(&(objectClass=group)(member={})(|{terms}))", filter_value(host.as_str()));
    let search = Search::new(&domain, Scope::Subtree, filter, &["objectSid"]);
    let mut found: Vec<_> = dc.search(&search).await?.into_iter().map(|entry| entry.dn).collect();
    found.sort_by(|a, b| a.key().cmp(b.key()));
    Ok(found)
}

/// The host leaves each of them.
pub fn closed(dc: &str, host: &Dn, groups: &[Dn]) -> Vec<Change> {
    let leave = |group: &Dn| {
        let member = AttributeChange::values(MEMBER, vec![], vec![host.to_string().into()]);
        Change::modify(group.clone(), vec![member]).at(dc)
    };
    groups.iter().map(leave).collect()
}

/// Ways in that stay open because they are others' business; the deny entry covers them.
pub fn left(affected: &[Affected], host: &Host, ways: &Ways, groups: &[Dn]) -> Vec<String> {
    let mut by: Vec<_> = affected.iter().flat_map(|one| &one.by).filter(|sid| **sid != host.sid).collect();
    by.sort();
    by.dedup();
    let is_left = |sid: &&Sid| ways.dn(sid).is_none_or(|dn| !groups.contains(dn));
    let say = |sid: &Sid| {
        format!(
            "{} would still be let in {}, which others use: it was left as it is, and the deny entry covers it",
            host.name,
            ways.of(sid)
        )
    };
    by.into_iter().filter(is_left).map(say).collect()
}

/// Departures that were refused, and are still to come: another DC's may have arrived first.
pub async fn still_open(cx: &StepContext) -> Vec<NotTaken> {
    let mut not_taken = Vec::new();
    for refused in cx.refused().iter().filter(|one| one.change.attribute(MEMBER).is_some()) {
        let still = async {
            let dc = cx.forest()?.pin(refused.change.dc.as_deref()).await?;
            let group = dc.read(&(&refused.change.dn).into(), &[MEMBER]).await?;
            let members = group.map(|group| group.dns(MEMBER)).unwrap_or_default();
            let removed = refused.change.attribute(MEMBER).map(|change| change.removed()).unwrap_or_default();
            let is_removed = |member: &Dn| {
                removed.iter().any(|value| Dn::parse(&value.to_string()).is_ok_and(|dn| dn == *member))
            };
            Ok::<_, StepError>(members.iter().any(is_removed))
        };
        if still.await.unwrap_or(true) {
            not_taken.push(NotTaken::of(refused));
        }
    }
    not_taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::contain::affected::{on_record, survey};
    use crate::steps::contain::testing::{copy, farm, host};
    use crate::steps::testing::{dn, sid};

    fn affected(readers: &[Sid]) -> Vec<Affected> {
        let copies = [("dc1".to_owned(), vec![copy("One", 1301, readers)])];
        let token: Vec<_> = readers.iter().cloned().chain([sid(1101)]).collect();
        survey(&copies, &host(), &token, &on_record(&[farm("One", 1301, &["Host1"])], &host(), &[])).affected
    }

    #[test]
    fn only_groups_that_people_made_are_left() {
        let foreign = "S-1-5-21-9-9-9-1500".parse().expect("valid");
        let builtin = "S-1-5-32-544".parse().expect("valid");
        let everyone = "S-1-1-0".parse().expect("valid");
        let readers = [sid(1101), sid(515), sid(2000), foreign, builtin, everyone];
        assert_eq!(
            candidates(&affected(&readers), &host()),
            [sid(1200), sid(2000)],
            "the farm's group and its own"
        );
    }

    #[test]
    fn the_host_alone_leaves_and_on_that_dc() {
        let changes = closed("dc2", &host().dn, &[dn("CN=G,DC=x")]);
        assert_eq!(changes[0].dc.as_deref(), Some("dc2"));
        let member = &changes[0].attributes[0];
        assert_eq!((member.added().len(), member.removed()), (0, &[host().dn.to_string().into()][..]));
    }

    #[test]
    fn what_stays_open_is_said() {
        let affected = affected(&[sid(515), sid(1101)]);
        let left = left(&affected, &host(), &Ways::default(), &[]);
        assert_eq!(left.len(), 1);
        assert!(left[0].contains("S-1-5-21-1-2-3-515") && left[0].contains("the deny entry covers it"));
    }
}
