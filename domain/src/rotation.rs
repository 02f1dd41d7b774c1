//! What is told of a gMSA's password: since when it lives, when it is due, and whether anybody asks
//! for it. Made by `rotation-check`, kept as one item for each account and a history of changes.
//!
//! Rolling is lazy (a DC rolls when somebody who may reads the password after it is due), so a
//! password past its time is no fault by itself, and a verdict says what was seen, not what ought
//! to be.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::containment::KeyId;
use crate::workflow::text_enum;
use crate::{DirectoryName, Dn, FarmName, Sid, WorkflowId};

text_enum! {
    /// How a gMSA's password stands.
    RotationVerdict, "rotation verdict" {
        /// It is not due yet.
        Current = "current",
        /// It is in its last five minutes, when DCs hand out the next one already; or some DCs have
        /// the new key and others do not yet.
        Rolling = "rolling",
        /// It is due, and nobody has asked for it since. No fault: it rolls at the next read.
        Due = "due",
        /// It is due for a whole interval or longer: nobody asks for it.
        Idle = "idle",
        /// It cannot roll: nobody may read it, or every read fails.
        Never = "never",
        /// It is due, and something shows that it ought to have rolled.
        Overdue = "overdue",
        /// What was seen does not tell; `why` says what is missing.
        CannotTell = "cannot-tell",
    }
}

impl RotationVerdict {
    /// All is as it should be, and nobody has to look.
    pub fn is_harmless(self) -> bool {
        matches!(self, Self::Current | Self::Rolling | Self::Due)
    }
}

text_enum! {
    /// What is wrong with an account, or worth knowing, beside the verdict.
    FindingCode, "finding" {
        /// The reader descriptor (msDS-GroupMSAMembership) is not there: every read fails.
        NoReaderDescriptor = "no-reader-descriptor",
        /// Its bytes are no security descriptor: every read fails.
        ReaderDescriptorBroken = "reader-descriptor-broken",
        /// No entry of it lets anybody read.
        NobodyMayRead = "nobody-may-read",
        /// Everyone, Authenticated Users, Domain Computers and their like may read.
        BroadReader = "broad-reader",
        /// Entries for SIDs of this domain that nobody has any more.
        OrphanReader = "orphan-reader",
        /// A distribution group never enters a token: it lets nobody read.
        DistributionGroupReader = "distribution-group-reader",
        /// Hosts on record that cannot read, and will break at the next roll.
        HostCannotRead = "host-cannot-read",
        /// Hosts on record that are not in the directory.
        HostNotFound = "host-not-found",
        /// Who may read and is not on record.
        ReaderNotOnRecord = "reader-not-on-record",
        /// RC4 tickets, which can be cracked offline.
        Rc4Allowed = "rc4-allowed",
        DesAllowed = "des-allowed",
        /// No encryption types are set: a DC uses its own default, which may be RC4.
        EncryptionUnset = "encryption-unset",
        /// The interval is longer than the policy allows.
        IntervalOverPolicy = "interval-over-policy",
        /// No DC is known to work with this interval; it cannot be changed.
        IntervalInvalid = "interval-invalid",
        /// The account is disabled, and hosts may still read its password.
        DisabledYetReadable = "disabled-yet-readable",
        /// Made from a root key that is not the newest usable one.
        OldRootKey = "old-root-key",
        /// The root key that the password is made from is not there any more: reads fail until the
        /// next roll.
        RootKeyMissing = "root-key-missing",
        /// No root key can be used, so no password can roll.
        NoUsableRootKey = "no-usable-root-key",
        /// The key's slot lies in the future: a DC with a clock far ahead rolled it.
        KeyIdAhead = "key-id-ahead",
        /// The clocks of the DCs, or theirs and ours, are more than five minutes apart.
        DcClocksApart = "dc-clocks-apart",
        /// DCs show different keys.
        DcsDisagree = "dcs-disagree",
        /// A DC that was to be asked did not answer, or has no such account.
        DcSilent = "dc-silent",
    }
}

