//! What a commit means for others: a lock handed on, a fence lowered, a farm on record, an event, a
//! person's wish.

use chrono::{DateTime, Utc};
use domain::{Cause, WorkflowState};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect};
use uuid::Uuid;

use crate::entity::workflows::{Column, Entity, Model};
use crate::farms::record;
use crate::sql::one_of;
use crate::{Control, JournalEntry, Store, StoreError, WorkflowChange};

use super::Held;

/// Whether the workflow comes to rest where a person's wish would otherwise be forgotten.
pub(super) fn rests(change: &WorkflowChange) -> bool {
    matches!(change, WorkflowChange::Wait(_) | WorkflowChange::AwaitApproval { .. } | WorkflowChange::Pause)
}

impl Store {
    /// Within the transaction that wrote the entries; those that lost their lease are passed over.
    /// Whether an event was written.
    pub(super) async fn settle(
        &self,
        db: &impl ConnectionTrait,
        entries: &[JournalEntry],
        held: &Held,
    ) -> Result<bool, StoreError> {
        let Some(now) = entries.first().map(|entry| entry.now) else { return Ok(false) };
        let (mut finished, mut handed_over, mut cancelled, mut paused) = (vec![], vec![], vec![], vec![]);
        let (mut unasked, mut replanned) = (vec![], vec![]);
        for entry in entries {
            let id = entry.workflow_id.0;
            let Some(control) = held.get(&id) else { continue };
            match (&entry.change, control) {
                (WorkflowChange::Finish(finish), _) => {
                    if let Some(farm) = &finish.farm {
                        record(db, farm, id, entry.now).await?;
                    }
                    finished.push(id);
                }
                // Handed over or not, it has stopped, and nobody goes on before the fence is lowered.
                (WorkflowChange::Release, Some(Control::Preempt)) => paused.push(id),
                (WorkflowChange::Release, _) => handed_over.push(id),
                (WorkflowChange::Replanned, _) => replanned.push(id),
                (WorkflowChange::Pause, None) => unasked.push(id),
                (change, Some(control)) if rests(change) => match control {
                    Control::Cancel => cancelled.push(id),
                    Control::Pause | Control::Preempt => paused.push(id),
                    Control::Replan => {}
                },
                _ => {}
            }
        }
        let mut events = false;
        if !finished.is_empty() {
            events |= self.release_locks(db, &finished, now).await?;
            events |= self.lower_fences(db, &finished, now).await?;
        }
        self.pause_instead(db, &paused).await?;
        self.forget_replan(db, &replanned).await?;
        let let_go = self.let_go(db, &unasked).await?;
        let queued = [
            (&handed_over, Cause::HandedOver),
            (&cancelled, Cause::Operator),
            (&let_go, Cause::FenceLowered),
        ];
        for (ids, cause) in queued {
            events |= self.queue_with_event(db, ids, cause, now).await?;
        }
        Ok(events)
    }

    /// Asked to pause while it was about to wait, or just obeying: paused, and the wish is done. The
    /// wish of a person stays on what a containment has stopped, too (see `fence.rs`).
    async fn pause_instead(&self, db: &impl ConnectionTrait, ids: &[Uuid]) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        Entity::update_many()
            .col_expr(Column::State, Expr::value(WorkflowState::Paused.as_str()))
            .col_expr(
                Column::Control,
                Expr::cust("case when preempted_by is not null and control = 'pause' then control end"),
            )
            .col_expr(Column::WaitingFor, Expr::value(None::<String>))
            .col_expr(Column::WaitingDetail, Expr::value(None::<String>))
            .col_expr(Column::DueAt, Expr::value(None::<DateTime<Utc>>))
            .filter(one_of(self.backend(), Column::Id, ids))
            .exec(db)
            .await?;
        Ok(())
    }

    /// Those that stop for a fence which was lowered while they came to it.
    async fn let_go(&self, db: &impl ConnectionTrait, ids: &[Uuid]) -> Result<Vec<Uuid>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let these = one_of(self.backend(), Column::Id, ids);
        let found =
            Entity::find().select_only().column(Column::Id).filter(these).filter(Column::Replan.eq(true));
        Ok(found.into_tuple().all(db).await?)
    }

    /// It has gone back to what it had only read: the wish is done.
    async fn forget_replan(&self, db: &impl ConnectionTrait, ids: &[Uuid]) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        Entity::update_many()
            .col_expr(Column::Replan, Expr::value(false))
            .filter(one_of(self.backend(), Column::Id, ids))
            .exec(db)
            .await?;
        Ok(())
    }

    /// In the queue from now on. One that was cancelled, or whose fence was lowered, while it was about
    /// to rest must not sleep first: the wish stays on it, and the next worker obeys.
    async fn queue_with_event(
        &self,
        db: &impl ConnectionTrait,
        ids: &[Uuid],
        cause: Cause,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        if ids.is_empty() {
            return Ok(false);
        }
        if cause != Cause::HandedOver {
            Entity::update_many()
                .col_expr(Column::State, Expr::value(WorkflowState::Queued.as_str()))
                .col_expr(Column::WaitingFor, Expr::value(None::<String>))
                .col_expr(Column::WaitingDetail, Expr::value(None::<String>))
                .col_expr(Column::DueAt, Expr::value(None::<DateTime<Utc>>))
                .col_expr(Column::EmittedAt, Expr::value(now))
                .col_expr(Column::Emissions, Expr::value(1))
                .filter(one_of(self.backend(), Column::Id, ids))
                .exec(db)
                .await?;
        }
        let rows: Vec<Model> = Entity::find().filter(one_of(self.backend(), Column::Id, ids)).all(db).await?;
        self.write_events(db, &rows, cause, now).await?;
        Ok(true)
    }
}
