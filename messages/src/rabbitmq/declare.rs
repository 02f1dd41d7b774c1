//! The topology on the broker: declared at every connect, so a broker that lost it heals.

use domain::Lane;
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{Channel, ExchangeKind};

use crate::Topology;
use crate::topology::DELIVERY_LIMIT;

/// The dead letter queue's own limit. Each look at it gives its messages back, and RabbitMQ 4
/// drops what was given back more than 20 times unless told otherwise; 3.10 knows no "never".
const DEAD_DELIVERY_LIMIT: i32 = i32::MAX;

/// The binding of a topic exchange that lets everything through: requests come with any key.
const EVERY_KEY: &str = "#";

pub(super) async fn topology(channel: &Channel, topology: &Topology) -> lapin::Result<()> {
    let exchange = topology.workflows_exchange();
    let dead = topology.dead_letters();
    declare_exchange(channel, &exchange, ExchangeKind::Topic).await?;
    declare_exchange(channel, &dead, ExchangeKind::Fanout).await?;
    declare_queue(channel, &dead, dead_arguments()).await?;
    bind(channel, &dead, &dead, "").await?;
    for lane in Lane::ALL {
        let queue = topology.queue(*lane);
        declare_queue(channel, &queue, lane_arguments(&dead)).await?;
        bind(channel, &queue, &exchange, &topology.routing_key(*lane)).await?;
    }
    let (requests, intake) = (topology.requests_exchange(), topology.intake());
    declare_exchange(channel, &requests, ExchangeKind::Topic).await?;
    declare_queue(channel, &intake, lane_arguments(&dead)).await?;
    bind(channel, &intake, &requests, EVERY_KEY).await?;
    declare_exchange(channel, &topology.events_exchange(), ExchangeKind::Topic).await
}

/// The queue of our own listeners, made by the first of them: see [`Topology::reactions`].
pub(super) async fn reactions(channel: &Channel, topology: &Topology) -> lapin::Result<()> {
    let queue = topology.reactions();
    declare_queue(channel, &queue, lane_arguments(&topology.dead_letters())).await?;
    bind(channel, &queue, &topology.events_exchange(), EVERY_KEY).await
}

async fn declare_exchange(channel: &Channel, name: &str, kind: ExchangeKind) -> lapin::Result<()> {
    let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    channel.exchange_declare(name.into(), kind, options, FieldTable::default()).await
}

async fn declare_queue(channel: &Channel, name: &str, arguments: FieldTable) -> lapin::Result<()> {
    channel.queue_declare(name.into(), QueueDeclareOptions::durable(), arguments).await.map(|_| ())
}

async fn bind(channel: &Channel, queue: &str, exchange: &str, key: &str) -> lapin::Result<()> {
    let options = QueueBindOptions::default();
    channel.queue_bind(queue.into(), exchange.into(), key.into(), options, FieldTable::default()).await
}

fn lane_arguments(dead_letter_exchange: &str) -> FieldTable {
    let mut arguments = quorum(DELIVERY_LIMIT);
    arguments.insert("x-dead-letter-exchange".into(), text(dead_letter_exchange));
    // The dead letter is confirmed before the original goes; that mode demands reject-publish.
    // https://www.rabbitmq.com/docs/quorum-queues#dead-lettering
    arguments.insert("x-dead-letter-strategy".into(), text("at-least-once"));
    arguments.insert("x-overflow".into(), text("reject-publish"));
    arguments
}

fn dead_arguments() -> FieldTable {
    quorum(DEAD_DELIVERY_LIMIT)
}

fn quorum(delivery_limit: i32) -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), text("quorum"));
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(delivery_limit));
    arguments
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(value))
}
