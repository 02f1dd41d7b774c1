//! What is sent where, what is known afterwards, and what is taken back.

use std::sync::Arc;
use std::time::Duration;

use directory::security::ReaderDescriptor;
use directory::{Entry, ResultCode};
use domain::step::Intent;
use domain::{AttributeChange, AttributeValue, Dn, Sid};

use super::effect::{attribute_in_effect, created_by};
use super::take_back::inverse_of;
use super::*;
use crate::steps::gmsa::READERS;
use crate::steps::testing::forest::{FakeDc, FakeForest, Trouble};
use crate::steps::testing::records::FakeRecords;
use crate::steps::testing::{context_of, dn, host, sid};

fn entry(attributes: &[(&str, &[&str])]) -> Entry {
    let dn = Dn::parse("CN=G,DC=x").expect("valid");
    let values = |values: &[&str]| values.iter().map(|value| value.as_bytes().to_vec()).collect();
    Entry::new(dn, attributes.iter().map(|(name, list)| ((*name).to_owned(), values(list))))
}

#[test]
fn only_values_that_show_count_as_in_effect() {
    let asked = AttributeChange::values("member", vec!["CN=a,DC=x".into(), "CN=b,DC=x".into()], vec![]);
    let found = attribute_in_effect(&asked, &entry(&[("member", &["cn=A, dc=x", "CN=z,DC=x"])]));
    assert_eq!(found, Some(AttributeChange::values("member", vec!["CN=a,DC=x".into()], vec![])));
    assert_eq!(attribute_in_effect(&asked, &entry(&[])), None);
}

#[test]
fn an_undo_removes_what_was_added_and_nothing_else() {
    let done = AttributeChange::values("member", vec!["CN=a,DC=x".into()], vec![]);
    let dn = Dn::parse("CN=G,DC=x").expect("valid");
    let inverse =
        inverse_of(&dn, &done, &entry(&[("member", &["CN=a,DC=x", "CN=z,DC=x"])])).expect("possible");
    assert_eq!(inverse, Some(AttributeChange::values("member", vec![], vec!["CN=a,DC=x".into()])));
    let again = inverse_of(&dn, &done, &entry(&[("member", &["CN=z,DC=x"])])).expect("possible");
    assert_eq!(again, None, "undone already");
}

#[test]
fn a_value_that_somebody_changed_since_is_not_overwritten_by_an_undo() {
    let done = AttributeChange::set("description", vec!["old".into()], vec!["new".into()]);
    let dn = Dn::parse("CN=G,DC=x").expect("valid");
    assert!(inverse_of(&dn, &done, &entry(&[("description", &["third"])])).is_err());
    let back = inverse_of(&dn, &done, &entry(&[("description", &["new"])])).expect("possible");
    assert_eq!(back, Some(done.inverse()));
}

#[test]
fn an_object_that_was_there_before_the_intent_is_not_ours() {
    let at = chrono::DateTime::parse_from_rfc3339("2026-11-22T12:00:00Z").expect("valid").to_utc();
    let change = Change::add(
        Dn::parse("CN=G,DC=x").expect("valid"),
        vec![AttributeChange::new("sAMAccountName", ["G"])],
    );
    let intent = Intent { dc: "dc1".into(), changes: vec![change.clone()], at };
    let created = |when: &str, sam: &str| {
        created_by(&intent, &change, &entry(&[("whenCreated", &[when]), ("sAMAccountName", &[sam])]))
    };
    assert!(created("20261122120001.0Z", "g"));
    assert!(!created("20261122110000.0Z", "G"));
    assert!(!created("20261122120001.0Z", "H"));
}

const DCS: [&str; 3] = ["dc1.contoso.com", "dc2.contoso.com", "dc3.contoso.com"];

/// Three DCs, each with the same groups.
fn forest(groups: &[&str]) -> Arc<FakeForest> {
    let forest = FakeForest::of(&DCS);
    for dc in &forest.dcs {
        for (index, group) in groups.iter().enumerate() {
            let guid = vec![u8::try_from(index).expect("few"); 16];
            let attributes = [("description", b"old".to_vec()), ("objectGUID", guid)];
            let attributes = attributes.map(|(name, value)| (name.to_owned(), vec![value]));
            dc.put(&Entry::new(at(group), attributes));
        }
    }
    Arc::new(forest)
}

fn at(group: &str) -> Dn {
    dn(&format!("CN={group},DC=contoso,DC=com"))
}

fn described(group: &str, dc: Option<&str>) -> Change {
    let attribute = AttributeChange::set("description", vec!["old".into()], vec!["new".into()]);
    Change { dc: dc.map(str::to_owned), ..Change::modify(at(group), vec![attribute]) }
}

fn everywhere(groups: &[&str]) -> Vec<Change> {
    let of_one = |dc: &'static str| groups.iter().map(move |group| described(group, Some(dc)));
    DCS.into_iter().flat_map(of_one).collect()
}

