//! A system that asks Farmhand for work: what a pipeline written in Rust would use, and the other
//! side in our tests.

use std::time::Duration;

use futures::StreamExt as _;
use lapin::options::{BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{BasicProperties, Confirmation};

use super::error::LinkError;
use super::link::Link;
use super::options::{RabbitMqOptions, Settings};
use super::publisher::PERSISTENT;
use crate::envelope::CONTENT_TYPE;
use crate::requests::{Asker, Reply};
use crate::{BusError, RabbitMqOptionsError};

/// RabbitMQ's direct reply-to: answers come on the channel that asked, without a queue.
/// <https://www.rabbitmq.com/docs/direct-reply-to>
pub const DIRECT_REPLY_TO: &str = "amq.rabbitmq.reply-to";
/// How long the broker may take to confirm a request.
const PATIENCE: Duration = Duration::from_secs(30);

/// One connection that asks and hears the answers.
pub struct RabbitMqAsker {
    settings: Settings,
    link: Link,
    replies: lapin::Consumer,
}

impl RabbitMqAsker {
    /// Connects as the user of the options' URL, who needs the right to write to the requests
    /// exchange and no other. Declares nothing.
    ///
    /// # Errors
    /// [`BusError::Refused`] for a wrong login; [`BusError::Unreachable`] where nobody answers.
    pub async fn connect(options: &RabbitMqOptions) -> Result<Self, BusError> {
        let wrong = |error: RabbitMqOptionsError| BusError::Refused(error.to_string());
        let settings = options.settings().map_err(wrong)?;
        let opening = async {
            let link = Link::connect(&settings, "asker").await?;
            link.channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(LinkError::opening)?;
            // Direct reply-to is consumed without acknowledgements, and before anything is asked.
            let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
            let arguments = FieldTable::default();
            let consuming = link.channel.basic_consume(DIRECT_REPLY_TO.into(), "".into(), options, arguments);
            let replies = consuming.await.map_err(LinkError::opening)?;
            Ok((link, replies))
        };
        let opened = tokio::time::timeout(PATIENCE, opening).await;
        let (link, replies) = opened
            .unwrap_or_else(|_| Err(LinkError::lost("the broker does not answer")))
            .map_err(|error: LinkError| error.to_bus_error())?;
        Ok(Self { settings, link, replies })
    }

    /// Publishes a request; returns when the broker has it. [`DIRECT_REPLY_TO`] as `reply_to` makes
    /// [`Self::next_reply`] hear the answer.
    ///
    /// # Errors
    /// [`BusError::Refused`] for a missing right; [`BusError::Rejected`] for a `user_id` that is
    /// not ours: after both, the asker is of no more use.
    pub async fn ask(&self, asker: &Asker, body: &[u8]) -> Result<(), BusError> {
        let exchange = self.settings.topology.requests_exchange();
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let publishing = async {
            let channel = &self.link.channel;
            channel
                .basic_publish(exchange.as_str().into(), "request".into(), options, body, properties(asker))
                .await?
                .await
        };
        match tokio::time::timeout(PATIENCE, publishing).await {
            Ok(Ok(Confirmation::Ack(None) | Confirmation::NotRequested)) => Ok(()),
            Ok(Ok(Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_)))) => {
                Err(BusError::Unroutable(exchange))
            }
            Ok(Ok(Confirmation::Nack(None))) => {
                Err(BusError::Rejected("the queue did not take it".to_owned()))
            }
            Ok(Err(error)) => Err(refusal(error)),
            Err(_) => Err(BusError::Unreachable(Some("the broker did not confirm in time".into()))),
        }
    }

    /// The next answer; `None` when the connection is gone.
    pub async fn next_reply(&mut self) -> Option<Reply> {
        let delivery = self.replies.next().await?.ok()?;
        let text = |text: &Option<ShortString>| text.as_ref().map(ToString::to_string);
        Some(Reply {
            to: DIRECT_REPLY_TO.to_owned(),
            correlation_id: text(delivery.properties.correlation_id()),
            message_id: text(delivery.properties.message_id()).unwrap_or_default(),
            body: delivery.data,
        })
    }

    pub async fn close(self) {
        self.link.close().await;
    }
}

fn properties(asker: &Asker) -> BasicProperties {
    let short = |text: &String| ShortString::try_new(text.as_str()).unwrap_or_default();
    let mut properties =
        BasicProperties::default().with_content_type(CONTENT_TYPE.into()).with_delivery_mode(PERSISTENT);
    if let Some(user) = &asker.user_id {
        properties = properties.with_user_id(short(user));
    }
    if let Some(queue) = &asker.reply_to {
        properties = properties.with_reply_to(short(queue));
    }
    if let Some(mark) = &asker.correlation_id {
        properties = properties.with_correlation_id(short(mark));
    }
    if let Some(id) = &asker.message_id {
        properties = properties.with_message_id(short(id));
    }
    properties
}

/// 406: the broker knows that the connection is another user's.
pub(super) fn refusal(error: lapin::Error) -> BusError {
    match error.kind() {
        lapin::ErrorKind::ProtocolError(protocol) if protocol.get_id() == 406 => {
            BusError::Rejected(protocol.get_message().to_string())
        }
        _ => LinkError::working(error).to_bus_error(),
    }
}
