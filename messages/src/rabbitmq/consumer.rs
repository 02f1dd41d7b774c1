//! Consuming a queue: one task owns a connection, a channel and the subscription on it.
//!
//! A subscription can be a corpse: when a queue is deleted and declared again within
//! milliseconds, RabbitMQ (seen with 3.10.8) sends no `basic.cancel` but subscribes the channel to
//! the new queue by itself, and then drops what it delivers, because the channel's client counts
//! messages from the old queue. Nothing in AMQP shows it. So consumers subscribe anew when our own
//! publisher had to declare a queue again, and, for what happens elsewhere, when nothing came for
//! [`RENEWAL`].

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::Lane;
use futures::{FutureExt, StreamExt};
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions,
};
use lapin::types::{FieldTable, ShortString};
use lapin::{Acker, BasicProperties};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::Span;

use super::error::LinkError;
use super::link::{Core, Link, Pauses, establish};
use super::publisher::{Message, Publisher};
use crate::announcements::{Heard, Listener};
use crate::bus::{Consumer, Delivery, Origin, Settle};
use crate::requests::{Asker, RequestConsumer, RequestDelivery};
use crate::{BusError, Topology, announcements};

/// How long a subscription that brings nothing is trusted.
const RENEWAL: Duration = Duration::from_secs(300);
/// How long an acknowledgement may take to reach the socket.
const SETTLE_PATIENCE: Duration = Duration::from_secs(5);

/// Starts consuming; the task lives until the consumer or the bus is gone.
pub(super) fn start(
    core: &Arc<Core>,
    publisher: &Publisher,
    origin: Origin,
    prefetch: u16,
) -> RabbitMqConsumer {
    let (arrivals, arrived) = mpsc::unbounded_channel();
    let (cancel, cut) = (CancellationToken::new(), CancellationToken::new());
    let task = ConsumerTask {
        core: core.clone(),
        publisher: publisher.clone(),
        origin,
        prefetch,
        role: format!("{origin} {}", core.number()),
        cancel: cancel.clone(),
        cut: cut.clone(),
    };
    core.tasks.spawn(task.run(arrivals));
    RabbitMqConsumer {
        core: core.clone(),
        origin,
        arrived,
        waiting: None,
        permits: Arc::new(Semaphore::new(usize::from(prefetch))),
        cancel,
        cut,
    }
}

/// The consumer's side of the ports.
pub(super) struct RabbitMqConsumer {
    core: Arc<Core>,
    origin: Origin,
    arrived: mpsc::UnboundedReceiver<Arrived>,
    /// Taken from the channel, but not handed out yet.
    waiting: Option<Arrived>,
    /// The broker holds to the prefetch on one channel; these hold to it across a reconnect, when
    /// deliveries of the lost channel are still in somebody's hands.
    permits: Arc<Semaphore>,
    cancel: CancellationToken,
    cut: CancellationToken,
}

impl RabbitMqConsumer {
    async fn take(&mut self) -> Option<Taken> {
        loop {
            if self.core.closing.is_cancelled() {
                return None;
            }
            if self.waiting.is_none() {
                self.waiting = Some(self.arrived.recv().await?);
            }
            let permit = tokio::select! {
                biased;
                () = self.core.closing.cancelled() => return None,
                permit = self.permits.clone().acquire_owned() => permit.ok()?,
            };
            // One of a lost channel comes again; working on it now would be working twice.
            let fresh = self.waiting.take().filter(|arrived| !arrived.is_stale());
            if let Some(arrived) = fresh {
                return arrived.hand_out(self.origin, permit);
            }
        }
    }
}

/// A lane's events.
pub(super) struct LaneConsumer {
    lane: Lane,
    inner: RabbitMqConsumer,
}

impl LaneConsumer {
    pub fn new(lane: Lane, inner: RabbitMqConsumer) -> Self {
        Self { lane, inner }
    }
}

