//! Who reads, who ought to, and who ought not: reader by reader. Pure.

use std::collections::HashSet;

use directory::Entry;
use directory::preflight::{Principal, PrincipalKind};
use directory::security::{Access, Effect, ReaderDescriptor, ReaderEntry};
use domain::drift::{DriftItem, DriftKind};
use domain::{Dn, MembershipMode, Sid};

use super::compare::{Host, Seen, blocking, by_hand, item};
use super::groups::primary_group;
use crate::steps::gmsa::READERS;
use crate::steps::rotation::broad;
use crate::steps::{group, principals};

const MEMBER: &str = "member";
const READS: &str = "reads";

pub fn compare(seen: &Seen<'_>, account: &Entry) -> Vec<DriftItem> {
    let list = match account.bytes(READERS).map(ReaderDescriptor::from_bytes) {
        None => ReaderDescriptor::allowing([]),
        Some(Ok(list)) => list,
        Some(Err(error)) => return vec![broken(seen, &error.to_string())],
    };
    let entries = list.entries();
    let mut items: Vec<_> = group_entry(seen, &entries).into_iter().collect();
    let has_way_in = items.is_empty();
    // Without a group that counts nobody is in it, which is told once.
    let counts = |group: &Principal| group::unsuitable(group).is_none();
    if seen.facts.group_sid.is_none() || seen.group.is_some_and(counts) {
        items.extend(seen.hosts.iter().filter_map(|host| host_item(seen, &list, host, has_way_in)));
    }
    items.extend(entries.iter().filter_map(|entry| foreign(seen, entry)));
    items.extend(strange_members(seen));
    items
}

fn broken(seen: &Seen<'_>, error: &str) -> DriftItem {
    let broken = DriftItem {
        asked: Some("a reader list".to_owned()),
        recorded: Some("a reader list".to_owned()),
        found: Some(format!("a value that cannot be read ({error})")),
        ..item(DriftKind::Changed, seen.facts.spec.account.sam_account_name.sam_account_name(), READERS)
    };
    blocking(
        broken,
        "no host can fetch the password: set PrincipalsAllowedToRetrieveManagedPassword anew with Set-ADServiceAccount",
    )
}

/// The farm's group has to be among the readers, once for all hosts.
fn group_entry(seen: &Seen<'_>, entries: &[ReaderEntry]) -> Option<DriftItem> {
    let (MembershipMode::Group, Some(sid)) = (seen.facts.spec.membership.mode, &seen.facts.group_sid) else {
        return None;
    };
    let named = entries.iter().any(|entry| entry.effect == Effect::Allow && entry.sid == *sid);
    let name = || seen.facts.group_dn.as_ref().map_or_else(|| sid.to_string(), |dn| dn.rdn().value.clone());
    let missing = || DriftItem {
        asked: Some(READS.to_owned()),
        recorded: Some(READS.to_owned()),
        ..item(DriftKind::Missing, name(), READERS)
    };
    (!named && seen.group.is_some()).then(missing)
}

/// `has_way_in`: what lets all of them in is there, so that it is about this host alone.
fn host_item(seen: &Seen<'_>, list: &ReaderDescriptor, host: &Host, has_way_in: bool) -> Option<DriftItem> {
    let found = host.found.as_ref()?;
    if seen.is_contained(found.sid.as_ref(), &found.dn) {
        return None;
    }
    let reads = match list.may_read(&token(seen, list, found)) {
        Access::Granted => true,
        Access::Denied => false,
        // On a condition that only the DC can evaluate.
        Access::Depends(_) => return None,
    };
    let column = |there: bool| there.then(|| READS.to_owned());
    let by_group = seen.facts.spec.membership.mode == MembershipMode::Group;
    let attribute = if by_group { MEMBER } else { READERS };
    let of = |kind| DriftItem {
        asked: column(host.asked),
        recorded: column(host.recorded),
        found: column(reads),
        ..item(kind, host.name(), attribute)
    };
    match (host.asked, host.recorded, reads) {
        (true, true, true) | (false, false, _) | (false, true, false) => None,
        (true, false, true) => Some(of(DriftKind::NotRecorded)),
        (true, false, false) | (false, true, true) => Some(of(DriftKind::NotAchieved)),
        (true, true, false) if is_let_in(seen, list, found, by_group) => has_way_in.then(|| {
            let locked_out = DriftItem { attribute: READERS.to_owned(), ..of(DriftKind::CannotRead) };
            by_hand(locked_out, "an entry of the reader list denies it, by itself or through a group: see who made it, and why")
        }),
        (true, true, false) => Some(of(DriftKind::Missing)),
    }
}

