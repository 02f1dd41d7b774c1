//! `quarantine`: hosts that no workflow lets in, and those that were.

use chrono::{DateTime, Utc};
use domain::WorkflowId;
use sea_orm::entity::prelude::*;

use super::{Cell, clean};
use crate::{NewQuarantine, Quarantined, Release, StoreError};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "quarantine")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub directory: String,
    pub directory_key: String,
    pub host_sid: String,
    pub host_name: String,
    pub computer_dn: String,
    pub workflow_id: Uuid,
    pub placed_by: String,
    pub reason: Option<String>,
    pub placed_at: DateTime<Utc>,
    pub computer_disabled: bool,
    pub released_at: Option<DateTime<Utc>>,
    pub released_by: Option<String>,
    pub release_workflow: Option<Uuid>,
    pub release_reason: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub fn of(new: &NewQuarantine, id: Uuid, now: DateTime<Utc>) -> Self {
        Self {
            id,
            directory: new.directory.to_string(),
            directory_key: new.directory.key(),
            host_sid: new.host_sid.to_string(),
            host_name: clean(&new.host_name),
            computer_dn: new.computer_dn.to_string(),
            workflow_id: new.workflow.0,
            placed_by: clean(&new.placed_by),
            reason: new.reason.as_deref().map(clean),
            placed_at: now,
            computer_disabled: false,
            released_at: None,
            released_by: None,
            release_workflow: None,
            release_reason: None,
        }
    }
}

impl TryFrom<Model> for Quarantined {
    type Error = StoreError;
    fn try_from(row: Model) -> Result<Self, StoreError> {
        let cell = |column| Cell { table: "quarantine", column, row: &row.id };
        let dn = || cell("computer_dn").inconsistent();
        let released = row.released_at.map(|at| Release {
            at,
            by: row.released_by.clone().unwrap_or_default(),
            workflow: WorkflowId(row.release_workflow.unwrap_or_default()),
            reason: row.release_reason.clone(),
        });
        Ok(Self {
            id: row.id,
            directory: cell("directory").parse(&row.directory)?,
            host_sid: cell("host_sid").parse(&row.host_sid)?,
            computer_dn: domain::Dn::parse(&row.computer_dn).map_err(|_| dn())?,
            workflow: WorkflowId(row.workflow_id),
            released,
            host_name: row.host_name,
            placed_by: row.placed_by,
            reason: row.reason,
            placed_at: row.placed_at,
            computer_disabled: row.computer_disabled,
        })
    }
}
