//! Answers to requests: published to the queue that the asker named, through the default exchange.

use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation};

use super::dead::on_channel;
use super::publisher::{PERSISTENT, Publisher};
use crate::BusError;
use crate::envelope::CONTENT_TYPE;
use crate::requests::Reply;

/// An answer that nobody took by then is of no use; a queue that a user keeps for replies must
/// not grow for ever.
const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// On a channel of its own: a user without the right to publish to the default exchange loses the
/// channel, and the relay's must not go with it.
pub(super) async fn publish(publisher: &Publisher, reply: &Reply) -> Result<(), BusError> {
    let name = |text: &str| {
        ShortString::try_new(text).map_err(|_| BusError::Rejected("a name of more than 255 bytes".to_owned()))
    };
    let mut properties = BasicProperties::default()
        .with_content_type(CONTENT_TYPE.into())
        .with_delivery_mode(PERSISTENT)
        .with_message_id(name(&reply.message_id)?)
        .with_expiration(LIFETIME.as_millis().to_string().into())
        .with_app_id("farmhand".into());
    if let Some(mark) = &reply.correlation_id {
        properties = properties.with_correlation_id(name(mark)?);
    }
    let queue = name(&reply.to)?;
    let confirmation =
        on_channel(publisher, &reply.to, async |channel| send(channel, queue, properties, &reply.body).await);
    match confirmation.await? {
        Confirmation::Nack(_) => Err(BusError::Rejected("the queue for replies did not take it".to_owned())),
        Confirmation::Ack(_) | Confirmation::NotRequested => Ok(()),
    }
}

async fn send(
    channel: &Channel,
    queue: ShortString,
    properties: BasicProperties,
    body: &[u8],
) -> lapin::Result<Confirmation> {
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    // Not mandatory: an asker that is gone needs no answer.
    let options = BasicPublishOptions::default();
    channel.basic_publish("".into(), queue, options, body, properties).await?.await
}
