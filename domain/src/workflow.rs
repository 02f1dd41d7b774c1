//! A workflow: its kinds, lanes, states and the one function that changes a state.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{DirectoryName, FarmName, Plan, Problem, StepRecord, WorkflowId};

/// A text that names no value of an enumeration of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {what}")]
pub struct UnknownValue {
    what: &'static str,
    text: String,
}

impl UnknownValue {
    pub fn new(what: &'static str, text: &str) -> Self {
        Self { what, text: text.to_owned() }
    }
}

macro_rules! text_enum {
    ($(#[$doc:meta])* $name:ident, $what:literal { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $text)] $variant,)* }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl std::str::FromStr for $name {
            type Err = $crate::workflow::UnknownValue;
            fn from_str(text: &str) -> Result<Self, $crate::workflow::UnknownValue> {
                match text {
                    $($text => Ok(Self::$variant),)*
                    other => Err($crate::workflow::UnknownValue::new($what, other)),
                }
            }
        }
    };
}

pub(crate) use text_enum;

text_enum! {
    /// The queue a workflow goes through, with consumers of its own.
    Lane, "lane" {
        /// Compromise removal and questions of people: never behind other work.
        Urgent = "urgent",
        /// Everything that changes farms.
        Lifecycle = "lifecycle",
        /// Scheduled checks.
        Checks = "checks",
    }
}

text_enum! {
    /// Whether a workflow writes.
    Mode, "mode" {
        Apply = "apply",
        /// A dry run: every check and plan, no lock, no write.
        Plan = "plan",
    }
}

text_enum! {
    /// Why an event was emitted. A hint for people; no worker decides by it.
    Cause, "cause" {
        Requested = "requested",
        /// A wait is over.
        Due = "due",
        /// The lease of a worker that is gone ran out.
        LeaseExpired = "lease-expired",
        /// The broker may have lost the last one.
        Repeated = "repeated",
        /// A person resumed, retried or cancelled it.
        Operator = "operator",
        /// The farm's lock became free.
        LockReleased = "lock-released",
        /// A worker stopped and handed it on.
        HandedOver = "handed-over",
        /// The containment that had stopped it is over.
        FenceLowered = "fence-lowered",
    }
}

text_enum! {
    /// What a waiting workflow waits for.
    WaitReason, "wait reason" {
        Approval = "approval",
        Host = "host",
        Timer = "timer",
        Retry = "retry",
        /// Another workflow holds the farm's lock.
        Lock = "lock",
        /// A person must mend something, then resume.
        Operator = "operator",
        /// A freeze, or no maintenance window is open.
        Calendar = "calendar",
    }
}

text_enum! {
    /// Where a workflow stands.
    WorkflowState, "workflow state" {
        Queued = "queued",
        Running = "running",
        Waiting = "waiting",
        Paused = "paused",
        Succeeded = "succeeded",
        /// Left as it stands; the error says what to do.
        Failed = "failed",
        /// Failed, and its own changes undone.
        Unwound = "unwound",
        Cancelled = "cancelled",
    }
}

/// What a workflow does, e.g. `deploy`. 1 to 40 of `[a-z0-9-]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WorkflowKind(std::borrow::Cow<'static, str>);

impl WorkflowKind {
    pub const DEPLOY: Self = Self::known("deploy");
    pub const ADD_HOST: Self = Self::known("add-host");
    pub const REMOVE_HOST: Self = Self::known("remove-host");
    pub const UPDATE: Self = Self::known("update");
    pub const REPLACE: Self = Self::known("replace");
    pub const DECOMMISSION: Self = Self::known("decommission");
    /// A gMSA that others made is put on record as a farm.
    pub const IMPORT: Self = Self::known("import");
    pub const INSPECT: Self = Self::known("inspect");
    /// A compromised host is cut off from every gMSA that it could read.
    pub const COMPROMISE_REMOVAL: Self = Self::known("compromise-removal");
    /// A host leaves the quarantine.
    pub const QUARANTINE_RELEASE: Self = Self::known("quarantine-release");
    /// Can a quarantined host read anything again?
    pub const QUARANTINE_CHECK: Self = Self::known("quarantine-check");
    /// An exposed password is watched until it has rolled.
    pub const AWAIT_ROLL: Self = Self::known("await-roll");
    /// Every gMSA moves off an exposed KDS root key ("golden gMSA").
    pub const KDS_ROOT_KEY_RECOVERY: Self = Self::known("kds-root-key-recovery");
    /// Every gMSA of a directory, or a farm's, is read and judged.
    pub const ROTATION_CHECK: Self = Self::known("rotation-check");
    /// What the directory holds of farms is compared with what was asked for and what is on record.
    pub const DRIFT_CHECK: Self = Self::known("drift-check");
    /// A member host is asked to fetch a password that is due, so that it rolls.
    pub const NUDGE: Self = Self::known("nudge");

    pub const fn known(name: &'static str) -> Self {
        Self(std::borrow::Cow::Borrowed(name))
    }

