//! Looking at queues without taking anything: how deep a lane is, what the dead letters say.

use std::time::Duration;

use lapin::Channel;
use lapin::message::Delivery;
use lapin::options::{BasicGetOptions, BasicNackOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};

use super::error::LinkError;
use super::link::Core;
use super::publisher::Publisher;
use crate::bus::Origin;
use crate::topology::{DEAD_LETTER_ORIGIN, DEAD_LETTER_REASON, delivery_limit_reason};
use crate::{BusError, DeadLetter, Topology};

const PATIENCE: Duration = Duration::from_secs(10);
const REPLY_SUCCESS: u16 = 200;
const NOT_FOUND: u16 = 404;

pub(super) async fn depth(core: &Core, publisher: &Publisher, origin: Origin) -> Result<u64, BusError> {
    let queue = core.settings.topology.queue_of(origin);
    on_channel(publisher, &queue, async |channel| {
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let found = channel.queue_declare(queue.as_str().into(), options, FieldTable::default()).await?;
        Ok(u64::from(found.message_count()))
    })
    .await
}

/// Gets messages and gives all of them back. Another program that does the same at that moment
/// sees the rest only.
pub(super) async fn peek(
    core: &Core,
    publisher: &Publisher,
    limit: usize,
) -> Result<Vec<DeadLetter>, BusError> {
    let _one_at_a_time = core.peeking.lock().await;
    let topology = &core.settings.topology;
    let queue = topology.dead_letters();
    on_channel(publisher, &queue, async |channel| {
        let mut letters = Vec::new();
        let mut last = None;
        while letters.len() < limit {
            let got = channel.basic_get(queue.as_str().into(), BasicGetOptions::default()).await?;
            let Some(message) = got else { break };
            last = Some(message.delivery.delivery_tag);
            letters.push(dead_letter(topology, &message.delivery));
        }
        if let Some(tag) = last {
            channel.basic_nack(tag, BasicNackOptions { multiple: true, requeue: true }).await?;
        }
        Ok(letters)
    })
    .await
}

/// Runs on a channel that dies with the question: a missing queue closes the channel it was asked
/// for on, and what was got and not given back must not stay with us.
pub(super) async fn on_channel<T>(
    publisher: &Publisher,
    queue: &str,
    question: impl AsyncFnOnce(&Channel) -> lapin::Result<T>,
) -> Result<T, BusError> {
    let connection = publisher.connection().await?;
    let asking = async {
        let channel = connection.create_channel().await?;
        let answer = question(&channel).await?;
        channel.close(REPLY_SUCCESS, "done".into()).await?;
        Ok(answer)
    };
    match tokio::time::timeout(PATIENCE, asking).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) if is_not_found(&error) => Err(BusError::Unroutable(queue.to_owned())),
        Ok(Err(error)) => Err(LinkError::opening(error).to_bus_error()),
        Err(_) => Err(BusError::Unreachable(Some("the broker did not answer in time".into()))),
    }
}

fn is_not_found(error: &lapin::Error) -> bool {
    matches!(error.kind(), lapin::ErrorKind::ProtocolError(protocol) if protocol.get_id() == NOT_FOUND)
}

/// Ours carry the reason in a header; those that the broker made carry `x-death`, newest first.
fn dead_letter(topology: &Topology, delivery: &Delivery) -> DeadLetter {
    let none = FieldTable::default();
    let headers = delivery.properties.headers().as_ref().unwrap_or(&none);
    let death = newest_death(headers);
    let reason = string(headers, DEAD_LETTER_REASON)
        .or_else(|| death.and_then(|death| string(death, "reason")).map(|reason| explain(&reason)))
        .unwrap_or_else(|| "no reason was given".to_owned());
    let origin = string(headers, DEAD_LETTER_ORIGIN)
        .and_then(|text| Origin::parse(&text))
        .or_else(|| origin_of(topology, &string(death?, "queue")?));
    DeadLetter { origin, reason, body: delivery.data.clone() }
}

fn newest_death(headers: &FieldTable) -> Option<&FieldTable> {
    match headers.inner().get("x-death")? {
        AMQPValue::FieldArray(deaths) => match deaths.as_slice().first()? {
            AMQPValue::FieldTable(death) => Some(death),
            _ => None,
        },
        _ => None,
    }
}

fn explain(reason: &str) -> String {
    match reason {
        "delivery_limit" => delivery_limit_reason(),
        "rejected" => "rejected by its consumer".to_owned(),
        "expired" => "its time to live ran out".to_owned(),
        "maxlen" => "the queue was full".to_owned(),
        other => format!("the broker says {other:?}"),
    }
}

fn origin_of(topology: &Topology, queue: &str) -> Option<Origin> {
    Origin::all().find(|origin| topology.queue_of(*origin) == queue)
}

fn string(table: &FieldTable, key: &str) -> Option<String> {
    match table.inner().get(key)? {
        AMQPValue::LongString(text) => Some(text.to_string()),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use domain::Lane;
    use lapin::BasicProperties;
    use lapin::types::{FieldArray, LongString};

    use super::*;

    fn text(value: &str) -> AMQPValue {
        AMQPValue::LongString(LongString::from(value))
    }

    fn letter(headers: FieldTable) -> DeadLetter {
        let mut delivery = Delivery::mock(1, "".into(), "".into(), false, b"body".to_vec());
        delivery.properties = BasicProperties::default().with_headers(headers);
        dead_letter(&Topology::default(), &delivery)
    }

    #[test]
    fn a_letter_of_ours_says_its_reason_and_origin() {
        let mut headers = FieldTable::default();
        headers.insert(DEAD_LETTER_REASON.into(), text("no JSON"));
        headers.insert(DEAD_LETTER_ORIGIN.into(), text("checks"));
        let expected = DeadLetter {
            origin: Some(Origin::Lane(Lane::Checks)),
            reason: "no JSON".to_owned(),
            body: b"body".to_vec(),
        };
        assert_eq!(letter(headers), expected);
    }

    #[test]
    fn a_letter_of_the_broker_is_explained_by_its_death() {
        let mut death = FieldTable::default();
        death.insert("reason".into(), text("delivery_limit"));
        death.insert("queue".into(), text("farmhand.urgent"));
        let mut headers = FieldTable::default();
        headers.insert(
            "x-death".into(),
            AMQPValue::FieldArray(FieldArray::from(vec![AMQPValue::FieldTable(death)])),
        );
        let letter = letter(headers);
        assert_eq!(
            (letter.origin, letter.reason),
            (Some(Origin::Lane(Lane::Urgent)), delivery_limit_reason())
        );
    }

    #[test]
    fn a_letter_of_somebody_else_is_shown_all_the_same() {
        let mut headers = FieldTable::default();
        headers.insert("x-death".into(), text("nonsense"));
        assert_eq!(letter(headers).origin, None);
        assert_eq!(letter(FieldTable::default()).reason, "no reason was given");
    }
}
