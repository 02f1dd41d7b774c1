//! `schedules`: what is asked for by itself, and when it is due next.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use domain::schedule::{Pause, ScheduleState};
use domain::{Role, ScheduleId, WorkflowId};
use sea_orm::entity::prelude::*;

use super::{Cell, clean, to_json};
use crate::{Paused, Schedule, StoreError};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "schedules")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub name: String,
    pub name_key: String,
    pub spec: String,
    pub state: String,
    pub next_due: Option<DateTime<Utc>>,
    pub fire_at: Option<DateTime<Utc>>,
    pub ended_because: Option<String>,
    pub last_due: Option<DateTime<Utc>>,
    pub last_workflow: Option<Uuid>,
    pub queued: i64,
    pub paused_at: Option<DateTime<Utc>>,
    pub paused_by: Option<String>,
    pub pause_reason: Option<String>,
    pub resumed_at: Option<DateTime<Utc>>,
    pub owner: String,
    pub owner_roles: String,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub revision: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub fn of(schedule: &Schedule) -> Result<Self, StoreError> {
        let paused = schedule.paused.as_ref();
        Ok(Self {
            id: schedule.id.0,
            name: schedule.spec.name.to_string(),
            name_key: schedule.spec.name.key(),
            spec: to_json(&schedule.spec)?,
            state: schedule.state.to_string(),
            next_due: schedule.next_due,
            fire_at: schedule.fire_at,
            ended_because: schedule.ended_because.clone(),
            last_due: schedule.last_due,
            last_workflow: schedule.last_workflow.map(|id| id.0),
            queued: i64::try_from(schedule.queued).unwrap_or(i64::MAX),
            paused_at: schedule.last_pause.map(|pause| pause.from),
            paused_by: paused.map(|paused| clean(&paused.by)),
            pause_reason: paused.and_then(|paused| paused.reason.as_deref().map(clean)),
            resumed_at: schedule.last_pause.and_then(|pause| pause.until),
            owner: clean(&schedule.owner),
            owner_roles: to_json(&schedule.owner_roles)?,
            created_by: clean(&schedule.created_by),
            created_at: schedule.created_at,
            updated_at: schedule.updated_at,
            revision: schedule.revision,
        })
    }

    fn cell(&self, column: &'static str) -> Cell<'_> {
        Cell { table: "schedules", column, row: &self.id }
    }
}

impl TryFrom<&Model> for Schedule {
    type Error = StoreError;
    fn try_from(row: &Model) -> Result<Self, StoreError> {
        let state: ScheduleState = row.cell("state").parse(&row.state)?;
        let last_pause = row.paused_at.map(|from| Pause { from, until: row.resumed_at });
        let paused = last_pause.filter(|pause| pause.until.is_none()).map(|pause| Paused {
            at: pause.from,
            by: row.paused_by.clone().unwrap_or_default(),
            reason: row.pause_reason.clone(),
        });
        Ok(Self {
            id: ScheduleId(row.id),
            spec: row.cell("spec").json(&row.spec)?,
            state,
            next_due: row.next_due,
            fire_at: row.fire_at,
            ended_because: row.ended_because.clone(),
            last_due: row.last_due,
            last_workflow: row.last_workflow.map(WorkflowId),
            queued: row.cell("queued").number(row.queued)?,
            paused,
            last_pause,
            owner: row.owner.clone(),
            owner_roles: row.cell("owner_roles").json::<BTreeSet<Role>>(&row.owner_roles)?,
            created_by: row.created_by.clone(),
            created_at: row.created_at,
            updated_at: row.updated_at,
            revision: row.revision,
        })
    }
}
