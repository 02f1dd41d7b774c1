//! What other systems are told is written with its fact, or not at all.

use std::collections::BTreeSet;
use std::time::Duration;

use domain::{
    Announcement, AnnouncementKind as Kind, Mode, WaitReason, WorkflowEvent, WorkflowKind, WorkflowState,
};
use futures::future::join_all;
use serde_json::{Map, Value, json};
use store::{
    Action, AnnouncementRow, Claimed, Committed, JournalEntry, NewWorkflow, OutboxDepth, WorkflowChange,
};
use tests::wait::eventually;

use crate::kit::*;

fn news(subject: &str) -> Announcement {
    let data = Map::from_iter([("about".to_owned(), json!(subject))]);
    Announcement::new(Kind::WorkflowFinished, subject, data).traced(Some("a trace".to_owned()))
}

/// An entry that announces something under the workflow's id.
fn telling(claimed: &Claimed, seconds: i64, change: WorkflowChange) -> JournalEntry {
    let announcements = vec![news(&claimed.workflow.id.to_string())];
    JournalEntry { announcements, ..entry(claimed, seconds, change) }
}

pub async fn what_a_commit_announces_is_written_with_it(world: World) {
    let id = world.check(0).await;
    let claimed = world.claimed(id, 1).await;
    world.events().await;
    world.commit(telling(&claimed, 2, WorkflowChange::None)).await;
    world.commit(telling(&claimed, 3, finish(WorkflowEvent::Succeed))).await;
    let announced = world.announced().await;
    let about = json!({ "about": id });
    let expected = |at: i64| Announced {
        kind: Kind::WorkflowFinished,
        subject: id.to_string(),
        data: about.clone(),
        traceparent: Some("a trace".to_owned()),
        at: Some(at),
    };
    assert_eq!(announced, [expected(2), expected(3)]);
    assert!(world.events().await.is_empty(), "it is no event");
    let farm = world.deploy("ITFarm1", 4).await;
    let claimed = world.claimed(farm, 5).await;
    world.commit(telling(&claimed, 6, finish(WorkflowEvent::Fail))).await;
    assert_eq!(world.announced().await.len(), 1, "with the lock's release as without");
}

pub async fn a_batch_announces_for_those_whose_write_counted(world: World) {
    let (lost, kept) = (world.check(0).await, world.check(0).await);
    let old = world.claimed(lost, 0).await;
    world.store.release_expired_leases(at(100), 5).await.expect("released");
    let _new = world.claimed(lost, 101).await;
    let other = world.claimed(kept, 101).await;
    let stale = telling(&old, 102, finish(WorkflowEvent::Fail));
    let batch = [stale, telling(&other, 102, finish(WorkflowEvent::Succeed))];
    let answers = world.store.commit(&batch).await.expect("committed");
    assert_eq!(answers, [Committed::LeaseLost, Committed::Yes { control: None }]);
    assert_eq!(world.announced_subjects().await, [kept.to_string()]);
    assert_eq!(world.state(lost).await, WorkflowState::Running);
}

pub async fn what_is_rolled_back_is_not_announced(world: World) {
    let (a, b) = (world.check(0).await, world.check(0).await);
    let (first, second) = (world.claimed(a, 0).await, world.claimed(b, 0).await);
    world.events().await;
    // The end can be written, the announcement before it too; the steps cannot.
    world.store.execute_raw("alter table steps rename column outcome to missing").await.expect("broken");
    let batch = [
        telling(&first, 1, finish(WorkflowEvent::Succeed)),
        with_steps(telling(&second, 1, finish(WorkflowEvent::Succeed)), vec![done(0, "a")]),
    ];
    assert!(world.store.commit(&batch).await.is_err());
    world.store.execute_raw("alter table steps rename column missing to outcome").await.expect("mended");
    assert_eq!(world.rows("outbox").await, 0);
    let answers = world.store.commit(&batch).await.expect("the same batch, again");
    assert_eq!(answers, [Committed::Yes { control: None }; 2]);
    let announced: BTreeSet<_> = world.announced_subjects().await.into_iter().collect();
    assert_eq!(announced, [a.to_string(), b.to_string()].into());
}

