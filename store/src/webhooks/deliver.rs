//! Deliveries are claimed, settled, shown, begun anew and forgotten.
//!
//! A claim is a lease: it moves the row's due time behind the longest attempt, so a sender that died
//! needs nobody to notice. Its number lets only the last claim settle.

use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::webhook::GIVE_UP_AFTER;
use domain::{DeliveryId, DeliveryState, WebhookId, WebhookState};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
    QueryResult, QuerySelect, Value,
};
use tracing::instrument;
use uuid::Uuid;

use crate::entity::webhook_deliveries::{Column, Entity, Model, Shown};
use crate::entity::{Cell, to_json, webhooks};
use crate::listing::MAX_LIMIT;
use crate::sql::{skip_locked, statement};
use crate::store::timed;
use crate::{
    Attempt, ClaimedDelivery, Delivery, DeliveryStats, HeardEvent, NewDelivery, Page, Settlement, Store,
    StoreError,
};

/// Who is paused by a receiver that wants nothing more.
const BY: &str = "farmhand";

const STATS: &str = "select count(*) as pending, min(d.created_at) as oldest from webhook_deliveries d \
    where d.state = 'pending' and exists ( \
      select 1 from webhooks w where w.id = d.webhook_id and w.state = 'enabled')";

/// One look into the index for each webhook, however much waits there.
const NEXT: &str = "select min((select d.next_at from webhook_deliveries d \
      where d.webhook_id = w.id and d.state = 'pending' order by d.next_at limit 1)) as next \
    from webhooks w where w.state = 'enabled' and w.direction = 'out'";

const PRUNE: &str = "delete from webhook_deliveries where id in ( \
      select id from webhook_deliveries where state <> 'pending' and finished_at < $1 \
      order by finished_at limit $2)";

/// Of webhooks that were deleted while an event was recorded for them.
const ORPHANS: &str = "delete from webhook_deliveries where webhook_id not in (select id from webhooks)";

impl Store {
    /// Up to `limit` deliveries that are due to one webhook, the longest due first; nobody else gets
    /// them before `lease` is over.
    #[instrument(level = "debug", name = "db.deliveries.claim", skip_all, fields(webhook = %webhook))]
    pub async fn claim_deliveries(
        &self,
        webhook: WebhookId,
        limit: u32,
        lease: Duration,
        now: DateTime<Utc>,
    ) -> Result<Vec<ClaimedDelivery>, StoreError> {
        let _time = timed("claim_deliveries");
        let db = self.writer();
        let sql = format!(
            "update webhook_deliveries set next_at = $3, claim = claim + 1 where id in ( \
               select id from webhook_deliveries where webhook_id = $1 and state = 'pending' and next_at <= $2 \
               order by next_at limit $4 {}) \
             returning id, claim, event_type, body, attempts, give_up_at, created_at",
            skip_locked(self.backend())
        );
        let values: [Value; 4] =
            [webhook.0.into(), now.into(), (now + lease).into(), i64::from(limit).into()];
        let rows = db.query_all_raw(statement(db, sql, values)).await?;
        rows.iter().map(claimed).collect()
    }

    /// When something is due next to a webhook that is on, which may be over.
    #[instrument(level = "debug", name = "db.deliveries.next", skip_all)]
    pub async fn next_delivery(&self) -> Result<Option<DateTime<Utc>>, StoreError> {
        let db = self.reader();
        let row = db.query_one_raw(statement(db, NEXT, [])).await?;
        Ok(row.map(|row| row.try_get("", "next")).transpose()?.flatten())
    }

    /// Writes how an attempt went. `false`: the lease was over and another has it; nothing was written.
    #[instrument(level = "debug", name = "db.deliveries.settle", skip_all, fields(delivery = %delivery.id))]
    pub async fn settle_delivery(
        &self,
        webhook: WebhookId,
        delivery: &ClaimedDelivery,
        attempt: &Attempt,
        settlement: Settlement,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let _time = timed("settle_delivery");
        let attempts: Vec<_> = delivery.attempts.iter().chain([attempt]).collect();
        let (state, finished) = match settlement {
            Settlement::Delivered => (DeliveryState::Delivered, Some(now)),
            Settlement::RetryAt(_) => (DeliveryState::Pending, None),
            Settlement::GivenUp | Settlement::Gone => (DeliveryState::GivenUp, Some(now)),
        };
        let tx = self.begin().await?;
        let mut change = Entity::update_many()
            .col_expr(Column::State, Expr::value(state.as_str()))
            .col_expr(Column::Attempts, Expr::value(to_json(&attempts)?))
            .col_expr(Column::FinishedAt, Expr::value(finished))
            .filter(Column::Id.eq(delivery.id.0))
            .filter(Column::Claim.eq(delivery.claim))
            .filter(Column::State.eq(DeliveryState::Pending.as_str()));
        if let Settlement::RetryAt(at) = settlement {
            change = change.col_expr(Column::NextAt, Expr::value(at));
        }
        if change.exec(&tx).await?.rows_affected == 0 {
            return Ok(false);
        }
        if settlement == Settlement::Gone {
            pause_gone(&tx, webhook, now).await?;
        }
        tx.commit().await?;
        if settlement == Settlement::Gone {
            self.reactions_have_changed();
        }
        Ok(true)
    }

