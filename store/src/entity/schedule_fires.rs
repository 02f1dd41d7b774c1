//! `schedule_fires`: what became of each due time. Its key makes a second fire impossible.

use chrono::{DateTime, Utc};
use domain::WorkflowId;
use sea_orm::entity::prelude::*;

use super::{Cell, clean};
use crate::{Fire, PlannedFire, StoreError};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "schedule_fires")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub schedule_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub due_at: DateTime<Utc>,
    pub outcome: String,
    pub reason: Option<String>,
    pub detail: Option<String>,
    pub workflow_id: Option<Uuid>,
    pub owner: String,
    pub recorded_at: DateTime<Utc>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub fn of(schedule: Uuid, owner: &str, fire: &PlannedFire, now: DateTime<Utc>) -> Self {
        Self {
            schedule_id: schedule,
            due_at: fire.due,
            outcome: fire.outcome.to_string(),
            reason: fire.reason.map(|reason| reason.to_string()),
            detail: fire.detail.as_deref().map(clean),
            workflow_id: fire.workflow.as_ref().map(|new| new.id.0),
            owner: clean(owner),
            recorded_at: now,
        }
    }
}

impl TryFrom<Model> for Fire {
    type Error = StoreError;
    fn try_from(row: Model) -> Result<Self, StoreError> {
        let cell = |column| Cell { table: "schedule_fires", column, row: &row.schedule_id };
        Ok(Self {
            due: row.due_at,
            outcome: cell("outcome").parse(&row.outcome)?,
            reason: row.reason.as_deref().map(|text| cell("reason").parse(text)).transpose()?,
            detail: row.detail.clone(),
            workflow: row.workflow_id.map(WorkflowId),
            recorded_at: row.recorded_at,
        })
    }
}
