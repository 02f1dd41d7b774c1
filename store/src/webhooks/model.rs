//! Webhooks as they go in and out.

use chrono::{DateTime, Utc};
use domain::{DeliveryId, DeliveryState, WebhookId, WebhookSpec, WebhookState};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{FiringEvent, Paused};

/// A webhook on record, without its secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Webhook {
    pub id: WebhookId,
    #[serde(flatten)]
    pub spec: WebhookSpec,
    pub state: WebhookState,
    pub paused: Option<Paused>,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    /// Grows with every change.
    #[serde(skip)]
    pub revision: i64,
}

/// An event that is to be sent to a webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDelivery {
    pub id: DeliveryId,
    pub webhook: WebhookId,
    pub body: Vec<u8>,
}

/// How an attempt went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    pub at: DateTime<Utc>,
    /// What the receiver answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why there is no answer, in a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    pub millis: u64,
}

/// A delivery on record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    pub id: DeliveryId,
    pub state: DeliveryState,
    pub event: FiringEvent,
    pub attempts: Vec<Attempt>,
    pub next_attempt: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
}

/// A delivery in one sender's hands, until its lease is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedDelivery {
    pub id: DeliveryId,
    /// Whoever settles it must have this.
    pub claim: i64,
    pub event_type: String,
    pub body: Vec<u8>,
    pub attempts: Vec<Attempt>,
    pub give_up_at: DateTime<Utc>,
    pub created_at: DateTime<Utc>,
}

/// What follows from an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    Delivered,
    RetryAt(DateTime<Utc>),
    GivenUp,
    /// The receiver wants nothing more: the webhook is paused.
    Gone,
}

/// How deliveries stand, all together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeliveryStats {
    pub pending: u64,
    pub oldest_pending: Option<DateTime<Utc>>,
}

/// What became of a call of a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// It is announced as this event.
    New(Uuid),
    /// It was announced before, as this event.
    Replayed(Uuid),
    /// Nothing is announced here.
    Off,
}
