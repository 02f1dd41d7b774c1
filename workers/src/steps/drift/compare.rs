//! A farm as the directory holds it, compared with what was asked for and what is on record. Pure.

use std::collections::{BTreeMap, HashMap};

use directory::Entry;
use directory::preflight::Principal;
use domain::drift::{DriftItem, DriftKind};
use domain::farm::AccountSpec;
use domain::{Dn, FarmSpec, MembershipMode, PrincipalRef, Sid};
use store::{FarmFacts, Quarantined};

use super::groups::Groups;
use super::readers;
use crate::quarantine::is_quarantined;
use crate::steps::gmsa::{self, Difference, READERS, Readers, Wanted};
use crate::steps::{group, principals};

pub const OBJECT_SID: &str = "objectSid";
const DISTINGUISHED_NAME: &str = "distinguishedName";
const INTERVAL: &str = "msDS-ManagedPasswordInterval";
const SAM_ACCOUNT_NAME: &str = "sAMAccountName";

const BY_UPDATE: &str = "`farmhand update -f FILE` with the manifest puts it right; with spec.drift.onDrift: mend a check \
                         asks for that by itself";

/// Everything about one farm, read.
pub struct Seen<'a> {
    /// The manifest that was asked for last.
    pub asked: &'a FarmSpec,
    pub facts: &'a FarmFacts,
    pub account: Option<&'a Entry>,
    /// Who has the name of the account on record, where that is gone.
    pub namesake: Option<&'a Dn>,
    pub group: Option<&'a Principal>,
    pub group_namesake: Option<&'a Dn>,
    pub hosts: &'a [Host],
    /// Whom the reader list names, by SID.
    pub principals: &'a HashMap<Sid, Principal>,
    pub groups: &'a Groups,
    pub quarantined: &'a [Quarantined],
}

/// A host that is asked for or on record.
#[derive(Debug, Clone)]
pub struct Host {
    pub reference: PrincipalRef,
    pub asked: bool,
    pub recorded: bool,
    /// The computer of that name; `None`: there is none.
    pub found: Option<Principal>,
}

impl Host {
    pub fn name(&self) -> String {
        match &self.found {
            Some(found) => principals::host_name(found.sam_account_name.as_deref(), &found.dn),
            None => self.reference.to_string(),
        }
    }
}

impl Seen<'_> {
    /// What becomes of such a host is the containment's business, and what got it in again is told by
    /// quarantine checks.
    pub fn is_contained(&self, sid: Option<&Sid>, dn: &Dn) -> bool {
        sid.is_some_and(|sid| is_quarantined(self.quarantined, sid))
            || self.quarantined.iter().any(|host| host.computer_dn == *dn)
    }

    fn account_name(&self) -> String {
        self.facts.spec.account.sam_account_name.sam_account_name()
    }
}

/// Everything that is not as it was asked for, and not as it is on record. What the manifest leaves
/// open may be anything.
pub fn compare(seen: &Seen<'_>) -> Vec<DriftItem> {
    let mut items = Vec::new();
    match seen.account {
        None => items.push(account_gone(seen)),
        Some(account) => {
            items.extend(moved(seen, account));
            items.extend(attributes(seen, account));
        }
    }
    items.extend(membership(seen));
    items.extend(farm_group(seen));
    items.extend(hosts_gone(seen));
    if let Some(account) = seen.account {
        items.extend(readers::compare(seen, account));
    }
    match host_that_bars_updates(seen) {
        Some(host) => items.into_iter().map(|item| barred(seen, item, &host)).collect(),
        None => items,
    }
}

/// A host under quarantine that the manifest names: no update lets it in, so each is refused.
fn host_that_bars_updates(seen: &Seen<'_>) -> Option<String> {
    let contained = |host: &&Host| {
        host.found.as_ref().is_some_and(|found| seen.is_contained(found.sid.as_ref(), &found.dn))
    };
    seen.hosts.iter().filter(|host| host.asked).find(contained).map(Host::name)
}

fn barred(seen: &Seen<'_>, item: DriftItem, host: &str) -> DriftItem {
    if !item.mendable {
        return item;
    }
    let hint = format!(
        "the manifest names {host}, which is under quarantine, so every update is refused: take it out of the farm \
         (`farmhand remove-host {} {host}`) or release it (`farmhand quarantine release {host}`)",
        seen.facts.spec.name
    );
    blocking(item, hint)
}

/// An item whose three columns are what they are; mended by an update.
pub fn item(kind: DriftKind, subject: impl Into<String>, attribute: &str) -> DriftItem {
    DriftItem {
        kind,
        subject: subject.into(),
        attribute: attribute.to_owned(),
        asked: None,
        recorded: None,
        found: None,
        mendable: true,
        blocks_update: false,
        hint: BY_UPDATE.to_owned(),
    }
}

