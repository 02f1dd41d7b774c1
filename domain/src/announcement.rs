//! What Farmhand announces to other systems: one list, and what an announcement is made of.

mod kinds;

use serde_json::{Map, Value};

use crate::workflow::text_enum;
pub use kinds::{Ending, ExposureEnd, LetIn, QuarantinedHost, needs_operator};

text_enum! {
    /// Everything that Farmhand announces.
    AnnouncementKind, "announcement kind" {
        /// A workflow that may write came to its end.
        WorkflowFinished = "workflow-finished",
        /// A workflow waits for a person.
        WorkflowWaiting = "workflow-waiting",
        /// A check judges an account otherwise than the check before.
        VerdictChanged = "verdict-changed",
        /// A password that a compromised host knew was seen to work no more.
        ExposureEnded = "exposure-ended",
        QuarantineAdded = "quarantine-added",
        QuarantineReleased = "quarantine-released",
        /// A host under quarantine got back in.
        QuarantinedHostCanRead = "quarantined-host-can-read",
        /// The directory holds something else of a farm than was asked for.
        DriftFound = "drift-found",
        /// It holds what was asked for again.
        DriftMended = "drift-mended",
        /// A due time of a schedule passed without its workflow.
        FireMissed = "fire-missed",
        /// Another system called a webhook of ours.
        WebhookReceived = "webhook-received",
    }
}

impl AnnouncementKind {
    /// The CloudEvents `type`, and the routing key. A change of meaning gets a new version.
    pub fn event_type(self) -> String {
        format!("farmhand.event.{self}.v1")
    }

    /// The kind of a CloudEvents `type` of ours.
    pub fn of_event_type(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.event_type() == text)
    }
}

/// Something that is worth another system's attention.
#[derive(Debug, Clone, PartialEq)]
pub struct Announcement {
    pub kind: AnnouncementKind,
    /// What it is about: a workflow's id, an account, a host, a schedule, a webhook's name.
    pub subject: String,
    pub data: Map<String, Value>,
    /// W3C trace context of what led to it.
    pub traceparent: Option<String>,
}

impl Announcement {
    /// The most bytes of the whole event, which CloudEvents asks everybody to carry.
    pub const MAX_EVENT_BYTES: usize = 64 * 1024;
    /// The most bytes of `data` as JSON, so that there is room for what stands around it.
    pub const MAX_DATA_BYTES: usize = 60 * 1024;

    pub fn new(kind: AnnouncementKind, subject: impl Into<String>, data: Map<String, Value>) -> Self {
        Self { kind, subject: subject.into(), data, traceparent: None }
    }

    /// Part of that trace.
    #[must_use]
    pub fn traced(self, traceparent: Option<String>) -> Self {
        Self { traceparent, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_type_of_its_own_and_is_found_by_it() {
        for kind in AnnouncementKind::ALL {
            assert_eq!(AnnouncementKind::of_event_type(&kind.event_type()), Some(*kind));
            assert_eq!(kind.as_str().parse(), Ok(*kind));
        }
        assert_eq!(AnnouncementKind::WorkflowFinished.event_type(), "farmhand.event.workflow-finished.v1");
        assert_eq!(AnnouncementKind::of_event_type("farmhand.event.workflow-finished.v2"), None);
    }
}
