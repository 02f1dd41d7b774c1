use super::*;
use crate::http::testing::{FlakyBus, Mood, clock, store, submit, until};
use domain::{Lane, ManualClock, SystemRng};
use tokio::task::JoinHandle;

struct World {
    store: Store,
    clock: Arc<ManualClock>,
    bus: Arc<FlakyBus>,
    relay: Arc<Relay>,
    stop: CancellationToken,
    folder: tempfile::TempDir,
}

impl World {
    /// Wakes of its own accord only once an hour, unless a test says otherwise.
    async fn new(change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(&folder).await;
        let bus = Arc::new(FlakyBus::default());
        let mut settings = Settings { relay_poll: Duration::from_secs(3600), ..Settings::default() };
        change(&mut settings);
        let relay = Relay {
            store: store.clone(),
            outlet: Outlet::Events(bus.clone()),
            clock: clock(),
            rng: Arc::new(SystemRng),
            signal: OutboxSignal::default(),
            settings,
        };
        let stop = CancellationToken::new();
        Self { store, clock: clock(), bus, relay: Arc::new(relay), stop, folder }
    }

    fn start(&self) -> JoinHandle<()> {
        tokio::spawn(self.relay.clone().run(self.stop.clone()))
    }

    async fn submit(&self, lane: Lane) {
        submit(&self.store, self.clock.as_ref(), lane).await;
    }

    async fn empty(&self) {
        until("the outbox is empty", || async { self.store.outbox_depth().await.expect("works").rows == 0 })
            .await;
    }
}

#[tokio::test]
async fn what_is_committed_is_published_at_once() {
    let world = World::new(|_| {}).await;
    let task = world.start();
    for lane in [Lane::Lifecycle, Lane::Urgent] {
        world.submit(lane).await;
        world.empty().await;
    }
    let lanes: Vec<_> = world.bus.published().iter().map(|(lane, _)| *lane).collect();
    assert_eq!(lanes, [Lane::Lifecycle, Lane::Urgent]);
    world.stop.cancel();
    task.await.expect("no panic");
}

#[tokio::test]
async fn what_another_process_wrote_is_found_by_polling_and_sooner_when_woken() {
    for (poll, wake) in [(Duration::from_millis(5), false), (Duration::from_secs(3600), true)] {
        let world = World::new(|settings| settings.relay_poll = poll).await;
        let _task = world.start();
        // Another handle of the same database stands for another process: ours hears nothing of it.
        let elsewhere = store(&world.folder).await;
        submit(&elsewhere, world.clock.as_ref(), Lane::Lifecycle).await;
        if wake {
            world.relay.signal.wake();
        }
        world.empty().await;
        assert_eq!(world.bus.published().len(), 1);
        world.stop.cancel();
    }
}

#[tokio::test]
async fn an_outage_of_the_broker_loses_nothing() {
    let world = World::new(|_| {}).await;
    world.bus.set(Mood::Unreachable);
    for _ in 0..3 {
        world.submit(Lane::Lifecycle).await;
    }
    let _task = world.start();
    until("it was tried twice", || async { world.bus.attempts() >= 6 }).await;
    assert_eq!(world.store.outbox_depth().await.expect("works").rows, 3);
    world.bus.set(Mood::Well);
    world.empty().await;
    assert_eq!(world.bus.published().len(), 3);
    world.stop.cancel();
}

#[tokio::test]
async fn a_confirm_that_never_comes_is_waited_for_only_so_long() {
    let world = World::new(|settings| settings.relay_timeout = Duration::from_millis(20)).await;
    world.bus.set(Mood::Silent);
    world.submit(Lane::Lifecycle).await;
    let _task = world.start();
    until("it was tried twice", || async { world.bus.attempts() >= 2 }).await;
    world.bus.set(Mood::Well);
    world.empty().await;
    world.stop.cancel();
}

#[tokio::test]
async fn messages_that_no_queue_takes_do_not_hold_up_the_rest() {
    let world = World::new(|settings| settings.relay_batch = 1).await;
    world.bus.set(Mood::Unroutable(Lane::Lifecycle));
    for _ in 0..3 {
        world.submit(Lane::Lifecycle).await;
    }
    world.submit(Lane::Urgent).await;
    let _task = world.start();
    until("the urgent one is out", || async {
        world.bus.published().iter().any(|(lane, _)| *lane == Lane::Urgent)
    })
    .await;
    world.bus.set(Mood::Well);
    world.relay.signal.wake();
    world.empty().await;
    assert_eq!(world.bus.published().len(), 4);
    world.stop.cancel();
}

#[tokio::test]
async fn a_full_outbox_is_emptied_batch_by_batch() {
    let world = World::new(|settings| settings.relay_batch = 2).await;
    for _ in 0..7 {
        world.submit(Lane::Checks).await;
    }
    let _task = world.start();
    world.empty().await;
    assert_eq!(world.bus.published().len(), 7);
    world.stop.cancel();
}

#[tokio::test]
async fn a_stop_relays_once_more_what_is_left() {
    let world = World::new(|settings| settings.relay_batch = 2).await;
    for _ in 0..5 {
        world.submit(Lane::Lifecycle).await;
    }
    world.stop.cancel();
    world.start().await.expect("no panic");
    assert_eq!(world.bus.published().len(), 5);
}

#[tokio::test]
async fn an_outage_of_the_database_is_outlived_and_does_not_hold_up_a_stop() {
    let world = World::new(|_| {}).await;
    world.store.close().await;
    let mut outage = Outage::new("test");
    assert_eq!(world.relay.step(&mut 0, &mut outage).await, Next::Later);
    assert!(outage.is_on());
    let task = world.start();
    world.stop.cancel();
    task.await.expect("no panic");
}
