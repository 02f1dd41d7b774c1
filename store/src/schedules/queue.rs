//! Due times that wait in line run when those before them have ended.

use std::future::Future;

use chrono::{DateTime, Utc};
use domain::FireOutcome;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Value};
use tracing::instrument;
use uuid::Uuid;

use super::fire::missed_fire;
use crate::entity::{clean, schedule_fires, schedules};
use crate::sql::statement;
use crate::store::timed;
use crate::{PlannedFire, QueuedFire, Recorded, Schedule, Store, StoreError};

const FREE: &str = "select s.* from schedules s left join workflows w on w.id = s.last_workflow \
    where s.queued > 0 and s.state <> 'paused' \
      and (w.id is null or w.state in ('succeeded', 'failed', 'unwound', 'cancelled')) \
    order by s.id limit $1";

impl Store {
    /// Hands the oldest due time in line of up to `limit` schedules whose last workflow has ended to
    /// `plan`, and records what it makes of each, in their order: fired, or not.
    #[instrument(level = "debug", name = "db.schedules.release_queued", skip_all)]
    pub async fn release_queued<F, Fut, E>(
        &self,
        now: DateTime<Utc>,
        limit: u32,
        plan: F,
    ) -> Result<Recorded, E>
    where
        F: FnOnce(Vec<QueuedFire>) -> Fut,
        Fut: Future<Output = Result<Vec<PlannedFire>, E>>,
        E: From<StoreError>,
    {
        let _time = timed("release_queued");
        if !self.is_postgresql() {
            let waiting = self.waiting(self.reader(), limit).await?;
            if waiting.is_empty() {
                return Ok(Recorded::default());
            }
            let fires = plan(waiting.clone()).await?;
            let tx = self.begin().await?;
            return self.run_queued(tx, waiting, fires, now).await.map_err(E::from);
        }
        let tx = self.begin().await?;
        let waiting = self.waiting(&tx, limit).await?;
        if waiting.is_empty() {
            return Ok(Recorded::default());
        }
        let fires = plan(waiting.clone()).await?;
        self.run_queued(tx, waiting, fires, now).await.map_err(E::from)
    }

    async fn waiting(&self, db: &impl ConnectionTrait, limit: u32) -> Result<Vec<QueuedFire>, StoreError> {
        let lock = if self.is_postgresql() { "for update of s skip locked" } else { "" };
        let query = statement(db, format!("{FREE} {lock}"), [Value::from(i64::from(limit))]);
        let rows = schedules::Entity::find().from_raw_sql(query).all(db).await?;
        let mut waiting = Vec::with_capacity(rows.len());
        for row in rows {
            let oldest = schedule_fires::Entity::find()
                .filter(schedule_fires::Column::ScheduleId.eq(row.id))
                .filter(Expr::cust("outcome = 'queued'"))
                .order_by_asc(schedule_fires::Column::DueAt)
                .limit(1)
                .one(db)
                .await?;
            match (Schedule::try_from(&row), oldest) {
                (Ok(schedule), Some(fire)) => waiting.push(QueuedFire { schedule, due: fire.due_at }),
                (Err(error), _) => {
                    tracing::error!(schedule = row.name, %error, "a schedule cannot be read and does not fire");
                }
                (Ok(_), None) => {}
            }
        }
        Ok(waiting)
    }

    async fn run_queued(
        &self,
        tx: sea_orm::DatabaseTransaction,
        waiting: Vec<QueuedFire>,
        fires: Vec<PlannedFire>,
        now: DateTime<Utc>,
    ) -> Result<Recorded, StoreError> {
        let mut recorded = Recorded { schedules: waiting.len(), fires: Vec::new() };
        let (mut new, mut news) = (Vec::new(), Vec::new());
        for (queued, fire) in waiting.into_iter().zip(fires) {
            let workflow = fire.workflow.as_ref().map(|new| new.id.0);
            if !self.leave_line(&tx, &queued, workflow).await? {
                continue;
            }
            let row = schedule_fires::Entity::update_many()
                .col_expr(schedule_fires::Column::Outcome, Expr::value(fire.outcome.as_str()))
                .col_expr(
                    schedule_fires::Column::Reason,
                    Expr::value(fire.reason.map(|reason| reason.as_str())),
                )
                .col_expr(schedule_fires::Column::Detail, Expr::value(fire.detail.as_deref().map(clean)))
                .col_expr(schedule_fires::Column::WorkflowId, Expr::value(workflow))
                .col_expr(schedule_fires::Column::RecordedAt, Expr::value(now))
                .filter(schedule_fires::Column::ScheduleId.eq(queued.schedule.id.0))
                .filter(schedule_fires::Column::DueAt.eq(queued.due))
                .filter(schedule_fires::Column::Outcome.eq(FireOutcome::Queued.as_str()))
                .exec(&tx)
                .await?;
            if row.rows_affected == 1 {
                recorded.fires.push((fire.outcome, fire.reason));
                news.extend(missed_fire(&queued.schedule.spec.name, queued.due, &fire));
                new.extend(fire.workflow);
            }
        }
        if !new.is_empty() {
            self.insert(&tx, &new).await?;
        }
        let announced = self.announce_with(&tx, &news, now).await?;
        tx.commit().await?;
        self.wake_announcer(announced);
        if !new.is_empty() {
            self.wake_relay();
        }
        Ok(recorded)
    }

    /// Whether the schedule was still as it was read.
    async fn leave_line(
        &self,
        db: &impl ConnectionTrait,
        queued: &QueuedFire,
        workflow: Option<Uuid>,
    ) -> Result<bool, StoreError> {
        let sql = "update schedules set queued = queued - 1, last_workflow = coalesce($3, last_workflow), \
            revision = revision + 1 where id = $1 and revision = $2 and queued > 0";
        let values: [Value; 3] =
            [queued.schedule.id.0.into(), queued.schedule.revision.into(), workflow.into()];
        Ok(db.execute_raw(statement(db, sql, values)).await?.rows_affected() == 1)
    }
}
