//! The steps of a batch as arrays, one for each column.

use chrono::{DateTime, Utc};
use sea_orm::Value;
use uuid::Uuid;

use crate::entity::steps;

#[derive(Default)]
pub struct StepColumns {
    workflow_ids: Vec<Uuid>,
    indexes: Vec<i32>,
    names: Vec<String>,
    states: Vec<String>,
    changed: Vec<i16>,
    attempts: Vec<i32>,
    started_at: Vec<DateTime<Utc>>,
    finished_at: Vec<DateTime<Utc>>,
    details: Vec<String>,
    errors: Vec<String>,
    intents: Vec<String>,
    outcomes: Vec<String>,
    wrote: Vec<bool>,
}

impl StepColumns {
    pub fn push(&mut self, step: steps::Model) {
        self.workflow_ids.push(step.workflow_id);
        self.indexes.push(step.index);
        self.names.push(step.name);
        self.states.push(step.state);
        self.changed.push(step.changed.map_or(-1, i16::from));
        self.attempts.push(step.attempts);
        self.started_at.push(step.started_at.unwrap_or(DateTime::UNIX_EPOCH));
        self.finished_at.push(step.finished_at.unwrap_or(DateTime::UNIX_EPOCH));
        self.details.push(step.detail.unwrap_or_default());
        self.errors.push(step.error.unwrap_or_default());
        self.intents.push(step.intent.unwrap_or_default());
        self.outcomes.push(step.outcome.unwrap_or_default());
        self.wrote.push(step.wrote);
    }

    /// In the order of the places in PostgreSQL's statement.
    pub fn into_values(self) -> [Value; 13] {
        [
            self.workflow_ids.into(),
            self.indexes.into(),
            self.names.into(),
            self.states.into(),
            self.changed.into(),
            self.attempts.into(),
            self.started_at.into(),
            self.finished_at.into(),
            self.details.into(),
            self.errors.into(),
            self.intents.into(),
            self.outcomes.into(),
            self.wrote.into(),
        ]
    }
}
