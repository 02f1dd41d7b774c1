//! The in-process bus: what `farmhand up` runs on, with every promise of the port.
//!
//! Nothing is kept across a restart; the reaper emits again what the database still has queued.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use domain::Lane;
use tokio::sync::{Notify, watch};

use crate::Topology;
use crate::announcements::{Announcements, Heard, Listener, Publisher};
use crate::bus::{Bus, BusError, BusHealth, Consumer, DeadLetter, Delivery, Origin, Settle};
use crate::requests::{Asker, Reply, RequestConsumer, RequestDelivery, Requests};
use crate::topology::{DELIVERY_LIMIT, delivery_limit_reason};

/// The dead letters that are kept; the oldest go first. They are for looking at, and whoever
/// forges messages must not fill our memory.
const DEAD_LETTERS_KEPT: usize = 1_000;
/// The user that the bus itself is.
const OWN_USER: &str = "farmhand";
/// The replies that are kept in a queue that nobody reads.
const REPLIES_KEPT: usize = 1_000;

/// A bus inside one process.
pub struct MemoryBus {
    shared: Arc<Shared>,
}

impl MemoryBus {
    pub fn new() -> Self {
        let changed = Origin::all().map(|origin| (origin, Notify::new())).collect();
        let health = watch::Sender::new(BusHealth::Connected);
        Self { shared: Arc::new(Shared { state: Mutex::default(), changed, health }) }
    }
}

impl Default for MemoryBus {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryBus")
    }
}

struct Shared {
    state: Mutex<State>,
    /// Wakes the consumers of a queue: a message is ready, a delivery was settled, the bus closed.
    changed: BTreeMap<Origin, Notify>,
    health: watch::Sender<BusHealth>,
}

#[derive(Default)]
struct State {
    queues: BTreeMap<Origin, Queue>,
    dead: VecDeque<DeadLetter>,
    /// By queue; nobody else takes them out.
    replies: BTreeMap<String, VecDeque<Reply>>,
    /// Unsettled deliveries of each living consumer.
    in_hand: HashMap<u64, usize>,
    /// Somebody has listened to what is announced: from then on it is kept.
    heard: bool,
    closed: bool,
    /// The next sequence number of a message, and the next consumer's.
    next: u64,
}

#[derive(Default)]
struct Queue {
    /// By sequence number, so what comes back takes its old place.
    ready: BTreeMap<u64, Message>,
    held: HashMap<u64, Held>,
}

struct Message {
    body: Arc<[u8]>,
    /// Of a request, or of an announcement its publisher.
    asker: Asker,
    /// How often it was given back.
    returns: i32,
}

struct Held {
    consumer: u64,
    message: Message,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // No code under the lock panics halfway through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, origin: Origin) {
        if let Some(notify) = self.changed.get(&origin) {
            notify.notify_waiters();
        }
    }
}

impl State {
    fn open(&self) -> Result<(), BusError> {
        if self.closed { Err(BusError::Closed) } else { Ok(()) }
    }

    fn queue(&mut self, origin: Origin) -> &mut Queue {
        self.queues.entry(origin).or_default()
    }

    fn add(&mut self, origin: Origin, body: &[u8], asker: Asker) {
        let sequence = self.number();
        self.queue(origin).ready.insert(sequence, Message { body: body.into(), asker, returns: 0 });
    }

    fn consumer(&mut self) -> u64 {
        let id = self.number();
        self.in_hand.insert(id, 0);
        id
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// The message of a delivery, unless it was taken back from its consumer.
    fn take_held(&mut self, origin: Origin, sequence: u64) -> Option<Message> {
        let held = self.queue(origin).held.remove(&sequence)?;
        if let Some(count) = self.in_hand.get_mut(&held.consumer) {
            *count -= 1;
        }
        Some(held.message)
    }

    fn give_back(&mut self, origin: Origin, sequence: u64, mut message: Message) {
        message.returns += 1;
        if message.returns > DELIVERY_LIMIT {
            self.bury(origin, delivery_limit_reason(), message.body.to_vec());
        } else {
            self.queue(origin).ready.insert(sequence, message);
        }
    }

    fn bury(&mut self, origin: Origin, reason: String, body: Vec<u8>) {
        if self.dead.len() == DEAD_LETTERS_KEPT {
            self.dead.pop_front();
        }
        tracing::warn!(%origin, reason, "a message became a dead letter");
        self.dead.push_back(DeadLetter { origin: Some(origin), reason, body });
    }
}

#[async_trait]
impl Bus for MemoryBus {
    async fn publish(&self, lane: Lane, event_id: &str, body: &[u8]) -> Result<(), BusError> {
        let _span = tracing::debug_span!("bus.publish", %lane, event_id).entered();
        let started = Instant::now();
        {
            let mut state = self.shared.state();
            state.open()?;
            state.add(Origin::Lane(lane), body, Asker::default());
        }
        self.shared.wake(Origin::Lane(lane));
        metrics::histogram!("farmhand_bus_publish_seconds", "lane" => lane.as_str())
            .record(started.elapsed());
        Ok(())
    }

