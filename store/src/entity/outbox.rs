//! `outbox`: events and announcements that are yet to be published.

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;

use super::Cell;
use crate::{AnnouncementRow, OutboxRow, StoreError};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "outbox")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Of an event.
    pub workflow_id: Option<Uuid>,
    /// Of an event.
    pub lane: Option<String>,
    /// Of an announcement: its CloudEvents type.
    pub topic: Option<String>,
    pub body: Vec<u8>,
    pub created_at: DateTime<Utc>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub fn announcement(row: AnnouncementRow, now: DateTime<Utc>) -> Self {
        let AnnouncementRow { id, topic, body } = row;
        Self { id, workflow_id: None, lane: None, topic: Some(topic), body, created_at: now }
    }
}

impl TryFrom<Model> for OutboxRow {
    type Error = StoreError;
    fn try_from(row: Model) -> Result<Self, StoreError> {
        let lane = row.lane.as_deref().unwrap_or_default();
        let lane = Cell { table: "outbox", column: "lane", row: &row.id }.parse(lane)?;
        Ok(Self { id: row.id, lane, body: row.body })
    }
}

impl TryFrom<Model> for AnnouncementRow {
    type Error = StoreError;
    fn try_from(row: Model) -> Result<Self, StoreError> {
        let Model { id, topic, body, .. } = row;
        let topic =
            topic.ok_or_else(|| Cell { table: "outbox", column: "topic", row: &id }.inconsistent())?;
        Ok(Self { id, topic, body })
    }
}
