//! What the attacker may know of an account's passwords, and until when it works.
//!
//! Being put out of the readers changes no key: who has read the password logs on with it until it
//! has rolled. And rolling is lazy: nothing rolls at the moment it is due, only when somebody who
//! may asks for the password from then on (MS-ADTS 3.1.1.4.5.39; seen on Samba).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, TimeDelta, Utc};
use directory::password_id::{ManagedPasswordId, Slot};
use domain::ManagedPasswordInterval;
use domain::containment::{Exposure, KeyId, KnownPassword};

/// For so long after the roll a DC accepts the password before (Samba; of Windows nothing is known).
const PREVIOUS_LIVES: TimeDelta = TimeDelta::minutes(5);

/// What a DC shows of one account's keys.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    /// msDS-ManagedPasswordId.
    pub current: Option<Vec<u8>>,
    /// msDS-ManagedPasswordPreviousId.
    pub previous: Option<Vec<u8>>,
    /// msDS-ManagedPasswordInterval.
    pub interval_days: Option<i64>,
}

/// Computed for a host that could read until `denied`, by the DC's clock at `now`.
pub fn exposure(keys: &Keys, denied: DateTime<Utc>, now: DateTime<Utc>) -> Exposure {
    let interval_days = keys.interval_days.and_then(|days| u32::try_from(days).ok());
    let interval = interval_days.and_then(|days| ManagedPasswordInterval::from_days(days.into()).ok());
    let current = keys.current.as_ref().and_then(|bytes| ManagedPasswordId::parse(bytes).ok());
    let unknown = Exposure {
        key_id: current.as_ref().map(key_id),
        exposed_key_id: keys.current.as_ref().map(|bytes| BASE64.encode(bytes)),
        interval_days,
        slot_start: current.as_ref().map(ManagedPasswordId::slot_start),
        known: known(keys, false),
        ends_at: None,
        assumptions: Vec::new(),
    };
    match (current, interval) {
        (Some(current), Some(interval)) => told(keys, &current, interval, denied, now, unknown),
        (None, _) => {
            because(unknown, "its key id cannot be read, so that nobody can tell from here when it rolls")
        }
        (_, None) => because(
            unknown,
            "its password interval is none that a DC can work with, so that it may never roll: replace the account",
        ),
    }
}

fn because(exposure: Exposure, why: &str) -> Exposure {
    Exposure { assumptions: vec![why.to_owned()], ..exposure }
}

fn known(keys: &Keys, next: bool) -> Vec<KnownPassword> {
    let previous = keys.previous.as_ref().map(|_| KnownPassword::Previous);
    let next = next.then_some(KnownPassword::Next);
    previous.into_iter().chain([KnownPassword::Current]).chain(next).collect()
}

fn told(
    keys: &Keys,
    current: &ManagedPasswordId,
    interval: ManagedPasswordInterval,
    denied: DateTime<Utc>,
    now: DateTime<Utc>,
    unknown: Exposure,
) -> Exposure {
    // The slot that was current at the denial is the last one that the host can have read.
    if current.slot_start() > denied {
        return rolled_since(keys, current, unknown);
    }
    let due = current.next_due(interval);
    let next = (current.window_opens(interval)..due).contains(&denied);
    let ends = if next { due + rollover(interval) } else { due };
    let mut assumptions = assumptions();
    if next {
        assumptions.push(
            "the host could read within the last five minutes before the roll, when a DC hands out the next password: \
             that one is known as well"
                .to_owned(),
        );
    }
    if now >= due {
        assumptions.push(format!(
            "it was due at {} and nobody who may has asked for it since: it works until somebody does \
             (Test-ADServiceAccount on a member host)",
            due.to_rfc3339()
        ));
    }
    Exposure { known: known(keys, next), ends_at: Some(ends), assumptions, ..unknown }
}

/// The host was denied when an older password was current.
fn rolled_since(keys: &Keys, current: &ManagedPasswordId, unknown: Exposure) -> Exposure {
    let previous = keys.previous.as_ref();
    Exposure {
        exposed_key_id: previous.map(|bytes| BASE64.encode(bytes)),
        known: vec![KnownPassword::Previous],
        ends_at: Some(current.slot_start() + PREVIOUS_LIVES),
        assumptions: vec![
            "the password has rolled since the host was denied: what it knew is the previous one at most, which a DC \
             accepts for five minutes after the roll"
                .to_owned(),
        ],
        ..unknown
    }
}

