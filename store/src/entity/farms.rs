//! `farms`: what was asked for and what a deploy has left.

use chrono::{DateTime, Utc};
use domain::WorkflowId;
use sea_orm::entity::prelude::*;

use super::Cell;
use crate::{Farm, FarmState, StoreError};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "farms")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub directory_key: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub farm_key: String,
    pub directory: String,
    pub name: String,
    pub state: String,
    pub spec: String,
    pub recorded: Option<String>,
    /// Of what is recorded: an account is looked up by it.
    pub account_sid: Option<String>,
    pub last_workflow: Option<Uuid>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

pub const REQUESTED: &str = "requested";
pub const DEPLOYED: &str = "deployed";
pub const DECOMMISSIONED: &str = "decommissioned";

impl TryFrom<Model> for Farm {
    type Error = StoreError;
    fn try_from(row: Model) -> Result<Self, StoreError> {
        let key = format!("{}/{}", row.directory_key, row.farm_key);
        let cell = |column| Cell { table: "farms", column, row: &key };
        Ok(Self {
            name: cell("name").parse(&row.name)?,
            directory: cell("directory").parse(&row.directory)?,
            state: match row.state.as_str() {
                REQUESTED => FarmState::Requested,
                DEPLOYED => FarmState::Deployed,
                DECOMMISSIONED => FarmState::Decommissioned,
                _ => return Err(cell("state").inconsistent()),
            },
            spec: cell("spec").json(&row.spec)?,
            recorded: cell("recorded").optional_json(row.recorded.as_deref())?,
            last_workflow: row.last_workflow.map(WorkflowId),
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}