/// One that no update mends, but which stands in the way of none.
pub fn by_hand(item: DriftItem, hint: impl Into<String>) -> DriftItem {
    DriftItem { mendable: false, hint: hint.into(), ..item }
}

/// One as long as which every update is refused.
pub fn blocking(item: DriftItem, hint: impl Into<String>) -> DriftItem {
    DriftItem { blocks_update: true, ..by_hand(item, hint) }
}

fn account_gone(seen: &Seen<'_>) -> DriftItem {
    let farm = &seen.facts.spec.name;
    let sid = Some(seen.facts.account_sid.to_string());
    let gone = DriftItem {
        asked: sid.clone(),
        recorded: sid,
        ..item(DriftKind::Gone, seen.account_name(), OBJECT_SID)
    };
    match seen.namesake {
        None => {
            blocking(gone, format!("`farmhand deploy` makes the account anew, with another SID ({farm})"))
        }
        Some(dn) => blocking(
            DriftItem { kind: DriftKind::Replaced, found: Some(dn.to_string()), ..gone },
            format!(
                "another object has its name: `farmhand farm import {farm}` takes it for the farm's, if it is"
            ),
        ),
    }
}

fn moved(seen: &Seen<'_>, account: &Entry) -> Option<DriftItem> {
    let asked = seen.asked.account.container.as_ref();
    let stands = account.dn.parent();
    let misplaced = asked.is_some_and(|asked| stands.as_ref() != Some(asked));
    let kind = match account.dn == seen.facts.account_dn {
        false => DriftKind::Moved,
        true if misplaced => DriftKind::NotAchieved,
        true => return None,
    };
    let moved = DriftItem {
        asked: asked.map(ToString::to_string),
        recorded: Some(seen.facts.account_dn.to_string()),
        found: Some(account.dn.to_string()),
        ..item(kind, seen.account_name(), DISTINGUISHED_NAME)
    };
    Some(match misplaced {
        true => blocking(
            moved,
            "move it with Move-ADObject, or change spec.account.container: an update moves nothing",
        ),
        false => by_hand(
            moved,
            "move it back with Move-ADObject, or let `farmhand update` put its new place on record",
        ),
    })
}

/// Where the manifest that was asked for and the one on record say the same, one of the two is as
/// good as the other; where they do not, the directory shows which of them was reached.
fn attributes(seen: &Seen<'_>, account: &Entry) -> Vec<DriftItem> {
    let of = |spec: &AccountSpec| {
        let found = gmsa::differences(&wanted(spec, account), account).into_iter();
        let own = found.filter(|difference| difference.attribute != READERS);
        own.map(|difference| (difference.field.clone(), difference)).collect::<BTreeMap<String, Difference>>()
    };
    let (mut asked, recorded) = (of(&seen.asked.account), of(&seen.facts.spec.account));
    let mut items = Vec::new();
    for (field, recorded) in recorded {
        items.push(match asked.remove(&field) {
            Some(asked) => attribute(seen, kind_of(&asked), &asked.asked, &recorded.asked, &asked),
            None => attribute(seen, DriftKind::NotRecorded, &recorded.found, &recorded.asked, &recorded),
        });
    }
    let unreached = asked.into_values();
    items.extend(
        unreached.map(|asked| attribute(seen, DriftKind::NotAchieved, &asked.asked, &asked.found, &asked)),
    );
    items
}

fn wanted(spec: &AccountSpec, account: &Entry) -> Wanted {
    Wanted {
        dn: account.dn.clone(),
        spec: spec.clone(),
        readers: Readers::Known(Vec::new()),
        foreign: Vec::new(),
        contained: Vec::new(),
        // Where nobody speaks of it, it is another's business.
        may_be_disabled: true,
    }
}

const NONE: &str = "none";

fn kind_of(difference: &Difference) -> DriftKind {
    match (difference.asked.as_str(), difference.found.as_str()) {
        (_, NONE) => DriftKind::Missing,
        (NONE, _) => DriftKind::Extra,
        _ => DriftKind::Changed,
    }
}

fn attribute(seen: &Seen<'_>, kind: DriftKind, asked: &str, recorded: &str, about: &Difference) -> DriftItem {
    let shown = |text: &str| Some(text.to_owned()).filter(|text| text != NONE);
    let item = DriftItem {
        asked: shown(asked),
        recorded: shown(recorded),
        found: shown(&about.found),
        ..item(kind, seen.account_name(), &about.attribute)
    };
    let farm = &seen.facts.spec.name;
    match about.attribute.as_str() {
        INTERVAL => blocking(
            item,
            format!("no DC changes it: `farmhand replace {farm} --interval DAYS` rebuilds the account"),
        ),
        SAM_ACCOUNT_NAME => blocking(item, "give it its name back (Set-ADServiceAccount -SamAccountName)"),
        _ => item,
    }
}

