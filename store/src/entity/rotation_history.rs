//! `rotation_history`: one row whenever verdict or key of an account had changed.

use chrono::{DateTime, Utc};
use domain::WorkflowId;
use domain::containment::KeyId;
use domain::rotation::RotationChange;
use sea_orm::entity::prelude::*;

use super::{Cell, clean, rotation};
use crate::StoreError;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "rotation_history")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub directory_key: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub account_sid: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub at: DateTime<Utc>,
    #[sea_orm(primary_key, auto_increment = false)]
    pub workflow_id: Uuid,
    pub verdict: String,
    pub why: String,
    pub key_slot: Option<i64>,
    pub root_key: Option<Uuid>,
    pub gone: bool,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub fn of(row: &rotation::Model, why: &str, workflow: WorkflowId) -> Self {
        Self {
            directory_key: row.directory_key.clone(),
            account_sid: row.account_sid.clone(),
            at: row.changed_at,
            workflow_id: workflow.0,
            verdict: row.verdict.clone(),
            why: clean(why),
            key_slot: row.key_slot,
            root_key: row.root_key,
            gone: row.gone_at.is_some(),
        }
    }
}

impl TryFrom<Model> for RotationChange {
    type Error = StoreError;
    fn try_from(row: Model) -> Result<Self, StoreError> {
        let cell = Cell { table: "rotation_history", column: "verdict", row: &row.account_sid };
        Ok(Self {
            at: row.at,
            verdict: cell.parse(&row.verdict)?,
            why: row.why,
            key_id: row.key_slot.zip(row.root_key).and_then(|(slot, root)| KeyId::of_slot(slot, root)),
            gone: row.gone,
            workflow: WorkflowId(row.workflow_id),
        })
    }
}
