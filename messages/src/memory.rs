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

use crate::bus::{Bus, BusError, BusHealth, Consumer, DeadLetter, Delivery, Settle};
use crate::topology::{DELIVERY_LIMIT, delivery_limit_reason};

/// The dead letters that are kept; the oldest go first. They are for looking at, and whoever
/// forges messages must not fill our memory.
const DEAD_LETTERS_KEPT: usize = 1_000;

/// A bus inside one process.
pub struct MemoryBus {
    shared: Arc<Shared>,
}

impl MemoryBus {
    pub fn new() -> Self {
        let lanes = Lane::ALL.iter().map(|lane| (*lane, LaneState::default())).collect();
        let changed = Lane::ALL.iter().map(|lane| (*lane, Notify::new())).collect();
        let state = State { lanes, dead: VecDeque::new(), in_hand: HashMap::new(), closed: false, next: 0 };
        let health = watch::Sender::new(BusHealth::Connected);
        Self { shared: Arc::new(Shared { state: Mutex::new(state), changed, health }) }
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
    /// Wakes the consumers of a lane: a message is ready, a delivery was settled, the bus closed.
    changed: BTreeMap<Lane, Notify>,
    health: watch::Sender<BusHealth>,
}

struct State {
    lanes: BTreeMap<Lane, LaneState>,
    dead: VecDeque<DeadLetter>,
    /// Unsettled deliveries of each living consumer.
    in_hand: HashMap<u64, usize>,
    closed: bool,
    /// The next sequence number of a message, and the next consumer's.
    next: u64,
}

#[derive(Default)]
struct LaneState {
    /// By sequence number, so what comes back takes its old place.
    ready: BTreeMap<u64, Message>,
    held: HashMap<u64, Held>,
}

struct Message {
    body: Arc<[u8]>,
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

    fn wake(&self, lane: Lane) {
        if let Some(notify) = self.changed.get(&lane) {
            notify.notify_waiters();
        }
    }
}

impl State {
    fn open(&self) -> Result<(), BusError> {
        if self.closed { Err(BusError::Closed) } else { Ok(()) }
    }

    fn lane(&mut self, lane: Lane) -> &mut LaneState {
        self.lanes.entry(lane).or_default()
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// The message of a delivery, unless it was taken back from its consumer.
    fn take_held(&mut self, lane: Lane, sequence: u64) -> Option<Message> {
        let held = self.lane(lane).held.remove(&sequence)?;
        if let Some(count) = self.in_hand.get_mut(&held.consumer) {
            *count -= 1;
        }
        Some(held.message)
    }

    fn give_back(&mut self, lane: Lane, sequence: u64, mut message: Message) {
        message.returns += 1;
        if message.returns > DELIVERY_LIMIT {
            self.bury(lane, delivery_limit_reason(), message.body.to_vec());
        } else {
            self.lane(lane).ready.insert(sequence, message);
        }
    }

    fn bury(&mut self, lane: Lane, reason: String, body: Vec<u8>) {
        if self.dead.len() == DEAD_LETTERS_KEPT {
            self.dead.pop_front();
        }
        tracing::warn!(%lane, reason, "a message became a dead letter");
        self.dead.push_back(DeadLetter { lane: Some(lane), reason, body });
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
            let sequence = state.number();
            state.lane(lane).ready.insert(sequence, Message { body: body.into(), returns: 0 });
        }
        self.shared.wake(lane);
        metrics::histogram!("farmhand_bus_publish_seconds", "lane" => lane.as_str())
            .record(started.elapsed());
        Ok(())
    }

    async fn consume(&self, lane: Lane, prefetch: u16) -> Result<Box<dyn Consumer>, BusError> {
        let mut state = self.shared.state();
        state.open()?;
        let id = state.number();
        state.in_hand.insert(id, 0);
        let prefetch = usize::from(prefetch.max(1));
        Ok(Box::new(MemoryConsumer { shared: self.shared.clone(), lane, prefetch, id, cancelled: false }))
    }

    async fn depth(&self, lane: Lane) -> Result<u64, BusError> {
        let mut state = self.shared.state();
        state.open()?;
        Ok(state.lane(lane).ready.len() as u64)
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
        for lane in Lane::ALL {
            self.shared.wake(*lane);
        }
    }
}

struct MemoryConsumer {
    shared: Arc<Shared>,
    lane: Lane,
    prefetch: usize,
    id: u64,
    cancelled: bool,
}

enum Next {
    Delivery(Delivery),
    Wait,
    End,
}

impl MemoryConsumer {
    fn try_next(&self) -> Next {
        let mut state = self.shared.state();
        if state.closed || self.cancelled {
            return Next::End;
        }
        if state.in_hand.get(&self.id).copied().unwrap_or(0) >= self.prefetch {
            return Next::Wait;
        }
        let Some((sequence, message)) = state.lane(self.lane).ready.pop_first() else { return Next::Wait };
        let (body, redelivered) = (message.body.to_vec(), message.returns > 0);
        state.lane(self.lane).held.insert(sequence, Held { consumer: self.id, message });
        *state.in_hand.entry(self.id).or_default() += 1;
        let settle = MemorySettle { shared: self.shared.clone(), lane: self.lane, sequence };
        Next::Delivery(Delivery::new(self.lane, body, redelivered, Box::new(settle)))
    }
}

#[async_trait]
impl Consumer for MemoryConsumer {
    async fn next(&mut self) -> Option<Delivery> {
        let shared = self.shared.clone();
        let changed = shared.changed.get(&self.lane)?;
        loop {
            // Listen before looking: what changes in between must wake us.
            let woken = changed.notified();
            tokio::pin!(woken);
            woken.as_mut().enable();
            match self.try_next() {
                Next::Delivery(delivery) => return Some(delivery),
                Next::End => return None,
                Next::Wait => woken.await,
            }
        }
    }

    async fn cancel(&mut self) {
        self.cancelled = true;
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
            let held = &state.lane(self.lane).held;
            let ours: Vec<u64> =
                held.iter().filter(|(_, h)| h.consumer == self.id).map(|(s, _)| *s).collect();
            for sequence in ours {
                if let Some(message) = state.take_held(self.lane, sequence) {
                    state.give_back(self.lane, sequence, message);
                }
            }
        }
        self.shared.wake(self.lane);
    }
}

struct MemorySettle {
    shared: Arc<Shared>,
    lane: Lane,
    sequence: u64,
}

impl MemorySettle {
    fn settle(&self, with: impl FnOnce(&mut State, Message)) -> Result<(), BusError> {
        {
            let mut state = self.shared.state();
            let message = state.take_held(self.lane, self.sequence).ok_or(BusError::Closed)?;
            with(&mut state, message);
        }
        self.shared.wake(self.lane);
        Ok(())
    }
}

#[async_trait]
impl Settle for MemorySettle {
    async fn ack(self: Box<Self>) -> Result<(), BusError> {
        self.settle(|_, _| {})
    }

    async fn nack(self: Box<Self>) -> Result<(), BusError> {
        self.settle(|state, message| state.give_back(self.lane, self.sequence, message))
    }

    async fn dead_letter(self: Box<Self>, lane: Lane, body: &[u8], reason: &str) -> Result<(), BusError> {
        metrics::counter!("farmhand_bus_dead_letters_total", "lane" => lane.as_str()).increment(1);
        self.settle(|state, _| state.bury(lane, reason.to_owned(), body.to_vec()))
    }

    fn dropped(self: Box<Self>) {
        // Taken back already when its consumer went.
        let _ = self.settle(|state, message| state.give_back(self.lane, self.sequence, message));
    }
}
