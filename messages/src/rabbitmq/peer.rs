//! Another system on the exchange of announcements: what a SIEM written in Rust would use, and the
//! other side in our tests.

use std::time::Duration;

use futures::StreamExt as _;
use lapin::BasicProperties;
use lapin::Confirmation;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{FieldTable, ShortString};

use super::asker::refusal;
use super::error::LinkError;
use super::link::Link;
use super::options::{RabbitMqOptions, Settings};
use super::publisher::PERSISTENT;
use crate::envelope::CONTENT_TYPE;
use crate::{BusError, RabbitMqOptionsError};

/// How long the broker may take for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// One connection that hears what is announced, and announces itself.
pub struct RabbitMqPeer {
    settings: Settings,
    link: Link,
    heard: Option<lapin::Consumer>,
}

/// An event as another system gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overheard {
    pub routing_key: String,
    /// The broker's user who published it.
    pub user_id: Option<String>,
    pub message_id: Option<String>,
    pub content_type: Option<String>,
    pub body: Vec<u8>,
}

impl RabbitMqPeer {
    /// Connects as the user of the options' URL.
    ///
    /// # Errors
    /// [`BusError::Refused`] for a wrong login; [`BusError::Unreachable`] where nobody answers.
    pub async fn connect(options: &RabbitMqOptions) -> Result<Self, BusError> {
        let wrong = |error: RabbitMqOptionsError| BusError::Refused(error.to_string());
        let settings = options.settings().map_err(wrong)?;
        let opening = async {
            let link = Link::connect(&settings, "peer").await?;
            link.channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(LinkError::opening)?;
            Ok(link)
        };
        let link = in_time(opening).await?;
        Ok(Self { settings, link, heard: None })
    }

    /// Declares a durable queue of its own, binds it to the exchange and hears what comes, from now on.
    ///
    /// # Errors
    /// [`BusError::Refused`] for a missing right: to the queue all three, to the exchange that to read.
    pub async fn listen(&mut self, queue: &str, keys: &[&str]) -> Result<(), BusError> {
        let exchange = self.settings.topology.events_exchange();
        let channel = &self.link.channel;
        let listening = async {
            let (options, none) = (QueueDeclareOptions::durable(), FieldTable::default());
            channel.queue_declare(queue.into(), options, none.clone()).await.map_err(LinkError::opening)?;
            for key in keys {
                let options = QueueBindOptions::default();
                let binding = channel.queue_bind(
                    queue.into(),
                    exchange.as_str().into(),
                    (*key).into(),
                    options,
                    none.clone(),
                );
                binding.await.map_err(LinkError::opening)?;
            }
            let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
            channel.basic_consume(queue.into(), "".into(), options, none).await.map_err(LinkError::opening)
        };
        self.heard = Some(in_time(listening).await?);
        Ok(())
    }

    /// The next event; `None` when the connection is gone, or nobody listens.
    pub async fn next(&mut self) -> Option<Overheard> {
        let delivery = self.heard.as_mut()?.next().await?.ok()?;
        let text = |text: &Option<ShortString>| text.as_ref().map(ToString::to_string);
        Some(Overheard {
            routing_key: delivery.routing_key.to_string(),
            user_id: text(delivery.properties.user_id()),
            message_id: text(delivery.properties.message_id()),
            content_type: text(delivery.properties.content_type()),
            body: delivery.data,
        })
    }

    /// Announces; returns when the broker has it. `user` is who it says it is.
    ///
    /// # Errors
    /// [`BusError::Refused`] for a missing right; [`BusError::Rejected`] for a `user` that is not its
    /// own: after both, the connection is of no more use.
    pub async fn announce(&self, user: Option<&str>, event_type: &str, body: &[u8]) -> Result<(), BusError> {
        let exchange = self.settings.topology.events_exchange();
        let mut properties =
            BasicProperties::default().with_content_type(CONTENT_TYPE.into()).with_delivery_mode(PERSISTENT);
        if let Some(user) = user {
            properties = properties.with_user_id(ShortString::try_new(user).unwrap_or_default());
        }
        let options = BasicPublishOptions::default();
        let channel = &self.link.channel;
        let publishing = async {
            channel
                .basic_publish(exchange.as_str().into(), event_type.into(), options, body, properties)
                .await?
                .await
        };
        match tokio::time::timeout(PATIENCE, publishing).await {
            Ok(Ok(Confirmation::Nack(_))) => Err(BusError::Rejected("a queue did not take it".to_owned())),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(refusal(error)),
            Err(_) => Err(BusError::Unreachable(Some("the broker did not confirm in time".into()))),
        }
    }

    pub async fn close(self) {
        self.link.close().await;
    }
}

async fn in_time<T>(asking: impl Future<Output = Result<T, LinkError>>) -> Result<T, BusError> {
    let answer = tokio::time::timeout(PATIENCE, asking).await;
    answer
        .unwrap_or_else(|_| Err(LinkError::lost("the broker does not answer")))
        .map_err(|error| error.to_bus_error())
}
