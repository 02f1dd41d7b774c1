//! A quorum queue with confirmed, persistent messages, on bare lapin.

use std::future::Future;

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use uuid::Uuid;

/// Publishes whose confirm has not come yet.
const WINDOW: usize = 512;
/// Bytes of a message, about as many as an event of Farmhand has.
const BODY: usize = 512;
const PERSISTENT: u8 = 2;

pub struct Queue {
    name: String,
    publishing: Connection,
    publisher: Channel,
    consuming: Connection,
}

impl Queue {
    pub async fn open(url: &str, name: String) -> Result<Self> {
        let publishing = Connection::connect(url, ConnectionProperties::default()).await?;
        let publisher = publishing.create_channel().await?;
        publisher.confirm_select(ConfirmSelectOptions::default()).await?;
        let mut quorum = FieldTable::default();
        quorum.insert("x-queue-type".into(), AMQPValue::LongString(LongString::from("quorum")));
        publisher.queue_declare(name.as_str().into(), QueueDeclareOptions::durable(), quorum).await?;
        let consuming = Connection::connect(url, ConnectionProperties::default()).await?;
        Ok(Self { name, publishing, publisher, consuming })
    }

    /// Does `work` for each message, `slots` at a time, and acknowledges it afterwards.
    pub async fn consume<W, F>(&self, slots: u16, work: W) -> Result<()>
    where
        W: Fn(Uuid) -> F + Send + Sync + Clone + 'static,
        F: Future<Output = Result<()>> + Send,
    {
        let channel = self.consuming.create_channel().await?;
        channel.basic_qos(slots, BasicQosOptions::default()).await?;
        let options = BasicConsumeOptions::default();
        let consumer =
            channel.basic_consume(self.name.as_str().into(), "".into(), options, FieldTable::default());
        let mut consumer = consumer.await?;
        tokio::spawn(async move {
            while let Some(Ok(delivery)) = consumer.next().await {
                let work = work.clone();
                tokio::spawn(async move {
                    if let Err(error) = one(delivery, work).await {
                        eprintln!("a workflow of the floor failed: {error:#}");
                    }
                });
            }
        });
        Ok(())
    }

    /// Returns when the broker has confirmed all of them.
    pub async fn publish(&self, workflows: impl Iterator<Item = Uuid>) -> Result<()> {
        let publish = |workflow: Uuid| async move {
            let mut body = workflow.to_string().into_bytes();
            body.resize(BODY, b' ');
            let properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
            let options = BasicPublishOptions { mandatory: true, immediate: false };
            let sent = self.publisher.basic_publish(
                "".into(),
                self.name.as_str().into(),
                options,
                &body,
                properties,
            );
            let confirmed = sent.await?.await?;
            ensure!(matches!(confirmed, Confirmation::Ack(None)), "a message was not taken");
            Ok(())
        };
        stream::iter(workflows.map(publish)).buffer_unordered(WINDOW).try_collect::<Vec<()>>().await?;
        Ok(())
    }

    pub async fn close(self) {
        for connection in [&self.publishing, &self.consuming] {
            // Whether or not it was answered: the connection is of no more use.
            let _ = connection.close(200, "done".into()).await;
        }
    }
}

async fn one<W, F>(delivery: lapin::message::Delivery, work: W) -> Result<()>
where
    W: Fn(Uuid) -> F,
    F: Future<Output = Result<()>>,
{
    let workflow = std::str::from_utf8(&delivery.data).context("the message")?.trim_end().parse()?;
    work(workflow).await?;
    delivery.acker.ack(BasicAckOptions::default()).await?;
    Ok(())
}
