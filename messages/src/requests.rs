//! The port for requests of other systems: what the intake needs of a broker.
//!
//! The same adapters as [`crate::Bus`], the same contract suite, the same promises; beyond them:
//!
//! * Whoever publishes to the requests exchange is asking. Who that is, the broker says: it takes
//!   a message with the property `user_id` only from a connection of that user. A message without
//!   it is from nobody.
//! * A reply goes to the queue that the asker named, if it is still there. That it arrived is
//!   nobody's promise; the asker asks again with the same id.

use std::fmt;

use async_trait::async_trait;

use crate::bus::{BusError, Held, Origin, Settle};
use crate::request;

/// What the broker and the asker say about a request, beside its body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asker {
    /// The broker's user who published it, as the broker checked it; `None`: nobody can say.
    pub user_id: Option<String>,
    /// The queue that waits for the answer.
    pub reply_to: Option<String>,
    /// The asker's own mark, echoed in the reply.
    pub correlation_id: Option<String>,
    pub message_id: Option<String>,
}

#[async_trait]
pub trait Requests: Send + Sync + fmt::Debug + 'static {
    /// Starts consuming with at most `prefetch` unsettled requests (0 counts as 1). Returns at
    /// once, also during an outage; [`RequestConsumer::next`] waits.
    async fn consume_requests(&self, prefetch: u16) -> Result<Box<dyn RequestConsumer>, BusError>;

    /// Publishes an answer to a queue; returns when the broker has taken it, whether or not the
    /// queue is still there. [`BusError::Refused`]: our own user may not publish replies.
    async fn reply(&self, reply: &Reply) -> Result<(), BusError>;

    /// How many requests wait, deliveries under way not counted.
    async fn requests_waiting(&self) -> Result<u64, BusError>;

    /// Whether replies to this user may go to that queue; see [`crate::Topology::takes_replies`].
    fn takes_replies(&self, queue: &str, user_id: &str) -> bool;
}

/// An answer on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The queue's name.
    pub to: String,
    pub correlation_id: Option<String>,
    pub message_id: String,
    pub body: Vec<u8>,
}

#[async_trait]
pub trait RequestConsumer: Send {
    /// As [`crate::Consumer::next`].
    async fn next(&mut self) -> Option<RequestDelivery>;

    /// As [`crate::Consumer::cancel`].
    async fn cancel(&mut self);
}

/// A request in our hands until it is settled; as [`crate::Delivery`].
pub struct RequestDelivery {
    pub body: Vec<u8>,
    pub asker: Asker,
    /// Seen before, by us or by another orchestrator.
    pub redelivered: bool,
    held: Held,
}

impl RequestDelivery {
    pub fn new(body: Vec<u8>, asker: Asker, redelivered: bool, settle: Box<dyn Settle>) -> Self {
        Self { body, asker, redelivered, held: Held::new(settle) }
    }

    /// Done with it.
    pub async fn ack(self) -> Result<(), BusError> {
        self.held.ack().await
    }

    /// Give it back; it comes again, to us or to another.
    pub async fn nack(self) -> Result<(), BusError> {
        self.held.nack().await
    }

    /// It was refused: keep it in the dead letter queue with the reason. Of a message that is
    /// larger than any request, only the beginning is kept.
    pub async fn dead_letter(self, reason: &str) -> Result<(), BusError> {
        let kept = self.body.get(..request::MAX_BYTES).unwrap_or(&self.body);
        self.held.dead_letter(Origin::Intake, kept, reason).await
    }
}

impl fmt::Debug for RequestDelivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { body, asker, redelivered, .. } = self;
        write!(f, "RequestDelivery({} bytes, {asker:?}, redelivered: {redelivered})", body.len())
    }
}
