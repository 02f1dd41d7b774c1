//! `locks`: which workflow has a farm to itself.

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "locks")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub directory_key: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub farm_key: String,
    pub workflow_id: Uuid,
    pub fencing_token: i64,
    pub locked_at: DateTime<Utc>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
