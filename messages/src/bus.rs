//! The bus port: what the rest of Farmhand needs of a message broker.
//!
//! Two adapters, [`crate::memory`] and [`crate::rabbitmq`], pass the same contract suite
//! (`tests/tests/bus_contract`). Promises:
//!
//! * `publish` returns only when the broker has taken responsibility (a publisher confirm; the
//!   message was routed and is persistent).
//! * A delivery is held until it is settled exactly once; settling consumes it, so a double
//!   acknowledgement does not compile. A delivery that is dropped unsettled, or whose consumer
//!   is dropped without `cancel`, comes again with `redelivered` set, and settling it late does
//!   nothing but fail.
//! * A message that is given back more than [`crate::topology::DELIVERY_LIMIT`] times becomes a
//!   dead letter.
//! * A delivery must be settled soon: RabbitMQ cuts the channel of one that is held for
//!   30 minutes (`consumer_timeout`). So nothing waits inside a delivery.
//! * At most `prefetch` unsettled deliveries of one consumer at a time.
//! * In one lane, what one publisher published one after the other arrives in that order,
//!   redeliveries aside.
//! * A consumer outlives the loss of the broker: it reconnects for ever with a capped backoff.

use std::fmt;

use async_trait::async_trait;
use domain::Lane;
use tokio::sync::watch;

/// Why the bus could not do it. Everything is worth another try except `Unroutable` and `Rejected`
/// repeated for the same message.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    #[error("the message broker is not reachable")]
    Unreachable(#[source] Option<Box<dyn std::error::Error + Send + Sync>>),
    /// The broker said it could not keep the message (a negative confirm).
    #[error("the message broker refused the message: {0}")]
    Rejected(String),
    /// The `mandatory` message came back: the exchange has no such queue.
    #[error("no queue takes messages of {0}")]
    Unroutable(String),
    /// The broker refused our login or our topology.
    #[error("the message broker does not let us work: {0}")]
    Refused(String),
    #[error("the bus is shut down")]
    Closed,
}

/// What an adapter knows of its connection; readiness and `doctor` look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BusHealth {
    Connected,
    /// Reconnecting; the text says since which failure.
    Down(String),
}

#[async_trait]
pub trait Bus: Send + Sync + fmt::Debug + 'static {
    /// Publishes one event (a serialised [`crate::envelope`]) to a lane; returns when confirmed.
    async fn publish(&self, lane: Lane, event_id: &str, body: &[u8]) -> Result<(), BusError>;

    /// Starts consuming a lane with at most `prefetch` unsettled deliveries (0 counts as 1).
    /// Returns at once, also during an outage; [`Consumer::next`] waits.
    async fn consume(&self, lane: Lane, prefetch: u16) -> Result<Box<dyn Consumer>, BusError>;

    /// How many messages wait in a lane, deliveries under way not counted.
    async fn depth(&self, lane: Lane) -> Result<u64, BusError>;

    /// Takes up to `limit` dead letters for looking at them, without removing any.
    async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, BusError>;

    /// How the connection stands; changes are pushed.
    fn health(&self) -> watch::Receiver<BusHealth>;

    /// Stops consumers, waits for publishes under way, closes connections. Deliveries still in
    /// somebody's hands come again: to settle them first, `cancel` their consumers and wait.
    async fn close(&self);
}

#[async_trait]
pub trait Consumer: Send {
    /// The next delivery; waits through broker outages. `None` once the bus is closed or
    /// `cancel` was called and all that had arrived was handed out. Safe to drop while it
    /// waits (`select!`): no delivery is lost.
    async fn next(&mut self) -> Option<Delivery>;

    /// No new deliveries from now on; those already handed out can still be settled, also after
    /// the consumer itself is dropped.
    async fn cancel(&mut self);
}

/// Which queue a message was taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    Lane(Lane),
    /// Requests of other systems.
    Intake,
    /// What was announced, by us or by others.
    Reactions,
}

impl Origin {
    pub fn all() -> impl Iterator<Item = Self> {
        Lane::ALL.iter().copied().map(Self::Lane).chain([Self::Intake, Self::Reactions])
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lane(lane) => lane.as_str(),
            Self::Intake => "intake",
            Self::Reactions => "reactions",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::all().find(|origin| origin.as_str() == text)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A message in our hands until it is settled.
pub struct Delivery {
    pub lane: Lane,
    pub body: Vec<u8>,
    /// Seen before, by us or by another consumer.
    pub redelivered: bool,
    held: Held,
}

impl Delivery {
    pub fn new(lane: Lane, body: Vec<u8>, redelivered: bool, settle: Box<dyn Settle>) -> Self {
        Self { lane, body, redelivered, held: Held::new(settle) }
    }

    /// Done with it.
    pub async fn ack(self) -> Result<(), BusError> {
        self.held.ack().await
    }

    /// Give it back to the lane; it comes again, to us or to another.
    pub async fn nack(self) -> Result<(), BusError> {
        self.held.nack().await
    }

    /// It can never be worked on: keep it in the dead letter queue with the reason.
    pub async fn dead_letter(self, reason: &str) -> Result<(), BusError> {
        self.held.dead_letter(Origin::Lane(self.lane), &self.body, reason).await
    }
}

/// The one chance to settle; dropped unused, the delivery goes back.
pub(crate) struct Held(Option<Box<dyn Settle>>);

impl Held {
    pub(crate) fn new(settle: Box<dyn Settle>) -> Self {
        Self(Some(settle))
    }

    pub(crate) async fn ack(mut self) -> Result<(), BusError> {
        match self.0.take() {
            Some(settle) => settle.ack().await,
            None => Ok(()),
        }
    }

    pub(crate) async fn nack(mut self) -> Result<(), BusError> {
        match self.0.take() {
            Some(settle) => settle.nack().await,
            None => Ok(()),
        }
    }

    pub(crate) async fn dead_letter(
        mut self,
        origin: Origin,
        body: &[u8],
        reason: &str,
    ) -> Result<(), BusError> {
        match self.0.take() {
            Some(settle) => settle.dead_letter(origin, body, reason).await,
            None => Ok(()),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(settle) = self.0.take() {
            settle.dropped();
        }
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lane, body, redelivered, .. } = self;
        write!(f, "Delivery({lane}, {} bytes, redelivered: {redelivered})", body.len())
    }
}

/// An adapter's side of a delivery.
#[async_trait]
pub trait Settle: Send + Sync {
    async fn ack(self: Box<Self>) -> Result<(), BusError>;
    async fn nack(self: Box<Self>) -> Result<(), BusError>;
    /// Publishes to the dead letter queue (confirmed), then acknowledges.
    async fn dead_letter(self: Box<Self>, origin: Origin, body: &[u8], reason: &str) -> Result<(), BusError>;
    /// The delivery was dropped without a word: give it back.
    fn dropped(self: Box<Self>);
}

/// What lies in the dead letter queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    pub origin: Option<Origin>,
    pub reason: String,
    pub body: Vec<u8>,
}
