//! A step of a workflow: its states, its record, its outcome.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{Approval, Change, HostTask, Problem};

/// Where a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepState {
    /// Not begun.
    Pending,
    /// Being carried out, or cut short by a crash: the next worker reads before it writes.
    Running,
    Succeeded,
    /// Tried, and to be tried again when the workflow's wait is over.
    Waiting,
    Failed,
    /// What it changed has been taken back.
    Undone,
    /// Not needed for this request, e.g. group steps of a farm with direct membership.
    Skipped,
}

/// What can happen to a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepEvent {
    Start,
    Succeed,
    Wait,
    Fail,
    Undo,
    Skip,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a step that is {from} cannot {event:?}")]
pub struct IllegalStepTransition {
    pub from: StepState,
    pub event: StepEvent,
}

impl StepState {
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::Running,
        Self::Succeeded,
        Self::Waiting,
        Self::Failed,
        Self::Undone,
        Self::Skipped,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Waiting => "waiting",
            Self::Failed => "failed",
            Self::Undone => "undone",
            Self::Skipped => "skipped",
        }
    }

    /// The one place that says which changes of state there are.
    pub fn next(self, event: StepEvent) -> Result<Self, IllegalStepTransition> {
        use StepEvent as E;
        use StepState as S;
        match (self, event) {
            // `Running` again: a crash came between start and outcome. `Undone` again: an undo got
            // stuck further up, a person mended it and wants the workflow tried again.
            (S::Pending | S::Running | S::Waiting | S::Failed | S::Undone, E::Start) => Ok(S::Running),
            (S::Running, E::Succeed) => Ok(S::Succeeded),
            (S::Running, E::Wait) => Ok(S::Waiting),
            (S::Running, E::Fail) => Ok(S::Failed),
            (S::Running | S::Pending, E::Skip) => Ok(S::Skipped),
            // A failed or interrupted step may have written before it stopped.
            (S::Running | S::Waiting | S::Failed | S::Succeeded | S::Undone, E::Undo) => Ok(S::Undone),
            (from, event) => Err(IllegalStepTransition { from, event }),
        }
    }

    /// Whether a forward run passes over it.
    pub fn is_done(self) -> bool {
        matches!(self, Self::Succeeded | Self::Skipped)
    }
}

impl fmt::Display for StepState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for StepState {
    type Err = crate::workflow::UnknownValue;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| crate::workflow::UnknownValue::new("step state", text))
    }
}

/// One LDAP write that was acknowledged, or found in effect after a crash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Write {
    /// dNSHostName of the DC that took it.
    pub dc: String,
    pub change: Change,
    /// The object's uSNChanged on that DC after the write.
    pub usn: Option<i64>,
    /// objectGUID of the object, so that undo cannot hit another one of the same name.
    pub object_guid: Option<String>,
    pub at: DateTime<Utc>,
}

/// What a step leaves behind for later steps, for people and for undo.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StepOutcome {
    /// Named output; later steps read only this, never a predecessor's memory.
    pub output: serde_json::Value,
    pub writes: Vec<Write>,
    /// What was asked of hosts, and their answers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HostTask>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// What a step that waits keeps for its next attempt, e.g. since when and until when.
    #[serde(skip_serializing_if = "serde_json::Value::is_null")]
    pub memo: serde_json::Value,
}

/// A step as it is stored and shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepRecord {
    pub index: u16,
    pub name: String,
    pub state: StepState,
    /// `Some` once the step has succeeded.
    pub changed: Option<bool>,
    pub attempts: u32,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    /// One line for people: what was found or done.
    pub detail: Option<String>,
    pub error: Option<Problem>,
    /// What the step was about to write; persisted before the first write leaves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<Intent>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<StepOutcome>,
}

impl StepRecord {
    pub fn pending(index: u16, name: &str) -> Self {
        Self {
            index,
            name: name.to_owned(),
            state: StepState::Pending,
            changed: None,
            attempts: 0,
            started_at: None,
            finished_at: None,
            detail: None,
            error: None,
            intent: None,
            outcome: None,
        }
    }
}

/// A plan that was made durable before it was carried out.
///
/// After a crash between a write and its outcome, the directory shows the change but nobody
/// recorded it; without the intent a later undo would take it for somebody else's and leave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The DC for changes that name none; empty where all do.
    pub dc: String,
    pub changes: Vec<Change>,
    pub at: DateTime<Utc>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: [StepEvent; 6] = [
        StepEvent::Start,
        StepEvent::Succeed,
        StepEvent::Wait,
        StepEvent::Fail,
        StepEvent::Undo,
        StepEvent::Skip,
    ];

    #[test]
    fn only_a_running_step_succeeds_waits_or_fails() {
        for state in StepState::ALL {
            for event in [StepEvent::Succeed, StepEvent::Wait, StepEvent::Fail] {
                assert_eq!(state.next(event).is_ok(), state == StepState::Running, "{state} {event:?}");
            }
        }
    }

    #[test]
    fn a_succeeded_or_skipped_step_never_starts_again() {
        assert!(StepState::Succeeded.next(StepEvent::Start).is_err());
        assert!(StepState::Skipped.next(StepEvent::Start).is_err());
    }

    #[test]
    fn undo_twice_is_undo_once() {
        let once = StepState::Succeeded.next(StepEvent::Undo).expect("legal");
        assert_eq!(once.next(StepEvent::Undo), Ok(StepState::Undone));
    }

    #[test]
    fn the_table_of_all_transitions_is_what_was_reviewed() {
        let legal = StepState::ALL.iter().flat_map(|s| EVENTS.map(|e| s.next(e).is_ok())).filter(|ok| *ok);
        assert_eq!(legal.count(), 15);
    }
}