/// Another way to read was asked for than the one on record.
fn membership(seen: &Seen<'_>) -> Option<DriftItem> {
    let told = |spec: &FarmSpec| match (&spec.membership.mode, &spec.membership.group) {
        (MembershipMode::Group, Some(group)) => format!("the group {group}"),
        (MembershipMode::Group, None) => "a group".to_owned(),
        (MembershipMode::Direct, _) => "entries of their own".to_owned(),
    };
    let key = |spec: &FarmSpec| (spec.membership.mode, spec.membership.group.as_ref().map(PrincipalRef::key));
    let (asked, recorded) = (seen.asked, &seen.facts.spec);
    (key(asked) != key(recorded)).then(|| DriftItem {
        asked: Some(told(asked)),
        recorded: Some(told(recorded)),
        found: None,
        ..item(DriftKind::NotAchieved, seen.account_name(), READERS)
    })
}

fn farm_group(seen: &Seen<'_>) -> Vec<DriftItem> {
    let Some(sid) = &seen.facts.group_sid else { return Vec::new() };
    let recorded = seen.facts.group_dn.as_ref();
    let name = recorded.map_or_else(|| sid.to_string(), |dn| dn.rdn().value.clone());
    let farm = &seen.facts.spec.name;
    let Some(group) = seen.group else {
        let (asked, found) = (Some(sid.to_string()), seen.group_namesake.map(ToString::to_string));
        let kind = if found.is_some() { DriftKind::Replaced } else { DriftKind::Gone };
        let gone = DriftItem { recorded: asked.clone(), asked, found, ..item(kind, name, OBJECT_SID) };
        let hint = format!(
            "`farmhand deploy` of the farm's manifest makes a new group or takes the one of that name; `farmhand farm \
             import {farm}` takes on record what stands now"
        );
        return vec![blocking(gone, hint)];
    };
    let mut items = Vec::new();
    if recorded.is_some_and(|recorded| *recorded != group.dn) {
        let moved = DriftItem {
            recorded: recorded.map(ToString::to_string),
            found: Some(group.dn.to_string()),
            ..item(DriftKind::Moved, name.clone(), DISTINGUISHED_NAME)
        };
        let hint =
            "its hosts read as before; move it back, or let `farmhand update` put its new place on record";
        items.push(by_hand(moved, hint));
    }
    items.extend(renamed(seen, group, &name));
    if let Some(reason) = group::unsuitable(group) {
        let unsuitable = DriftItem {
            asked: Some("a security group".to_owned()),
            recorded: Some("a security group".to_owned()),
            found: Some(reason),
            ..item(DriftKind::Changed, name, "groupType")
        };
        items.push(blocking(
            unsuitable,
            "make it a security group again (Set-ADGroup -GroupCategory Security)",
        ));
    }
    items
}

/// The manifest calls the group by a name that it has no more: an update would look for another one.
fn renamed(seen: &Seen<'_>, group: &Principal, name: &str) -> Option<DriftItem> {
    let Some(PrincipalRef::Name(asked)) = &seen.facts.spec.membership.group else { return None };
    let has = group.sam_account_name.as_deref()?;
    (!asked.eq_ignore_ascii_case(has)).then(|| {
        let renamed = DriftItem {
            asked: Some(asked.clone()),
            recorded: Some(asked.clone()),
            found: Some(has.to_owned()),
            ..item(DriftKind::Changed, name, SAM_ACCOUNT_NAME)
        };
        let farm = &seen.facts.spec.name;
        blocking(
            renamed,
            format!("give the group its name back, or take the farm on record anew with `farmhand farm import {farm}`"),
        )
    })
}

fn hosts_gone<'a>(seen: &'a Seen<'a>) -> impl Iterator<Item = DriftItem> + 'a {
    let gone = seen.hosts.iter().filter(|host| host.found.is_none());
    gone.map(|host| {
        let name = host.reference.to_string();
        let on = |there: bool| there.then(|| name.clone());
        let gone = DriftItem {
            asked: on(host.asked),
            recorded: on(host.recorded),
            ..item(DriftKind::Gone, name.clone(), OBJECT_SID)
        };
        let farm = &seen.facts.spec.name;
        let hint = format!("`farmhand remove-host {farm} {name}`, or make the computer account again");
        match host.asked {
            true => blocking(gone, hint),
            false => by_hand(gone, hint),
        }
    })
}