fn shows(dc: &FakeDc, group: &str) -> String {
    dc.get(&at(group)).and_then(|entry| entry.text("description").map(str::to_owned)).unwrap_or_default()
}

fn new_at(dc: &FakeDc) -> Vec<String> {
    ["A", "B", "C"].into_iter().filter(|group| shows(dc, group) == "new").map(str::to_owned).collect()
}

fn intent(changes: Vec<Change>) -> Intent {
    Intent {
        dc: DCS[0].into(),
        changes,
        at: chrono::DateTime::from_timestamp(1_700_000_000, 0).expect("valid"),
    }
}

#[tokio::test]
async fn changes_go_to_the_dc_that_they_name_and_the_others_to_the_pinned_one() {
    let forest = forest(&["A", "B"]);
    let cx = context_of(&forest, &Arc::new(FakeRecords::default()));
    let changes =
        [described("A", None), described("B", Some("DC2.contoso.com")), described("B", Some(DCS[0]))];
    let carried = carry_out(&cx, &changes).await;
    assert_eq!((carried.stopped, carried.unknown), (None, vec![]));
    let done: Vec<_> = carried.writes.iter().map(|write| (write.dc.as_str(), &write.change)).collect();
    // What names the pinned DC is in order with what is for it anyway.
    assert_eq!(done, [(DCS[0], &changes[0]), (DCS[0], &changes[2]), (DCS[1], &changes[1])]);
    assert!(carried.writes.iter().all(|write| write.usn.is_some() && write.object_guid.is_some()));
    assert_eq!(new_at(&forest.dcs[0]), ["A", "B"]);
    assert_eq!(new_at(&forest.dcs[1]), ["B"]);
    assert!(forest.dcs[2].written().is_empty());
}

#[tokio::test]
async fn a_dc_that_does_not_get_on_holds_up_no_other() {
    let forest = forest(&["A", "B"]);
    let cx = context_of(&forest, &Arc::new(FakeRecords::default()));
    let gate = forest.dcs[0].gate();
    let changes = everywhere(&["A", "B"]);
    let carrying = carry_out(&cx, &changes);
    let watching = async {
        while forest.dcs[1].written().len() + forest.dcs[2].written().len() < 4 {
            tokio::task::yield_now().await;
        }
        assert!(forest.dcs[0].written().is_empty(), "the others are done while this one waits");
        gate.add_permits(2);
    };
    let both = async { tokio::join!(carrying, watching) };
    let (carried, ()) = tokio::time::timeout(Duration::from_secs(30), both).await.expect("it ends");
    assert_eq!((carried.stopped, carried.writes.len()), (None, 6));
    assert_eq!(forest.dcs[0].written(), [at("A"), at("B")], "in order within one");
}

#[tokio::test]
async fn what_one_dc_refuses_stops_that_dc_alone_and_all_that_was_acknowledged_is_known() {
    let forest = forest(&["A", "B", "C"]);
    let cx = context_of(&forest, &Arc::new(FakeRecords::default()));
    forest.dcs[0].trouble("CN=B", Trouble::Refused(ResultCode::INSUFFICIENT_ACCESS_RIGHTS));
    forest.dcs[1].trouble("CN=B", Trouble::AnswerLost);
    forest.dcs[2].set_down(true);
    let changes = everywhere(&["A", "B", "C"]);
    let carried = carry_out(&cx, &changes).await;
    let done: Vec<_> = carried.writes.iter().map(|write| (write.dc.as_str(), &write.change.dn)).collect();
    assert_eq!(done, [(DCS[0], &at("A")), (DCS[1], &at("A"))]);
    assert_eq!(carried.unknown, [described("B", Some(DCS[1]))], "only what was sent and not answered");
    let stopped = carried.stopped.expect("stopped");
    assert!(matches!(stopped, StepError::Park(_) | StepError::Fail(_)), "the refusal decides: {stopped:?}");
    for dc in DCS {
        assert!(stopped.problem().message.contains(dc), "{dc}: {}", stopped.problem().message);
    }
    assert_eq!(new_at(&forest.dcs[0]), ["A"]);
    assert_eq!(new_at(&forest.dcs[1]), ["A", "B"]);
}

