//! Makes the events that the store writes with every change of state.

use std::sync::Arc;

use domain::{Rng, ids};
use messages::{Envelope, WorkflowEvent};
use store::{EventWriter, NewEvent, OutboxRow};

/// Writes CloudEvents; their ids are UUIDv7 of the event's own moment.
pub struct EnvelopeWriter {
    rng: Arc<dyn Rng>,
}

impl EnvelopeWriter {
    pub fn new(rng: Arc<dyn Rng>) -> Self {
        Self { rng }
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
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use domain::{Cause, Lane, SystemRng, WorkflowId, WorkflowKind};

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
}
