//! Events that were written with a change of state and are yet to be published.

use std::future::Future;

use sea_orm::{
    ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, LockBehavior, LockType},
};
use tracing::instrument;
use uuid::Uuid;

use crate::entity::outbox::{Column, Entity, Model};
use crate::sql::{one_of, statement};
use crate::store::timed;
use crate::{OutboxDepth, OutboxRow, Store, StoreError};

impl Store {
    /// Hands up to `limit` rows, urgent ones first and then the oldest, to `publish` and deletes those whose ids come back.
    /// How many were confirmed.
    ///
    /// A row may be published twice (when its deletion fails), never be lost. On PostgreSQL the
    /// rows are locked meanwhile, so that several relays share the work; on SQLite there is one
    /// relay at a time and nothing is locked while it publishes.
    #[instrument(level = "debug", name = "db.outbox.relay", skip_all)]
    pub async fn relay<F, Fut>(&self, limit: u32, publish: F) -> Result<usize, StoreError>
    where
        F: FnOnce(Vec<OutboxRow>) -> Fut + Send,
        Fut: Future<Output = Vec<Uuid>> + Send,
    {
        // A containment does not wait behind ten thousand deploys. In the words of the index.
        let urgent_first = Expr::cust("lane <> 'urgent'");
        let select =
            Entity::find().order_by_asc(urgent_first).order_by_asc(Column::Id).limit(u64::from(limit));
        if self.is_postgresql() {
            let tx = self.begin().await?;
            let rows = select.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked).all(&tx).await?;
            if rows.is_empty() {
                return Ok(0);
            }
            let confirmed = publish(events(rows)?).await;
            self.delete(&tx, &confirmed).await?;
            tx.commit().await?;
            return Ok(confirmed.len());
        }
        let _alone = self.0.relaying.lock().await;
        let rows = select.all(self.reader()).await?;
        if rows.is_empty() {
            return Ok(0);
        }
        let confirmed = publish(events(rows)?).await;
        self.delete(self.writer(), &confirmed).await?;
        Ok(confirmed.len())
    }

    async fn delete(&self, db: &impl ConnectionTrait, ids: &[Uuid]) -> Result<(), StoreError> {
        let _time = timed("outbox_delete");
        for ids in ids.chunks(10_000) {
            let these = one_of(self.backend(), Column::Id, ids);
            Entity::delete_many().filter(these).exec(db).await?;
        }
        Ok(())
    }

    #[instrument(level = "debug", name = "db.outbox.depth", skip_all)]
    pub async fn outbox_depth(&self) -> Result<OutboxDepth, StoreError> {
        let _time = timed("outbox_depth");
        let db = self.reader();
        let sql = "select count(*) as depth, min(created_at) as oldest from outbox";
        let Some(row) = db.query_one_raw(statement(db, sql, [])).await? else {
            return Ok(OutboxDepth { rows: 0, oldest: None });
        };
        let rows: i64 = row.try_get("", "depth")?;
        Ok(OutboxDepth { rows: u64::try_from(rows).unwrap_or(0), oldest: row.try_get("", "oldest")? })
    }
}

fn events(rows: Vec<Model>) -> Result<Vec<OutboxRow>, StoreError> {
    rows.into_iter().map(OutboxRow::try_from).collect()
}
