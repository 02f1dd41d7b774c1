//! What of a farm is not as it was asked for, or not as it is on record: made by `drift-check`, kept
//! as one entry for each farm.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::workflow::text_enum;
use crate::{DirectoryName, FarmName, WorkflowId};

text_enum! {
    /// How a farm stands to what was asked for.
    DriftState, "drift state" {
        /// As asked, as recorded.
        InLine = "in-line",
        /// It is not, and nothing is being done about it.
        Drifted = "drifted",
        /// It is not, and an update that mends it has been asked for.
        Mending = "mending",
        /// Something is at work on it, or it could not be read; `why` says what.
        CannotTell = "cannot-tell",
    }
}

text_enum! {
    /// In what way something is not as it was asked for.
    DriftKind, "kind of drift" {
        /// It has another value.
        Changed = "changed",
        /// It is asked for and not there.
        Missing = "missing",
        /// It is there, and neither the manifest nor the record speaks of it.
        Extra = "extra",
        /// An entry of the reader list for a SID that nobody has any more.
        Orphan = "orphan",
        /// The reader list keeps somebody out whom nobody asked to be kept out.
        Denied = "denied",
        /// A host of the farm that a new logon does not let read, although it is let in.
        CannotRead = "cannot-read",
        /// The object on record is not in the directory.
        Gone = "gone",
        /// Another object has the name of the one on record, which is gone.
        Replaced = "replaced",
        /// It has another name or stands in another container than on record.
        Moved = "moved",
        /// The directory is as recorded; what was asked for last was never reached.
        NotAchieved = "not-achieved",
        /// The directory is as asked for last, and the record is not: the request did not come to its end.
        NotRecorded = "not-recorded",
    }
}

/// One thing that is not as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DriftItem {
    pub kind: DriftKind,
    /// What it is about: the account, the group, a host, a reader.
    pub subject: String,
    /// LDAP attribute; of an object that is gone, `objectSid`.
    pub attribute: String,
    /// `null`: nothing, or not to be there.
    pub asked: Option<String>,
    /// What is on record as achieved.
    pub recorded: Option<String>,
    /// What the directory shows.
    pub found: Option<String>,
    /// An `update` puts it right.
    pub mendable: bool,
    /// As long as it stands, an `update` of the farm is refused.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub blocks_update: bool,
    /// What to do about it.
    pub hint: String,
}

impl DriftItem {
    /// Items of one farm that are kept, where there may be thousands.
    pub const LISTED: usize = 200;

    /// Names a set of items, in whatever order: the same drift has the same hash, however often it is
    /// looked at. `None`: there is none.
    pub fn hash(items: &[Self]) -> Option<String> {
        let of = |item: &Self| {
            (item.kind, item.subject.clone(), item.attribute.clone(), item.asked.clone(), item.found.clone())
        };
        let mut all: Vec<_> = items.iter().map(of).collect();
        all.sort_unstable();
        // Texts and options always serialise; an empty text would only make the hash another.
        let text = serde_json::to_vec(&all).unwrap_or_default();
        (!items.is_empty()).then(|| hex::encode(Sha256::digest(text)))
    }
}

/// How a farm stands, as it is on record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DriftEntry {
    pub directory: DirectoryName,
    pub farm: FarmName,
    pub state: DriftState,
    /// Why nothing can be told, or why it is not mended.
    pub why: Option<String>,
    /// The first [`DriftItem::LISTED`].
    pub items: Vec<DriftItem>,
    pub item_count: u32,
    /// dNSHostName of the DC that was read.
    pub domain_controller: String,
    /// When it was last known to be so.
    pub checked_at: DateTime<Utc>,
    /// When the directory was last read for it; since then nothing that it rests on has changed.
    pub compared_at: DateTime<Utc>,
    /// Since when the items are as they are.
    pub changed_at: DateTime<Utc>,
    /// The last update that was asked for to mend it.
    pub mended_by: Option<WorkflowId>,
}

/// How many farms stand how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DriftCounts {
    pub in_line: u64,
    pub drifted: u64,
    pub mending: u64,
    pub cannot_tell: u64,
}

impl DriftCounts {
    pub fn add(&mut self, state: DriftState, number: u64) {
        *match state {
            DriftState::InLine => &mut self.in_line,
            DriftState::Drifted => &mut self.drifted,
            DriftState::Mending => &mut self.mending,
            DriftState::CannotTell => &mut self.cannot_tell,
        } += number;
    }

    pub fn get(&self, state: DriftState) -> u64 {
        match state {
            DriftState::InLine => self.in_line,
            DriftState::Drifted => self.drifted,
            DriftState::Mending => self.mending,
            DriftState::CannotTell => self.cannot_tell,
        }
    }

    pub fn total(&self) -> u64 {
        DriftState::ALL.iter().map(|state| self.get(*state)).sum()
    }
}

/// `result` of `drift-check`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DriftSummary {
    /// One line for people.
    pub summary: String,
    /// Farms that the check vouches for.
    pub checked: u64,
    /// Those of them that were read and compared; of the others nothing has changed.
    pub compared: u64,
    /// How all of them stand now.
    pub farms: DriftCounts,
    /// Farms whose items are others than before.
    pub changed: u64,
    /// Why every farm was compared; `null`: only those were that something had changed about.
    pub full: Option<String>,
    /// The first farms that are not in line.
    pub drifted: Vec<FarmName>,
    /// Updates that were asked for, each of which waits for a second person's approval.
    pub mending: Vec<WorkflowId>,
    pub domain_controller: String,
    pub warnings: Vec<String>,
    /// The directory is Farmhand's own small one, for trying out.
    pub embedded_directory: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(subject: &str, found: &str) -> DriftItem {
        DriftItem {
            kind: DriftKind::Changed,
            subject: subject.to_owned(),
            attribute: "description".to_owned(),
            asked: None,
            recorded: None,
            found: Some(found.to_owned()),
            mendable: true,
            blocks_update: false,
            hint: "update".to_owned(),
        }
    }

    #[test]
    fn a_hash_names_what_is_wrong_and_not_the_order_or_the_words_about_it() {
        let (one, two) = (item("a", "x"), item("b", "y"));
        let hash = DriftItem::hash(&[one.clone(), two.clone()]);
        assert!(hash.is_some());
        let reworded = DriftItem { hint: "do it by hand".to_owned(), ..one.clone() };
        assert_eq!(DriftItem::hash(&[two.clone(), reworded]), hash);
        assert_ne!(DriftItem::hash(&[one.clone(), item("b", "z")]), hash);
        assert_ne!(DriftItem::hash(&[one]), hash);
        assert_eq!(DriftItem::hash(&[]), None);
    }

    #[test]
    fn words_round_trip_and_counts_name_every_state() {
        let mut counts = DriftCounts::default();
        for state in DriftState::ALL {
            assert_eq!(state.as_str().parse(), Ok(*state));
            counts.add(*state, 2);
            assert_eq!(counts.get(*state), 2);
        }
        assert_eq!(counts.total(), 8);
        for kind in DriftKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(*kind));
        }
        let json = serde_json::to_value(counts).expect("serialises");
        assert_eq!(json["cannotTell"], 2);
    }
}
