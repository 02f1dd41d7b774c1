//! `tokens`: who may call, by the hash of a secret.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use domain::{Role, TokenId};
use sea_orm::entity::prelude::*;

use super::{Cell, clean, to_json};
use crate::{StoreError, Token};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "tokens")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub principal: String,
    pub roles: String,
    pub secret_hash: String,
    pub created_at: DateTime<Utc>,
    pub expires_at: Option<DateTime<Utc>>,
    pub revoked_at: Option<DateTime<Utc>>,
    pub last_used_at: Option<DateTime<Utc>>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub fn of(token: &Token, secret_hash: &str) -> Result<Self, StoreError> {
        Ok(Self {
            id: token.id.0,
            principal: clean(&token.principal),
            roles: to_json(&token.roles)?,
            secret_hash: secret_hash.to_owned(),
            created_at: token.created_at,
            expires_at: token.expires_at,
            revoked_at: token.revoked_at,
            last_used_at: token.last_used_at,
        })
    }
}

impl TryFrom<Model> for Token {
    type Error = StoreError;
    fn try_from(row: Model) -> Result<Self, StoreError> {
        let roles = Cell { table: "tokens", column: "roles", row: &row.id };
        Ok(Self {
            id: TokenId(row.id),
            principal: row.principal,
            roles: roles.json::<BTreeSet<Role>>(&row.roles)?,
            created_at: row.created_at,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            last_used_at: row.last_used_at,
        })
    }
}
