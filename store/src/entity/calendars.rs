//! `calendars`: when destructive lifecycle work does not begin.

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;

use super::{Cell, clean, to_json};
use crate::{CalendarRecord, StoreError};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "calendars")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub name_key: String,
    pub spec: String,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub fn of(record: &CalendarRecord) -> Result<Self, StoreError> {
        Ok(Self {
            name_key: record.calendar.name.key(),
            spec: to_json(&record.calendar)?,
            created_by: clean(&record.created_by),
            created_at: record.created_at,
        })
    }
}

impl TryFrom<Model> for CalendarRecord {
    type Error = StoreError;
    fn try_from(row: Model) -> Result<Self, StoreError> {
        let spec = Cell { table: "calendars", column: "spec", row: &row.name_key };
        Ok(Self {
            calendar: spec.json(&row.spec)?,
            created_by: row.created_by.clone(),
            created_at: row.created_at,
        })
    }
}
