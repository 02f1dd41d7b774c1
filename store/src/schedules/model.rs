//! Schedules and calendars as they go in and out.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use domain::schedule::{FireOutcome, FireReason, Pause, ScheduleSpec, ScheduleState};
use domain::{Calendar, Role, ScheduleId, WorkflowId};
use serde::{Deserialize, Serialize};

use crate::NewWorkflow;

/// A schedule on record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    pub id: ScheduleId,
    #[serde(flatten)]
    pub spec: ScheduleSpec,
    pub state: ScheduleState,
    /// As the schedule says; `None`: it has ended, and only then.
    pub next_due: Option<DateTime<Utc>>,
    /// The same with its jitter.
    pub fire_at: Option<DateTime<Utc>>,
    pub ended_because: Option<String>,
    /// The last due time that came.
    pub last_due: Option<DateTime<Utc>>,
    pub last_workflow: Option<WorkflowId>,
    /// Due times that wait for the end of the runs before them.
    pub queued: u64,
    pub paused: Option<Paused>,
    #[serde(skip)]
    pub last_pause: Option<Pause>,
    /// Who defined it as it is: its runs may do what this principal may.
    pub owner: String,
    /// The owner's roles when they did.
    pub owner_roles: BTreeSet<Role>,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    /// Grows with every change.
    #[serde(skip)]
    pub revision: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    pub at: DateTime<Utc>,
    pub by: String,
    pub reason: Option<String>,
}

/// What became of a due time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fire {
    pub due: DateTime<Utc>,
    pub outcome: FireOutcome,
    pub reason: Option<FireReason>,
    pub detail: Option<String>,
    pub workflow: Option<WorkflowId>,
    pub recorded_at: DateTime<Utc>,
}

/// A schedule whose time has come.
#[derive(Debug, Clone, PartialEq)]
pub struct DueSchedule {
    pub schedule: Schedule,
    /// The last workflow that it asked for has not ended.
    pub running: bool,
}

/// A due time whose turn has come: the runs before it have ended.
#[derive(Debug, Clone, PartialEq)]
pub struct QueuedFire {
    pub schedule: Schedule,
    pub due: DateTime<Utc>,
}

/// What is to be recorded of a due time.
#[derive(Debug, Clone)]
pub struct PlannedFire {
    pub due: DateTime<Utc>,
    pub outcome: FireOutcome,
    pub reason: Option<FireReason>,
    pub detail: Option<String>,
    /// What is asked for, where it is fired.
    pub workflow: Option<NewWorkflow>,
}

/// What is to be recorded of a schedule's due times, and when it is due next.
#[derive(Debug, Clone)]
pub struct PlannedRound {
    pub schedule: ScheduleId,
    /// Of the schedule that this was planned from; nothing is recorded if it has changed since.
    pub revision: i64,
    pub owner: String,
    pub fires: Vec<PlannedFire>,
    /// Due time, and the moment with its jitter; `None`: it ends.
    pub next: Option<(DateTime<Utc>, DateTime<Utc>)>,
    pub ended_because: Option<String>,
}

/// What was recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recorded {
    /// How many schedules were due, of at most as many as were asked for.
    pub schedules: usize,
    pub fires: Vec<(FireOutcome, Option<FireReason>)>,
}

/// How the schedules stand, all together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScheduleStats {
    pub enabled: u64,
    pub paused: u64,
    pub ended: u64,
    /// On, and without a next due time: impossible, and counted nevertheless.
    pub without_next: u64,
    /// The oldest moment that has come and was not looked at yet.
    pub overdue_since: Option<DateTime<Utc>>,
}

/// A calendar on record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CalendarRecord {
    #[serde(flatten)]
    pub calendar: Calendar,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
}
