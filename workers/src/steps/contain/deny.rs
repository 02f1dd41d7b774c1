//! The deny entries that are missing, as writes for each DC.

use std::collections::HashMap;

use directory::Entry;
use domain::{Change, Dn, Sid};

use super::affected::Affected;
use super::host::Host;
use super::judge::{Verdict, judge};
use crate::steps::gmsa::change_readers;

/// Names for the entries of reader lists, as far as they are known.
pub type Names = HashMap<Sid, String>;

/// What each DC showed, by its name.
pub type Copies = [(String, Vec<Entry>)];

/// One DC's copy of an account in which the host is not denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    pub dc: String,
    pub dn: Dn,
    pub why: String,
}

/// The writes, and the copies for which there can be none.
#[derive(Debug, Default)]
pub struct Denials {
    pub changes: Vec<Change>,
    pub impossible: Vec<Open>,
}

/// A deny entry for the host in front of every copy of an affected account, and out with what lets
/// the host itself in: one compare-and-swap of the list that was read. All that another put in stays.
pub fn denials(copies: &Copies, affected: &[Affected], host: &Host, names: &Names) -> Denials {
    let mut denials = Denials::default();
    for (dc, entry) in of(copies, affected) {
        if let Verdict::Unreadable(_) = judge(entry, &host.sid, &[]).verdict {
            continue;
        }
        let change = change_readers(
            entry,
            |sid| names.get(sid).cloned(),
            |list| {
                list.deny(&host.sid);
                list.remove(&host.sid);
            },
        );
        match change {
            Ok(change) => denials.changes.extend(change.map(|change| change.at(dc))),
            Err(error) => denials.impossible.push(Open {
                dc: dc.to_owned(),
                dn: entry.dn.clone(),
                why: error.problem().message.clone(),
            }),
        }
    }
    denials
}

/// The copies of affected accounts in which no deny entry for the host stands first.
pub fn open(copies: &Copies, affected: &[Affected], host: &Host) -> Vec<Open> {
    let open = |(dc, entry): (&str, &Entry)| match judge(entry, &host.sid, &[]).verdict {
        Verdict::Denied | Verdict::Unreadable(_) => None,
        _ => {
            let why = "no deny entry for the host stands first in its reader list".to_owned();
            Some(Open { dc: dc.to_owned(), dn: entry.dn.clone(), why })
        }
    };
    of(copies, affected).filter_map(open).collect()
}

/// By DC, and on each in the order of the affected accounts.
fn of<'a>(copies: &'a Copies, affected: &'a [Affected]) -> impl Iterator<Item = (&'a str, &'a Entry)> {
    copies.iter().flat_map(|(dc, entries)| {
        let by_sid: HashMap<_, _> =
            entries.iter().filter_map(|entry| Some((entry.sid("objectSid")?, entry))).collect();
        let found: Vec<_> = affected.iter().filter_map(|one| by_sid.get(&one.sid).copied()).collect();
        found.into_iter().map(move |entry| (dc.as_str(), entry))
    })
}

#[cfg(test)]
mod tests {
    use directory::ReaderDescriptor;
    use directory::security::Access;

    use super::*;
    use crate::steps::contain::affected::{Found, on_record, survey};
    use crate::steps::contain::testing::{copy, farm, host, listed};
    use crate::steps::testing::sid;

    fn affected(copies: &Copies) -> Vec<Affected> {
        let candidates = on_record(&[farm("One", 1301, &["Host1"])], &host(), &[]);
        let Found { affected, .. } = survey(copies, &host(), &[sid(1101), sid(1200)], &candidates);
        affected
    }
    fn plan(copies: &Copies) -> Denials {
        let names = Names::from([(sid(1101), "Host1".to_owned())]);
        denials(copies, &affected(copies), &host(), &names)
    }
    fn after(change: &Change) -> ReaderDescriptor {
        let bytes = change.attributes[0].added()[0].wire().expect("bytes").to_vec();
        ReaderDescriptor::from_bytes(&bytes).expect("a descriptor")
    }

    #[test]
    fn each_dc_gets_a_swap_of_its_own_copy() {
        let copies = [
            ("dc1".to_owned(), vec![copy("One", 1301, &[sid(1200)])]),
            ("dc2".to_owned(), vec![copy("One", 1301, &[sid(1200), sid(9)])]),
        ];
        let planned = plan(&copies);
        let dcs: Vec<_> = planned.changes.iter().map(|change| change.dc.as_deref()).collect();
        assert_eq!(dcs, [Some("dc1"), Some("dc2")]);
        assert_eq!(after(&planned.changes[1]).readers(), [sid(1200), sid(9)], "what others put in stays");
        for change in &planned.changes {
            assert_eq!(after(change).may_read(&[sid(1101), sid(1200)]), Access::Denied);
            assert!(
                change.attributes[0].added()[0].to_string().starts_with("deny Host1 (S-1-5-21-1-2-3-1101)")
            );
        }
    }

    #[test]
    fn an_entry_of_its_own_goes_with_the_same_write() {
        let copies = [("dc1".to_owned(), vec![copy("One", 1301, &[sid(1101), sid(1102)])])];
        let planned = plan(&copies);
        assert_eq!(planned.changes.len(), 1);
        let list = after(&planned.changes[0]);
        assert_eq!((list.readers(), list.denied()), (vec![sid(1102)], vec![sid(1101)]));
    }

    #[test]
    fn what_is_denied_already_is_left_byte_for_byte() {
        let mut list = ReaderDescriptor::allowing(&[sid(1200)]);
        list.deny(&sid(1101));
        let copies = [("dc1".to_owned(), vec![listed("One", 1301, &list)])];
        assert!(plan(&copies).changes.is_empty());
        assert!(open(&copies, &affected(&copies), &host()).is_empty());
    }

    #[test]
    fn a_denial_behind_an_entry_that_allows_is_open_still() {
        let mut list = ReaderDescriptor::allowing([]);
        list.deny(&sid(1101));
        let bytes = list.to_bytes().expect("fits");
        // An allow entry in front, as a tool writes that appends denials.
        let mut late = ReaderDescriptor::allowing(&[sid(1200)]).to_bytes().expect("fits");
        let (entry, size) = (&bytes[bytes.len() - 36..], late.len() - 36 - 8);
        late.extend(entry);
        late[size + 2..size + 4].copy_from_slice(&80_u16.to_le_bytes());
        late[size + 4] = 2;
        let late = ReaderDescriptor::from_bytes(&late).expect("a descriptor");
        assert_eq!(late.may_read(&[sid(1101), sid(1200)]), Access::Granted, "the list of the test");
        let copies = [("dc1".to_owned(), vec![listed("One", 1301, &late)])];
        assert_eq!(open(&copies, &affected(&copies), &host()).len(), 1);
        assert_eq!(after(&plan(&copies).changes[0]).may_read(&[sid(1101), sid(1200)]), Access::Denied);
    }

    #[test]
    fn a_list_that_is_full_or_cannot_be_read_is_named_and_stops_nothing() {
        let full: Vec<_> = (2_000..3_820).map(sid).collect();
        let full = copy("One", 1301, &full);
        let broken =
            Entry::new(copy("Two", 1302, &[]).dn, [("objectSid".into(), vec![sid(1302).to_bytes()])]);
        let copies = [("dc1".to_owned(), vec![full, broken])];
        let planned = plan(&copies);
        assert!(planned.changes.is_empty());
        let names: Vec<_> = planned.impossible.iter().map(|open| open.dn.rdn().value.clone()).collect();
        assert_eq!(names, ["One"]);
    }
}