    async fn consume(&self, lane: Lane, prefetch: u16) -> Result<Box<dyn Consumer>, BusError> {
        Ok(Box::new(LaneConsumer {
            lane,
            inner: MemoryConsumer::start(&self.shared, Origin::Lane(lane), prefetch)?,
        }))
    }

    async fn depth(&self, lane: Lane) -> Result<u64, BusError> {
        let mut state = self.shared.state();
        state.open()?;
        Ok(state.queue(Origin::Lane(lane)).ready.len() as u64)
    }

    async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, BusError> {
        let state = self.shared.state();
        state.open()?;
        Ok(state.dead.iter().take(limit).cloned().collect())
    }

    fn health(&self) -> watch::Receiver<BusHealth> {
        self.shared.health.subscribe()
    }

    async fn close(&self) {
        self.shared.state().closed = true;
        self.shared.health.send_replace(BusHealth::Down("the bus is shut down".to_owned()));
        Origin::all().for_each(|origin| self.shared.wake(origin));
    }
}

/// The side of the askers, who reach a real broker without us.
impl MemoryBus {
    /// Publishes a request as the user whom `asker` names.
    pub fn ask(&self, asker: Asker, body: &[u8]) -> Result<(), BusError> {
        {
            let mut state = self.shared.state();
            state.open()?;
            state.add(Origin::Intake, body, asker);
        }
        self.shared.wake(Origin::Intake);
        Ok(())
    }

    /// Takes the oldest reply in a queue.
    pub fn take_reply(&self, queue: &str) -> Option<Reply> {
        self.shared.state().replies.get_mut(queue)?.pop_front()
    }
}

#[async_trait]
impl Requests for MemoryBus {
    async fn consume_requests(&self, prefetch: u16) -> Result<Box<dyn RequestConsumer>, BusError> {
        Ok(Box::new(IntakeConsumer { inner: MemoryConsumer::start(&self.shared, Origin::Intake, prefetch)? }))
    }

    async fn reply(&self, reply: &Reply) -> Result<(), BusError> {
        let mut state = self.shared.state();
        state.open()?;
        let queue = state.replies.entry(reply.to.clone()).or_default();
        if queue.len() == REPLIES_KEPT {
            queue.pop_front();
        }
        queue.push_back(reply.clone());
        Ok(())
    }

    async fn requests_waiting(&self) -> Result<u64, BusError> {
        let mut state = self.shared.state();
        state.open()?;
        Ok(state.queue(Origin::Intake).ready.len() as u64)
    }

    fn takes_replies(&self, queue: &str, user_id: &str) -> bool {
        Topology::default().takes_replies(queue, user_id)
    }
}

/// The side of other systems, who reach a real broker without us.
impl MemoryBus {
    /// How many deliveries are in somebody's hands.
    pub fn unsettled(&self) -> usize {
        self.shared.state().in_hand.values().sum()
    }

    /// Announces as that user; `None`: one who does not say who it is.
    pub fn announce_as(&self, user: Option<&str>, body: &[u8]) -> Result<(), BusError> {
        {
            let mut state = self.shared.state();
            state.open()?;
            if !state.heard {
                return Ok(());
            }
            let asker = Asker { user_id: user.map(str::to_owned), ..Asker::default() };
            state.add(Origin::Reactions, body, asker);
        }
        self.shared.wake(Origin::Reactions);
        Ok(())
    }
}

#[async_trait]
impl Announcements for MemoryBus {
    async fn announce(&self, event_type: &str, event_id: &str, body: &[u8]) -> Result<(), BusError> {
        let _span = tracing::debug_span!("bus.announce", event_type, event_id).entered();
        let started = Instant::now();
        self.announce_as(Some(OWN_USER), body)?;
        metrics::histogram!("farmhand_bus_publish_seconds", "lane" => "events").record(started.elapsed());
        Ok(())
    }

    async fn listen(&self, prefetch: u16) -> Result<Box<dyn Listener>, BusError> {
        let inner = MemoryConsumer::start(&self.shared, Origin::Reactions, prefetch)?;
        self.shared.state().heard = true;
        Ok(Box::new(ReactionsListener { inner }))
    }

    async fn reactions_waiting(&self) -> Result<u64, BusError> {
        let mut state = self.shared.state();
        state.open()?;
        Ok(state.queue(Origin::Reactions).ready.len() as u64)
    }
}

struct MemoryConsumer {
    shared: Arc<Shared>,
    origin: Origin,
    prefetch: usize,
    id: u64,
    cancelled: bool,
}

/// A message with the way to settle it.
struct Taken {
    body: Vec<u8>,
    asker: Asker,
    redelivered: bool,
    settle: Box<MemorySettle>,
}

enum Next {
    Taken(Taken),
    Wait,
    End,
}

impl MemoryConsumer {
    fn start(shared: &Arc<Shared>, origin: Origin, prefetch: u16) -> Result<Self, BusError> {
        let mut state = shared.state();
        state.open()?;
        let (id, prefetch) = (state.consumer(), usize::from(prefetch.max(1)));
        Ok(Self { shared: shared.clone(), origin, prefetch, id, cancelled: false })
    }

