//! Every finding, and that a healthy account has none.

use chrono::TimeDelta;
use directory::ReaderDescriptor;
use directory::preflight::{GroupScope, PrincipalKind};
use domain::rotation::RootKeys;
use domain::{FarmName, Sid};
use uuid::Uuid;

use super::super::judge::judge;
use super::super::judge::tests::{account, around, copy, key, september};
use super::super::readers::Known;
use super::*;
use crate::steps::testing::{dn, sid};

fn group(security: bool) -> Known {
    let kind = PrincipalKind::Group { security, scope: GroupScope::Global };
    Known { name: "ITFarmHosts".to_owned(), dn: dn("CN=ITFarmHosts,DC=contoso,DC=com"), kind }
}

fn names(security: bool) -> Names {
    Names::with([(sid(1200), Some(group(security))), (sid(1999), None)])
}

/// A scene that a case changes in one place.
struct Scene {
    account: Account,
    copies: Vec<DcCopy>,
    around: Around,
    names: Names,
    record: Option<OnRecord>,
}

fn scene() -> Scene {
    let copies = vec![copy("dc1", "2023-09-20T00:00:00Z", september())];
    Scene { account: account(), copies, around: around(), names: names(true), record: None }
}

fn found(scene: &Scene) -> Vec<RotationFinding> {
    let judged = judge(&scene.account, &scene.copies, &scene.around);
    findings(&Facts {
        account: &scene.account,
        copies: &scene.copies,
        judged: &judged,
        around: &scene.around,
        names: &scene.names,
        record: scene.record.as_ref(),
        max_interval_days: 30,
    })
}

fn codes(change: impl FnOnce(&mut Scene)) -> Vec<Code> {
    let mut scene = scene();
    change(&mut scene);
    found(&scene).into_iter().map(|finding| finding.code).collect()
}

fn reads(sids: &[Sid]) -> Readers {
    Readers::List(ReaderDescriptor::allowing(sids))
}

#[test]
fn a_healthy_account_has_no_finding() {
    assert_eq!(codes(|_| {}), []);
}

#[test]
fn what_is_wrong_with_the_readers_is_found() {
    let everyone: Sid = "S-1-1-0".parse().expect("a SID");
    let mut null = vec![1, 0, 4, 0x80];
    null.resize(20, 0);
    let null = ReaderDescriptor::from_bytes(&null).expect("a descriptor");
    for (what, readers, expected) in [
        ("absent", Readers::Absent, Code::NoReaderDescriptor),
        ("broken", Readers::Broken("no".to_owned()), Code::ReaderDescriptorBroken),
        ("empty", reads(&[]), Code::NobodyMayRead),
        ("everyone", reads(&[everyone, sid(1200)]), Code::BroadReader),
        ("domain computers", reads(&[sid(515)]), Code::BroadReader),
        ("a NULL list", Readers::List(null), Code::BroadReader),
        ("an orphan", reads(&[sid(1200), sid(1999)]), Code::OrphanReader),
    ] {
        assert_eq!(codes(|scene| scene.account.readers = readers), [expected], "{what}");
    }
    assert_eq!(codes(|scene| scene.names = names(false)), [Code::DistributionGroupReader]);
    assert_eq!(codes(|scene| scene.account.enabled = false), [Code::DisabledYetReadable]);
    // Another domain's SID is not looked up here, so it is no orphan.
    let other: Sid = "S-1-5-21-9-9-9-1000".parse().expect("a SID");
    assert_eq!(codes(|scene| scene.account.readers = reads(&[other])), []);
}

