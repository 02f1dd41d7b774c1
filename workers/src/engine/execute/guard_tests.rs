//! What lets a host in, what does not, and for whom that counts.

use std::sync::Arc;

use super::*;
use crate::steps::testing::forest::FakeForest;
use crate::steps::testing::records::FakeRecords;
use crate::steps::testing::{self, context_of, dn, group_output, host, sid};

/// Host1, where its account is now.
fn barred() -> Vec<Barred> {
    let (records, host) = (FakeRecords::default(), host("Host1"));
    records.place(&host.name, &host.sid, &dn("CN=Host1,OU=Earlier,DC=contoso,DC=com"));
    let quarantined = records.lock().quarantines.remove(0);
    vec![Barred { host: quarantined, dn: Some(host.dn) }]
}

fn joins(value: &str) -> Change {
    let members = AttributeChange::values("member", vec![value.into()], vec![]);
    Change::modify(group_output().dn, vec![members])
}

fn readers(allowed: &[u32], denied: &[u32]) -> ReaderDescriptor {
    let mut list = ReaderDescriptor::allowing(&allowed.iter().map(|rid| sid(*rid)).collect::<Vec<_>>());
    for rid in denied {
        list.deny(&sid(*rid));
    }
    list
}

fn value(list: &ReaderDescriptor) -> AttributeValue {
    AttributeValue::bytes(list.to_bytes().expect("fits"), "")
}

fn swap(before: &ReaderDescriptor, after: &ReaderDescriptor) -> Change {
    let swap = AttributeChange::set(READERS, vec![value(before)], vec![value(after)]);
    Change::modify(testing::wanted().dn, vec![swap])
}

fn new_gmsa(list: &ReaderDescriptor) -> Change {
    let class = AttributeChange::new("objectClass", [CLASS]);
    Change::add(testing::wanted().dn, vec![class, AttributeChange::new(READERS, [value(list)])])
}

#[test]
fn a_member_is_known_by_name_in_any_spelling_and_by_its_sid() {
    let raw = hex::encode(sid(1101).to_bytes());
    for (value, refused) in [
        ("CN=Host1,OU=Servers,DC=contoso,DC=com", true),
        ("cn=HOST1, ou=servers,dc=contoso,dc=com", true),
        ("<SID=S-1-5-21-1-2-3-1101>", true),
        (&format!("<sid={raw}>"), true),
        ("CN=Host2,OU=Servers,DC=contoso,DC=com", false),
        ("<SID=S-1-5-21-1-2-3-1102>", false),
        // Its old place, where its successor may stand.
        ("CN=Host1,OU=Earlier,DC=contoso,DC=com", false),
        ("nothing that is a DN", false),
    ] {
        let judged = judge(&[joins(value)], &barred());
        assert_eq!(judged.is_err(), refused, "{value}");
        if let Err(error) = judged {
            assert!(
                matches!(&error, StepError::Fail(p) if p.code == ErrorCode::HostQuarantined),
                "{error:?}"
            );
            assert!(error.problem().hint.contains("farmhand quarantine release Host1"), "{error:?}");
        }
    }
}

#[test]
fn who_leaves_or_was_there_is_not_let_in() {
    let name = || AttributeValue::from(host("Host1").dn.as_str());
    let other = || AttributeValue::from(host("Host2").dn.as_str());
    let leaves = AttributeChange::values("member", vec![], vec![name()]);
    let stays = AttributeChange::set("MEMBER", vec![name()], vec![name(), other()]);
    let comes = AttributeChange::set("MEMBER", vec![other()], vec![name(), other()]);
    for (change, refused) in [(leaves, false), (stays, false), (comes, true)] {
        let change = Change::modify(group_output().dn, vec![change]);
        assert_eq!(judge(std::slice::from_ref(&change), &barred()).is_err(), refused, "{change:?}");
    }
    let gone = Change { kind: ChangeKind::Delete, ..joins(host("Host1").dn.as_str()) };
    assert_eq!(judge(&[gone], &barred()), Ok(()), "what an object held when it is deleted");
    let made = Change { kind: ChangeKind::Add, ..joins(host("Host1").dn.as_str()) };
    assert!(judge(&[made], &barred()).is_err(), "a group that is made with it");
}