fn assumptions() -> Vec<String> {
    [
        "the host has read whatever it could read until it was denied",
        "a password rolls when somebody who may asks for it after it is due, not at that moment: an account that \
         nobody uses keeps the old one until then",
        "for five minutes after the roll the previous password is accepted (seen on Samba; Microsoft does not say)",
        "cutting the host off changes no key: nothing makes a gMSA roll before its time",
        "the times are those of the domain controller's clock",
    ]
    .map(str::to_owned)
    .to_vec()
}

fn rollover(interval: ManagedPasswordInterval) -> TimeDelta {
    TimeDelta::hours(interval.rollover_hours().into())
}

fn key_id(id: &ManagedPasswordId) -> KeyId {
    let slot: Slot = id.slot;
    KeyId { l0: slot.l0(), l1: slot.l1(), l2: slot.l2(), root_key: id.root_key }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }
    fn id(l0: u32, l1: u32, l2: u32) -> Vec<u8> {
        let id = ManagedPasswordId {
            slot: Slot::new(l0, l1, l2).expect("a slot"),
            root_key: uuid::Uuid::nil(),
            domain: "contoso.com".into(),
            forest: "contoso.com".into(),
            flags: 2,
            additional: vec![],
        };
        id.to_bytes()
    }
    /// Since 2026-11-21 22:00Z, due on 2026-12-21 22:00Z.
    fn keys(previous: bool) -> Keys {
        let previous = previous.then(|| id(364, 16, 7));
        Keys { current: Some(id(364, 18, 15)), previous, interval_days: Some(30) }
    }
    use KnownPassword::{Current, Next, Previous};

    #[test]
    fn what_is_known_and_until_when_it_works() {
        let cases = [
            (
                "in the middle",
                keys(true),
                "2026-12-01T12:00:00Z",
                vec![Previous, Current],
                "2026-12-21T22:00:00Z",
            ),
            ("a young account", keys(false), "2026-12-01T12:00:00Z", vec![Current], "2026-12-21T22:00:00Z"),
            (
                "six minutes before",
                keys(false),
                "2026-12-21T21:54:00Z",
                vec![Current],
                "2026-12-21T22:00:00Z",
            ),
            (
                "in the last five minutes",
                keys(true),
                "2026-12-21T21:55:00Z",
                vec![Previous, Current, Next],
                "2027-01-20T22:00:00Z",
            ),
            ("due and idle", keys(false), "2026-12-25T00:00:00Z", vec![Current], "2026-12-21T22:00:00Z"),
        ];
        for (what, keys, denied, known, ends) in cases {
            let told = exposure(&keys, at(denied), at(denied));
            assert_eq!((told.known, told.ends_at), (known, Some(at(ends))), "{what}");
            assert_eq!(told.slot_start, Some(at("2026-11-21T22:00:00Z")), "{what}");
        }
    }

    #[test]
    fn an_account_that_nobody_asks_for_keeps_the_old_password_and_that_is_said() {
        let denied = at("2026-12-25T00:00:00Z");
        let told = exposure(&keys(false), denied, denied);
        assert!(told.assumptions.iter().any(|text| text.contains("works until somebody does")), "{told:?}");
        let before = exposure(&keys(false), at("2026-12-01T00:00:00Z"), at("2026-12-01T00:00:00Z"));
        assert!(before.assumptions.iter().all(|text| !text.contains("works until somebody does")));
    }

    #[test]
    fn a_host_that_was_denied_before_the_roll_knows_the_previous_one_at_most() {
        let told = exposure(&keys(true), at("2026-11-20T00:00:00Z"), at("2026-12-01T00:00:00Z"));
        assert_eq!((told.known, told.ends_at), (vec![Previous], Some(at("2026-11-21T22:05:00Z"))));
        assert_eq!(told.exposed_key_id, Some(BASE64.encode(id(364, 16, 7))));
    }

    #[test]
    fn the_true_rollover_counts_and_not_the_days() {
        let keys = Keys { interval_days: Some(7), ..keys(false) };
        let now = at("2026-11-22T00:00:00Z");
        let ends = exposure(&keys, now, now).ends_at.expect("known");
        assert_eq!(ends - at("2026-11-21T22:00:00Z"), TimeDelta::hours(160), "16 slots of ten hours");
    }

    #[test]
    fn what_cannot_be_read_has_no_end() {
        let now = at("2026-12-01T00:00:00Z");
        for keys in [
            Keys { current: None, ..keys(true) },
            Keys { current: Some(b"garbage".to_vec()), ..keys(true) },
            Keys { interval_days: Some(0), ..keys(true) },
            Keys { interval_days: None, ..keys(true) },
            Keys { interval_days: Some(-1), ..keys(true) },
        ] {
            let told = exposure(&keys, now, now);
            assert_eq!((told.ends_at, told.assumptions.len()), (None, 1), "{keys:?}");
        }
    }
}
