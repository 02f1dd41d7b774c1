//! Every verdict, from the sample vectors of real accounts.

use directory::ReaderDescriptor;
use directory::password_id::Slot;
use domain::RotationVerdict::{self, CannotTell, Current, Due, Idle, Never, Overdue, Rolling};
use uuid::Uuid;

use super::*;
use crate::steps::testing::{dn, sid};

pub fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

pub fn key(l0: u32, l1: u32, l2: u32) -> ManagedPasswordId {
    ManagedPasswordId {
        slot: Slot::new(l0, l1, l2).expect("a slot"),
        root_key: Uuid::from_u128(1),
        domain: "contoso.com".to_owned(),
        forest: "contoso.com".to_owned(),
        flags: 2,
        additional: Vec::new(),
    }
}

/// Since 2023-09-09 08:00, with 30 days due at 2023-10-09 08:00.
pub fn september() -> ManagedPasswordId {
    key(361, 26, 24)
}

pub fn account() -> Account {
    Account {
        dn: dn("CN=ITFarm1,CN=Managed Service Accounts,DC=contoso,DC=com"),
        sid: sid(1300),
        name: "ITFarm1$".to_owned(),
        days: Some(30),
        enabled: true,
        encryption: 24,
        readers: Readers::List(ReaderDescriptor::allowing([&sid(1200)])),
        password_set: None,
        last_logon_anywhere: None,
    }
}

pub fn copy(dc: &str, now: &str, key: ManagedPasswordId) -> DcCopy {
    DcCopy { dc: dc.to_owned(), now: at(now), key: Key::Id(key), last_logon: None }
}

pub fn around() -> Around {
    Around {
        every_dc: true,
        silent: Vec::new(),
        root_keys: RootKeys {
            visible: Some(vec![Uuid::from_u128(1)]),
            newest: Some(Uuid::from_u128(1)),
            state: RootKeyState::Usable,
        },
        clocks_apart: TimeDelta::zero(),
    }
}

fn verdict(account: &Account, copies: &[DcCopy], around: &Around) -> RotationVerdict {
    let judged = judge(account, copies, around);
    assert!(!judged.why.is_empty());
    judged.verdict
}

#[test]
fn a_password_runs_through_its_life_by_the_dcs_clock() {
    for (now, expected) in [
        ("2023-09-09T08:00:00Z", Current),
        ("2023-10-09T07:54:59Z", Current),
        ("2023-10-09T07:55:00Z", Rolling),
        ("2023-10-09T07:59:59Z", Rolling),
        ("2023-10-09T08:00:00Z", Due),
        // One whole interval of 72 slots later.
        ("2023-11-08T07:59:59Z", Due),
        ("2023-11-08T08:00:00Z", Idle),
        ("2031-01-01T00:00:00Z", Idle),
    ] {
        assert_eq!(verdict(&account(), &[copy("dc1", now, september())], &around()), expected, "{now}");
    }
}

#[test]
fn due_times_are_those_of_real_accounts_and_counted_in_slots() {
    for (days, id, due) in [
        (30, key(361, 26, 24), "2023-10-09T08:00:00Z"),
        (30, key(362, 1, 14), "2024-01-06T12:00:00Z"),
        (15, key(364, 18, 15), "2026-12-06T22:00:00Z"),
        (1, key(360, 16, 3), "2022-02-18T10:00:00Z"),
        (2, key(360, 16, 3), "2022-02-19T06:00:00Z"),
        (7, key(360, 16, 3), "2022-02-24T06:00:00Z"),
    ] {
        let account = Account { days: Some(days), ..account() };
        let judged = judge(&account, &[copy("dc1", "2022-02-17T14:00:00Z", id)], &around());
        assert_eq!(judged.next_due, Some(at(due)), "{days} days");
    }
}

#[test]
fn a_one_day_interval_is_due_after_twenty_hours() {
    let account = Account { days: Some(1), ..account() };
    let judged = |now: &str| judge(&account, &[copy("dc1", now, key(360, 16, 3))], &around());
    assert_eq!(judged("2022-02-18T09:54:00Z").verdict, Current);
    assert_eq!(judged("2022-02-18T10:00:00Z").verdict, Due);
    assert_eq!(judged("2022-02-18T10:00:00Z").rollover, Some(TimeDelta::hours(20)));
}

#[test]
fn what_nobody_can_read_never_rolls() {
    let mut denied = ReaderDescriptor::allowing([]);
    denied.deny(&sid(1));
    for (what, readers) in [
        ("absent", Readers::Absent),
        ("broken", Readers::Broken("3 bytes are too few".to_owned())),
        ("empty", Readers::List(ReaderDescriptor::allowing([]))),
        ("only denies", Readers::List(denied)),
    ] {
        let account = Account { readers, ..account() };
        for now in ["2023-09-10T00:00:00Z", "2023-12-10T00:00:00Z"] {
            assert_eq!(verdict(&account, &[copy("dc1", now, september())], &around()), Never, "{what} {now}");
        }
    }
    let account = Account { days: Some(0), ..account() };
    assert_eq!(verdict(&account, &[copy("dc1", "2023-09-10T00:00:00Z", september())], &around()), Never);
}

