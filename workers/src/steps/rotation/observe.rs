//! What is read of an account, decoded: its own attributes, and what each DC's copy shows.

use chrono::{DateTime, Utc};
use directory::{Entry, ManagedPasswordId, ReaderDescriptor};
use domain::{Dn, Sid};

use crate::steps::gmsa::READERS;
use crate::steps::gmsa::fields::{CONTROL, DISABLED, ENCRYPTION};

const KEY: &str = "msDS-ManagedPasswordId";
const INTERVAL: &str = "msDS-ManagedPasswordInterval";
const LOGON: &str = "lastLogon";

/// Of every account.
pub const ATTRIBUTES: [&str; 10] = [
    "objectSid",
    "sAMAccountName",
    CONTROL,
    KEY,
    INTERVAL,
    READERS,
    ENCRYPTION,
    "pwdLastSet",
    "lastLogonTimestamp",
    LOGON,
];

/// What another DC is asked for besides: the rest of its copy says the same.
pub const COPY_ATTRIBUTES: [&str; 3] = ["objectSid", KEY, LOGON];

/// A gMSA as the DC that the check is pinned to shows it.
#[derive(Debug, Clone)]
pub struct Account {
    pub dn: Dn,
    pub sid: Sid,
    /// sAMAccountName, with its `$`.
    pub name: String,
    /// msDS-ManagedPasswordInterval, whatever stands there.
    pub days: Option<i64>,
    pub enabled: bool,
    /// msDS-SupportedEncryptionTypes; absent and 0 mean the same.
    pub encryption: i64,
    pub readers: Readers,
    pub password_set: Option<DateTime<Utc>>,
    /// Replicated, and up to two weeks late.
    pub last_logon_anywhere: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone)]
pub enum Readers {
    /// Not there, or not to be seen by us: a DC fails every read of the password.
    Absent,
    Broken(String),
    List(ReaderDescriptor),
}

/// What one DC's own copy shows, by its own clock.
#[derive(Debug, Clone)]
pub struct DcCopy {
    pub dc: String,
    pub now: DateTime<Utc>,
    pub key: Key,
    /// Kept by each DC for itself.
    pub last_logon: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// The DC has no such account yet, or does not let us see the attribute.
    Missing,
    Broken(String),
    Id(ManagedPasswordId),
}

impl Account {
    /// `None` for what no DC answers: an object without a SID.
    pub fn of(entry: &Entry) -> Option<Self> {
        let name = entry.text("sAMAccountName").unwrap_or(&entry.dn.rdn().value).to_owned();
        let readers = match entry.bytes(READERS).map(ReaderDescriptor::from_bytes) {
            None => Readers::Absent,
            Some(Ok(descriptor)) => Readers::List(descriptor),
            Some(Err(error)) => Readers::Broken(error.to_string()),
        };
        Some(Self {
            dn: entry.dn.clone(),
            sid: entry.sid("objectSid")?,
            name,
            days: entry.int(INTERVAL),
            enabled: entry.int(CONTROL).is_none_or(|control| control & DISABLED == 0),
            encryption: entry.int(ENCRYPTION).unwrap_or(0),
            readers,
            password_set: time(entry, "pwdLastSet"),
            last_logon_anywhere: time(entry, "lastLogonTimestamp"),
        })
    }
}

impl DcCopy {
    pub fn of(dc: &str, now: DateTime<Utc>, entry: &Entry) -> Self {
        let key = match entry.bytes(KEY).map(ManagedPasswordId::parse) {
            None => Key::Missing,
            Some(Ok(id)) => Key::Id(id),
            Some(Err(error)) => Key::Broken(error.to_string()),
        };
        Self { dc: dc.to_owned(), now, key, last_logon: time(entry, LOGON) }
    }

    /// A DC that has no such account.
    pub fn missing(dc: &str, now: DateTime<Utc>) -> Self {
        Self { dc: dc.to_owned(), now, key: Key::Missing, last_logon: None }
    }

    pub fn id(&self) -> Option<&ManagedPasswordId> {
        match &self.key {
            Key::Id(id) => Some(id),
            Key::Missing | Key::Broken(_) => None,
        }
    }
}

/// Ticks of 100 ns since 1601; 0 is "never".
fn time(entry: &Entry, attribute: &str) -> Option<DateTime<Utc>> {
    let ticks = entry.int(attribute).filter(|ticks| *ticks > 0)?;
    DateTime::from_timestamp_micros(ticks / 10 - 11_644_473_600_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing;

    #[test]
    fn attributes_are_decoded_and_what_cannot_be_is_kept_as_such() {
        let entry = testing::account(&[
            (KEY, vec![b"no id".to_vec()]),
            (CONTROL, vec![b"4098".to_vec()]),
            (LOGON, vec![b"0".to_vec()]),
            ("pwdLastSet", vec![b"134000000000000000".to_vec()]),
        ]);
        let account = Account::of(&entry).expect("an account");
        assert_eq!((account.name.as_str(), account.days, account.enabled), ("ITFarm1$", Some(30), false));
        assert_eq!(
            account.password_set.map(|t| t.to_rfc3339()).as_deref(),
            Some("2025-08-18T14:13:20+00:00")
        );
        assert!(matches!(account.readers, Readers::List(_)));
        let copy = DcCopy::of("dc1", DateTime::UNIX_EPOCH, &entry);
        assert!(matches!(copy.key, Key::Broken(_)) && copy.last_logon.is_none());
        let bare = Account::of(&testing::account(&[(READERS, vec![]), (ENCRYPTION, vec![])])).expect("one");
        assert!(matches!(bare.readers, Readers::Absent) && bare.encryption == 0);
        assert!(Account::of(&testing::account(&[("objectSid", vec![])])).is_none());
    }
}
