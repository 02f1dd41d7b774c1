//! A farm's lock passes from its holder straight to whoever has waited longest, so nobody who
//! comes later can slip in between.

use chrono::{DateTime, Utc};
use domain::{Cause, WorkflowState};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ConnectionTrait, EntityTrait, IntoActiveModel, ModelTrait,
    QueryFilter, QueryOrder, QuerySelect,
};
use uuid::Uuid;

use crate::entity::locks;
use crate::sql::{one_of, statement, workflow_columns, workflow_rows};
use crate::{Store, StoreError};

impl Store {
    /// Gives up the locks that the workflows hold, if any. Whether a waiting one was woken.
    ///
    /// The locks' rows are locked first, and waiters are looked for in a later statement: a claim
    /// that did not get the lock holds its row until it is itself recorded as waiting, so it is
    /// seen here. In one statement it would wait for ever.
    pub(crate) async fn release_locks(
        &self,
        db: &impl ConnectionTrait,
        holders: &[Uuid],
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let held = locks::Entity::find()
            .filter(one_of(self.backend(), locks::Column::WorkflowId, holders))
            // One order for all who take several, so that they do not wait for each other.
            .order_by_asc(locks::Column::DirectoryKey)
            .order_by_asc(locks::Column::FarmKey)
            .lock_exclusive()
            .all(db)
            .await?;
        if held.is_empty() {
            return Ok(false);
        }
        if !self.anyone_waits(db, &held).await? {
            let holders: Vec<_> = held.iter().map(|lock| lock.workflow_id).collect();
            let these = one_of(self.backend(), locks::Column::WorkflowId, &holders);
            locks::Entity::delete_many().filter(these).exec(db).await?;
            return Ok(false);
        }
        let mut woken = false;
        for lock in held {
            woken |= self.hand_over(db, lock, now).await?;
        }
        Ok(woken)
    }

    async fn anyone_waits(
        &self,
        db: &impl ConnectionTrait,
        held: &[locks::Model],
    ) -> Result<bool, StoreError> {
        let holders: Vec<_> = held.iter().map(|lock| lock.workflow_id).collect();
        let sql = "select 1 as one from locks l join workflows w \
             on w.directory_key = l.directory_key and w.farm_key = l.farm_key \
             where w.state = 'waiting' and w.waiting_for = 'lock' and l.workflow_id";
        let found = if self.is_postgresql() {
            let sql = format!("{sql} = any($1) limit 1");
            db.query_one_raw(statement(db, sql, [holders.into()])).await?
        } else {
            let places: Vec<_> = (1..=holders.len()).map(|n| format!("${n}")).collect();
            let sql = format!("{sql} in ({}) limit 1", places.join(", "));
            db.query_one_raw(statement(db, sql, holders.into_iter().map(Into::into))).await?
        };
        Ok(found.is_some())
    }

    /// To the oldest waiter, else the lock is gone.
    async fn hand_over(
        &self,
        db: &impl ConnectionTrait,
        lock: locks::Model,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        // Not `skip locked`: the next in turn may be looked at by another for a moment only.
        let sql = format!(
            "with next as (select id from workflows where directory_key = $1 and farm_key = $2 \
               and state = 'waiting' and waiting_for = 'lock' order by created_at, id limit 1 {lock}) \
             update workflows set state = '{queued}', waiting_for = null, waiting_detail = null, due_at = null, \
               revision = revision + 1, emitted_at = $3, emissions = 1 \
             where id in (select id from next) returning {columns}",
            lock = if self.is_postgresql() { "for update" } else { "" },
            queued = WorkflowState::Queued,
            columns = workflow_columns(""),
        );
        let values = [lock.directory_key.clone().into(), lock.farm_key.clone().into(), now.into()];
        let next = workflow_rows(db, sql, values).await?;
        let Some(row) = next.first() else {
            lock.delete(db).await?;
            return Ok(false);
        };
        let mut lock = lock.into_active_model();
        lock.workflow_id = Set(row.id);
        lock.fencing_token = Set(row.fencing_token);
        lock.locked_at = Set(now);
        lock.update(db).await?;
        self.write_events(db, &next, Cause::LockReleased, now).await?;
        Ok(true)
    }
}