#[async_trait]
impl Consumer for LaneConsumer {
    async fn next(&mut self) -> Option<Delivery> {
        let Taken { body, redelivered, settle, .. } = self.inner.take().await?;
        Some(Delivery::new(self.lane, body, redelivered, settle))
    }

    async fn cancel(&mut self) {
        self.inner.cancel.cancel();
    }
}

#[async_trait]
impl RequestConsumer for RabbitMqConsumer {
    async fn next(&mut self) -> Option<RequestDelivery> {
        let Taken { body, asker, redelivered, settle } = self.take().await?;
        Some(RequestDelivery::new(body, asker, redelivered, settle))
    }

    async fn cancel(&mut self) {
        self.cancel.cancel();
    }
}

/// What is announced.
pub(super) struct ReactionsListener {
    inner: RabbitMqConsumer,
}

impl ReactionsListener {
    pub fn new(inner: RabbitMqConsumer) -> Self {
        Self { inner }
    }
}

#[async_trait]
impl Listener for ReactionsListener {
    async fn next(&mut self) -> Option<Heard> {
        let Taken { body, asker, redelivered, settle } = self.inner.take().await?;
        let own = self.inner.core.settings.user();
        let publisher = announcements::Publisher::of(asker.user_id, own);
        Some(Heard::new(body, publisher, redelivered, settle))
    }

    async fn cancel(&mut self) {
        self.inner.cancel.cancel();
    }
}

impl Drop for RabbitMqConsumer {
    fn drop(&mut self) {
        if !self.cancel.is_cancelled() {
            self.cut.cancel();
        }
    }
}

/// A delivery on its way into somebody's hands.
struct Taken {
    body: Vec<u8>,
    asker: Asker,
    redelivered: bool,
    settle: Box<RabbitMqSettle>,
}

/// A delivery that nobody has yet. Dropped, it goes back to the queue.
struct Arrived {
    body: Vec<u8>,
    asker: Asker,
    redelivered: bool,
    settle: Option<Box<RabbitMqSettle>>,
}

impl Arrived {
    fn is_stale(&self) -> bool {
        self.settle.as_ref().is_none_or(|settle| settle.acker.poisoned())
    }

    fn hand_out(mut self, origin: Origin, permit: OwnedSemaphorePermit) -> Option<Taken> {
        let mut settle = self.settle.take()?;
        settle.permit = Some(permit);
        let event_id = settle.message_id.as_ref().map(ShortString::as_str).unwrap_or_default();
        settle.span = tracing::debug_span!(
            parent: None, "amqp.consume", %origin, event_id, redelivered = self.redelivered,
            outcome = tracing::field::Empty
        );
        let (body, asker) = (std::mem::take(&mut self.body), std::mem::take(&mut self.asker));
        Some(Taken { body, asker, redelivered: self.redelivered, settle })
    }
}

impl Drop for Arrived {
    fn drop(&mut self) {
        if let Some(settle) = self.settle.take() {
            settle.dropped();
        }
    }
}

struct ConsumerTask {
    core: Arc<Core>,
    publisher: Publisher,
    origin: Origin,
    prefetch: u16,
    role: String,
    /// No new deliveries, but those handed out may be settled.
    cancel: CancellationToken,
    /// The consumer was dropped: everything goes back.
    cut: CancellationToken,
}

enum Ended {
    Stopped,
    /// Nothing is wrong that we know of; see the module's words on corpses.
    Stale,
    Lost(LinkError),
}

