use super::*;
use crate::http::testing::{self, LEASE};
use domain::{Lane, Wait, WaitReason, WorkflowState};
use store::{Committed, JournalEntry, WorkflowChange};

fn reaper(world: &testing::World) -> Arc<Reaper> {
    Arc::new(Reaper {
        store: world.store.clone(),
        clock: world.clock.clone(),
        rng: world.api.rng.clone(),
        prometheus: world.api.prometheus.clone(),
        settings: Settings { reap_every: Duration::from_millis(5), ..Settings::default() },
    })
}

async fn drain(store: &Store) -> usize {
    store.relay(100, |rows| async move { rows.iter().map(|row| row.id).collect() }).await.expect("works")
}

async fn state(world: &testing::World, id: WorkflowId) -> WorkflowState {
    world.store.workflow(id).await.expect("works").expect("is there").state
}

#[tokio::test]
async fn the_workflow_of_a_dead_worker_goes_back_to_the_queue_with_an_event() {
    let world = testing::World::new().await;
    let id = world.submit(Lane::Lifecycle).await;
    world.claim(&id.to_string()).await;
    drain(&world.store).await;
    let reaper = reaper(&world);

    reaper.tick(true).await.expect("works");
    assert_eq!((state(&world, id).await, drain(&world.store).await), (WorkflowState::Running, 0));

    world.clock.advance(LEASE + Duration::from_secs(1));
    reaper.tick(false).await.expect("works");
    assert_eq!((state(&world, id).await, drain(&world.store).await), (WorkflowState::Queued, 1));
}

#[tokio::test]
async fn a_wait_that_is_over_wakes_its_workflow() {
    let world = testing::World::new().await;
    let id = world.submit(Lane::Lifecycle).await;
    let claimed = world.claim(&id.to_string()).await;
    let now = world.clock.now();
    let entry = JournalEntry {
        workflow_id: id,
        fencing_token: claimed.fencing_token,
        lease_until: claimed.lease_until,
        steps: Vec::new(),
        change: WorkflowChange::Wait(Wait {
            reason: WaitReason::Retry,
            until: Some(now + Duration::from_secs(10)),
            detail: "busy".to_owned(),
        }),
        announcements: Vec::new(),
        now,
    };
    let committed = world.store.commit(&[entry]).await.expect("works");
    assert!(matches!(committed[..], [Committed::Yes { .. }]));
    drain(&world.store).await;
    let reaper = reaper(&world);

    reaper.tick(false).await.expect("works");
    assert_eq!((state(&world, id).await, drain(&world.store).await), (WorkflowState::Waiting, 0));

    world.clock.advance(Duration::from_secs(11));
    reaper.tick(false).await.expect("works");
    assert_eq!((state(&world, id).await, drain(&world.store).await), (WorkflowState::Queued, 1));
}

#[tokio::test]
async fn what_nobody_took_is_emitted_again() {
    let world = testing::World::new().await;
    world.submit(Lane::Lifecycle).await;
    assert_eq!(drain(&world.store).await, 1, "the broker had it, and lost it");
    let reaper = reaper(&world);

    reaper.tick(true).await.expect("works");
    assert_eq!(drain(&world.store).await, 0, "too early");

    world.clock.advance(reaper.settings.repeat_first_after + Duration::from_secs(1));
    reaper.tick(false).await.expect("works");
    assert_eq!(drain(&world.store).await, 0, "not looked for on every tick");
    reaper.tick(true).await.expect("works");
    assert_eq!(drain(&world.store).await, 1);
}

#[tokio::test]
async fn it_wakes_the_relay_for_what_it_emitted_and_runs_until_it_is_stopped() {
    let world = testing::World::new().await;
    let id = world.submit(Lane::Lifecycle).await;
    world.claim(&id.to_string()).await;
    drain(&world.store).await;
    world.store.event_written().await;
    world.clock.advance(LEASE + Duration::from_secs(1));
    let stop = CancellationToken::new();
    let task = tokio::spawn(reaper(&world).run(stop.clone()));
    tokio::time::timeout(Duration::from_secs(20), world.store.event_written()).await.expect("woken");
    assert_eq!(drain(&world.store).await, 1);
    stop.cancel();
    task.await.expect("no panic");
}

#[tokio::test]
async fn an_outage_of_the_database_is_outlived_and_does_not_hold_up_a_stop() {
    let world = testing::World::new().await;
    world.store.close().await;
    let reaper = reaper(&world);
    assert!(reaper.tick(true).await.is_err());
    let stop = CancellationToken::new();
    let task = tokio::spawn(reaper.run(stop.clone()));
    tokio::task::yield_now().await;
    assert!(!task.is_finished());
    stop.cancel();
    task.await.expect("no panic");
}
