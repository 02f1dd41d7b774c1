//! Hosts under quarantine, as every workflow sees them: a compromised host is let in nowhere until
//! it is released.

use directory::security::ReaderDescriptor;
use domain::{ErrorCode, Problem, Sid};
use store::Quarantined;

/// How a computer stands to the quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing<'a> {
    Free,
    Quarantined(&'a Quarantined),
    /// Another computer account of a quarantined host's name: it was rebuilt. An attacker of the old
    /// one knows nothing of the new one.
    Rebuilt(&'a Quarantined),
}

/// `name`: sAMAccountName, with or without its `$`.
pub fn standing<'a>(quarantined: &'a [Quarantined], name: Option<&str>, sid: Option<&Sid>) -> Standing<'a> {
    if let Some(host) = quarantined.iter().find(|host| Some(&host.host_sid) == sid) {
        return Standing::Quarantined(host);
    }
    let name = name.map(|name| name.strip_suffix('$').unwrap_or(name));
    let same = |host: &&Quarantined| name.is_some_and(|name| host.host_name.eq_ignore_ascii_case(name));
    quarantined.iter().find(same).map_or(Standing::Free, Standing::Rebuilt)
}

pub fn is_quarantined(quarantined: &[Quarantined], sid: &Sid) -> bool {
    quarantined.iter().any(|host| host.host_sid == *sid)
}

/// What to do about a refusal.
pub fn hint(host: &Quarantined) -> String {
    format!(
        "leave the host out; once it is known to be clean, `farmhand quarantine release {}` lets it back (a second \
         person approves); a rebuilt one with a new computer account may join at once",
        host.host_name
    )
}

pub fn told(host: &Quarantined) -> String {
    format!(
        "{} ({}) is under quarantine since {} (containment {})",
        host.host_name,
        host.host_sid,
        host.placed_at.format("%Y-%m-%d %H:%M UTC"),
        host.workflow
    )
}

pub fn refusal(host: &Quarantined, what: &str) -> Problem {
    Problem::new(ErrorCode::HostQuarantined, format!("{}: {what}", told(host)), hint(host))
}

/// That a host was rebuilt, for people.
pub fn rebuilt(host: &Quarantined, sid: &Sid) -> String {
    format!(
        "{} was under quarantine with another computer account ({}, containment {}): it counts as rebuilt; its \
         account now is {sid}",
        host.host_name, host.host_sid, host.workflow
    )
}

/// Denies every one of them first; those that are so already stay as they stand. In the order of the
/// SIDs, so that the same directory gives the same plan.
pub fn deny_all(list: &mut ReaderDescriptor, sids: impl IntoIterator<Item = Sid>) {
    let mut sids: Vec<_> = sids.into_iter().collect();
    sids.sort();
    for sid in sids.iter().rev() {
        list.deny(sid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing::records::FakeRecords;
    use crate::steps::testing::{host, sid};

    #[test]
    fn a_host_is_known_by_its_sid_and_a_rebuilt_one_by_its_name() {
        let records = FakeRecords::default();
        let old = host("Host1");
        records.place(&old.name, &old.sid, &old.dn);
        let list = records.lock().quarantines.clone();
        let by = |name, rid| {
            standing(&list, name, Some(&sid(rid)).filter(|_| rid > 0).cloned().as_ref()).to_owned()
        };
        assert_eq!(by(Some("Other$"), 1101), Standing::Quarantined(&list[0]));
        assert_eq!(by(Some("HOST1$"), 1500), Standing::Rebuilt(&list[0]));
        assert_eq!(by(Some("host1"), 0), Standing::Rebuilt(&list[0]));
        assert_eq!(by(Some("Host2$"), 1102), Standing::Free);
        assert_eq!(by(None, 1102), Standing::Free);
    }

    #[test]
    fn all_are_denied_in_an_order_that_does_not_depend_on_the_lists() {
        let denied = |rids: [u32; 2]| {
            let mut list = ReaderDescriptor::allowing([&sid(500)]);
            deny_all(&mut list, rids.map(sid));
            list
        };
        assert_eq!(denied([1102, 1101]), denied([1101, 1102]));
        assert_eq!(denied([1101, 1102]).denied_first(), [sid(1101), sid(1102)]);
    }
}