    /// An event that is sent to one webhook only. `false`: it was sent there before.
    #[instrument(name = "db.deliveries.add", skip_all, fields(webhook = %new.webhook))]
    pub async fn add_delivery(
        &self,
        event: &HeardEvent,
        new: &NewDelivery,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let _time = timed("add_delivery");
        let row = Model::of(event, new, now).into_active_model().reset_all();
        let inserted = Entity::insert(row)
            .on_conflict(OnConflict::new().do_nothing().to_owned())
            .exec_without_returning(self.writer())
            .await?;
        self.wake_deliverer();
        Ok(inserted == 1)
    }

    /// Due at once, whatever became of it, and tried for as long as a new one. Whether there is one.
    #[instrument(name = "db.deliveries.again", skip_all, fields(delivery = %id))]
    pub async fn redeliver(
        &self,
        webhook: WebhookId,
        id: DeliveryId,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let _time = timed("redeliver");
        let changed = Entity::update_many()
            .col_expr(Column::State, Expr::value(DeliveryState::Pending.as_str()))
            .col_expr(Column::NextAt, Expr::value(now))
            .col_expr(Column::GiveUpAt, Expr::value(now + GIVE_UP_AFTER))
            .col_expr(Column::FinishedAt, Expr::value(None::<DateTime<Utc>>))
            // Whoever is at it at the moment has lost it.
            .col_expr(Column::Claim, Expr::cust("claim + 1"))
            .filter(Column::Id.eq(id.0))
            .filter(Column::WebhookId.eq(webhook.0))
            .exec(self.writer())
            .await?;
        self.wake_deliverer();
        Ok(changed.rows_affected > 0)
    }

    /// Newest first.
    #[instrument(name = "db.deliveries.list", skip_all, fields(webhook = %webhook))]
    pub async fn deliveries(
        &self,
        webhook: WebhookId,
        state: Option<DeliveryState>,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Delivery>, StoreError> {
        let _time = timed("deliveries");
        let limit = limit.clamp(1, MAX_LIMIT);
        let mut select =
            Entity::find().select_only().columns(Shown::COLUMNS).filter(Column::WebhookId.eq(webhook.0));
        if let Some(state) = state {
            select = select.filter(Column::State.eq(state.as_str()));
        }
        if let Some(cursor) = cursor {
            let before = Uuid::parse_str(cursor).map_err(|_| StoreError::InvalidCursor)?;
            select = select.filter(Column::Id.lt(before));
        }
        let select = select.order_by_desc(Column::Id).limit(u64::from(limit) + 1);
        let rows = select.into_model::<Shown>().all(self.reader()).await?;
        let more = rows.len() > limit as usize;
        let items =
            rows.into_iter().take(limit as usize).map(Delivery::try_from).collect::<Result<Vec<_>, _>>()?;
        let next = items.last().filter(|_| more).map(|last| last.id.to_string());
        Ok(Page { items, next })
    }

    #[instrument(level = "debug", name = "db.deliveries.stats", skip_all)]
    pub async fn delivery_stats(&self) -> Result<DeliveryStats, StoreError> {
        let _time = timed("delivery_stats");
        let db = self.reader();
        let row = db.query_one_raw(statement(db, STATS, [])).await?;
        let Some(row) = row else { return Ok(DeliveryStats::default()) };
        let pending: i64 = row.try_get("", "pending")?;
        Ok(DeliveryStats {
            pending: u64::try_from(pending).unwrap_or(0),
            oldest_pending: row.try_get("", "oldest")?,
        })
    }

    /// Forgets deliveries that ended before `before`, at most `limit`, and calls of webhooks from
    /// before `receipts_before`. How many deliveries.
    #[instrument(level = "debug", name = "db.deliveries.prune", skip_all)]
    pub async fn prune_deliveries(
        &self,
        before: DateTime<Utc>,
        receipts_before: DateTime<Utc>,
        limit: u32,
    ) -> Result<u64, StoreError> {
        let _time = timed("prune_deliveries");
        let db = self.writer();
        db.execute_raw(statement(db, ORPHANS, [])).await?;
        let receipts = "delete from webhook_receipts where received_at < $1";
        db.execute_raw(statement(db, receipts, [receipts_before.into()])).await?;
        let values: [Value; 2] = [before.into(), i64::from(limit).into()];
        Ok(db.execute_raw(statement(db, PRUNE, values)).await?.rows_affected())
    }
}

async fn pause_gone(db: &impl ConnectionTrait, id: WebhookId, now: DateTime<Utc>) -> Result<(), StoreError> {
    use webhooks::Column;
    webhooks::Entity::update_many()
        .col_expr(Column::State, Expr::value(WebhookState::Paused.as_str()))
        .col_expr(Column::PausedAt, Expr::value(now))
        .col_expr(Column::PausedBy, Expr::value(BY))
        .col_expr(Column::PauseReason, Expr::value("the receiver answered 410 Gone"))
        .col_expr(Column::Revision, Expr::cust("revision + 1"))
        .filter(Column::Id.eq(id.0))
        .filter(Column::State.eq(WebhookState::Enabled.as_str()))
        .exec(db)
        .await?;
    Ok(())
}

fn claimed(row: &QueryResult) -> Result<ClaimedDelivery, StoreError> {
    let id: Uuid = row.try_get("", "id")?;
    let attempts: String = row.try_get("", "attempts")?;
    let attempts = Cell { table: "webhook_deliveries", column: "attempts", row: &id }.json(&attempts)?;
    Ok(ClaimedDelivery {
        id: DeliveryId(id),
        claim: row.try_get("", "claim")?,
        event_type: row.try_get("", "event_type")?,
        body: row.try_get("", "body")?,
        attempts,
        give_up_at: row.try_get("", "give_up_at")?,
        created_at: row.try_get("", "created_at")?,
    })
}
