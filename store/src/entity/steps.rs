//! `steps`: what became of each step that has been begun.

use chrono::{DateTime, Utc};
use domain::{StepRecord, StepState};
use sea_orm::entity::prelude::*;

use super::{Cell, clean, to_json};
use crate::StoreError;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "steps")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub workflow_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub index: i32,
    pub name: String,
    pub state: String,
    pub changed: Option<bool>,
    pub attempts: i32,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    pub detail: Option<String>,
    pub error: Option<String>,
    pub intent: Option<String>,
    pub outcome: Option<String>,
    pub wrote: bool,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub fn of(workflow_id: Uuid, step: &StepRecord) -> Result<Self, StoreError> {
        let writes = step.outcome.as_ref().is_some_and(|outcome| !outcome.writes.is_empty());
        Ok(Self {
            workflow_id,
            index: step.index.into(),
            name: clean(&step.name),
            state: step.state.to_string(),
            changed: step.changed,
            attempts: i32::try_from(step.attempts).unwrap_or(i32::MAX),
            started_at: step.started_at,
            finished_at: step.finished_at,
            detail: step.detail.as_deref().map(clean),
            error: step.error.as_ref().map(to_json).transpose()?,
            intent: step.intent.as_ref().map(to_json).transpose()?,
            outcome: step.outcome.as_ref().map(to_json).transpose()?,
            wrote: step.state != StepState::Undone && (writes || step.intent.is_some()),
        })
    }
}

impl TryFrom<Model> for StepRecord {
    type Error = StoreError;
    fn try_from(row: Model) -> Result<Self, StoreError> {
        let name = format!("{} step {}", row.workflow_id, row.index);
        let cell = |column| Cell { table: "steps", column, row: &name };
        Ok(Self {
            index: cell("index").number(row.index)?,
            state: cell("state").parse(&row.state)?,
            attempts: cell("attempts").number(row.attempts)?,
            error: cell("error").optional_json(row.error.as_deref())?,
            intent: cell("intent").optional_json(row.intent.as_deref())?,
            outcome: cell("outcome").optional_json(row.outcome.as_deref())?,
            name: row.name,
            changed: row.changed,
            started_at: row.started_at,
            finished_at: row.finished_at,
            detail: row.detail,
        })
    }
}
