//! `workflow_hosts`: which workflows name a host. Written once, so an index of it costs nothing later.

use domain::PrincipalRef;
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "workflow_hosts")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub workflow_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub host_key: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// `HOST1$` and `Host1` are one host.
pub fn host_key(host: &str) -> String {
    match PrincipalRef::parse(host) {
        Ok(reference) => reference.key(),
        Err(_) => super::clean(&host.to_lowercase()),
    }
}