/// It is a member, or named.
fn is_let_in(seen: &Seen<'_>, list: &ReaderDescriptor, host: &Principal, by_group: bool) -> bool {
    match (&seen.facts.group_sid, by_group) {
        (Some(group), true) => seen.groups.hold(group, host),
        _ => host.sid.as_ref().is_some_and(|sid| list.readers().contains(sid)),
    }
}

/// What a new logon of that host holds, as far as the list asks for it.
fn token(seen: &Seen<'_>, list: &ReaderDescriptor, host: &Principal) -> Vec<Sid> {
    let named: HashSet<Sid> = list.entries().into_iter().map(|entry| entry.sid).collect();
    let held = named.into_iter().filter(|sid| seen.groups.hold(sid, host));
    let everybody = [Sid::new(1, vec![0]), Sid::new(5, vec![11])];
    host.sid
        .clone()
        .into_iter()
        .chain(primary_group(host))
        .chain(held)
        .chain(everybody.into_iter().flatten())
        .collect()
}

/// An entry that is neither the farm's own, nor known to be others', nor the containment's.
fn foreign(seen: &Seen<'_>, entry: &ReaderEntry) -> Option<DriftItem> {
    let denied = entry.effect == Effect::Deny;
    let known =
        seen.facts.foreign_readers.iter().any(|known| known.sid == entry.sid && known.denied == denied);
    let contained = seen.quarantined.iter().any(|host| host.host_sid == entry.sid);
    let own = !denied && is_own(seen, &entry.sid);
    if known || contained || own {
        return None;
    }
    let found = seen.principals.get(&entry.sid);
    let name = match (broad(&entry.sid), found) {
        (Some(name), _) => name.to_owned(),
        (None, Some(found)) => name_of(found),
        (None, None) => entry.sid.to_string(),
    };
    let farm = &seen.facts.spec.name;
    let shown = |what: &str| Some(format!("{what} {name} ({})", entry.sid));
    let is_host = found.is_some_and(|found| found.kind == PrincipalKind::Computer);
    let (kind, found, hint) = if denied {
        let hint = "an update leaves it: take the entry out if nobody knows why it is there, or put it on record with \
                    `farmhand farm import`";
        (DriftKind::Denied, shown("denies"), hint.to_owned())
    } else if found.is_none() && broad(&entry.sid).is_none() {
        let hint = "nobody has that SID any more: take the entry out with Set-ADServiceAccount \
                    -PrincipalsAllowedToRetrieveManagedPassword";
        (DriftKind::Orphan, shown("lets read"), hint.to_owned())
    } else if is_host {
        (DriftKind::Extra, shown("lets read"), extra_host(farm, &name))
    } else {
        let hint = "who is in it can read the password: take the entry out with Set-ADServiceAccount \
                    -PrincipalsAllowedToRetrieveManagedPassword, or put it on record with `farmhand farm import`";
        (DriftKind::Extra, shown("lets read"), hint.to_owned())
    };
    Some(by_hand(DriftItem { found, ..item(kind, name, READERS) }, hint))
}

fn extra_host(farm: &domain::FarmName, name: &str) -> String {
    format!(
        "`farmhand remove-host {farm} {name}` takes it out, `farmhand add-host {farm} {name}` puts it on record"
    )
}

/// The farm's group, or one of its hosts.
fn is_own(seen: &Seen<'_>, sid: &Sid) -> bool {
    let host = |host: &Host| host.found.as_ref().and_then(|found| found.sid.as_ref()) == Some(sid);
    seen.facts.group_sid.as_ref() == Some(sid) || seen.hosts.iter().any(host)
}

/// Members of the farm's group that are none of its hosts. A group among them counts once, whoever is
/// in it.
fn strange_members(seen: &Seen<'_>) -> Vec<DriftItem> {
    let group = seen.facts.group_sid.as_ref().and_then(|sid| seen.groups.get(sid));
    let Some(group) = group else { return Vec::new() };
    let own: HashSet<&Dn> = seen.hosts.iter().filter_map(|host| Some(&host.found.as_ref()?.dn)).collect();
    let strange = group.members.iter().filter(|dn| !own.contains(dn) && !seen.is_contained(None, dn));
    let mut strange: Vec<&Dn> = strange.collect();
    strange.sort_unstable_by_key(|dn| dn.key());
    let (farm, dn) = (&seen.facts.spec.name, &group.dn);
    let extra = |member: &Dn| {
        let name = member.rdn().value.clone();
        let hint = format!(
            "if it is a host: {}; anything else: Remove-ADGroupMember '{dn}'",
            extra_host(farm, &name)
        );
        by_hand(DriftItem { found: Some(member.to_string()), ..item(DriftKind::Extra, name, MEMBER) }, hint)
    };
    strange.into_iter().map(extra).collect()
}

fn name_of(found: &Principal) -> String {
    principals::host_name(found.sam_account_name.as_deref(), &found.dn)
}
