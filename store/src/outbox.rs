//! Events and announcements that were written with a change of state and are yet to be published.

use std::future::Future;

use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select,
    sea_query::{Expr, LockBehavior, LockType},
};
use tracing::instrument;
use uuid::Uuid;

use crate::entity::outbox::{Column, Entity, Model};
use crate::sql::{one_of, statement};
use crate::store::timed;
use crate::{AnnouncementRow, OutboxDepth, OutboxRow, Store, StoreError};

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
        let select = Entity::find().filter(Column::Topic.is_null()).order_by_asc(urgent_first);
        self.hand_out(select, limit, &self.0.relaying, publish).await
    }

    /// The same for announcements, the oldest first. Apart from events: one that the broker does not
    /// take, or ten thousand at once, hold up no workflow.
    #[instrument(level = "debug", name = "db.outbox.relay_announcements", skip_all)]
    pub async fn relay_announcements<F, Fut>(&self, limit: u32, publish: F) -> Result<usize, StoreError>
    where
        F: FnOnce(Vec<AnnouncementRow>) -> Fut + Send,
        Fut: Future<Output = Vec<Uuid>> + Send,
    {
        let select = Entity::find().filter(Column::Topic.is_not_null());
        self.hand_out(select, limit, &self.0.announcing, publish).await
    }

    async fn hand_out<T, F, Fut>(
        &self,
        select: Select<Entity>,
        limit: u32,
        alone: &tokio::sync::Mutex<()>,
        publish: F,
    ) -> Result<usize, StoreError>
    where
        T: TryFrom<Model, Error = StoreError>,
        F: FnOnce(Vec<T>) -> Fut + Send,
        Fut: Future<Output = Vec<Uuid>> + Send,
    {
        let select = select.order_by_asc(Column::Id).limit(u64::from(limit));
        if self.is_postgresql() {
            let tx = self.begin().await?;
            let rows = select.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked).all(&tx).await?;
            if rows.is_empty() {
                return Ok(0);
            }
            let confirmed = publish(read(rows)?).await;
            self.delete(&tx, &confirmed).await?;
            tx.commit().await?;
            return Ok(confirmed.len());
        }
        let _alone = alone.lock().await;
        let rows = select.all(self.reader()).await?;
        if rows.is_empty() {
            return Ok(0);
        }
        let confirmed = publish(read(rows)?).await;
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
        let sql = "select count(*) as depth, min(created_at) as oldest from outbox where topic is null";
        self.depth(sql).await
    }

    /// As [`Self::outbox_depth`], of announcements.
    #[instrument(level = "debug", name = "db.outbox.announcements_depth", skip_all)]
    pub async fn announcements_depth(&self) -> Result<OutboxDepth, StoreError> {
        let _time = timed("announcements_depth");
        let sql = "select count(*) as depth, min(created_at) as oldest from outbox where topic is not null";
        self.depth(sql).await
    }

    async fn depth(&self, sql: &str) -> Result<OutboxDepth, StoreError> {
        let db = self.reader();
        let Some(row) = db.query_one_raw(statement(db, sql, [])).await? else {
            return Ok(OutboxDepth { rows: 0, oldest: None });
        };
        let rows: i64 = row.try_get("", "depth")?;
        Ok(OutboxDepth { rows: u64::try_from(rows).unwrap_or(0), oldest: row.try_get("", "oldest")? })
    }
}

fn read<T: TryFrom<Model, Error = StoreError>>(rows: Vec<Model>) -> Result<Vec<T>, StoreError> {
    rows.into_iter().map(T::try_from).collect()
}
