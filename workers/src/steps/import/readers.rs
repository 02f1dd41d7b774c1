//! Whose the entries of a reader list are: the farm's own, or others'.

use directory::preflight::{Principal, PrincipalKind};
use directory::security::{Effect, ReaderEntry};
use domain::farm::ForeignReader;
use domain::{ErrorCode, PrincipalRef, Sid};
use store::Quarantined;

use crate::StepError;
use crate::steps::group;
use crate::steps::inspect::Names;
use crate::steps::principals::{self, Member};

/// Which group holds the hosts, as far as the request says.
pub enum Asked {
    Any,
    Group(Principal),
}

/// A reader list, told apart.
#[derive(Debug, PartialEq)]
pub struct Membership {
    /// `None`: membership is direct.
    pub group: Option<Principal>,
    /// Of a direct farm; a group's are its members.
    pub hosts: Vec<PrincipalRef>,
    pub foreign: Vec<ForeignReader>,
}

/// One group that may read holds the hosts; without one, the computers that the list names are the
/// hosts. Whatever else the list says is others': it is kept, and told.
pub fn judge(
    entries: &[ReaderEntry],
    names: &Names,
    asked: &Asked,
    warnings: &mut Vec<String>,
) -> Result<Membership, StepError> {
    let allowed = |entry: &&ReaderEntry| entry.effect == Effect::Allow && !entry.conditional;
    let groups: Vec<&Principal> = entries
        .iter()
        .filter(allowed)
        .filter_map(|entry| names.0.get(&entry.sid))
        .filter(|found| {
            matches!(found.kind, PrincipalKind::Group { .. }) && group::unsuitable(found).is_none()
        })
        .collect();
    let group = match (asked, &groups[..]) {
        (Asked::Group(asked), groups) => match groups.iter().find(|group| group.sid == asked.sid) {
            Some(group) => Some((*group).clone()),
            None => return Err(not_a_reader(asked, entries, names)),
        },
        (Asked::Any, []) => None,
        (Asked::Any, [only]) => Some((*only).clone()),
        (Asked::Any, several) => return Err(ambiguous(several)),
    };
    let mut membership = Membership { group, hosts: Vec::new(), foreign: Vec::new() };
    for entry in entries {
        sort(entry, names, &mut membership, warnings);
    }
    if membership.group.is_none() && membership.hosts.is_empty() {
        warnings.push("no host may read the password: the farm has no hosts yet".to_owned());
    }
    Ok(membership)
}

/// The entries without those of hosts under quarantine: an entry that denies one is no other's business
/// but the containment's, and one that lets it in makes it no host of the farm.
pub fn without_quarantined(
    entries: Vec<ReaderEntry>,
    quarantined: &[Quarantined],
    warnings: &mut Vec<String>,
) -> Vec<ReaderEntry> {
    let host = |sid: &Sid| quarantined.iter().find(|host| host.host_sid == *sid);
    let (others, theirs): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|entry| host(&entry.sid).is_none());
    let allowed = theirs.iter().filter(|entry| entry.effect == Effect::Allow);
    warnings
        .extend(allowed.filter_map(|entry| host(&entry.sid)).map(|host| let_in(host, "an entry of its own")));
    others
}

/// The group's computers without those under quarantine.
pub fn members_without_quarantined(
    members: Vec<Member>,
    quarantined: &[Quarantined],
    warnings: &mut Vec<String>,
) -> Vec<Member> {
    let host = |member: &Member| quarantined.iter().find(|host| Some(&host.host_sid) == member.sid.as_ref());
    let (theirs, others): (Vec<_>, Vec<_>) = members.into_iter().partition(|member| host(member).is_some());
    warnings.extend(theirs.iter().filter_map(host).map(|host| let_in(host, "the farm's group")));
    others
}

fn let_in(host: &Quarantined, how: &str) -> String {
    format!(
        "{}, and yet {how} lets it in: it is not taken on record as a host; `farmhand quarantine check` contains it \
         again where it can read",
        crate::quarantine::told(host)
    )
}

