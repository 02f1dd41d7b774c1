//! Rules and their firings as they go in and out.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::rule::Rate;
use domain::{ErrorCode, FiringOutcome, Role, RuleId, RuleSpec, RuleState, WorkflowId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{NewWorkflow, Paused};

/// A rule on record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    pub id: RuleId,
    #[serde(flatten)]
    pub spec: RuleSpec,
    pub state: RuleState,
    pub paused: Option<Paused>,
    /// When it last asked for something, and for what.
    pub last_fired_at: Option<DateTime<Utc>>,
    pub last_workflow: Option<WorkflowId>,
    /// Who defined it as it is: its runs may do what this principal may.
    pub owner: String,
    /// The owner's roles when they did.
    pub owner_roles: BTreeSet<Role>,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    /// Grows with every change of its definition or state.
    #[serde(skip)]
    pub revision: i64,
}

/// An event as it is named beside what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FiringEvent {
    pub id: String,
    pub source: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub subject: Option<String>,
}

/// What became of an event that a rule was for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Firing {
    pub id: Uuid,
    pub outcome: FiringOutcome,
    /// Where it was refused.
    pub code: Option<ErrorCode>,
    pub detail: Option<String>,
    pub dedupe_key: Option<String>,
    pub workflow: Option<WorkflowId>,
    pub event: FiringEvent,
    pub recorded_at: DateTime<Utc>,
}

/// An event that was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeardEvent {
    /// Of source and id: the same twice is one event.
    pub key: String,
    pub id: String,
    pub source: String,
    pub kind: String,
    pub subject: Option<String>,
}

/// Why a rule that an event is for asks for nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfired {
    pub outcome: FiringOutcome,
    pub code: Option<ErrorCode>,
    pub detail: String,
}

/// What a rule makes of an event, before rate and deduplication.
#[derive(Debug, Clone)]
pub struct PlannedFiring {
    pub id: Uuid,
    pub rule: RuleId,
    /// Of the rule that this was planned from; nothing is recorded if it has changed since.
    pub revision: i64,
    pub owner: String,
    pub asked: Result<Box<NewWorkflow>, Unfired>,
    pub dedupe: Option<(String, Duration)>,
    pub rate: Rate,
    pub dry_run: bool,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettledFiring {
    pub outcome: FiringOutcome,
    pub code: Option<ErrorCode>,
    pub detail: Option<String>,
    /// What was asked for.
    pub workflow: Option<WorkflowId>,
}

/// What was recorded of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reacted {
    /// Of those rules that had not met it before.
    Recorded(Vec<(RuleId, SettledFiring)>),
    /// A rule was changed, paused or deleted since it was read: nothing was recorded.
    Stale,
}
