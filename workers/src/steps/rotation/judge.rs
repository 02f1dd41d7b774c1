//! From what DCs show of an account to a verdict on its password: pure, and honest about lazy rolling.
//!
//! A DC rolls a password when somebody who may reads it after it is due, and not before. So a
//! password past its time proves nothing by itself; only what shows that somebody did ask, or that
//! nobody could be answered, does.

use chrono::{DateTime, TimeDelta, Utc};
use directory::ManagedPasswordId;
use domain::RotationVerdict;
use domain::rotation::{RootKeyState, RootKeys};

use super::observe::{Account, DcCopy, Key, Readers};

/// The longest interval that a DC was seen to work with.
const MAX_DAYS: i64 = 9_999;
/// Length of a slot of the key distribution service.
const SLOT: TimeDelta = TimeDelta::hours(10);
/// From then on a DC hands out the next password.
const WINDOW: TimeDelta = TimeDelta::minutes(5);
/// Kerberos works between clocks that are this far apart.
pub const SKEW: TimeDelta = TimeDelta::minutes(5);

/// What is known besides the account itself.
#[derive(Debug, Clone)]
pub struct Around {
    /// Every writable DC of the domain was asked.
    pub every_dc: bool,
    /// DCs that were to be asked and did not answer.
    pub silent: Vec<String>,
    pub root_keys: RootKeys,
    /// How far the clocks of the DCs, or theirs and ours, are apart.
    pub clocks_apart: TimeDelta,
}

/// What was concluded.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    pub verdict: RotationVerdict,
    /// Holds no time that runs on: as long as nothing changes it says the same.
    pub why: String,
    /// The newest key that a DC shows.
    pub key: Option<ManagedPasswordId>,
    pub rollover: Option<TimeDelta>,
    pub next_due: Option<DateTime<Utc>>,
}

pub fn judge(account: &Account, copies: &[DcCopy], around: &Around) -> Judged {
    let key = copies.iter().filter_map(DcCopy::id).max_by_key(|id| id.slot).cloned();
    let rollover = account.days.and_then(rollover);
    let next_due =
        key.as_ref().zip(rollover).and_then(|(key, life)| key.slot_start().checked_add_signed(life));
    let (verdict, why) = match (cannot_roll(&account.readers), account.days, &key, rollover.zip(next_due)) {
        (Some(why), ..) => (RotationVerdict::Never, why),
        (None, Some(days), ..) if days < 1 => (
            RotationVerdict::Never,
            format!("its interval is {days} days, with which a DC fails every read of the password"),
        ),
        (None, _, None, _) => (RotationVerdict::CannotTell, no_key(copies)),
        (None, None, ..) => (RotationVerdict::CannotTell, "its interval cannot be read".to_owned()),
        (None, Some(days), Some(_), None) => {
            (RotationVerdict::CannotTell, format!("no DC is known to work with an interval of {days} days"))
        }
        (None, Some(_), Some(key), Some((life, due))) => {
            by_time(account, copies, around, &Time { key, life, due })
        }
    };
    Judged { verdict, why, key, rollover, next_due }
}

/// The true life of a password: `floor(days * 24 / 10)` slots of ten hours.
fn rollover(days: i64) -> Option<TimeDelta> {
    let slots = i32::try_from(days * 24 / 10).ok()?;
    (1..=MAX_DAYS).contains(&days).then(|| SLOT * slots)
}

/// Why no read can ever make it roll.
fn cannot_roll(readers: &Readers) -> Option<String> {
    match readers {
        Readers::Absent => {
            Some("it has no reader descriptor (or we may not see it): every read fails".to_owned())
        }
        Readers::Broken(error) => {
            Some(format!("its reader descriptor is broken, so every read fails: {error}"))
        }
        Readers::List(list) if !list.may_let_somebody_read() => {
            Some("nobody may read its password, so nobody makes it roll".to_owned())
        }
        Readers::List(_) => None,
    }
}

fn no_key(copies: &[DcCopy]) -> String {
    let broken = copies.iter().find_map(|copy| match &copy.key {
        Key::Broken(error) => Some(format!("its key id on {} cannot be understood: {error}", copy.dc)),
        Key::Missing | Key::Id(_) => None,
    });
    broken.unwrap_or_else(|| match copies.first() {
        Some(copy) => format!("{} shows no key id of it (or we may not see it)", copy.dc),
        None => "no DC answered".to_owned(),
    })
}

