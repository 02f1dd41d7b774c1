//! The one place where calendars hold work back: before a claim.
//!
//! A claim is the only way from `queued` to `running`, whoever asked for the work and whenever, so
//! nothing gets past it; and a moment that has passed since (a window that closed while the work
//! waited for its farm's lock) is judged as it is now. Held back is what has written nothing yet:
//! half a change is worse than one at a bad time. Work that a second person approves is let
//! through to ask for that, and held back after it. What is urgent, what belongs to something
//! urgent, dry runs and whatever is being taken back are never held.

use chrono::{DateTime, Utc};
use domain::calendar::{Hold, PlannedWork, held};
use domain::{WorkflowId, WorkflowKind};
use sea_orm::{ConnectionTrait, Value};
use tracing::instrument;
use uuid::Uuid;

use crate::entity::{clean, workflows};
use crate::sql::{statement, workflow_columns, workflow_rows};
use crate::{Store, StoreError};

/// They begin by asking a second person, and show a plan once they have.
const APPROVED: [WorkflowKind; 2] = [WorkflowKind::DECOMMISSION, WorkflowKind::REPLACE];

const HOLDABLE: &str = "state = 'queued' and lane = 'lifecycle' and mode = 'apply' \
    and control is null and unwinding is null \
    and not exists (select 1 from steps s where s.workflow_id = w.id and s.wrote) \
    and not exists (select 1 from workflows p where p.id = w.parent and p.lane = 'urgent')";

const HOLD: &str = "update workflows set state = 'waiting', waiting_for = 'calendar', waiting_detail = $2, \
    due_at = $3, revision = revision + 1 where id = $1 and state = 'queued'";

impl Store {
    /// Those of `ids` that a calendar holds back wait from now on; the rest is left alone.
    #[instrument(level = "debug", name = "db.workflows.hold_back", skip_all)]
    pub(crate) async fn hold_back(&self, ids: &[WorkflowId], now: DateTime<Utc>) -> Result<(), StoreError> {
        let calendars = self.known_calendars(now).await?;
        if calendars.is_empty() {
            return Ok(());
        }
        let mut held_back = Vec::new();
        for row in self.holdable(ids).await? {
            let work = PlannedWork {
                kind: row.kind()?,
                directory: domain::DirectoryName::parse(&row.directory).unwrap_or_default(),
                farm: row.farm.as_deref().and_then(|farm| domain::FarmName::parse(farm).ok()),
            };
            let asks_first = APPROVED.contains(&work.kind) && row.plan.is_none();
            if let Some(hold) = held(&calendars, &work, now).filter(|_| !asks_first) {
                held_back.push((row, hold));
            }
        }
        if held_back.is_empty() { Ok(()) } else { self.hold(held_back, now).await }
    }

    async fn holdable(&self, ids: &[WorkflowId]) -> Result<Vec<workflows::Model>, StoreError> {
        let columns = workflow_columns("w.");
        let mut rows = Vec::new();
        if self.is_postgresql() {
            let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
            let sql = format!("select {columns} from workflows w where id = any($1) and {HOLDABLE}");
            return workflow_rows(self.writer(), sql, [ids.into()]).await;
        }
        let sql = format!("select {columns} from workflows w where id = $1 and {HOLDABLE}");
        for id in ids {
            rows.extend(workflow_rows(self.writer(), sql.as_str(), [id.0.into()]).await?);
        }
        Ok(rows)
    }

    async fn hold(&self, held: Vec<(workflows::Model, Hold)>, now: DateTime<Utc>) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        let mut never_begun = Vec::new();
        for (row, hold) in held {
            let values: [Value; 3] = [row.id.into(), clean(&hold.detail).into(), hold.until.into()];
            if tx.execute_raw(statement(&tx, HOLD, values)).await?.rows_affected() == 0 {
                continue;
            }
            tracing::info!(workflow = %row.id, kind = row.kind, why = hold.detail, "held back by a calendar");
            metrics::counter!("farmhand_workflows_held_total", "kind" => row.kind.clone()).increment(1);
            if row.started_at.is_none() {
                never_begun.push(row.id);
            }
        }
        // Others need not wait for one that has done nothing and will not for a while.
        let woken = self.release_locks(&tx, &never_begun, now).await?;
        tx.commit().await?;
        if woken {
            self.wake_relay();
        }
        Ok(())
    }
}
