//! Hosts under quarantine that have to do with the farm.

use directory::Entry;
use directory::security::ReaderDescriptor;

use super::view::ContainedView;
use super::{Asked, Member};
use crate::steps::gmsa::READERS;

/// Those that the reader list denies, and those that are on record or in the group.
pub(super) fn contained(account: Option<&Entry>, asked: &Asked, members: &[Member]) -> Vec<ContainedView> {
    let list = account.and_then(|found| found.bytes(READERS));
    let list = list.and_then(|bytes| ReaderDescriptor::from_bytes(bytes).ok());
    let denied = list.as_ref().map(ReaderDescriptor::denied).unwrap_or_default();
    let on_record = asked.hosts.iter().filter_map(|(_, found)| found.as_ref()?.sid.as_ref());
    let known: Vec<_> = on_record.chain(members.iter().filter_map(|member| member.sid.as_ref())).collect();
    let theirs = asked
        .quarantined
        .iter()
        .filter(|host| denied.contains(&host.host_sid) || known.contains(&&host.host_sid));
    let view = |host: &store::Quarantined| ContainedView {
        name: host.host_name.clone(),
        sid: host.host_sid.clone(),
        since: host.placed_at,
        workflow: host.workflow,
        denied_first: list.as_ref().is_some_and(|list| list.denies_first(&host.host_sid)),
    };
    theirs.map(view).collect()
}

pub(super) fn warnings(contained: &[ContainedView]) -> impl Iterator<Item = String> {
    contained.iter().filter(|host| !host.denied_first).map(|host| {
        format!(
            "{} is under quarantine and no entry denies it first here: `farmhand quarantine check` contains it again",
            host.name
        )
    })
}

#[cfg(test)]
mod tests {
    use directory::preflight::{Principal, PrincipalKind};
    use domain::PrincipalRef;

    use super::*;
    use crate::steps::testing::records::FakeRecords;
    use crate::steps::testing::{self, account, host, principal, sid};

    #[test]
    fn a_contained_host_is_listed_where_it_is_denied_on_record_or_a_member() {
        let records = FakeRecords::default();
        for name in ["Host1", "Host2", "Host3", "Host4"] {
            records.place(name, &host(name).sid, &host(name).dn);
        }
        let mut list = ReaderDescriptor::allowing([&sid(1200)]);
        list.deny(&host("Host1").sid);
        let found = account(&[(READERS, vec![list.to_bytes().expect("fits")])]);
        let computer = principal("Host2$", PrincipalKind::Computer);
        let on_record = Principal { sid: Some(host("Host2").sid), ..computer };
        let asked = Asked {
            wanted: testing::wanted(),
            hosts: vec![(PrincipalRef::parse("Host2").expect("valid"), Some(on_record))],
            group: None,
            domain: testing::dn("DC=contoso,DC=com"),
            quarantined: records.lock().quarantines.clone(),
        };
        let three = host("Host3");
        let members = [Member { dn: three.dn, sid: Some(three.sid), name: three.name }];
        let listed = contained(Some(&found), &asked, &members);
        let told: Vec<_> = listed.iter().map(|host| (host.name.as_str(), host.denied_first)).collect();
        assert_eq!(told, [("Host1", true), ("Host2", false), ("Host3", false)]);
        assert_eq!(warnings(&listed).count(), 2);
    }
}