#[test]
fn a_reader_list_lets_in_whom_it_names_and_whom_it_no_longer_denies() {
    let group = 1200;
    for (before, after, refused, why) in [
        (readers(&[group], &[]), readers(&[group, 1102], &[]), false, "another host"),
        (readers(&[group], &[]), readers(&[group, 1101], &[]), true, "an entry of its own"),
        (readers(&[group], &[1101]), readers(&[group, 1102], &[1101]), false, "the denial stays"),
        (readers(&[group], &[1101]), readers(&[group], &[]), true, "the denial goes"),
        (readers(&[group], &[1102]), readers(&[group], &[]), false, "another's denial goes"),
        (readers(&[group], &[1101]), readers(&[group, 1101], &[1101]), false, "denied before it is allowed"),
        (readers(&[1101], &[]), readers(&[1101, group], &[]), true, "it can read, and still could"),
        (readers(&[1101], &[]), readers(&[group], &[]), false, "its entry goes"),
    ] {
        assert_eq!(judge(&[swap(&before, &after)], &barred()).is_err(), refused, "{why}");
    }
    let mut wide = readers(&[group], &[1101]);
    let mut null = vec![1, 0, 4, 0x80];
    null.resize(20, 0);
    let everyone = ReaderDescriptor::from_bytes(&null).expect("a NULL list");
    assert!(judge(&[swap(&wide, &everyone)], &barred()).is_err(), "a list that lets in everyone");
    wide.allow_nobody();
    assert_eq!(judge(&[swap(&readers(&[group], &[1101]), &wide)], &barred()), Ok(()), "emptied");
}

#[test]
fn a_new_account_that_does_not_deny_the_host_is_planned_again() {
    let open = judge(&[new_gmsa(&readers(&[1200], &[]))], &barred()).expect_err("too early");
    assert!(matches!(open, StepError::ReadAgain(_)), "{open:?}");
    assert_eq!(judge(&[new_gmsa(&readers(&[1200], &[1101]))], &barred()), Ok(()));
    assert_eq!(judge(&[new_gmsa(&readers(&[1200], &[]))], &[]), Ok(()));
    assert!(matches!(judge(&[new_gmsa(&readers(&[1101], &[]))], &barred()), Err(StepError::Fail(_))));
}

#[tokio::test]
async fn the_record_is_asked_only_about_what_decides_who_reads() {
    let (forest, records) = (Arc::new(FakeForest::of(&["dc1"])), Arc::new(FakeRecords::default()));
    let cx = context_of(&forest, &records);
    let described = AttributeChange::set("description", vec![], vec!["x".into()]);
    let leaves = AttributeChange::values("member", vec![], vec!["CN=a,DC=x".into()]);
    let plain = [
        Change::modify(group_output().dn, vec![described, leaves]),
        Change::delete(group_output().dn, vec![]),
    ];
    check(&cx, &plain).await.expect("nobody is let in");
    assert!(records.lock().calls.is_empty());
    check(&cx, &[joins("CN=a,DC=x")]).await.expect("nobody is quarantined");
    check(&cx, &[new_gmsa(&readers(&[], &[]))]).await.expect("nobody is quarantined");
    assert_eq!(records.lock().calls, ["quarantined", "quarantined"]);
}

#[tokio::test]
async fn a_host_is_barred_where_its_account_is_now_and_a_release_may_let_it_in() {
    let (forest, records) = (Arc::new(FakeForest::of(&["dc1"])), Arc::new(FakeRecords::default()));
    let (was, now) = (dn("CN=Host1,OU=Earlier,DC=contoso,DC=com"), host("Host1").dn);
    records.place("Host1", &sid(1101), &was);
    let computer = |at: &Dn, rid| {
        let sam = b"Host1$".to_vec();
        let values = [
            ("objectSid", sid(rid).to_bytes()),
            ("sAMAccountName", sam),
            ("objectClass", b"computer".to_vec()),
        ];
        directory::Entry::new(at.clone(), values.map(|(name, value)| (name.to_owned(), vec![value])))
    };
    forest.dcs[0].put(&computer(&now, 1101));
    forest.dcs[0].put(&computer(&was, 1500));
    let cx = || context_of(&forest, &records);
    assert!(check(&cx(), &[joins(now.as_str())]).await.is_err());
    check(&cx(), &[joins(was.as_str())]).await.expect("the rebuilt one, in its old place");
    let release = cx().of_kind(WorkflowKind::QUARANTINE_RELEASE);
    check(&release, &[joins(now.as_str())]).await.expect("a release");
    let deploy = cx().of_kind(WorkflowKind::known("deploy"));
    assert!(check(&deploy, &[joins(now.as_str())]).await.is_err());
    records.lock().down = true;
    let unsure = check(&cx(), &[joins("CN=a,DC=x")]).await;
    assert!(
        matches!(unsure, Err(StepError::Retry { .. })),
        "who cannot be asked about is not let in: {unsure:?}"
    );
}
