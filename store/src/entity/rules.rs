//! `rules`: what is asked for when something was heard.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use domain::{Role, RuleId, WorkflowId};
use sea_orm::entity::prelude::*;

use super::{Cell, clean, to_json};
use crate::{Paused, Rule, StoreError};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "rules")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub name: String,
    pub name_key: String,
    pub spec: String,
    pub state: String,
    pub last_fired_at: Option<DateTime<Utc>>,
    pub last_workflow: Option<Uuid>,
    pub owner: String,
    pub owner_roles: String,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub revision: i64,
    pub paused_at: Option<DateTime<Utc>>,
    pub paused_by: Option<String>,
    pub pause_reason: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub fn of(rule: &Rule) -> Result<Self, StoreError> {
        let paused = rule.paused.as_ref();
        Ok(Self {
            id: rule.id.0,
            name: rule.spec.name.to_string(),
            name_key: rule.spec.name.key(),
            spec: to_json(&rule.spec)?,
            state: rule.state.to_string(),
            last_fired_at: rule.last_fired_at,
            last_workflow: rule.last_workflow.map(|id| id.0),
            owner: clean(&rule.owner),
            owner_roles: to_json(&rule.owner_roles)?,
            created_by: clean(&rule.created_by),
            created_at: rule.created_at,
            updated_at: rule.updated_at,
            revision: rule.revision,
            paused_at: paused.map(|paused| paused.at),
            paused_by: paused.map(|paused| clean(&paused.by)),
            pause_reason: paused.and_then(|paused| paused.reason.as_deref().map(clean)),
        })
    }
}

impl TryFrom<&Model> for Rule {
    type Error = StoreError;
    fn try_from(row: &Model) -> Result<Self, StoreError> {
        let cell = |column| Cell { table: "rules", column, row: &row.id };
        let paused = row.paused_at.map(|at| Paused {
            at,
            by: row.paused_by.clone().unwrap_or_default(),
            reason: row.pause_reason.clone(),
        });
        Ok(Self {
            id: RuleId(row.id),
            spec: cell("spec").json(&row.spec)?,
            state: cell("state").parse(&row.state)?,
            paused,
            last_fired_at: row.last_fired_at,
            last_workflow: row.last_workflow.map(WorkflowId),
            owner: row.owner.clone(),
            owner_roles: cell("owner_roles").json::<BTreeSet<Role>>(&row.owner_roles)?,
            created_by: row.created_by.clone(),
            created_at: row.created_at,
            updated_at: row.updated_at,
            revision: row.revision,
        })
    }
}
