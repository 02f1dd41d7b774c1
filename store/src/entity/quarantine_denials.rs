//! `quarantine_denials`: the deny entries that Farmhand wrote for hosts under quarantine.

use chrono::{DateTime, Utc};
use domain::WorkflowId;
use sea_orm::entity::prelude::*;

use super::Cell;
use crate::{Denial, StoreError};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "quarantine_denials")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub directory_key: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub host_sid: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub account_sid: String,
    pub account_dn: String,
    pub workflow_id: Uuid,
    pub written_at: DateTime<Utc>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl TryFrom<Model> for Denial {
    type Error = StoreError;
    fn try_from(row: Model) -> Result<Self, StoreError> {
        let cell = |column| Cell { table: "quarantine_denials", column, row: &row.account_sid };
        let dn = || cell("account_dn").inconsistent();
        Ok(Self {
            account_sid: cell("account_sid").parse(&row.account_sid)?,
            account_dn: domain::Dn::parse(&row.account_dn).map_err(|_| dn())?,
            workflow: WorkflowId(row.workflow_id),
            written_at: row.written_at,
        })
    }
}