fn sort(entry: &ReaderEntry, names: &Names, membership: &mut Membership, warnings: &mut Vec<String>) {
    let found = names.0.get(&entry.sid);
    let allowed = entry.effect == Effect::Allow && !entry.conditional;
    if let (true, Some(found)) = (allowed, found) {
        if let Some(group) = &membership.group {
            if group.sid.as_ref() == Some(&entry.sid) {
                return;
            }
        } else if found.kind == PrincipalKind::Computer {
            let name = principals::host_name(found.sam_account_name.as_deref(), &found.dn);
            let host = PrincipalRef::Name(name);
            if !membership.hosts.contains(&host) {
                membership.hosts.push(host);
            }
            return;
        }
    }
    let foreign = ForeignReader {
        sid: entry.sid.clone(),
        denied: entry.effect == Effect::Deny,
        name: names.name(&entry.sid),
    };
    if membership.foreign.contains(&foreign) {
        return;
    }
    warnings.push(told(entry, names));
    membership.foreign.push(foreign);
}

fn told(entry: &ReaderEntry, names: &Names) -> String {
    let verb = if entry.effect == Effect::Deny { "keeps from reading" } else { "lets read" };
    let condition = if entry.conditional { " on a condition" } else { "" };
    let who = names.shown(&entry.sid);
    format!("the reader list {verb} {who}{condition}, who is none of the farm's: the entry is kept as it is")
}

fn ambiguous(groups: &[&Principal]) -> StepError {
    let names: Vec<_> = groups.iter().map(|group| group_name(group)).collect();
    StepError::fail(
        ErrorCode::ImportAmbiguous,
        format!("several groups may read the password: {}", names.join(", ")),
        "say which one holds the farm's hosts: `farmhand farm import FARM --group GROUP`; the others stay as they are",
    )
}

fn not_a_reader(group: &Principal, entries: &[ReaderEntry], names: &Names) -> StepError {
    let allowed = entries.iter().filter(|entry| entry.effect == Effect::Allow);
    let readers: Vec<_> = allowed.map(|entry| names.shown(&entry.sid)).collect();
    let readers = if readers.is_empty() { "nobody".to_owned() } else { readers.join(", ") };
    StepError::fail(
        ErrorCode::ImportAmbiguous,
        format!(
            "{} is no group that may read the password; the list lets read: {readers}",
            group_name(group)
        ),
        "name one of the groups that may read, or none",
    )
}

/// sAMAccountName.
pub fn group_name(group: &Principal) -> String {
    group.sam_account_name.clone().unwrap_or_else(|| group.dn.rdn().value.clone())
}

/// The groups that every computer of a domain is in (RIDs of MS-DTYP 2.4.2.4).
const EVERY_COMPUTER: [u32; 2] = [515, 516];

pub fn warn_of_group(group: &Principal, hosts: usize, warnings: &mut Vec<String>) {
    let rid = group.sid.as_ref().and_then(Sid::rid);
    if rid.is_some_and(|rid| EVERY_COMPUTER.contains(&rid)) {
        let name = group_name(group);
        warnings.push(format!(
            "{name} holds every computer of its kind in the domain: each can read the password"
        ));
    }
    if hosts == 0 {
        warnings.push(format!("{} has no computer among its members: the farm has no hosts yet", group.dn));
    }
}

#[cfg(test)]
mod tests {
    use directory::preflight::GroupScope;

    use super::*;
    use crate::steps::testing::records::FakeRecords;
    use crate::steps::testing::{host, principal, sid};

    fn names() -> Names {
        let group = PrincipalKind::Group { security: true, scope: GroupScope::Global };
        let builtin = PrincipalKind::Group { security: true, scope: GroupScope::Other };
        let of =
            |rid, name: &str, kind| (sid(rid), Principal { sid: Some(sid(rid)), ..principal(name, kind) });
        Names(
            [
                of(500, "Administrator", PrincipalKind::User),
                of(544, "Administrators", builtin),
                of(1101, "Host1$", PrincipalKind::Computer),
                of(1102, "Host2$", PrincipalKind::Computer),
                of(1200, "ITFarmHosts", group),
                of(1201, "Others", group),
            ]
            .into(),
        )
    }
    fn entry(rid: u32, effect: Effect) -> ReaderEntry {
        ReaderEntry { sid: sid(rid), effect, conditional: false }
    }
    fn judged(rids: &[u32], asked: Asked) -> Result<(Membership, usize), StepError> {
        let entries: Vec<_> = rids.iter().map(|rid| entry(*rid, Effect::Allow)).collect();
        let mut warnings = Vec::new();
        judge(&entries, &names(), &asked, &mut warnings).map(|found| (found, warnings.len()))
    }
    fn rids(foreign: &[ForeignReader]) -> Vec<u32> {
        foreign.iter().filter_map(|reader| reader.sid.rid()).collect()
    }

