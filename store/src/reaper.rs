//! What brings a stuck workflow back to the queue. Every function may run in several processes at
//! once: each takes rows that the others leave.

use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::{Cause, WorkflowId, WorkflowState};
use sea_orm::{ConnectionTrait, Value};
use tracing::instrument;

use crate::entity::workflows;
use crate::sql::{skip_locked, statement, workflow_columns, workflow_rows};
use crate::store::timed;
use crate::{Store, StoreError};

/// A queued workflow's event is repeated at growing distances, but never rarer than this.
const LONGEST_SILENCE: Duration = Duration::from_secs(600);

const REQUEUE: &str = "state = 'queued', waiting_for = null, waiting_detail = null, due_at = null, \
    lease_owner = null, lease_until = null, revision = revision + 1, emitted_at = $1, emissions = 1";

/// What a containment had asked to stop has now stopped: whoever claimed it next would only pause it.
const EXPIRE: &str = "state = case when preempted_by is not null and control in ('preempt', 'pause') \
      then 'paused' else 'queued' end, \
    control = case when control = 'preempt' then null else control end, \
    waiting_for = null, waiting_detail = null, due_at = null, \
    lease_owner = null, lease_until = null, revision = revision + 1, emitted_at = $1, emissions = 1";

impl Store {
    /// Running workflows whose worker gave no sign of life. The fencing token stays: the next
    /// claim raises it, and until then the old worker's writes match no running row. One that a
    /// containment had asked to stop has stopped: it is paused.
    #[instrument(level = "debug", name = "db.workflows.release_expired", skip_all)]
    pub async fn release_expired_leases(
        &self,
        now: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<WorkflowId>, StoreError> {
        let _time = timed("release_expired_leases");
        let expired = "state <> 'succeeded' and state = 'running' and lease_until < $1 order by id";
        self.sweep(expired, EXPIRE, Cause::LeaseExpired, vec![now.into()], limit, now).await
    }

    /// Waiting workflows whose time has come.
    #[instrument(level = "debug", name = "db.workflows.wake_due", skip_all)]
    pub async fn wake_due(&self, now: DateTime<Utc>, limit: u32) -> Result<Vec<WorkflowId>, StoreError> {
        let _time = timed("wake_due");
        let due = "state = 'waiting' and due_at <= $1 order by due_at, id";
        self.sweep(due, REQUEUE, Cause::Due, vec![now.into()], limit, now).await
    }

    /// Queued workflows that no worker has claimed: the broker may have lost their event. The
    /// first repetition comes `first_after` the event, then the distance doubles up to ten
    /// minutes. What still lies in the outbox needs no repetition.
    #[instrument(level = "debug", name = "db.workflows.repeat", skip_all)]
    pub async fn repeat_unanswered(
        &self,
        now: DateTime<Utc>,
        first_after: Duration,
        limit: u32,
    ) -> Result<Vec<WorkflowId>, StoreError> {
        let _time = timed("repeat_unanswered");
        let mut values: Vec<Value> = vec![now.into()];
        let mut cases = String::new();
        let distances = distances(first_after);
        for (emissions, distance) in (1..).zip(&distances) {
            values.push((now - *distance).into());
            let place = values.len();
            if emissions < distances.len() {
                cases.push_str(&format!(" when {emissions} then ${place}"));
            } else {
                cases.push_str(&format!(" else ${place}"));
            }
        }
        // The shortest distance once more, alone, since an index helps only with that.
        let silent = format!(
            "state = 'queued' and emitted_at <= $2 and emitted_at <= case emissions{cases} end \
             and not exists (select 1 from outbox where outbox.workflow_id = workflows.id) \
             order by emitted_at, id"
        );
        let again = "emitted_at = $1, emissions = emissions + 1";
        self.sweep(&silent, again, Cause::Repeated, values, limit, now).await
    }

    /// When the next waiting workflow is due; `now` for what is overdue.
    #[instrument(level = "debug", name = "db.workflows.next_due", skip_all)]
    pub async fn next_due(&self, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, StoreError> {
        let _time = timed("next_due");
        let db = self.reader();
        let sql = "select due_at from workflows where state = 'waiting' and due_at is not null \
            order by due_at limit 1";
        let Some(row) = db.query_one_raw(statement(db, sql, [])).await? else { return Ok(None) };
        let due: DateTime<Utc> = row.try_get("", "due_at")?;
        Ok(Some(due.max(now)))
    }

    /// Finds, changes and writes the events, in one transaction. `$1` is `now`.
    async fn sweep(
        &self,
        find: &str,
        change: &str,
        cause: Cause,
        mut values: Vec<Value>,
        limit: u32,
        now: DateTime<Utc>,
    ) -> Result<Vec<WorkflowId>, StoreError> {
        values.push(i64::from(limit).into());
        let sql = format!(
            "with found as (select id from workflows where {find} limit ${place} {skip}) \
             update workflows set {change} where id in (select id from found) returning {columns}",
            place = values.len(),
            skip = skip_locked(self.backend()),
            columns = workflow_columns(""),
        );
        let tx = self.begin().await?;
        let rows = workflow_rows(&tx, sql, values).await?;
        let queued: Vec<_> =
            rows.iter().filter(|row| row.state == WorkflowState::Queued.as_str()).cloned().collect();
        self.write_events(&tx, &queued, cause, now).await?;
        tx.commit().await?;
        if !queued.is_empty() {
            self.wake_relay();
        }
        Ok(rows.iter().map(workflows::Model::id).collect())
    }
}

/// `first`, twice that, ... up to the longest silence.
fn distances(first: Duration) -> Vec<Duration> {
    let first = first.clamp(Duration::from_millis(1), LONGEST_SILENCE);
    let mut distances = vec![first];
    let mut next = first;
    while next < LONGEST_SILENCE {
        next = (next * 2).min(LONGEST_SILENCE);
        distances.push(next);
    }
    distances
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_double_up_to_ten_minutes() {
        let seconds =
            |first| distances(Duration::from_secs(first)).iter().map(Duration::as_secs).collect::<Vec<_>>();
        assert_eq!(seconds(60), [60, 120, 240, 480, 600]);
        assert_eq!(seconds(600), [600]);
        assert_eq!(seconds(9999), [600]);
    }
}
