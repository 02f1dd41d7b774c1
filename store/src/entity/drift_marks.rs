//! `drift_marks`: up to which change of a DC it is known how the farms of a directory stand.

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;

use crate::DriftMark;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "drift_marks")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub directory_key: String,
    pub dc: String,
    pub invocation: String,
    pub usn: i64,
    pub quarantine: String,
    pub full_at: DateTime<Utc>,
    pub checked_at: DateTime<Utc>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl From<Model> for DriftMark {
    fn from(row: Model) -> Self {
        let Model { dc, invocation, usn, quarantine, full_at, checked_at, .. } = row;
        Self { dc, invocation, usn, quarantine, full_at, checked_at }
    }
}