impl ConsumerTask {
    async fn run(self, arrivals: mpsc::UnboundedSender<Arrived>) {
        let mut pauses = Pauses::new(&self.core.settings);
        let mut connected_before = false;
        while let Some((mut link, subscription)) = self.subscribe(&mut pauses).await {
            if connected_before {
                metrics::counter!("farmhand_bus_reconnects_total", "link" => self.origin.as_str())
                    .increment(1);
            }
            connected_before = true;
            // Those of a lost channel cannot be settled any more and need no waiting for.
            let held = TaskTracker::new();
            match self.deliver(&mut link, subscription, &arrivals, &held).await {
                Ended::Stopped => {
                    if self.cancel.is_cancelled() {
                        self.drain(&mut link, arrivals, &held).await;
                    }
                    link.close().await;
                    break;
                }
                Ended::Stale => link.close().await,
                Ended::Lost(error) => {
                    pauses.lost(link.was_stable());
                    self.core.board.down(&self.role, error.text());
                }
            }
        }
        self.core.board.forget(&self.role);
    }

    /// A subscription on a connection of its own; `None` when nobody wants it any more.
    async fn subscribe(&self, pauses: &mut Pauses) -> Option<(Link, lapin::Consumer)> {
        let verdict = watch::Sender::new(None);
        let open = || open(self.core.clone(), self.role.clone(), self.origin, self.prefetch).boxed();
        tokio::select! {
            biased;
            () = self.stopped() => None,
            opened = establish(&self.core, &self.role, pauses, &verdict, open) => Some(opened),
        }
    }

    async fn stopped(&self) {
        tokio::select! {
            () = self.core.closing.cancelled() => {}
            () = self.cut.cancelled() => {}
            () = self.cancel.cancelled() => {}
        }
    }

    /// Waits until all that arrived is settled, on the same channel; ends early with the bus.
    async fn drain(&self, link: &mut Link, arrivals: mpsc::UnboundedSender<Arrived>, held: &TaskTracker) {
        // The consumer's `next` ends after what has arrived, before the last of it is settled.
        drop(arrivals);
        held.close();
        tokio::select! {
            () = held.wait() => {}
            () = self.core.closing.cancelled() => {}
            _ = link.lost(&self.core, &self.role) => {}
        }
    }

    async fn deliver(
        &self,
        link: &mut Link,
        mut subscription: lapin::Consumer,
        arrivals: &mpsc::UnboundedSender<Arrived>,
        held: &TaskTracker,
    ) -> Ended {
        let mut ending = false;
        let mut renewed = self.core.queues_renewed.subscribe();
        loop {
            let idle = tokio::time::sleep(RENEWAL);
            tokio::select! {
                biased;
                () = self.cut.cancelled() => return Ended::Stopped,
                () = self.core.closing.cancelled() => return Ended::Stopped,
                () = self.cancel.cancelled(), if !ending => {
                    ending = true;
                    let cancelling = link.channel.basic_cancel(subscription.tag(), BasicCancelOptions::default());
                    // Whether or not it was answered: the stream below ends, or the link is lost.
                    let _ = tokio::time::timeout(SETTLE_PATIENCE, cancelling).await;
                }
                delivery = subscription.next() => match delivery {
                    Some(Ok(delivery)) => {
                        // The consumer is gone when nobody receives; `cut` says so in a moment.
                        let _ = arrivals.send(self.arrived(delivery, held.token()));
                    }
                    Some(Err(error)) => return Ended::Lost(LinkError::working(error)),
                    None if ending => return Ended::Stopped,
                    None => return Ended::Lost(LinkError::lost("the broker ended the subscription: the queue is gone")),
                },
                _ = renewed.changed(), if !ending => return Ended::Stale,
                () = idle, if !ending => {
                    if held.is_empty() {
                        return Ended::Stale;
                    }
                }
                error = link.lost(&self.core, &self.role) => {
                    return if ending { Ended::Stopped } else { Ended::Lost(error) };
                }
            }
        }
    }

    fn arrived(&self, delivery: lapin::message::Delivery, held: TaskTrackerToken) -> Arrived {
        let settle = RabbitMqSettle {
            core: self.core.clone(),
            publisher: self.publisher.clone(),
            message_id: delivery.properties.message_id().clone(),
            acker: delivery.acker,
            permit: None,
            span: Span::none(),
            _held: held,
        };
        let asker = match self.origin {
            Origin::Lane(_) => Asker::default(),
            Origin::Intake | Origin::Reactions => asker(&delivery.properties),
        };
        Arrived {
            body: delivery.data,
            asker,
            redelivered: delivery.redelivered,
            settle: Some(Box::new(settle)),
        }
    }
}

