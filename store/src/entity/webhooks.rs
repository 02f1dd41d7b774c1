//! `webhooks`: whom we tell of events, and who tells us. Their secrets stand in a table of their own.

use chrono::{DateTime, Utc};
use domain::WebhookId;
use sea_orm::entity::prelude::*;

use super::{Cell, clean, to_json};
use crate::{Paused, StoreError, Webhook};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "webhooks")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub name: String,
    pub name_key: String,
    pub direction: String,
    pub spec: String,
    pub state: String,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub revision: i64,
    pub paused_at: Option<DateTime<Utc>>,
    pub paused_by: Option<String>,
    pub pause_reason: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub fn of(webhook: &Webhook) -> Result<Self, StoreError> {
        let paused = webhook.paused.as_ref();
        Ok(Self {
            id: webhook.id.0,
            name: webhook.spec.name.to_string(),
            name_key: webhook.spec.name.key(),
            direction: webhook.spec.direction().to_string(),
            spec: to_json(&webhook.spec)?,
            state: webhook.state.to_string(),
            created_by: clean(&webhook.created_by),
            created_at: webhook.created_at,
            updated_at: webhook.updated_at,
            revision: webhook.revision,
            paused_at: paused.map(|paused| paused.at),
            paused_by: paused.map(|paused| clean(&paused.by)),
            pause_reason: paused.and_then(|paused| paused.reason.as_deref().map(clean)),
        })
    }
}

impl TryFrom<&Model> for Webhook {
    type Error = StoreError;
    fn try_from(row: &Model) -> Result<Self, StoreError> {
        let cell = |column| Cell { table: "webhooks", column, row: &row.id };
        let paused = row.paused_at.map(|at| Paused {
            at,
            by: row.paused_by.clone().unwrap_or_default(),
            reason: row.pause_reason.clone(),
        });
        Ok(Self {
            id: WebhookId(row.id),
            spec: cell("spec").json(&row.spec)?,
            state: cell("state").parse(&row.state)?,
            paused,
            created_by: row.created_by.clone(),
            created_at: row.created_at,
            updated_at: row.updated_at,
            revision: row.revision,
        })
    }
}
