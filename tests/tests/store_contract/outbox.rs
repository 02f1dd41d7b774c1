//! Events leave once they are confirmed, and not before.

use std::collections::BTreeSet;
use std::time::Duration;

use domain::Lane;
use futures::future::join_all;
use store::{NewWorkflow, OutboxDepth, OutboxRow};
use tokio::sync::oneshot;

use crate::kit::*;

pub async fn the_relay_deletes_what_was_confirmed_and_nothing_else(world: World) {
    assert_eq!(world.store.outbox_depth().await.expect("a depth"), OutboxDepth { rows: 0, oldest: None });
    for n in 0..5 {
        world.check(n).await;
    }
    let mut seen = Vec::new();
    let some = async |rows: Vec<OutboxRow>| {
        seen = rows.clone();
        rows[..2].iter().map(|row| row.id).collect()
    };
    assert_eq!(world.store.relay(3, some).await.expect("relayed"), 2);
    assert_eq!(seen.len(), 3);
    assert!(seen.windows(2).all(|pair| pair[0].id < pair[1].id), "oldest first");
    let depth = world.store.outbox_depth().await.expect("a depth");
    assert_eq!(depth, OutboxDepth { rows: 3, oldest: Some(at(2)) });
    let none = async |rows: Vec<OutboxRow>| {
        assert_eq!(rows[0].id, seen[2].id, "what was not confirmed comes again");
        Vec::new()
    };
    assert_eq!(world.store.relay(3, none).await.expect("relayed"), 0);
    assert_eq!(world.events().await.len(), 3);
    let nothing = async |_: Vec<OutboxRow>| panic!("there is nothing to publish");
    assert_eq!(world.store.relay(3, nothing).await.expect("relayed"), 0);
}

pub async fn an_urgent_event_does_not_wait_behind_the_others(world: World) {
    for n in 0..5 {
        world.check(n).await;
    }
    let urgent = NewWorkflow { lane: Lane::Urgent, ..check(9) };
    world.submit(urgent).await;
    let mut seen = Vec::new();
    let publish = async |rows: Vec<OutboxRow>| {
        seen.extend(rows.iter().map(|row| row.lane));
        Vec::new()
    };
    world.store.relay(2, publish).await.expect("relayed");
    assert_eq!(seen, [Lane::Urgent, Lane::Checks]);
}

pub async fn two_relays_share_the_work(world: World) {
    world.store.submit_many((0..40).map(check).collect()).await.expect("submitted");
    // Two processes on PostgreSQL; with SQLite there is only ever one.
    let other = if world.is_postgresql() { world.another_store().await } else { world.store.clone() };
    let relay = async |store: &store::Store| {
        let mut mine = Vec::new();
        let publish = async |rows: Vec<OutboxRow>| {
            tokio::task::yield_now().await;
            mine.extend(rows.iter().map(|row| row.id));
            rows.iter().map(|row| row.id).collect()
        };
        store.relay(10, publish).await.expect("relayed");
        mine
    };
    let stores = [&world.store, &other, &world.store, &other];
    let published: Vec<_> = join_all(stores.map(relay)).await.concat();
    let distinct: BTreeSet<_> = published.iter().collect();
    assert_eq!((published.len(), distinct.len()), (40, 40));
    assert_eq!(world.rows("outbox").await, 0);
}

/// The process dies, or shuts down, between publishing and deleting.
pub async fn a_relay_that_is_dropped_loses_nothing(world: World) {
    let id = world.check(0).await;
    let (reached, publishing) = oneshot::channel();
    let store = world.store.clone();
    let relay = tokio::spawn(async move {
        let publish = async |_: Vec<OutboxRow>| {
            reached.send(()).expect("somebody waits");
            std::future::pending().await
        };
        store.relay(10, publish).await
    });
    publishing.await.expect("it publishes");
    relay.abort();
    assert!(relay.await.expect_err("it was aborted").is_cancelled());
    let again = tests::wait::eventually("the row, free again", Duration::from_secs(10), async || {
        let events = world.events().await;
        events.first().map(|(id, _)| *id)
    })
    .await;
    assert_eq!(again, id);
}

pub async fn a_written_event_wakes_the_relay(world: World) {
    let waiting = tokio::spawn({
        let store = world.store.clone();
        async move { store.event_written().await }
    });
    world.check(0).await;
    tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("in time").expect("no panic");
    let quiet = tokio::time::timeout(Duration::from_millis(50), world.store.event_written()).await;
    assert!(quiet.is_err(), "once for what was written once");
}