fn asker(properties: &BasicProperties) -> Asker {
    let text =
        |text: &Option<ShortString>| text.as_ref().map(ToString::to_string).filter(|text| !text.is_empty());
    Asker {
        user_id: text(properties.user_id()),
        reply_to: text(properties.reply_to()),
        correlation_id: text(properties.correlation_id()),
        message_id: text(properties.message_id()),
    }
}

async fn open(
    core: Arc<Core>,
    role: String,
    origin: Origin,
    prefetch: u16,
) -> Result<(Link, lapin::Consumer), LinkError> {
    let link = Link::open(&core, &role).await?;
    if origin == Origin::Reactions {
        core.declare_reactions(&link.channel).await?;
    }
    let queue = core.settings.topology.queue_of(origin);
    link.channel.basic_qos(prefetch, BasicQosOptions::default()).await.map_err(LinkError::opening)?;
    let arguments = FieldTable::default();
    let options = BasicConsumeOptions::default();
    let subscription = link.channel.basic_consume(queue.into(), "".into(), options, arguments).await;
    Ok((link, subscription.map_err(LinkError::opening)?))
}

/// The adapter's side of a delivery.
struct RabbitMqSettle {
    core: Arc<Core>,
    publisher: Publisher,
    message_id: Option<ShortString>,
    acker: Acker,
    permit: Option<OwnedSemaphorePermit>,
    span: Span,
    /// Keeps the connection open while a cancelled consumer's deliveries are worked on.
    _held: TaskTrackerToken,
}

impl RabbitMqSettle {
    fn topology(&self) -> &Topology {
        &self.core.settings.topology
    }

    async fn finish<F>(&self, outcome: &str, answer: F) -> Result<(), BusError>
    where
        F: Future<Output = lapin::Result<bool>>,
    {
        self.span.record("outcome", outcome);
        match tokio::time::timeout(SETTLE_PATIENCE, answer).await {
            Ok(Ok(true)) => Ok(()),
            // The channel is gone, and with it the delivery: it comes again.
            Ok(Ok(false)) => Err(BusError::Unreachable(None)),
            Ok(Err(error)) => Err(LinkError::working(error).to_bus_error()),
            Err(_) => {
                Err(BusError::Unreachable(Some("the acknowledgement could not be sent in time".into())))
            }
        }
    }
}

fn requeue() -> BasicNackOptions {
    BasicNackOptions { multiple: false, requeue: true }
}

#[async_trait]
impl Settle for RabbitMqSettle {
    async fn ack(self: Box<Self>) -> Result<(), BusError> {
        self.finish("ack", self.acker.ack(BasicAckOptions::default())).await
    }

    async fn nack(self: Box<Self>) -> Result<(), BusError> {
        self.finish("nack", self.acker.nack(requeue())).await
    }

    async fn dead_letter(self: Box<Self>, origin: Origin, body: &[u8], reason: &str) -> Result<(), BusError> {
        let message = Message::dead(self.topology(), origin, self.message_id.clone(), body, reason);
        if let Err(error) = self.publisher.publish(message).await {
            // Not buried, so not done with: back to the queue rather than held for ever.
            self.dropped();
            return Err(error);
        }
        metrics::counter!("farmhand_bus_dead_letters_total", "lane" => origin.as_str()).increment(1);
        self.finish("dead letter", self.acker.ack(BasicAckOptions::default())).await
    }

    fn dropped(self: Box<Self>) {
        if self.acker.usable() {
            let runtime = self.core.runtime.clone();
            runtime.spawn(async move {
                // Fails only with the channel, whose end gives the delivery back as well.
                let _ = self.finish("dropped", self.acker.nack(requeue())).await;
            });
        }
    }
}