    #[test]
    fn hosts_under_quarantine_are_taken_on_record_neither_as_hosts_nor_as_others() {
        let records = FakeRecords::default();
        records.place("Host1", &sid(1101), &host("Host1").dn);
        let quarantined = records.lock().quarantines.clone();
        let mut warnings = Vec::new();
        let entries = vec![
            entry(1101, Effect::Deny),
            entry(1200, Effect::Allow),
            entry(1101, Effect::Allow),
            entry(1102, Effect::Deny),
        ];
        let left = without_quarantined(entries, &quarantined, &mut warnings);
        assert_eq!(left, [entry(1200, Effect::Allow), entry(1102, Effect::Deny)]);
        assert_eq!(warnings.len(), 1, "only that it is let in is worth a word: {warnings:?}");
        let member = |name: &str| Member { dn: host(name).dn, sid: Some(host(name).sid), name: name.into() };
        let members = vec![member("Host1"), member("Host2")];
        assert_eq!(members_without_quarantined(members, &quarantined, &mut warnings), [member("Host2")]);
        assert!(warnings[1].contains("group") && warnings[1].contains("quarantine check"), "{warnings:?}");
    }

    #[test]
    fn one_group_holds_the_hosts_and_everybody_else_is_kept() {
        let (found, told) = judged(&[500, 1200, 1101, 544], Asked::Any).expect("clear");
        assert_eq!(found.group.and_then(|group| group.sid), Some(sid(1200)));
        assert_eq!((rids(&found.foreign), told), (vec![500, 1101, 544], 3));
        assert!(found.hosts.is_empty());
    }

    #[test]
    fn computers_without_a_group_are_the_hosts() {
        let (found, told) = judged(&[500, 1101, 1102, 1101], Asked::Any).expect("clear");
        assert_eq!(found.hosts, [PrincipalRef::Name("Host1".into()), PrincipalRef::Name("Host2".into())]);
        assert_eq!((found.group, rids(&found.foreign), told), (None, vec![500], 1));
        let (nobody, told) = judged(&[], Asked::Any).expect("clear");
        assert_eq!((nobody.hosts.len(), told), (0, 1));
    }

    #[test]
    fn of_several_groups_one_must_be_named_and_must_be_a_reader() {
        let error = judged(&[1200, 1201], Asked::Any).expect_err("which?");
        assert_eq!(error.problem().code, ErrorCode::ImportAmbiguous);
        assert!(error.problem().message.contains("ITFarmHosts, Others"), "{error:?}");
        let named = |rid| Asked::Group(names().0[&sid(rid)].clone());
        let (found, _) = judged(&[1200, 1201], named(1201)).expect("clear");
        assert_eq!(rids(&found.foreign), [1200]);
        assert!(judged(&[1200], named(1201)).is_err());
    }

    #[test]
    fn denials_conditions_and_strangers_are_others() {
        let entries = [
            entry(1101, Effect::Deny),
            ReaderEntry { conditional: true, ..entry(1102, Effect::Allow) },
            entry(9999, Effect::Allow),
        ];
        let mut warnings = Vec::new();
        let found = judge(&entries, &names(), &Asked::Any, &mut warnings).expect("clear");
        assert!(found.hosts.is_empty());
        assert_eq!(rids(&found.foreign), [1101, 1102, 9999]);
        assert!(warnings[0].contains("keeps from reading Host1"), "{warnings:?}");
        assert!(warnings[1].contains("condition") && warnings[2].contains("S-1-5-21-1-2-3-9999"));
    }
}