#[tokio::test]
async fn changes_that_stand_each_for_themselves_are_all_sent_and_what_is_refused_is_told() {
    let forest = forest(&["A", "B", "C"]);
    let cx = context_of(&forest, &Arc::new(FakeRecords::default()));
    forest.dcs[0].trouble("CN=B", Trouble::Refused(ResultCode::INSUFFICIENT_ACCESS_RIGHTS));
    forest.dcs[1].trouble("CN=B", Trouble::Refused(ResultCode::BUSY));
    forest.dcs[2].set_down(true);
    let carried = carry_out_each(&cx, &everywhere(&["A", "B", "C"])).await;
    assert_eq!(new_at(&forest.dcs[0]), ["A", "C"]);
    assert_eq!(new_at(&forest.dcs[1]), ["A", "C"]);
    assert!(carried.stopped.is_none() && carried.unknown.is_empty());
    let refused = carried.refused.iter();
    let refused: Vec<_> =
        refused.map(|one| (one.change.dc.as_deref(), &one.change.dn, one.passing)).collect();
    let expected = [
        (Some(DCS[0]), &at("B"), false),
        (Some(DCS[1]), &at("B"), true),
        (Some(DCS[2]), &at("A"), true),
        (Some(DCS[2]), &at("B"), true),
        (Some(DCS[2]), &at("C"), true),
    ];
    assert_eq!(refused, expected);
}

#[tokio::test]
async fn changes_that_stand_for_themselves_are_all_tried_but_behind_a_lost_answer() {
    let forest = forest(&["A", "B", "C"]);
    let cx = context_of(&forest, &Arc::new(FakeRecords::default()));
    forest.dcs[0].trouble("CN=B", Trouble::Refused(ResultCode::INSUFFICIENT_ACCESS_RIGHTS));
    forest.dcs[1].trouble("CN=B", Trouble::AnswerLost);
    forest.dcs[2].set_down(true);
    let carried = carry_out_each(&cx, &everywhere(&["A", "B", "C"])).await;
    assert_eq!(new_at(&forest.dcs[0]), ["A", "C"]);
    assert_eq!(new_at(&forest.dcs[1]), ["A", "B"]);
    assert_eq!(carried.unknown, [described("B", Some(DCS[1]))]);
    assert!(matches!(carried.stopped, Some(StepError::ReadAgain(_))), "{:?}", carried.stopped);
    let of = |refused: &Refused| (refused.change.dc.clone().unwrap_or_default(), refused.passing);
    let refused: Vec<_> = carried.refused.iter().map(of).collect();
    let away = (DCS[2].to_owned(), true);
    assert_eq!(refused, [(DCS[0].to_owned(), false), away.clone(), away.clone(), away]);
}

#[tokio::test]
async fn after_a_crash_each_dc_is_asked_for_its_own_and_one_that_is_away_leaves_its_own_in_doubt() {
    let forest = forest(&["A", "B"]);
    let cx = context_of(&forest, &Arc::new(FakeRecords::default()));
    let changes = everywhere(&["A", "B"]);
    let none = in_effect(&cx, &intent(changes.clone())).await.expect("all answer");
    assert!(none.writes.is_empty() && none.in_doubt.is_empty());

    carry_out(&cx, &[described("B", Some(DCS[1])), described("A", Some(DCS[2]))]).await;
    forest.dcs[2].set_down(true);
    let found = in_effect(&cx, &intent(changes.clone())).await.expect("one is away");
    let ours: Vec<_> = found.writes.iter().map(|write| (write.dc.as_str(), &write.change)).collect();
    assert_eq!(ours, [(DCS[1], &described("B", Some(DCS[1])))]);
    assert_eq!(found.in_doubt, [described("A", Some(DCS[2])), described("B", Some(DCS[2]))]);
    assert!(matches!(found.trouble, Some(StepError::Retry { .. })), "{:?}", found.trouble);

    forest.dcs[2].set_down(false);
    let back = in_effect(&cx, &intent(found.in_doubt)).await.expect("it is back");
    assert_eq!((back.writes.len(), &back.writes[0].change), (1, &described("A", Some(DCS[2]))));
}

#[tokio::test]
async fn the_pinned_dc_must_answer_before_anything_goes_on() {
    let forest = forest(&["A"]);
    let cx = context_of(&forest, &Arc::new(FakeRecords::default()));
    forest.dcs[0].set_down(true);
    let asked = in_effect(&cx, &intent(vec![described("A", None)])).await;
    assert!(matches!(asked, Err(StepError::Retry { .. })), "{asked:?}");
}

#[tokio::test]
async fn writes_are_taken_back_where_they_were_made_and_nowhere_else() {
    let forest = forest(&["A", "B"]);
    let cx = context_of(&forest, &Arc::new(FakeRecords::default()));
    let carried = carry_out(&cx, &everywhere(&["A", "B"])).await;
    let others: Vec<_> = carried.writes.iter().filter(|write| write.dc != DCS[1]).cloned().collect();
    forest.dcs[2].set_down(true);
    let stopped = take_back(&cx, &others).await.expect_err("one is away");
    assert!(matches!(stopped, StepError::Retry { .. }), "{stopped:?}");
    assert!(new_at(&forest.dcs[0]).is_empty(), "it did not wait for the one that is away");
    forest.dcs[2].set_down(false);
    take_back(&cx, &others).await.expect("all are there");
    assert!(new_at(&forest.dcs[0]).is_empty() && new_at(&forest.dcs[2]).is_empty());
    assert_eq!(new_at(&forest.dcs[1]), ["A", "B"]);
    assert_eq!(forest.dcs[0].written(), [at("A"), at("B"), at("B"), at("A")], "last first, twice is once");
}

