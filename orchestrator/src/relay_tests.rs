use super::*;
use crate::http::testing::{FlakyBus, Mood, clock, store, submit, until};
use async_trait::async_trait;
use domain::{Announcement, AnnouncementKind, Lane, ManualClock, SystemRng};
use messages::Listener;
use tokio::task::JoinHandle;

/// An exchange that takes nothing until it is told otherwise.
#[derive(Debug, Default)]
struct Exchange {
    /// What it answers; `None`: it takes everything.
    refuses: Mutex<Option<fn() -> BusError>>,
    taken: Mutex<Vec<(String, String)>>,
    attempts: std::sync::atomic::AtomicUsize,
}

impl Exchange {
    fn refusing(error: fn() -> BusError) -> Arc<Self> {
        Arc::new(Self { refuses: Mutex::new(Some(error)), ..Self::default() })
    }

    fn opens(&self) {
        *self.refuses.lock().expect("no panic") = None;
    }

    fn attempts(&self) -> usize {
        self.attempts.load(std::sync::atomic::Ordering::SeqCst)
    }

    fn taken(&self) -> Vec<(String, String)> {
        self.taken.lock().expect("no panic").clone()
    }
}

#[async_trait]
impl Announcements for Exchange {
    async fn announce(&self, event_type: &str, event_id: &str, _: &[u8]) -> Result<(), BusError> {
        self.attempts.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        if let Some(error) = *self.refuses.lock().expect("no panic") {
            return Err(error());
        }
        self.taken.lock().expect("no panic").push((event_type.to_owned(), event_id.to_owned()));
        Ok(())
    }

    async fn listen(&self, _: u16) -> Result<Box<dyn Listener>, BusError> {
        Err(BusError::Closed)
    }

    async fn reactions_waiting(&self) -> Result<u64, BusError> {
        Ok(0)
    }
}

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
        let (bus, clock) = (Arc::new(FlakyBus::default()), clock());
        let mut settings = Settings { relay_poll: Duration::from_secs(3600), ..Settings::default() };
        change(&mut settings);
        let relay = Relay {
            store: store.clone(),
            outlet: Outlet::Events(bus.clone()),
            clock: clock.clone(),
            rng: Arc::new(SystemRng),
            signal: OutboxSignal::default(),
            settings,
        };
        let stop = CancellationToken::new();
        Self { store, clock, bus, relay: Arc::new(relay), stop, folder }
    }

    /// The relay beside it, for announcements.
    fn start_announcer(&self, exchange: &Arc<Exchange>) -> JoinHandle<()> {
        let Relay { store, rng, signal, settings, .. } = self.relay.as_ref();
        let announcer = Relay {
            store: store.clone(),
            outlet: Outlet::Announcements(exchange.clone()),
            clock: self.clock.clone(),
            rng: rng.clone(),
            signal: signal.clone(),
            settings: settings.clone(),
        };
        tokio::spawn(Arc::new(announcer).run(self.stop.clone()))
    }

    async fn announce(&self, subject: &str) {
        let one = Announcement::new(AnnouncementKind::FireMissed, subject, serde_json::Map::new());
        self.store.announce(&[one], self.clock.now()).await.expect("works");
    }

    async fn waiting(&self) -> u64 {
        self.store.announcements_depth().await.expect("works").rows
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

#[tokio::test]
async fn what_is_announced_is_published_at_once_under_its_type() {
    let world = World::new(|_| {}).await;
    let exchange = Arc::new(Exchange::default());
    let _tasks = (world.start(), world.start_announcer(&exchange));
    world.announce("nightly").await;
    until("it is announced", || async { world.waiting().await == 0 }).await;
    let taken = exchange.taken();
    let [(event_type, id)] = taken.as_slice() else { panic!("{taken:?}") };
    assert_eq!(event_type, "farmhand.event.fire-missed.v1");
    assert!(id.parse::<Uuid>().is_ok(), "{id}");
    assert_eq!(world.bus.published(), [], "nothing of it goes to the lanes");
    world.stop.cancel();
}

#[tokio::test]
async fn announcements_that_nobody_takes_hold_up_no_event() {
    for trouble in [|| BusError::Refused("no right".to_owned()), || BusError::Unreachable(None)] {
        let world = World::new(|settings| settings.relay_batch = 1).await;
        let exchange = Exchange::refusing(trouble);
        for number in 0..3 {
            world.announce(&number.to_string()).await;
        }
        let _tasks = (world.start(), world.start_announcer(&exchange));
        until("it was tried twice", || async { exchange.attempts() >= 2 }).await;
        world.submit(Lane::Lifecycle).await;
        world.empty().await;
        assert_eq!((world.bus.published().len(), world.waiting().await), (1, 3));
        exchange.opens();
        until("all is announced", || async { world.waiting().await == 0 }).await;
        assert_eq!(exchange.taken().len(), 3);
        world.stop.cancel();
    }
}

/// The queues that are not full have it, and would get it with every attempt.
#[tokio::test]
async fn what_a_full_queue_refuses_is_not_announced_to_the_others_again() {
    let world = World::new(|_| {}).await;
    let exchange = Exchange::refusing(|| BusError::Rejected("a queue is full".to_owned()));
    world.announce("once").await;
    let _task = world.start_announcer(&exchange);
    until("it is settled", || async { world.waiting().await == 0 }).await;
    assert_eq!(exchange.attempts(), 1);
    world.stop.cancel();
}

#[tokio::test]
async fn an_announcement_is_given_up_when_it_is_old_news() {
    let world = World::new(|settings| settings.keep_announcements = Duration::from_secs(3600)).await;
    let exchange = Exchange::refusing(|| BusError::Refused("no right".to_owned()));
    world.announce("old").await;
    world.clock.advance(Duration::from_secs(1800));
    world.announce("young").await;
    let _task = world.start_announcer(&exchange);
    until("it was tried", || async { exchange.attempts() >= 4 }).await;
    assert_eq!(world.waiting().await, 2, "an hour is not over");
    world.clock.advance(Duration::from_secs(2000));
    until("the old one is given up", || async { world.waiting().await == 1 }).await;
    exchange.opens();
    until("the young one is out", || async { world.waiting().await == 0 }).await;
    assert_eq!(exchange.taken().len(), 1);
    world.stop.cancel();
}