/// The newest key, how long it lives, and until when.
struct Time<'a> {
    key: &'a ManagedPasswordId,
    life: TimeDelta,
    due: DateTime<Utc>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The slot has not begun by this DC's clock.
    Ahead,
    Current,
    Window,
    Due,
}

impl Time<'_> {
    fn phase(&self, now: DateTime<Utc>) -> Phase {
        match now {
            now if now + SKEW < self.key.slot_start() => Phase::Ahead,
            now if now < self.due - WINDOW => Phase::Current,
            now if now < self.due => Phase::Window,
            _ => Phase::Due,
        }
    }
}

/// By each DC's own clock, since each rolls by its own.
fn by_time(
    account: &Account,
    copies: &[DcCopy],
    around: &Around,
    time: &Time<'_>,
) -> (RotationVerdict, String) {
    let due = moment(time.due);
    let with_key = copies.iter().filter(|copy| copy.id() == Some(time.key));
    let with_key: Vec<_> = with_key.map(|copy| (copy, time.phase(copy.now))).collect();
    let Some((first, phase)) = with_key.first().copied() else {
        return (RotationVerdict::CannotTell, no_key(copies));
    };
    if phase == Phase::Ahead {
        let why = format!(
            "its key is of the slot that begins at {}, which {} has not reached by its clock",
            moment(time.key.slot_start()),
            first.dc
        );
        return (RotationVerdict::CannotTell, why);
    }
    if let Some((other, _)) = with_key.iter().find(|(_, other)| *other != phase)
        && around.clocks_apart > SKEW
    {
        let why = format!(
            "the clocks of the DCs are apart: by those of {} and {} it stands differently to its due time {due}",
            first.dc, other.dc
        );
        return (RotationVerdict::CannotTell, why);
    }
    let behind: Vec<_> = copies
        .iter()
        .filter(|copy| copy.id().is_some_and(|id| id != time.key))
        .map(|copy| &*copy.dc)
        .collect();
    if phase != Phase::Due && !behind.is_empty() {
        let why = format!("it rolled on {}; {} still shows an older key", first.dc, behind.join(", "));
        return (RotationVerdict::Rolling, why);
    }
    match phase {
        Phase::Ahead | Phase::Current => (RotationVerdict::Current, format!("due at {due}")),
        Phase::Window => (RotationVerdict::Rolling, format!("due at {due}: DCs hand out the next password")),
        Phase::Due => past_due(account, &with_key, around, time),
    }
}

fn past_due(
    account: &Account,
    copies: &[(&DcCopy, Phase)],
    around: &Around,
    time: &Time<'_>,
) -> (RotationVerdict, String) {
    let due = moment(time.due);
    let late = |at: &DateTime<Utc>| *at > time.due + SKEW;
    let seen = copies.iter().find_map(|(copy, _)| Some((&copy.dc, copy.last_logon.filter(late)?)));
    if let Some((dc, at)) = seen {
        let why =
            format!("due at {due}; {dc} logged it on at {}, and its key there is as it was", moment(at));
        return (RotationVerdict::Overdue, why);
    }
    // A logon that another DC tells of counts only where that DC was asked: it may have rolled it.
    let anywhere = account.last_logon_anywhere.filter(late);
    if let Some(at) = anywhere.filter(|_| around.every_dc && around.silent.is_empty()) {
        let why =
            format!("due at {due}; it logged on at {}, and every DC shows the key as it was", moment(at));
        return (RotationVerdict::Overdue, why);
    }
    if matches!(around.root_keys.state, RootKeyState::None | RootKeyState::NotYetUsable) {
        let why = format!("due at {due}, and no KDS root key can be used to make the next password");
        return (RotationVerdict::Overdue, why);
    }
    let asked = match (around.every_dc && around.silent.is_empty(), copies.first()) {
        (false, Some((copy, _))) => format!("by the copy of {}", copy.dc),
        _ => "on every DC".to_owned(),
    };
    let missed = copies.iter().all(|(copy, _)| copy.now >= time.due + time.life);
    if missed {
        let why = format!("due at {due}, and nobody asked for it in a whole interval since, {asked}");
        return (RotationVerdict::Idle, why);
    }
    (RotationVerdict::Due, format!("due at {due}, and nobody has asked for it since, {asked}"))
}

/// To the minute; slots begin at full hours.
pub fn moment(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%MZ").to_string()
}

#[cfg(test)]
#[path = "judge_tests.rs"]
pub(super) mod tests;
