//! The life of a password that others know, judged by what each DC shows.

use chrono::{DateTime, TimeDelta, Utc};
use directory::{Entry, ManagedPasswordId};
use domain::containment::KeyId;
use domain::{Dn, ErrorCode, ManagedPasswordInterval};

use crate::StepError;

/// What is read of the account on each DC.
pub const ATTRIBUTES: [&str; 6] = [
    "objectClass",
    "sAMAccountName",
    "msDS-ManagedPasswordId",
    "msDS-ManagedPasswordInterval",
    "pwdLastSet",
    "msDS-GroupMSAMembership",
];

/// The password that is out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    pub id: ManagedPasswordId,
    /// The one after it, too: a DC had handed it out in the last five minutes.
    pub next: bool,
}

impl Known {
    /// When the last password that is known is due. Rolling is lazy, so it may live longer.
    pub fn ends_at(&self, interval: ManagedPasswordInterval) -> DateTime<Utc> {
        let due = self.id.next_due(interval);
        if self.next { due + TimeDelta::hours(interval.rollover_hours().into()) } else { due }
    }
}

/// One DC's copy of the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    pub dn: Dn,
    pub account: String,
    pub interval: ManagedPasswordInterval,
    pub id: ManagedPasswordId,
    /// When this DC, or the one it has it from, made the password.
    pub set_at: Option<DateTime<Utc>>,
}

impl Copy {
    pub fn of(dc: &str, entry: &Entry) -> Result<Self, StepError> {
        let unclear = |what: &str| {
            StepError::fail(
                ErrorCode::DirectoryMalformed,
                format!("{what} of {} cannot be read on {dc}, so its roll cannot be seen", entry.dn),
                "replace the account instead (`farmhand recover` with FARM=replace)",
            )
        };
        let days = entry.int("msDS-ManagedPasswordInterval");
        let interval = days.and_then(|days| ManagedPasswordInterval::from_days(days).ok());
        let id = entry.bytes("msDS-ManagedPasswordId").and_then(|id| ManagedPasswordId::parse(id).ok());
        Ok(Self {
            dn: entry.dn.clone(),
            account: entry.text("sAMAccountName").unwrap_or(&entry.dn.rdn().value).to_owned(),
            interval: interval.ok_or_else(|| unclear("msDS-ManagedPasswordInterval"))?,
            id: id.ok_or_else(|| unclear("msDS-ManagedPasswordId"))?,
            set_at: entry.file_time("pwdLastSet"),
        })
    }
}

/// Where the known password stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// No DC has the account any more.
    Gone,
    NotDue {
        ends_at: DateTime<Utc>,
    },
    /// It may go at any moment, and these DCs have not let it go yet.
    Due {
        ends_at: DateTime<Utc>,
        still: Vec<String>,
    },
    /// Every DC has another. `set_at`: since when, where they all say.
    Rolled {
        key_id: KeyId,
        set_at: Option<DateTime<Utc>>,
    },
}

/// By the copies of the DCs that answered; `None`: it has no such account.
pub fn standing(copies: &[(String, Option<Copy>)], known: &Known, now: DateTime<Utc>) -> Standing {
    let present: Vec<_> = copies.iter().filter_map(|(dc, copy)| Some((dc, copy.as_ref()?))).collect();
    let Some((_, first)) = present.first() else { return Standing::Gone };
    let ends_at = known.ends_at(first.interval);
    let lives = |copy: &Copy| copy.id.slot_start() < ends_at;
    let still: Vec<_> = present.iter().filter(|(_, copy)| lives(copy)).map(|(dc, _)| (*dc).clone()).collect();
    if still.is_empty() {
        let newest = present.iter().map(|(_, copy)| *copy).max_by_key(|copy| copy.id.slot).unwrap_or(first);
        let moments: Option<Vec<_>> = present.iter().map(|(_, copy)| copy.set_at).collect();
        return Standing::Rolled {
            key_id: key_id(&newest.id),
            set_at: moments.and_then(|moments| moments.into_iter().max()),
        };
    }
    match now < ends_at {
        true => Standing::NotDue { ends_at },
        false => Standing::Due { ends_at, still },
    }
}

