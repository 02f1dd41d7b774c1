//! The reader lists in which a release has something to take back.

use std::collections::BTreeMap;

use async_trait::async_trait;
use directory::{DirectoryRead, Entry};
use domain::{Change, Dn, ErrorCode, Sid};
use store::{Denial, Quarantined};

use super::find::{self, Found};
use crate::steps::contain::accounts;
use crate::steps::everywhere::{Lag, Look, every_dc};
use crate::steps::gmsa::{change_readers, readers_of};
use crate::steps::outputs::list;
use crate::{StepContext, StepError};

/// Each DC's copies of the accounts that have a deny entry of ours.
pub type Copies = Vec<(String, Vec<Entry>)>;

/// Which of the denials on record this release was asked for. One that came since is another
/// containment's: a second person has not seen it.
pub async fn denials(cx: &StepContext) -> Result<Vec<Denial>, StepError> {
    let found: Found = cx.output(find::NAME)?;
    let denials = cx.records()?.denials(&cx.directory, &found.quarantine.host_sid).await?;
    let since = denials.iter().filter(|denial| denial.written_at > found.read_at).map(|one| one.workflow);
    let since = find::writers(cx, since).await?;
    let since: Vec<_> = since.iter().filter(|one| find::is_containment(one)).map(|one| one.id).collect();
    match since.is_empty() {
        true => Ok(denials),
        false => Err(StepError::park(
            ErrorCode::NotContained,
            format!("{} was cut off again meanwhile: {}", found.quarantine.host_name, list(&since)),
            "look at that workflow; then cancel this release and ask for another one",
        )),
    }
}

/// By every DC; one that is away is waited for, before anything is written.
pub async fn copies(cx: &StepContext, denials: &[Denial]) -> Result<Copies, StepError> {
    let accounts = denials.iter().map(|denial| denial.account_sid.clone()).collect();
    every_dc(cx, &Lists { accounts }).await
}

struct Lists {
    accounts: Vec<Sid>,
}

#[async_trait]
impl Look for Lists {
    type Seen = (String, Vec<Entry>);

    async fn look(&self, dc: &dyn DirectoryRead) -> Result<Self::Seen, Lag> {
        let found = accounts::by_sid(dc, &self.accounts, &accounts::ATTRIBUTES).await?;
        Ok((dc.dc().to_owned(), found))
    }
}

/// What is to be written on each DC, and what is not ours to take back.
#[derive(Debug, Default)]
pub struct Lifts {
    pub changes: Vec<Change>,
    /// Accounts that are written to.
    pub accounts: Vec<Dn>,
    /// Where the host stays denied by others, or nobody can tell.
    pub left: Vec<String>,
}

/// Exactly the entries that a containment writes: one of another form is somebody else's.
pub fn lifts(copies: &Copies, host: &Quarantined) -> Lifts {
    let name = |sid: &Sid| (*sid == host.host_sid).then(|| host.host_name.clone());
    let mut lifts = Lifts::default();
    let mut accounts: BTreeMap<String, Dn> = BTreeMap::new();
    let mut left: BTreeMap<String, String> = BTreeMap::new();
    for (dc, entry) in copies.iter().flat_map(|(dc, entries)| entries.iter().map(move |entry| (dc, entry))) {
        let change = change_readers(entry, name, |readers| {
            // One is all we write; a second of the same bytes says the same.
            while readers.lift_denial_written_by_us(&host.host_sid) {}
        });
        let key = entry.dn.key().to_owned();
        match change {
            Ok(Some(change)) => {
                lifts.changes.push(change.at(dc));
                accounts.insert(key.clone(), entry.dn.clone());
            }
            Ok(None) => {}
            Err(error) => {
                left.insert(key, error.problem().message.clone());
                continue;
            }
        }
        if stays_denied(entry, host) {
            let why = format!("{} has a deny entry for the host that is not Farmhand's: it stays", entry.dn);
            left.insert(key, why);
        }
    }
    lifts.accounts = accounts.into_values().collect();
    lifts.left = left.into_values().collect();
    lifts
}

fn stays_denied(entry: &Entry, host: &Quarantined) -> bool {
    let Ok(Some(mut readers)) = readers_of(entry) else { return false };
    while readers.lift_denial_written_by_us(&host.host_sid) {}
    readers.denied().contains(&host.host_sid)
}

#[cfg(test)]
mod tests {
    use directory::ReaderDescriptor;

    use super::*;
    use crate::steps::contain::testing::listed;
    use crate::steps::gmsa::READERS;
    use crate::steps::quarantine::find::tests::quarantine;
    use crate::steps::testing::sid;

    fn denied(hosts: &[u32]) -> ReaderDescriptor {
        let mut list = ReaderDescriptor::allowing(&[sid(1200)]);
        hosts.iter().for_each(|rid| {
            list.deny(&sid(*rid));
        });
        list
    }
    /// Denied by an administrator, who takes every right.
    fn foreign() -> ReaderDescriptor {
        let mut bytes = denied(&[1101]).to_bytes().expect("fits");
        let at = bytes.windows(4).position(|four| four == 0x10_u32.to_le_bytes()).expect("the mask");
        bytes[at..at + 4].copy_from_slice(&0xf01ff_u32.to_le_bytes());
        ReaderDescriptor::from_bytes(&bytes).expect("a descriptor")
    }
    fn after(change: &Change) -> ReaderDescriptor {
        let bytes = change.attributes[0].added()[0].wire().expect("bytes").to_vec();
        ReaderDescriptor::from_bytes(&bytes).expect("a descriptor")
    }

    #[test]
    fn each_dc_loses_our_entry_for_this_host_and_nothing_else() {
        let copies = vec![
            ("dc1".to_owned(), vec![listed("One", 1301, &denied(&[1101, 1102]))]),
            ("dc2".to_owned(), vec![listed("One", 1301, &denied(&[1101]))]),
        ];
        let lifts = lifts(&copies, &quarantine());
        let dcs: Vec<_> = lifts.changes.iter().map(|change| change.dc.as_deref()).collect();
        assert_eq!(dcs, [Some("dc1"), Some("dc2")]);
        let list = after(&lifts.changes[0]);
        assert_eq!((list.denied(), list.readers()), (vec![sid(1102)], vec![sid(1200)]));
        assert_eq!((lifts.accounts.len(), lifts.left.len()), (1, 0));
        assert!(lifts.changes[0].attributes[0].removed()[0].to_string().contains("deny Host1"));
    }

    #[test]
    fn an_entry_of_anothers_stays_and_is_told() {
        let copies = vec![("dc1".to_owned(), vec![listed("One", 1301, &foreign())])];
        let lifts = lifts(&copies, &quarantine());
        assert!(lifts.changes.is_empty());
        assert!(
            lifts.left[0].contains("CN=One") && lifts.left[0].contains("not Farmhand's"),
            "{:?}",
            lifts.left
        );
    }

    #[test]
    fn a_list_without_it_or_that_cannot_be_read_is_left() {
        let broken = Entry::new(
            listed("Two", 1302, &denied(&[])).dn,
            [(READERS.to_owned(), vec![b"garbage".to_vec()])],
        );
        let copies = vec![("dc1".to_owned(), vec![listed("One", 1301, &denied(&[])), broken])];
        let lifts = lifts(&copies, &quarantine());
        assert!(lifts.changes.is_empty());
        assert_eq!(lifts.left.len(), 1, "{:?}", lifts.left);
    }
}
