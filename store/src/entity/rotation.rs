//! `rotation`: the last that was seen of each gMSA's password.

use chrono::{DateTime, Utc};
use domain::containment::KeyId;
use domain::rotation::RotationEntry;
use domain::{RotationItem, RotationVerdict};
use sea_orm::entity::prelude::*;

use super::{Cell, clean, to_json};
use crate::StoreError;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "rotation")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub directory_key: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub account_sid: String,
    pub directory: String,
    /// sAMAccountName in small letters, without its `$`.
    pub account_key: String,
    pub farm_key: Option<String>,
    pub verdict: String,
    pub key_slot: Option<i64>,
    pub root_key: Option<Uuid>,
    /// Codes, each between spaces.
    pub findings: String,
    pub item: String,
    pub checked_at: DateTime<Utc>,
    pub changed_at: DateTime<Utc>,
    pub gone_at: Option<DateTime<Utc>>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// As it was found now; [`Self::changed_at`] is the caller's to correct.
    pub fn of(item: &RotationItem, now: DateTime<Utc>) -> Result<Self, StoreError> {
        let codes = item.codes().into_iter().map(|code| format!(" {code} ")).collect();
        Ok(Self {
            directory_key: item.directory.key(),
            account_sid: item.sid.to_string(),
            directory: item.directory.to_string(),
            account_key: account_key(&item.account),
            farm_key: item.farm.as_ref().map(domain::FarmName::key),
            verdict: item.verdict.to_string(),
            key_slot: item.key_id.as_ref().map(KeyId::slot_number),
            root_key: item.key_id.as_ref().map(|key| key.root_key),
            findings: codes,
            // JSON writes a zero character as an escape, which a text column takes.
            item: to_json(item)?,
            checked_at: now,
            changed_at: now,
            gone_at: None,
        })
    }

    /// Whether verdict or key are others, or one of both is gone.
    pub fn differs_from(&self, other: &Self) -> bool {
        let essence = |row: &Self| (row.verdict.clone(), row.key_slot, row.root_key, row.gone_at.is_some());
        essence(self) != essence(other)
    }

    pub fn verdict(&self) -> Result<RotationVerdict, StoreError> {
        Cell { table: "rotation", column: "verdict", row: &self.account_sid }.parse(&self.verdict)
    }
}

/// `ITFARM1$` and `ITFarm1` are one account.
pub fn account_key(account: &str) -> String {
    let name = account.strip_suffix('$').unwrap_or(account);
    clean(&name.to_lowercase())
}

impl TryFrom<Model> for RotationEntry {
    type Error = StoreError;
    fn try_from(row: Model) -> Result<Self, StoreError> {
        let cell = Cell { table: "rotation", column: "item", row: &row.account_sid };
        Ok(Self {
            item: cell.json(&row.item)?,
            checked_at: row.checked_at,
            changed_at: row.changed_at,
            gone_at: row.gone_at,
        })
    }
}