    fn try_next(&self) -> Next {
        let mut state = self.shared.state();
        if state.closed || self.cancelled {
            return Next::End;
        }
        if state.in_hand.get(&self.id).copied().unwrap_or(0) >= self.prefetch {
            return Next::Wait;
        }
        let Some((sequence, message)) = state.queue(self.origin).ready.pop_first() else { return Next::Wait };
        let (body, asker, redelivered) = (message.body.to_vec(), message.asker.clone(), message.returns > 0);
        state.queue(self.origin).held.insert(sequence, Held { consumer: self.id, message });
        *state.in_hand.entry(self.id).or_default() += 1;
        let settle = MemorySettle { shared: self.shared.clone(), origin: self.origin, sequence };
        Next::Taken(Taken { body, asker, redelivered, settle: Box::new(settle) })
    }

    async fn take(&mut self) -> Option<Taken> {
        let shared = self.shared.clone();
        let changed = shared.changed.get(&self.origin)?;
        loop {
            // Listen before looking: what changes in between must wake us.
            let woken = changed.notified();
            tokio::pin!(woken);
            woken.as_mut().enable();
            match self.try_next() {
                Next::Taken(taken) => return Some(taken),
                Next::End => return None,
                Next::Wait => woken.await,
            }
        }
    }
}

struct LaneConsumer {
    lane: Lane,
    inner: MemoryConsumer,
}

#[async_trait]
impl Consumer for LaneConsumer {
    async fn next(&mut self) -> Option<Delivery> {
        let taken = self.inner.take().await?;
        Some(Delivery::new(self.lane, taken.body, taken.redelivered, taken.settle))
    }

    async fn cancel(&mut self) {
        self.inner.cancelled = true;
    }
}

struct IntakeConsumer {
    inner: MemoryConsumer,
}

#[async_trait]
impl RequestConsumer for IntakeConsumer {
    async fn next(&mut self) -> Option<RequestDelivery> {
        let taken = self.inner.take().await?;
        Some(RequestDelivery::new(taken.body, taken.asker, taken.redelivered, taken.settle))
    }

    async fn cancel(&mut self) {
        self.inner.cancelled = true;
    }
}

struct ReactionsListener {
    inner: MemoryConsumer,
}

#[async_trait]
impl Listener for ReactionsListener {
    async fn next(&mut self) -> Option<Heard> {
        let taken = self.inner.take().await?;
        let publisher = Publisher::of(taken.asker.user_id, OWN_USER);
        Some(Heard::new(taken.body, publisher, taken.redelivered, taken.settle))
    }

    async fn cancel(&mut self) {
        self.inner.cancelled = true;
    }
}

impl Drop for MemoryConsumer {
    fn drop(&mut self) {
        {
            let mut state = self.shared.state();
            state.in_hand.remove(&self.id);
            if self.cancelled {
                return;
            }
            let held = &state.queue(self.origin).held;
            let ours: Vec<u64> =
                held.iter().filter(|(_, h)| h.consumer == self.id).map(|(s, _)| *s).collect();
            for sequence in ours {
                if let Some(message) = state.take_held(self.origin, sequence) {
                    state.give_back(self.origin, sequence, message);
                }
            }
        }
        self.shared.wake(self.origin);
    }
}

struct MemorySettle {
    shared: Arc<Shared>,
    origin: Origin,
    sequence: u64,
}

impl MemorySettle {
    fn settle(&self, with: impl FnOnce(&mut State, Message)) -> Result<(), BusError> {
        {
            let mut state = self.shared.state();
            let message = state.take_held(self.origin, self.sequence).ok_or(BusError::Closed)?;
            with(&mut state, message);
        }
        self.shared.wake(self.origin);
        Ok(())
    }
}

#[async_trait]
impl Settle for MemorySettle {
    async fn ack(self: Box<Self>) -> Result<(), BusError> {
        self.settle(|_, _| {})
    }

    async fn nack(self: Box<Self>) -> Result<(), BusError> {
        self.settle(|state, message| state.give_back(self.origin, self.sequence, message))
    }

    async fn dead_letter(self: Box<Self>, origin: Origin, body: &[u8], reason: &str) -> Result<(), BusError> {
        metrics::counter!("farmhand_bus_dead_letters_total", "lane" => origin.as_str()).increment(1);
        self.settle(|state, _| state.bury(origin, reason.to_owned(), body.to_vec()))
    }

    fn dropped(self: Box<Self>) {
        // Taken back already when its consumer went.
        let _ = self.settle(|state, message| state.give_back(self.origin, self.sequence, message));
    }
}