#[test]
fn weak_encryption_and_bad_intervals_are_found() {
    for (bits, expected) in [
        (28, vec![Code::Rc4Allowed]),
        (3, vec![Code::DesAllowed]),
        (31, vec![Code::Rc4Allowed, Code::DesAllowed]),
        (0, vec![Code::EncryptionUnset]),
        (0x2_0000, vec![Code::EncryptionUnset]),
        (0x2_0018, vec![]),
    ] {
        assert_eq!(codes(|scene| scene.account.encryption = bits), expected, "{bits:#x}");
    }
    for (days, expected) in [
        (30, vec![]),
        (31, vec![Code::IntervalOverPolicy]),
        (0, vec![Code::IntervalInvalid]),
        (2_147_483_647, vec![Code::IntervalInvalid]),
    ] {
        assert_eq!(codes(|scene| scene.account.days = Some(days)), expected, "{days}");
    }
}

#[test]
fn root_keys_are_judged_as_far_as_they_are_seen() {
    let keys = |visible: Option<Vec<u128>>, newest: Option<u128>, state| RootKeys {
        visible: visible.map(|ids| ids.into_iter().map(Uuid::from_u128).collect()),
        newest: newest.map(Uuid::from_u128),
        state,
    };
    for (what, keys, expected) in [
        ("hidden", keys(None, None, RootKeyState::CannotSee), vec![]),
        ("old", keys(Some(vec![1, 2]), Some(2), RootKeyState::Usable), vec![Code::OldRootKey]),
        ("old by evidence", keys(None, Some(2), RootKeyState::CannotSee), vec![Code::OldRootKey]),
        ("gone", keys(Some(vec![2]), Some(2), RootKeyState::Usable), vec![Code::RootKeyMissing]),
        (
            "none",
            keys(Some(vec![]), None, RootKeyState::None),
            vec![Code::NoUsableRootKey, Code::RootKeyMissing],
        ),
        ("too young", keys(Some(vec![1]), None, RootKeyState::NotYetUsable), vec![Code::NoUsableRootKey]),
    ] {
        assert_eq!(codes(|scene| scene.around.root_keys = keys), expected, "{what}");
    }
    let mut scene = scene();
    scene.around.root_keys.newest = Some(Uuid::from_u128(2));
    let old = found(&scene).pop().expect("a finding");
    assert_eq!(old.at.map(|at| at.to_rfc3339()).as_deref(), Some("2023-10-09T08:00:00+00:00"));
}

#[test]
fn what_differs_between_dcs_is_found() {
    let now = "2023-10-09T09:00:00Z";
    let disagree = vec![copy("dc1", now, september()), copy("dc2", now, key(361, 29, 0))];
    assert_eq!(codes(|scene| scene.copies = disagree), [Code::DcsDisagree]);
    let ahead = vec![copy("dc1", "2023-09-01T00:00:00Z", september())];
    assert_eq!(codes(|scene| scene.copies = ahead), [Code::KeyIdAhead]);
    assert_eq!(codes(|scene| scene.around.silent = vec!["dc2".to_owned()]), [Code::DcSilent]);
    assert_eq!(codes(|scene| scene.around.clocks_apart = TimeDelta::minutes(6)), [Code::DcClocksApart]);
    let mut missing = copy("dc2", now, september());
    missing.key = Key::Missing;
    assert_eq!(codes(|scene| scene.copies.push(missing)), [Code::DcSilent]);
}

#[test]
fn what_differs_from_the_record_is_found_with_the_date_it_bites() {
    let record = OnRecord {
        farm: FarmName::parse("ITFarm1").expect("a name"),
        nudge: false,
        absent: vec!["Host9".to_owned()],
        cannot_read: vec!["Host1".to_owned(), "Host2".to_owned()],
        strays: vec!["Host7".to_owned()],
    };
    let mut scene = scene();
    scene.record = Some(record);
    let found = found(&scene);
    let codes: Vec<_> = found.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, [Code::HostCannotRead, Code::HostNotFound, Code::ReaderNotOnRecord]);
    assert_eq!(found[0].subjects, ["Host1", "Host2"]);
    assert_eq!(found[0].at.map(|at| at.to_rfc3339()).as_deref(), Some("2023-10-09T08:00:00+00:00"));
    assert!(found[0].text.contains("2023-10-09 08:00Z"), "{}", found[0].text);
}
