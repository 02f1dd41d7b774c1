//! What is stuck comes back.

use std::time::Duration;

use domain::{Cause, WaitReason, WorkflowState};
use futures::future::join_all;
use store::{OutboxRow, WorkflowChange};

use crate::kit::*;

pub async fn an_expired_lease_is_released(world: World) {
    let (gone, alive) = (world.check(0).await, world.check(0).await);
    world.claimed(gone, 0).await;
    world.claimed(alive, 30).await;
    world.events().await;
    assert!(world.store.release_expired_leases(at(60), 10).await.expect("an answer").is_empty(), "not yet");
    assert_eq!(world.store.release_expired_leases(at(61), 10).await.expect("an answer"), [gone]);
    assert_eq!(world.events().await, [(gone, Cause::LeaseExpired)]);
    assert_eq!(
        (world.state(gone).await, world.state(alive).await),
        (WorkflowState::Queued, WorkflowState::Running)
    );
    assert_eq!(world.claimed(gone, 62).await.fencing_token, 2);
}

pub async fn due_workflows_are_woken_and_others_sleep(world: World) {
    let mut ids = Vec::new();
    for until in [Some(at(10)), Some(at(20)), None] {
        let id = world.check(0).await;
        let claimed = world.claimed(id, 1).await;
        world.commit(entry(&claimed, 2, WorkflowChange::Wait(wait(WaitReason::Timer, until)))).await;
        ids.push(id);
    }
    world.events().await;
    assert_eq!(world.store.next_due(at(5)).await.expect("an answer"), Some(at(10)));
    assert_eq!(world.store.next_due(at(15)).await.expect("an answer"), Some(at(15)), "overdue is due now");
    assert!(world.store.wake_due(at(9), 10).await.expect("an answer").is_empty());
    assert_eq!(world.store.wake_due(at(10), 10).await.expect("an answer"), [ids[0]]);
    assert_eq!(world.events().await, [(ids[0], Cause::Due)]);
    let woken = world.workflow(ids[0]).await;
    assert_eq!((woken.state, woken.waiting), (WorkflowState::Queued, None));
    assert_eq!(world.store.wake_due(at(99), 10).await.expect("an answer"), [ids[1]]);
    assert_eq!(world.state(ids[2]).await, WorkflowState::Waiting);
    assert_eq!(world.store.next_due(at(99)).await.expect("an answer"), None);
}

pub async fn an_unanswered_event_is_repeated_at_growing_distances(world: World) {
    let first_after = Duration::from_secs(60);
    let id = world.check(0).await;
    let repeat = async |seconds: i64| {
        world.store.repeat_unanswered(at(seconds), first_after, 10).await.expect("an answer").len()
    };
    assert_eq!(repeat(1000).await, 0, "it still lies in the outbox");
    world.events().await;
    // 60, 120, 240, 480 seconds after the one before, then every 600.
    let mut last = 0;
    for distance in [60, 120, 240, 480, 600, 600] {
        assert_eq!(repeat(last + distance - 1).await, 0, "{distance} s after {last} s is too early");
        assert_eq!(repeat(last + distance).await, 1, "{distance} s after {last} s");
        assert_eq!(repeat(last + distance).await, 0, "once");
        assert_eq!(world.events().await, [(id, Cause::Repeated)]);
        last += distance;
    }
    // A new reason to be queued starts anew; what is claimed is not repeated.
    let claimed = world.claimed(id, last).await;
    assert_eq!(repeat(last + 9999).await, 0);
    world.commit(entry(&claimed, last, WorkflowChange::Release)).await;
    world.events().await;
    assert_eq!((repeat(last + 59).await, repeat(last + 60).await), (0, 1));
}

pub async fn several_reapers_do_each_thing_once(world: World) {
    let ids: Vec<_> = (0..30).map(check).collect();
    world.store.submit_many(ids.clone()).await.expect("submitted");
    world.events().await;
    let claimed: Vec<_> = ids[..10].iter().map(|new| new.id).collect();
    world.store.claim(&claimed, &worker("w1"), at(0)).await.expect("claimed");
    let waiting: Vec<_> = ids[10..20].iter().map(|new| new.id).collect();
    for id in waiting {
        let claimed = world.claimed(id, 0).await;
        world.commit(entry(&claimed, 0, WorkflowChange::Wait(wait(WaitReason::Timer, Some(at(5)))))).await;
    }
    let other = world.another_store().await;
    let reap = async |store: &store::Store| {
        let released = store.release_expired_leases(at(900), 4).await.expect("released").len();
        let woken = store.wake_due(at(900), 4).await.expect("woken").len();
        let repeated =
            store.repeat_unanswered(at(900), Duration::from_secs(60), 4).await.expect("repeated").len();
        (released, woken, repeated)
    };
    let mut sum = (0, 0, 0);
    for _ in 0..3 {
        for (released, woken, repeated) in join_all([&world.store, &other, &world.store].map(reap)).await {
            sum = (sum.0 + released, sum.1 + woken, sum.2 + repeated);
        }
    }
    assert_eq!(sum, (10, 10, 10));
    let all = async |rows: Vec<OutboxRow>| rows.iter().map(|row| row.id).collect();
    assert_eq!(world.store.relay(100, all).await.expect("relayed"), 30);
}