    pub fn parse(text: &str) -> Result<Self, UnknownValue> {
        let ok = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if text.is_empty() || text.len() > 40 || !text.bytes().all(ok) {
            return Err(UnknownValue::new("workflow kind", text));
        }
        Ok(Self(text.to_owned().into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WorkflowKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl TryFrom<String> for WorkflowKind {
    type Error = UnknownValue;
    fn try_from(text: String) -> Result<Self, UnknownValue> {
        Self::parse(&text)
    }
}
impl From<WorkflowKind> for String {
    fn from(kind: WorkflowKind) -> String {
        kind.0.into_owned()
    }
}

/// What can happen to a workflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkflowEvent {
    /// A worker took the lease.
    Claim,
    /// A step asked to be continued later.
    Wait,
    /// What it waited for has come, or a person resumed it.
    Due,
    /// The worker's lease ran out, or the worker handed it back.
    Release,
    Succeed,
    Fail,
    /// It failed and its own changes were undone.
    Unwind,
    Pause,
    Cancel,
    /// A person wants the failed step tried again.
    Retry,
}

impl WorkflowEvent {
    pub const ALL: [Self; 10] = [
        Self::Claim,
        Self::Wait,
        Self::Due,
        Self::Release,
        Self::Succeed,
        Self::Fail,
        Self::Unwind,
        Self::Pause,
        Self::Cancel,
        Self::Retry,
    ];
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a workflow that is {from} cannot {event:?}")]
pub struct IllegalTransition {
    pub from: WorkflowState,
    pub event: WorkflowEvent,
}

impl WorkflowState {
    /// The one place that says which changes of state there are. Stored with `WHERE state = old`.
    pub fn next(self, event: WorkflowEvent) -> Result<Self, IllegalTransition> {
        use WorkflowEvent as E;
        use WorkflowState as S;
        match (self, event) {
            (S::Queued, E::Claim) => Ok(S::Running),
            (S::Running | S::Queued, E::Wait) => Ok(S::Waiting),
            (S::Waiting | S::Paused, E::Due) => Ok(S::Queued),
            (S::Running, E::Release) => Ok(S::Queued),
            (S::Running, E::Succeed) => Ok(S::Succeeded),
            (S::Running, E::Fail) => Ok(S::Failed),
            (S::Running, E::Unwind) => Ok(S::Unwound),
            (S::Queued | S::Running | S::Waiting, E::Pause) => Ok(S::Paused),
            (S::Queued | S::Running | S::Waiting | S::Paused, E::Cancel) => Ok(S::Cancelled),
            (S::Failed, E::Retry) => Ok(S::Queued),
            (from, event) => Err(IllegalTransition { from, event }),
        }
    }

    /// Nothing but a person's retry moves it again.
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Unwound | Self::Cancelled)
    }
}

/// What a waiting workflow waits for, and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    #[serde(rename = "for")]
    pub reason: WaitReason,
    /// When it goes on by itself; `None` where only a person or another workflow can.
    pub until: Option<DateTime<Utc>>,
    pub detail: String,
}

/// A workflow as the interface contract shows it (API and command line alike).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Workflow {
    pub id: WorkflowId,
    pub kind: WorkflowKind,
    pub directory: DirectoryName,
    pub farm: Option<FarmName>,
    pub hosts: Vec<String>,
    pub lane: Lane,
    pub mode: Mode,
    pub state: WorkflowState,
    /// The workflow that asked for this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<WorkflowId>,
    /// The containment that stopped it; it goes on, planned anew, when that is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preempted_by: Option<WorkflowId>,
    pub requested_by: String,
    pub reason: Option<String>,
    pub created_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    pub waiting: Option<Wait>,
    /// Set for a dry run, and for what waits for approval.
    pub plan: Option<Plan>,
    #[serde(default)]
    pub steps: Vec<StepRecord>,
    pub error: Option<Problem>,
    pub result: Option<serde_json::Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finished_workflow_moves_only_by_a_retry_of_a_failed_one() {
        for state in WorkflowState::ALL.iter().copied().filter(|state| state.is_finished()) {
            for event in WorkflowEvent::ALL {
                let legal = state == WorkflowState::Failed && event == WorkflowEvent::Retry;
                assert_eq!(state.next(event).is_ok(), legal, "{state} {event:?}");
            }
        }
    }

    #[test]
    fn only_a_queued_workflow_is_claimed() {
        for state in WorkflowState::ALL.iter().copied() {
            assert_eq!(state.next(WorkflowEvent::Claim).is_ok(), state == WorkflowState::Queued, "{state}");
        }
    }

    #[test]
    fn every_state_that_is_not_finished_can_be_cancelled() {
        for state in WorkflowState::ALL.iter().copied() {
            assert_eq!(state.next(WorkflowEvent::Cancel).is_ok(), !state.is_finished(), "{state}");
        }
    }

    #[test]
    fn texts_round_trip() {
        for state in WorkflowState::ALL {
            assert_eq!(state.as_str().parse(), Ok(*state));
        }
        assert!("Banana".parse::<WorkflowState>().is_err());
        assert!(WorkflowKind::parse("rotation-check").is_ok());
        assert!(WorkflowKind::parse("Rotation Check").is_err());
    }
}