#[test]
fn what_was_not_seen_is_not_guessed() {
    let now = "2023-09-10T00:00:00Z";
    let seen = |key: Key| DcCopy { key, ..copy("dc1", now, september()) };
    let with_days = |days| Account { days, ..account() };
    for (what, account, copies) in [
        ("no DC", account(), vec![]),
        ("no key", account(), vec![seen(Key::Missing)]),
        ("a broken key", account(), vec![seen(Key::Broken("no magic".to_owned()))]),
        ("no interval", with_days(None), vec![seen(Key::Id(september()))]),
        ("a mad interval", with_days(Some(2_147_483_647)), vec![seen(Key::Id(september()))]),
        ("a key of the future", account(), vec![seen(Key::Id(key(361, 27, 0)))]),
    ] {
        assert_eq!(verdict(&account, &copies, &around()), CannotTell, "{what}");
    }
    // Another DC's copy is as good.
    let copies = [seen(Key::Missing), copy("dc2", now, september())];
    assert_eq!(verdict(&account(), &copies, &around()), Current);
}

#[test]
fn overdue_needs_evidence() {
    let now = "2023-10-20T00:00:00Z";
    let logon = |text: &str| DcCopy { last_logon: Some(at(text)), ..copy("dc1", now, september()) };
    // Within the skew of the clocks it proves nothing.
    assert_eq!(verdict(&account(), &[logon("2023-10-09T08:04:00Z")], &around()), Due);
    assert_eq!(verdict(&account(), &[logon("2023-10-09T08:06:00Z")], &around()), Overdue);

    let anywhere = Account { last_logon_anywhere: Some(at("2023-10-12T00:00:00Z")), ..account() };
    let copies = [copy("dc1", now, september())];
    assert_eq!(verdict(&anywhere, &copies, &around()), Overdue);
    for unsure in
        [Around { every_dc: false, ..around() }, Around { silent: vec!["dc2".to_owned()], ..around() }]
    {
        assert_eq!(verdict(&anywhere, &copies, &unsure), Due, "the DC that saw it may have rolled it");
    }
    for state in [RootKeyState::None, RootKeyState::NotYetUsable] {
        let keys = RootKeys { state, ..around().root_keys };
        assert_eq!(verdict(&account(), &copies, &Around { root_keys: keys, ..around() }), Overdue);
    }
    let keys = RootKeys { state: RootKeyState::CannotSee, ..around().root_keys };
    assert_eq!(verdict(&account(), &copies, &Around { root_keys: keys, ..around() }), Due);
}

#[test]
fn a_roll_on_its_way_between_dcs_is_rolling() {
    let now = "2023-10-09T09:00:00Z";
    let rolled = key(361, 29, 0);
    assert_eq!(rolled.slot_start(), at("2023-10-09T08:00:00Z"));
    let copies = [copy("dc1", now, september()), copy("dc2", now, rolled.clone())];
    let judged = judge(&account(), &copies, &around());
    assert_eq!((judged.verdict, judged.key), (Rolling, Some(rolled)));
    assert!(judged.why.contains("rolled on dc2; dc1 still"), "{}", judged.why);
}

#[test]
fn dcs_whose_clocks_differ_do_not_make_a_verdict() {
    let copies =
        [copy("dc1", "2023-10-09T07:30:00Z", september()), copy("dc2", "2023-10-09T08:30:00Z", september())];
    let apart = Around { clocks_apart: TimeDelta::hours(1), ..around() };
    let judged = judge(&account(), &copies, &apart);
    assert_eq!(judged.verdict, CannotTell);
    assert!(judged.why.contains("dc1 and dc2"), "{}", judged.why);
    // Far from the due time it makes no difference.
    let copies =
        [copy("dc1", "2023-09-20T07:30:00Z", september()), copy("dc2", "2023-09-20T08:30:00Z", september())];
    assert_eq!(verdict(&account(), &copies, &apart), Current);
}

#[test]
fn one_dcs_word_is_said_to_be_one_dcs() {
    let copies = [copy("dc1", "2023-10-20T00:00:00Z", september())];
    let judged = judge(&account(), &copies, &Around { every_dc: false, ..around() });
    assert!(judged.verdict == Due && judged.why.ends_with("by the copy of dc1"), "{}", judged.why);
    assert!(judge(&account(), &copies, &around()).why.ends_with("on every DC"));
}
