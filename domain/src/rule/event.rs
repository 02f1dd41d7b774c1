//! What a rule sees of an event.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::WorkflowId;

/// An event, with who published it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RuleEvent {
    pub id: String,
    pub source: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub subject: Option<String>,
    pub time: Option<DateTime<Utc>>,
    /// Farmhand's own, by the broker's word.
    pub own: bool,
    /// The broker's user where it is another's and known.
    pub publisher: Option<String>,
    pub data: Value,
}

impl RuleEvent {
    /// The workflow that it tells of.
    pub fn workflow(&self) -> Option<WorkflowId> {
        let id = self.data.get("workflowId")?.as_str()?;
        Uuid::parse_str(id).ok().map(WorkflowId)
    }
}
