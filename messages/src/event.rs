//! The events: ids and a reason.

use domain::{Cause, Lane, WorkflowId, WorkflowKind};
use serde::{Deserialize, Serialize};

/// "Look at this workflow." Everything but the id is for people who read the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkflowEvent {
    pub workflow_id: WorkflowId,
    pub kind: WorkflowKind,
    pub lane: Lane,
    pub cause: Cause,
}

impl WorkflowEvent {
    /// CloudEvents `type`; a change of meaning gets a new one, and the old stays readable.
    pub const TYPE: &'static str = "farmhand.workflow.v1";
}
