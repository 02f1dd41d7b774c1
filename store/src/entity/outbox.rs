//! `outbox`: events that are yet to be published.

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;

use super::Cell;
use crate::{OutboxRow, StoreError};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "outbox")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub workflow_id: Uuid,
    pub lane: String,
    pub body: Vec<u8>,
    pub created_at: DateTime<Utc>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl TryFrom<Model> for OutboxRow {
    type Error = StoreError;
    fn try_from(row: Model) -> Result<Self, StoreError> {
        let lane = Cell { table: "outbox", column: "lane", row: &row.id }.parse(&row.lane)?;
        Ok(Self { id: row.id, lane, body: row.body })
    }
}