/// Whom the account's list denies first, and whom it lets read.
fn list_of(dc: &FakeDc, account: &Dn) -> (Vec<Sid>, Vec<Sid>) {
    let entry = dc.get(account).expect("there");
    let list = ReaderDescriptor::from_bytes(entry.bytes(READERS).expect("a list")).expect("a descriptor");
    (list.denied_first(), list.readers())
}

fn readers(allowed: &[u32], denied: &[u32]) -> AttributeValue {
    let mut list = ReaderDescriptor::allowing(&allowed.iter().map(|rid| sid(*rid)).collect::<Vec<_>>());
    for rid in denied {
        list.deny(&sid(*rid));
    }
    AttributeValue::bytes(list.to_bytes().expect("fits"), "")
}

/// Host1 is contained after a workflow took it and another out; then the workflow is undone.
#[tokio::test]
async fn an_undo_brings_back_everybody_but_the_host_that_was_contained_meanwhile() {
    let forest = forest(&[]);
    let records = Arc::new(FakeRecords::default());
    let cx = context_of(&forest, &records);
    let (account, group, dc) = (at("ITFarm1"), at("G"), &forest.dcs[0]);
    let computer = |name: &str| {
        let host = host(name);
        let values = [("objectSid", host.sid.to_bytes()), ("objectClass", b"computer".to_vec())];
        Entry::new(host.dn, values.map(|(name, value)| (name.to_owned(), vec![value])))
    };
    dc.put(&computer("Host1"));
    dc.put(&computer("Host2"));
    let (before, after) = (readers(&[1101, 1102, 1200], &[]), readers(&[1200], &[]));
    let wire = |value: &AttributeValue| vec![value.wire().expect("bytes").to_vec()];
    dc.put(&Entry::new(account.clone(), [(READERS.to_owned(), wire(&before))]));
    let members: Vec<_> = ["Host1", "Host2"].map(|name| host(name).dn.to_string()).into();
    let held = members.iter().map(|dn| dn.clone().into_bytes()).collect();
    dc.put(&Entry::new(group.clone(), [("member".to_owned(), held)]));
    let left = AttributeChange::values("member", vec![], members.into_iter().map(Into::into).collect());
    let swap = AttributeChange::set(READERS, vec![before], vec![after.clone()]);
    let changes = [Change::modify(group.clone(), vec![left]), Change::modify(account.clone(), vec![swap])];
    let carried = carry_out(&cx, &changes).await;
    assert_eq!((carried.stopped, carried.writes.len()), (None, 2));

    records.place("Host1", &host("Host1").sid, &host("Host1").dn);
    let contained = AttributeChange::set(READERS, vec![after], vec![readers(&[1200], &[1101])]);
    let contained = carry_out(&cx, &[Change::modify(account.clone(), vec![contained])]).await;
    assert_eq!(contained.stopped, None);

    for _ in 0..2 {
        take_back(&cx, &carried.writes).await.expect("undone");
        assert_eq!(dc.get(&group).expect("there").dns("member"), [host("Host2").dn]);
        let expected = (vec![sid(1101)], vec![sid(1101), sid(1102), sid(1200)]);
        assert_eq!(list_of(dc, &account), expected, "as before, and denied");
    }
}

#[tokio::test]
async fn an_undo_does_not_give_a_quarantined_host_its_own_entry_back() {
    let forest = forest(&[]);
    let records = Arc::new(FakeRecords::default());
    let cx = context_of(&forest, &records);
    let (account, dc) = (at("ITFarm1"), &forest.dcs[0]);
    let (before, after) = (readers(&[1101, 1102], &[]), readers(&[1102], &[]));
    let wire = vec![before.wire().expect("bytes").to_vec()];
    dc.put(&Entry::new(account.clone(), [(READERS.to_owned(), wire)]));
    let swap = AttributeChange::set(READERS, vec![before.clone()], vec![after.clone()]);
    let carried = carry_out(&cx, &[Change::modify(account.clone(), vec![swap])]).await;
    records.place("Host1", &host("Host1").sid, &host("Host1").dn);
    take_back(&cx, &carried.writes).await.expect("nothing that may come back");
    assert_eq!(list_of(dc, &account), (vec![], vec![sid(1102)]));
    let again = AttributeChange::set(READERS, vec![after], vec![before]);
    let refused = carry_out(&cx, &[Change::modify(account, vec![again])]).await;
    assert!(refused.writes.is_empty() && matches!(refused.stopped, Some(StepError::Fail(_))));
}
