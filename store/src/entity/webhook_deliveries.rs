//! `webhook_deliveries`: what is sent to whom, and how each attempt went.

use chrono::{DateTime, Utc};
use domain::DeliveryId;
use sea_orm::entity::prelude::*;

use super::Cell;
use super::rule_firings::shown;
use crate::{Delivery, FiringEvent, HeardEvent, NewDelivery, StoreError};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "webhook_deliveries")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub webhook_id: Uuid,
    pub event_key: String,
    pub event_id: String,
    pub event_source: String,
    pub event_type: String,
    pub body: Vec<u8>,
    pub state: String,
    pub attempts: String,
    pub claim: i64,
    pub next_at: DateTime<Utc>,
    pub give_up_at: DateTime<Utc>,
    pub created_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub fn of(event: &HeardEvent, new: &NewDelivery, now: DateTime<Utc>) -> Self {
        Self {
            id: new.id.0,
            webhook_id: new.webhook.0,
            event_key: event.key.clone(),
            event_id: shown(&event.id),
            event_source: shown(&event.source),
            event_type: shown(&event.kind),
            body: new.body.clone(),
            state: domain::DeliveryState::Pending.to_string(),
            attempts: "[]".to_owned(),
            claim: 0,
            next_at: now,
            give_up_at: now + domain::webhook::GIVE_UP_AFTER,
            created_at: now,
            finished_at: None,
        }
    }
}

/// A row without what is sent, which nobody looks at in a list.
#[derive(Debug, sea_orm::FromQueryResult)]
pub struct Shown {
    id: Uuid,
    event_id: String,
    event_source: String,
    event_type: String,
    state: String,
    attempts: String,
    next_at: DateTime<Utc>,
    created_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
}

impl Shown {
    pub const COLUMNS: [Column; 9] = [
        Column::Id,
        Column::EventId,
        Column::EventSource,
        Column::EventType,
        Column::State,
        Column::Attempts,
        Column::NextAt,
        Column::CreatedAt,
        Column::FinishedAt,
    ];
}

impl TryFrom<Shown> for Delivery {
    type Error = StoreError;
    fn try_from(row: Shown) -> Result<Self, StoreError> {
        let cell = |column| Cell { table: "webhook_deliveries", column, row: &row.id };
        let state = cell("state").parse(&row.state)?;
        Ok(Self {
            id: DeliveryId(row.id),
            state,
            attempts: cell("attempts").json(&row.attempts)?,
            next_attempt: (state == domain::DeliveryState::Pending).then_some(row.next_at),
            event: FiringEvent {
                id: row.event_id,
                source: row.event_source,
                kind: row.event_type,
                subject: None,
            },
            created_at: row.created_at,
            finished_at: row.finished_at,
        })
    }
}
