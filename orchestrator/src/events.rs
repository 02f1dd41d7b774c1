//! Makes the events that the store writes with every change of state.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::{Announcement, Rng, ids};
use messages::{CloudEvent, Envelope, WorkflowEvent};
use store::{AnnouncementRow, EventWriter, NewEvent, OutboxRow};

/// Writes CloudEvents; their ids are UUIDv7 of the event's own moment.
pub struct EnvelopeWriter {
    rng: Arc<dyn Rng>,
    announces: bool,
}

impl EnvelopeWriter {
    pub fn new(rng: Arc<dyn Rng>) -> Self {
        Self { rng, announces: true }
    }

    /// Whether other systems are told what happens.
    #[must_use]
    pub fn announcing(self, announces: bool) -> Self {
        Self { announces, ..self }
    }
}

impl EventWriter for EnvelopeWriter {
    fn write(&self, event: &NewEvent) -> OutboxRow {
        let id = ids::uuid_v7(event.now, self.rng.as_ref());
        let body = WorkflowEvent {
            workflow_id: event.workflow_id,
            kind: event.kind.clone(),
            lane: event.lane,
            cause: event.cause,
        };
        let envelope = Envelope::workflow_event(id, event.now, &body, event.traceparent.as_deref());
        OutboxRow { id, lane: event.lane, body: envelope.to_bytes() }
    }

    fn announce(&self, announcement: &Announcement, now: DateTime<Utc>) -> Option<AnnouncementRow> {
        if !self.announces {
            return None;
        }
        let id = ids::uuid_v7(now, self.rng.as_ref());
        let event = CloudEvent {
            id: id.to_string(),
            source: CloudEvent::SOURCE.to_owned(),
            kind: announcement.kind.event_type(),
            subject: Some(announcement.subject.clone()),
            time: Some(now),
            traceparent: announcement.traceparent.clone(),
            data: announcement.data.clone().into(),
        };
        Some(AnnouncementRow { id, body: event.to_bytes(), topic: event.kind })
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use domain::{AnnouncementKind, Cause, Lane, SystemRng, WorkflowId, WorkflowKind};

    use super::*;

    #[test]
    fn what_is_written_reads_back_as_the_event_that_was_meant() {
        let now = DateTime::from_timestamp(1_700_000_000, 0).expect("a valid time");
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let event = NewEvent {
            workflow_id: WorkflowId::new(now, &SystemRng),
            kind: WorkflowKind::DEPLOY,
            lane: Lane::Lifecycle,
            cause: Cause::Requested,
            traceparent: Some(trace.to_owned()),
            now,
        };
        let row = EnvelopeWriter::new(Arc::new(SystemRng)).write(&event);
        let envelope = Envelope::parse(&row.body).expect("an envelope");
        assert_eq!(envelope.id(), row.id);
        assert_eq!(row.id.get_version_num(), 7);
        assert_eq!(row.lane, Lane::Lifecycle);
        assert_eq!(envelope.event().workflow_id, event.workflow_id);
        assert_eq!(envelope.event().cause, Cause::Requested);
        assert_eq!(envelope.time(), Some(now));
        assert_eq!(envelope.traceparent(), Some(trace));
    }

    #[test]
    fn what_is_announced_reads_back_under_the_id_of_its_row_and_not_at_all_where_nothing_is() {
        let now = DateTime::from_timestamp(1_700_000_000, 0).expect("a valid time");
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let data = serde_json::json!({ "host": "Host1" });
        let data = data.as_object().cloned().expect("an object");
        let announced = Announcement::new(AnnouncementKind::QuarantineAdded, "Host1", data.clone())
            .traced(Some(trace.to_owned()));
        let writer = EnvelopeWriter::new(Arc::new(SystemRng));
        let row = writer.announce(&announced, now).expect("it is announced");
        let event = CloudEvent::parse(&row.body).expect("an event");
        assert_eq!((event.id, event.kind), (row.id.to_string(), row.topic));
        assert_eq!((event.source.as_str(), event.subject.as_deref()), ("farmhand", Some("Host1")));
        assert_eq!((event.time, event.traceparent.as_deref()), (Some(now), Some(trace)));
        assert_eq!(event.data, serde_json::Value::Object(data));
        assert_eq!(writer.announcing(false).announce(&announced, now), None);
    }
}