fn key_id(id: &ManagedPasswordId) -> KeyId {
    KeyId { l0: id.slot.l0(), l1: id.slot.l1(), l2: id.slot.l2(), root_key: id.root_key }
}

#[cfg(test)]
mod tests {
    use directory::password_id::Slot;

    use super::*;
    use crate::steps::testing::dn;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("a valid time")
    }
    fn id(l2: u32) -> ManagedPasswordId {
        ManagedPasswordId {
            slot: Slot::new(361, 26, l2).expect("valid"),
            root_key: uuid::Uuid::from_u128(7),
            domain: "contoso.com".into(),
            forest: "contoso.com".into(),
            flags: 2,
            additional: vec![],
        }
    }
    /// An interval of two slots; (361, 26, 24) starts on 9 September 2023 at 08:00.
    fn copy(l2: u32, set_at: Option<&str>) -> Option<Copy> {
        let interval = ManagedPasswordInterval::from_days(1).expect("valid");
        let (dn, set_at) = (dn("CN=F,DC=contoso,DC=com"), set_at.map(at));
        Some(Copy { dn, account: "F$".into(), interval, id: id(l2), set_at })
    }
    fn known(next: bool) -> Known {
        Known { id: id(24), next }
    }
    fn seen(copies: &[Option<Copy>], next: bool, now: &str) -> Standing {
        let named = copies.iter().enumerate().map(|(at, copy)| (format!("dc{}", at + 1), copy.clone()));
        standing(&named.collect::<Vec<_>>(), &known(next), at(now))
    }

    const DUE: &str = "2023-09-10T04:00:00Z";

    #[test]
    fn a_password_lives_at_least_until_it_is_due() {
        let ends_at = at(DUE);
        let before = seen(&[copy(24, None)], false, "2023-09-10T03:59:59Z");
        assert_eq!(before, Standing::NotDue { ends_at });
        let after = seen(&[copy(24, None)], false, "2023-09-10T04:00:00Z");
        assert_eq!(after, Standing::Due { ends_at, still: vec!["dc1".into()] });
    }

    #[test]
    fn one_dc_that_has_not_let_it_go_is_one_too_many() {
        let standing = seen(&[copy(26, None), copy(24, None)], false, "2023-09-12T00:00:00Z");
        assert_eq!(standing, Standing::Due { ends_at: at(DUE), still: vec!["dc2".into()] });
        let rolled = seen(&[copy(26, Some(DUE)), copy(28, Some("2023-09-11T00:00:00Z"))], false, DUE);
        let Standing::Rolled { key_id, set_at } = rolled else { panic!("{rolled:?}") };
        assert_eq!((key_id.l2, set_at), (28, Some(at("2023-09-11T00:00:00Z"))));
    }

    #[test]
    fn where_the_next_one_is_known_too_its_end_counts() {
        let ends_at = at("2023-09-11T00:00:00Z");
        assert_eq!(seen(&[copy(26, None)], true, DUE), Standing::NotDue { ends_at });
        assert!(matches!(seen(&[copy(28, None)], true, DUE), Standing::Rolled { set_at: None, .. }));
    }

    #[test]
    fn a_copy_that_is_older_still_is_no_roll() {
        let standing = seen(&[copy(22, None)], false, "2023-09-12T00:00:00Z");
        assert!(matches!(standing, Standing::Due { .. }), "a DC that lags: {standing:?}");
    }

    #[test]
    fn an_account_that_no_dc_has_is_gone_and_one_that_some_have_is_judged_by_those() {
        assert_eq!(seen(&[None, None], false, DUE), Standing::Gone);
        assert!(matches!(seen(&[None, copy(24, None)], false, DUE), Standing::Due { .. }));
        assert!(matches!(seen(&[None, copy(26, None)], false, DUE), Standing::Rolled { .. }));
    }
}
