//! The RabbitMQ bus, on lapin.
//!
//! How it is built:
//! * One connection publishes; each consumer has a connection of its own. A broker that is short
//!   of memory stops reading from publishing connections, and that must not hold up
//!   acknowledgements; and a lane full of prefetched work cannot stand before another lane's.
//! * Each connection has one task that owns it ([`publisher`], [`consumer`]) and reconnects for
//!   ever ([`link`]). lapin's own recovery is not used: it replays what it remembers and gives
//!   up after some attempts, while we declare the whole topology at every connect, which also
//!   heals a broker that came back empty.
//! * Announcements go over a connection of their own, for as long as there are any.
//! * RabbitMQ 3.10 or newer is needed (at-least-once dead lettering of quorum queues).

mod admin;
mod asker;
mod consumer;
mod dead;
mod declare;
mod error;
mod health;
mod link;
mod options;
mod peer;
mod publisher;
mod reply;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use domain::Lane;
use tokio::sync::watch;
use tracing::Instrument;

use crate::announcements::{Announcements, Listener};
use crate::bus::{Bus, BusError, BusHealth, Consumer, DeadLetter, Origin};
use crate::requests::{Reply, RequestConsumer, Requests};
pub use admin::RabbitMqAdmin;
pub use asker::{DIRECT_REPLY_TO, RabbitMqAsker};
use link::Core;
pub use options::{RabbitMqOptions, RabbitMqOptionsError};
pub use peer::{Overheard, RabbitMqPeer};
use publisher::{Message, Publisher};

/// How long [`Bus::close`] waits beyond the publishes under way.
const CLOSE_GRACE: Duration = Duration::from_secs(3);

/// A bus on a RabbitMQ broker or cluster.
pub struct RabbitMqBus {
    core: Arc<Core>,
    publisher: Publisher,
    /// Made when something is first announced. A user without the right to announce loses the
    /// channel each time, and the events of workflows must not go with it.
    announcer: OnceLock<Publisher>,
}

impl RabbitMqBus {
    /// Starts connecting, and returns at once: a broker that is away is a matter of
    /// [`Bus::health`], not of starting. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// Only for options that can never work: the URL, the CA file, the names.
    pub fn start(options: &RabbitMqOptions) -> Result<Self, RabbitMqOptionsError> {
        let core = Arc::new(Core::new(options.settings()?));
        let publisher = Publisher::start(&core, publisher::ROLE);
        Ok(Self { core, publisher, announcer: OnceLock::new() })
    }
}

impl fmt::Debug for RabbitMqBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitMqBus").field("topology", &self.core.settings.topology).finish_non_exhaustive()
    }
}

impl Drop for RabbitMqBus {
    fn drop(&mut self) {
        // Without `close`, the tasks still must not outlive the bus.
        self.core.closing.cancel();
    }
}

#[async_trait]
impl Bus for RabbitMqBus {
    async fn publish(&self, lane: Lane, event_id: &str, body: &[u8]) -> Result<(), BusError> {
        let span = tracing::debug_span!("amqp.publish", %lane, event_id);
        let started = Instant::now();
        let message = Message::event(&self.core.settings.topology, lane, event_id, body);
        let published = self.publisher.publish(message).instrument(span).await;
        let outcome = if published.is_ok() { "confirmed" } else { "failed" };
        metrics::histogram!("farmhand_bus_publish_seconds", "lane" => lane.as_str(), "outcome" => outcome)
            .record(started.elapsed());
        published
    }

    async fn consume(&self, lane: Lane, prefetch: u16) -> Result<Box<dyn Consumer>, BusError> {
        self.core.ensure_open()?;
        let consumer = consumer::start(&self.core, &self.publisher, Origin::Lane(lane), prefetch.max(1));
        Ok(Box::new(consumer::LaneConsumer::new(lane, consumer)))
    }

    async fn depth(&self, lane: Lane) -> Result<u64, BusError> {
        self.core.ensure_open()?;
        dead::depth(&self.core, &self.publisher, Origin::Lane(lane)).await
    }

    async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, BusError> {
        self.core.ensure_open()?;
        dead::peek(&self.core, &self.publisher, limit).await
    }

    fn health(&self) -> watch::Receiver<BusHealth> {
        self.core.board.subscribe()
    }

    async fn close(&self) {
        self.core.closing.cancel();
        self.core.tasks.close();
        let patience = self.core.settings.confirm_timeout + CLOSE_GRACE;
        if tokio::time::timeout(patience, self.core.tasks.wait()).await.is_err() {
            tracing::warn!("the message broker did not let us close in {patience:?}; going without");
        }
    }
}

#[async_trait]
impl Requests for RabbitMqBus {
    async fn consume_requests(&self, prefetch: u16) -> Result<Box<dyn RequestConsumer>, BusError> {
        self.core.ensure_open()?;
        Ok(Box::new(consumer::start(&self.core, &self.publisher, Origin::Intake, prefetch.max(1))))
    }

    async fn reply(&self, reply: &Reply) -> Result<(), BusError> {
        self.core.ensure_open()?;
        let span = tracing::debug_span!("amqp.reply", to = reply.to);
        reply::publish(&self.publisher, reply).instrument(span).await
    }

    async fn requests_waiting(&self) -> Result<u64, BusError> {
        self.core.ensure_open()?;
        dead::depth(&self.core, &self.publisher, Origin::Intake).await
    }

    fn takes_replies(&self, queue: &str, user_id: &str) -> bool {
        self.core.settings.topology.takes_replies(queue, user_id)
    }
}

#[async_trait]
impl Announcements for RabbitMqBus {
    async fn announce(&self, event_type: &str, event_id: &str, body: &[u8]) -> Result<(), BusError> {
        self.core.ensure_open()?;
        let span = tracing::debug_span!("amqp.announce", event_type, event_id);
        let started = Instant::now();
        let announcer = self.announcer.get_or_init(|| Publisher::start(&self.core, health::ANNOUNCER));
        let message = Message::announcement(&self.core.settings, event_type, event_id, body);
        let published = announcer.publish(message).instrument(span).await;
        let outcome = if published.is_ok() { "confirmed" } else { "failed" };
        metrics::histogram!("farmhand_bus_publish_seconds", "lane" => "events", "outcome" => outcome)
            .record(started.elapsed());
        published
    }

    async fn listen(&self, prefetch: u16) -> Result<Box<dyn Listener>, BusError> {
        self.core.ensure_open()?;
        let consumer = consumer::start(&self.core, &self.publisher, Origin::Reactions, prefetch.max(1));
        Ok(Box::new(consumer::ReactionsListener::new(consumer)))
    }

    async fn reactions_waiting(&self) -> Result<u64, BusError> {
        self.core.ensure_open()?;
        dead::depth(&self.core, &self.publisher, Origin::Reactions).await
    }
}