impl KeyId {
    /// The slot counted from 1601 on: later keys of one account have greater ones.
    pub fn slot_number(&self) -> i64 {
        (i64::from(self.l0) * 32 + i64::from(self.l1)) * 32 + i64::from(self.l2)
    }

    /// `None` where no key has that number.
    pub fn of_slot(number: i64, root_key: Uuid) -> Option<Self> {
        let number = u32::try_from(number).ok()?;
        Some(Self { l0: number / 1024, l1: number / 32 % 32, l2: number % 32, root_key })
    }
}

/// One finding about one account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RotationFinding {
    pub code: FindingCode,
    /// What was found and what follows, in words.
    pub text: String,
    /// The hosts, readers or DCs that it is about; the first [`RotationItem::LISTED`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<String>,
    /// When it bites, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<DateTime<Utc>>,
}

/// Somebody whom the reader list names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RotationReader {
    pub sid: Sid,
    /// sAMAccountName, a computer's without its `$`; `null`: not found in this domain.
    pub name: Option<String>,
    /// The entry denies instead of allowing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub denied: bool,
}

/// What one DC's own copy shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RotationCopy {
    /// dNSHostName.
    pub dc: String,
    /// `null`: not there, or not to be read.
    pub key_id: Option<KeyId>,
}

/// A gMSA as a check found it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RotationItem {
    pub directory: DirectoryName,
    /// sAMAccountName, with its `$`.
    pub account: String,
    pub sid: Sid,
    pub dn: Dn,
    /// The farm on record whose account it is.
    pub farm: Option<FarmName>,
    pub verdict: RotationVerdict,
    /// What the verdict rests on, in one line.
    pub why: String,
    pub key_id: Option<KeyId>,
    pub interval_days: Option<i64>,
    /// After how many hours the password rolls in truth; `null` for an interval that no DC is known
    /// to work with.
    pub rollover_hours: Option<u32>,
    /// What the password's life is counted from.
    pub slot_start: Option<DateTime<Utc>>,
    /// From then on the first authorised read makes a DC roll it.
    pub next_due: Option<DateTime<Utc>>,
    /// pwdLastSet: when a DC last made a password. Decides nothing.
    pub password_set: Option<DateTime<Utc>>,
    pub enabled: bool,
    /// The first [`Self::LISTED`] entries in their order.
    pub readers: Vec<RotationReader>,
    pub reader_count: u32,
    pub findings: Vec<RotationFinding>,
    /// Each DC that was asked.
    pub copies: Vec<RotationCopy>,
}

impl RotationItem {
    /// Names in a list where there may be thousands.
    pub const LISTED: usize = 20;

    /// The codes of its findings, each once, in order.
    pub fn codes(&self) -> Vec<FindingCode> {
        let mut codes: Vec<_> = self.findings.iter().map(|finding| finding.code).collect();
        codes.sort_unstable();
        codes.dedup();
        codes
    }
}

/// An item as it is on record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RotationEntry {
    #[serde(flatten)]
    pub item: RotationItem,
    /// When it was last looked at.
    pub checked_at: DateTime<Utc>,
    /// Since when verdict and key are as they are.
    pub changed_at: DateTime<Utc>,
    /// A check of the whole directory did not find it any more.
    pub gone_at: Option<DateTime<Utc>>,
}

/// A moment at which verdict or key had changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RotationChange {
    pub at: DateTime<Utc>,
    pub verdict: RotationVerdict,
    pub why: String,
    pub key_id: Option<KeyId>,
    /// The account was gone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gone: bool,
    /// The check that saw it.
    pub workflow: WorkflowId,
}

/// How many accounts have each verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VerdictCounts([u64; RotationVerdict::ALL.len()]);

impl VerdictCounts {
    pub fn add(&mut self, verdict: RotationVerdict, number: u64) {
        self.0[verdict as usize] += number;
    }

    pub fn get(&self, verdict: RotationVerdict) -> u64 {
        self.0[verdict as usize]
    }

    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Every verdict, those of no account too.
    pub fn iter(&self) -> impl Iterator<Item = (RotationVerdict, u64)> + '_ {
        RotationVerdict::ALL.iter().map(|verdict| (*verdict, self.get(*verdict)))
    }
}

