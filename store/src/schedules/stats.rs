//! How the schedules stand, and what is old enough to be forgotten.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, QueryResult, Value};
use tracing::instrument;

use crate::entity::Cell;
use crate::sql::statement;
use crate::store::timed;
use crate::{ScheduleStats, Store, StoreError};

const STATS: &str = "select \
      coalesce(sum(case when state = 'enabled' then 1 else 0 end), 0) as enabled, \
      coalesce(sum(case when state = 'paused' then 1 else 0 end), 0) as paused, \
      coalesce(sum(case when state = 'ended' then 1 else 0 end), 0) as ended, \
      coalesce(sum(case when state <> 'ended' and (next_due is null or fire_at is null) then 1 else 0 end), 0) \
        as without_next \
    from schedules";

/// A fire whose workflow goes on is kept: it says who answers for it.
const PRUNE: &str = "delete from schedule_fires where (schedule_id, due_at) in ( \
      select f.schedule_id, f.due_at from schedule_fires f \
      where f.recorded_at < $1 and f.outcome <> 'queued' and not exists ( \
        select 1 from workflows w where w.id = f.workflow_id \
          and w.state in ('queued', 'running', 'waiting', 'paused')) \
      order by f.recorded_at limit $2)";

impl Store {
    #[instrument(level = "debug", name = "db.schedules.stats", skip_all)]
    pub async fn schedule_stats(&self, now: DateTime<Utc>) -> Result<ScheduleStats, StoreError> {
        let _time = timed("schedule_stats");
        let db = self.reader();
        let row = db.query_one_raw(statement(db, STATS, [])).await?;
        let row = row.ok_or_else(|| StoreError::Statement("no row".into()))?;
        let count = |column| count(&row, column);
        Ok(ScheduleStats {
            enabled: count("enabled")?,
            paused: count("paused")?,
            ended: count("ended")?,
            without_next: count("without_next")?,
            overdue_since: self.next_fire().await?.filter(|at| *at <= now),
        })
    }

    /// When the next schedule is to be fired, which may be over.
    #[instrument(level = "debug", name = "db.schedules.next_fire", skip_all)]
    pub async fn next_fire(&self) -> Result<Option<DateTime<Utc>>, StoreError> {
        let db = self.reader();
        let sql = "select fire_at from schedules where state <> 'ended' and fire_at is not null \
            order by fire_at limit 1";
        let row = db.query_one_raw(statement(db, sql, [])).await?;
        Ok(row.map(|row| row.try_get("", "fire_at")).transpose()?)
    }

    /// Forgets what was recorded of due times before `before`, at most `limit` of them. How many.
    #[instrument(level = "debug", name = "db.schedules.prune", skip_all)]
    pub async fn prune_fires(&self, before: DateTime<Utc>, limit: u32) -> Result<u64, StoreError> {
        let _time = timed("prune_fires");
        let db = self.writer();
        let values: [Value; 2] = [before.into(), i64::from(limit).into()];
        Ok(db.execute_raw(statement(db, PRUNE, values)).await?.rows_affected())
    }
}

fn count(row: &QueryResult, column: &'static str) -> Result<u64, StoreError> {
    Cell { table: "schedules", column, row: &"stats" }.number(row.try_get::<i64>("", column)?)
}
