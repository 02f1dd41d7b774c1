//! A journal entry as columns.

use chrono::{DateTime, Utc};
use domain::{Wait, WorkflowEvent, WorkflowState};
use sea_orm::Value;
use serde::Serialize;
use uuid::Uuid;

use crate::entity::{clean, steps, to_json};
use crate::{Finish, JournalEntry, StoreError, WorkflowChange};

/// What changes in the row of `workflows`; what is `None` stays. Serialised by its column names:
/// that is how a batch goes to PostgreSQL.
#[derive(Debug, Default, Clone, Serialize)]
pub struct Change {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<WorkflowState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_names: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned_dc: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unwinding: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_at: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub emitted_at: Option<DateTime<Utc>>,
}

impl Change {
    fn of(change: &WorkflowChange, now: DateTime<Utc>) -> Result<Self, StoreError> {
        let nothing = Self::default();
        Ok(match change {
            WorkflowChange::None | WorkflowChange::Replanned => nothing,
            WorkflowChange::Begin { step_names } => {
                Self { step_names: Some(to_json(step_names)?), ..nothing }
            }
            WorkflowChange::Pin { dc } => Self { pinned_dc: Some(clean(dc)), ..nothing },
            WorkflowChange::Unwind { error } => Self { unwinding: Some(to_json(error)?), ..nothing },
            WorkflowChange::Wait(wait) => Self::wait(wait)?,
            WorkflowChange::AwaitApproval { wait, plan } => {
                Self { plan: Some(to_json(plan)?), ..Self::wait(wait)? }
            }
            WorkflowChange::Pause => {
                Self { state: Some(WorkflowState::Running.next(WorkflowEvent::Pause)?), ..nothing }
            }
            WorkflowChange::Release => Self {
                state: Some(WorkflowState::Running.next(WorkflowEvent::Release)?),
                emitted_at: Some(now),
                ..nothing
            },
            WorkflowChange::Finish(finish) => Self::finish(finish, now)?,
        })
    }

    fn wait(wait: &Wait) -> Result<Self, StoreError> {
        Ok(Self {
            state: Some(WorkflowState::Running.next(WorkflowEvent::Wait)?),
            waiting_for: Some(wait.reason.to_string()),
            due_at: wait.until,
            waiting_detail: Some(clean(&wait.detail)),
            ..Self::default()
        })
    }

    fn finish(finish: &Finish, now: DateTime<Utc>) -> Result<Self, StoreError> {
        Ok(Self {
            state: Some(WorkflowState::Running.next(finish.event)?),
            finished_at: Some(now),
            error: finish.error.as_ref().map(to_json).transpose()?,
            result: finish.result.as_ref().map(to_json).transpose()?,
            plan: finish.plan.as_ref().map(to_json).transpose()?,
            ..Self::default()
        })
    }

    pub fn ends_lease(change: &WorkflowChange) -> bool {
        matches!(
            change,
            WorkflowChange::Wait(_)
                | WorkflowChange::AwaitApproval { .. }
                | WorkflowChange::Pause
                | WorkflowChange::Release
                | WorkflowChange::Finish(_)
        )
    }
}

/// A journal entry, ready to be written.
#[derive(Debug)]
pub struct Row {
    pub id: Uuid,
    pub fencing_token: i64,
    pub lease_until: DateTime<Utc>,
    /// `None` where only the lease is renewed.
    change: Option<Change>,
    pub steps: Vec<steps::Model>,
}

impl Row {
    pub fn of(entry: &JournalEntry) -> Result<Self, StoreError> {
        let id = entry.workflow_id.0;
        let mut steps: Vec<steps::Model> = Vec::with_capacity(entry.steps.len());
        for step in &entry.steps {
            let row = steps::Model::of(id, step)?;
            // The last word on a step counts; PostgreSQL refuses two on one row in a statement.
            match steps.iter_mut().find(|other| other.index == row.index) {
                Some(other) => *other = row,
                None => steps.push(row),
            }
        }
        let change = match &entry.change {
            WorkflowChange::None => None,
            change => Some(Change::of(change, entry.now)?),
        };
        Ok(Self { id, fencing_token: entry.fencing_token, lease_until: entry.lease_until, change, steps })
    }

    pub fn change_json(&self) -> Result<String, StoreError> {
        self.change.as_ref().map_or_else(|| Ok(String::new()), to_json)
    }

    /// In the order of the places in SQLite's statement.
    pub fn values(self) -> [Value; 15] {
        let change = self.change.unwrap_or_default();
        [
            self.id.into(),
            self.fencing_token.into(),
            self.lease_until.into(),
            change.state.map(|state| state.to_string()).into(),
            change.step_names.into(),
            change.pinned_dc.into(),
            change.unwinding.into(),
            change.waiting_for.into(),
            change.due_at.into(),
            change.waiting_detail.into(),
            change.finished_at.into(),
            change.error.into(),
            change.result.into(),
            change.plan.into(),
            change.emitted_at.into(),
        ]
    }
}