/// As an object with a number for each verdict.
impl Serialize for VerdictCounts {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for VerdictCounts {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let numbers = std::collections::HashMap::<RotationVerdict, u64>::deserialize(deserializer)?;
        let mut counts = Self::default();
        numbers.into_iter().for_each(|(verdict, number)| counts.add(verdict, number));
        Ok(counts)
    }
}

/// `result` of `rotation-check`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RotationSummary {
    /// One line for people.
    pub summary: String,
    /// gMSAs that were looked at.
    pub checked: u64,
    pub verdicts: VerdictCounts,
    /// How many accounts have each finding.
    pub findings: std::collections::BTreeMap<String, u64>,
    /// Accounts whose verdict or key is another than at the last check.
    pub changed: u64,
    /// Accounts that are gone since the last check of the whole directory.
    pub gone: u64,
    /// Deployed farms whose account the directory does not have; the first ones.
    pub farms_without_account: Vec<FarmName>,
    pub root_keys: RootKeys,
    pub domain_controllers: Vec<DcClock>,
    /// Workflows that ask a host to fetch a password that is due.
    pub nudges: Vec<WorkflowId>,
    pub warnings: Vec<String>,
    /// The directory is Farmhand's own small one, for trying out.
    pub embedded_directory: bool,
}

/// The forest's KDS root keys, as far as they are to be seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RootKeys {
    /// `null`: not even their container is to be seen.
    pub visible: Option<Vec<Uuid>>,
    /// What the next password of every account is made from; `null`: cannot be told.
    pub newest: Option<Uuid>,
    pub state: RootKeyState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RootKeyState {
    Usable,
    NotYetUsable,
    None,
    CannotSee,
}

/// A DC that was asked, and how its clock stands to ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DcClock {
    /// dNSHostName.
    pub name: String,
    /// How far its clock is ahead of ours, in seconds; `null`: it did not say.
    pub ahead_seconds: Option<i64>,
    /// Why it was not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// `result` of `nudge`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Nudged {
    /// One line for people.
    pub summary: String,
    /// sAMAccountName, with its `$`.
    pub account: String,
    /// Who was asked; `null`: it had rolled by itself before anybody was.
    pub host: Option<String>,
    pub before: KeyId,
    pub after: Option<KeyId>,
    /// Each writable DC, as it showed the new key.
    pub copies: Vec<NudgedCopy>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NudgedCopy {
    pub dc: String,
    pub key_id: KeyId,
    /// msDS-KeyVersionNumber; `null` where the DC does not compute it.
    pub key_version: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_stable_kebab_case_and_round_trip() {
        for verdict in RotationVerdict::ALL {
            assert_eq!(verdict.as_str().parse(), Ok(*verdict));
        }
        for code in FindingCode::ALL {
            assert_eq!(code.as_str().parse(), Ok(*code));
            assert!(
                code.as_str().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-' || byte == b'4')
            );
        }
        assert!("rolled".parse::<RotationVerdict>().is_err());
    }

    #[test]
    fn a_key_is_known_by_its_slot_and_root_key() {
        let key = KeyId { l0: 361, l1: 26, l2: 24, root_key: Uuid::from_u128(7) };
        assert_eq!(key.slot_number(), 370_520);
        assert_eq!(KeyId::of_slot(370_520, key.root_key), Some(key));
        assert_eq!(KeyId::of_slot(-1, Uuid::nil()), None);
    }

    #[test]
    fn counts_name_every_verdict_and_survive_json() {
        let mut counts = VerdictCounts::default();
        counts.add(RotationVerdict::Idle, 2);
        counts.add(RotationVerdict::CannotTell, 1);
        let json = serde_json::to_value(counts).expect("serialises");
        assert_eq!(
            (&json["idle"], &json["current"], &json["cannot-tell"]),
            (&2.into(), &0.into(), &1.into())
        );
        assert_eq!(serde_json::from_value::<VerdictCounts>(json).expect("reads"), counts);
        assert_eq!(counts.total(), 3);
    }
}