pub async fn three_hundred_ends_are_announced_in_one_commit(world: World) {
    world.store.submit_many((0..300).map(check).collect()).await.expect("submitted");
    let ids: Vec<_> = world.events().await.into_iter().map(|(id, _)| id).collect();
    let claims = world.store.claim(&ids, &worker("w1"), at(400)).await.expect("claimed");
    let batch: Vec<_> = claims
        .iter()
        .map(|claim| match claim {
            store::Claim::Claimed(claimed) => telling(claimed, 401, finish(WorkflowEvent::Succeed)),
            other => panic!("{other:?}"),
        })
        .collect();
    world.store.commit(&batch).await.expect("committed");
    let announced: BTreeSet<_> = world.announced_subjects().await.into_iter().collect();
    assert_eq!(announced, ids.iter().map(ToString::to_string).collect());
}

pub async fn a_wait_that_a_wish_overtook_is_not_announced(world: World) {
    let waiting = || WorkflowChange::Wait(wait(WaitReason::Operator, None));
    let id = world.check(0).await;
    let claimed = world.claimed(id, 1).await;
    world.commit(telling(&claimed, 2, waiting())).await;
    assert_eq!(world.announced_subjects().await, [id.to_string()]);
    for action in [Action::Pause, Action::Cancel] {
        let id = world.check(0).await;
        let claimed = world.claimed(id, 1).await;
        world.store.act(id, action, "ann", at(2)).await.expect("asked");
        world.commit(telling(&claimed, 3, waiting())).await;
        assert_eq!(world.announced_subjects().await, [""; 0], "{action:?}");
        let end = world.check(0).await;
        let claimed = world.claimed(end, 1).await;
        world.store.act(end, action, "ann", at(2)).await.expect("asked");
        world.commit(telling(&claimed, 3, finish(WorkflowEvent::Succeed))).await;
        assert_eq!(world.announced_subjects().await, [end.to_string()], "an end is an end");
    }
}

pub async fn who_is_cancelled_before_a_worker_had_it_is_announced_too(world: World) {
    let asked = NewWorkflow { hosts: vec!["Host4".to_owned()], ..deploy("ITFarm1", 0) };
    let asked = NewWorkflow { traceparent: Some("its trace".to_owned()), ..asked };
    let id = world.submit(asked).await;
    for quiet in [
        NewWorkflow { mode: Mode::Plan, ..check(0) },
        NewWorkflow { kind: WorkflowKind::INSPECT, ..check(0) },
    ] {
        let quiet = world.submit(quiet).await;
        world.store.act(quiet, Action::Cancel, "ann", at(5)).await.expect("cancelled");
    }
    world.store.act(id, Action::Cancel, "ann", at(5)).await.expect("cancelled");
    let announced = world.announced().await;
    let [one] = announced.as_slice() else { panic!("{announced:#?}") };
    assert_eq!((one.kind, one.subject.as_str()), (Kind::WorkflowFinished, id.to_string().as_str()));
    assert_eq!(one.traceparent.as_deref(), Some("its trace"));
    for (field, value) in [
        ("state", json!("cancelled")),
        ("farm", json!("ITFarm1")),
        ("hosts", json!(["Host4"])),
        ("requestedBy", json!("ann")),
        ("needsOperator", json!(false)),
    ] {
        assert_eq!(one.data[field], value, "{field}");
    }
    assert_eq!(one.data["error"]["code"], "cancelled");
}

pub async fn announcements_and_events_leave_apart_the_oldest_first(world: World) {
    let id = world.check(0).await;
    let all: Vec<_> = ["a", "b", "c"].map(news).into();
    for (at_second, one) in (1..).zip(all) {
        world.store.announce(&[one], at(at_second)).await.expect("announced");
    }
    assert_eq!(world.store.outbox_depth().await.expect("a depth").rows, 1);
    let depth = world.store.announcements_depth().await.expect("a depth");
    assert_eq!(depth, OutboxDepth { rows: 3, oldest: Some(at(1)) });
    let first = async |rows: Vec<AnnouncementRow>| {
        let topics: Vec<_> = rows.iter().map(|row| row.topic.as_str()).collect();
        assert_eq!(topics, ["farmhand.event.workflow-finished.v1"; 2]);
        vec![rows[0].id]
    };
    assert_eq!(world.store.relay_announcements(2, first).await.expect("relayed"), 1);
    assert_eq!(world.announced_subjects().await, ["b", "c"], "what was not confirmed comes again");
    assert_eq!(world.events().await.len(), 1);
    assert_eq!(world.state(id).await, WorkflowState::Queued);
}

pub async fn two_announcers_share_the_work(world: World) {
    let all: Vec<_> = (0..40).map(|number| news(&number.to_string())).collect();
    world.store.announce(&all, at(1)).await.expect("announced");
    let other = if world.is_postgresql() { world.another_store().await } else { world.store.clone() };
    let relay = async |store: &store::Store| {
        let mut mine = Vec::new();
        let publish = async |rows: Vec<AnnouncementRow>| {
            tokio::task::yield_now().await;
            mine.extend(rows.iter().map(|row| row.id));
            rows.iter().map(|row| row.id).collect()
        };
        store.relay_announcements(10, publish).await.expect("relayed");
        mine
    };
    let stores = [&world.store, &other, &world.store, &other];
    let published: Vec<_> = join_all(stores.map(relay)).await.concat();
    let distinct: BTreeSet<_> = published.iter().collect();
    assert_eq!((published.len(), distinct.len()), (40, 40));
    assert_eq!(world.rows("outbox").await, 0);
}

/// While one is being published, the other goes on.
pub async fn an_announcer_that_hangs_holds_up_no_event(world: World) {
    world.store.announce(&[news("a")], at(1)).await.expect("announced");
    let store = world.store.clone();
    let (reached, publishing) = tokio::sync::oneshot::channel();
    let hanging = tokio::spawn(async move {
        let publish = async |_: Vec<AnnouncementRow>| {
            reached.send(()).expect("somebody waits");
            std::future::pending().await
        };
        store.relay_announcements(10, publish).await
    });
    publishing.await.expect("it publishes");
    let id = world.check(2).await;
    let events = tokio::time::timeout(Duration::from_secs(20), world.events()).await.expect("in time");
    assert_eq!(events.first().map(|(id, _)| *id), Some(id));
    hanging.abort();
    assert!(hanging.await.expect_err("it was aborted").is_cancelled());
    let again = async || Some(world.announced_subjects().await).filter(|all| !all.is_empty());
    assert_eq!(eventually("the row, free again", Duration::from_secs(10), again).await, ["a"]);
}

pub async fn what_is_announced_wakes_the_announcer_and_not_the_relay(world: World) {
    let waiting = tokio::spawn({
        let store = world.store.clone();
        async move { store.announcement_written().await }
    });
    world.store.announce(&[news("a")], at(1)).await.expect("announced");
    tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("in time").expect("no panic");
    let quiet = tokio::time::timeout(Duration::from_millis(50), world.store.event_written()).await;
    assert!(quiet.is_err(), "there is no event");
}

pub async fn what_nobody_took_for_long_is_given_up_and_no_event_is(world: World) {
    world.check(0).await;
    for (seconds, subject) in [(1, "old"), (100, "new")] {
        world.store.announce(&[news(subject)], at(seconds)).await.expect("announced");
    }
    assert_eq!(world.store.give_up_announcements(at(50)).await.expect("given up"), 1);
    assert_eq!(world.announced_subjects().await, ["new"]);
    assert_eq!(world.events().await.len(), 1);
}

pub async fn what_is_too_large_for_an_event_is_refused_and_fails_no_commit(world: World) {
    let mut large = news("large");
    large.data.insert("text".to_owned(), Value::from("x".repeat(Announcement::MAX_EVENT_BYTES)));
    let refused = world.store.announce(&[news("small"), large.clone()], at(1)).await.expect_err("too large");
    assert!(format!("{refused:?}").contains("nobody would read it"), "{refused:?}");
    assert_eq!(world.rows("outbox").await, 0);
    let id = world.check(0).await;
    let claimed = world.claimed(id, 1).await;
    let mut end = entry(&claimed, 2, finish(WorkflowEvent::Succeed));
    end.announcements = vec![large, news("small")];
    assert_eq!(world.commit(end).await, Committed::Yes { control: None });
    assert_eq!(world.announced_subjects().await, ["small"]);
}
