//! Due times become what is recorded of them, and workflows: each once, however many look.
//!
//! One transaction holds the row of each due time, the workflow with its event, and the schedule's
//! next due time. Nobody leads: on PostgreSQL each orchestrator locks the schedules that it plans
//! and passes over those of the others; on SQLite, and behind all of it, the revision of the
//! schedule and the key (schedule, due time) let one of two through.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::{Announcement, FireOutcome, ScheduleName, WorkflowState};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect,
    Value,
};
use tracing::instrument;
use uuid::Uuid;

use crate::entity::{schedule_fires, schedules, workflows};
use crate::sql::{one_of, skip_locked, statement};
use crate::store::timed;
use crate::submit::ROWS_PER_INSERT;
use crate::{DueSchedule, PlannedFire, PlannedRound, Recorded, Schedule, Store, StoreError};

/// Until a schedule that this program cannot read is looked at again: another version may have
/// written it.
const UNREADABLE_FOR: Duration = Duration::from_secs(60);

const DUE: &str =
    "select * from schedules where state <> 'ended' and fire_at <= $1 order by fire_at, id limit $2";

/// What is `null` comes as the epoch, the nil UUID or the empty text (see `journal/columns.rs`).
const MOVE_ON_POSTGRESQL: &str = "update schedules s set \
      next_due = nullif(r.next_due, to_timestamp(0)), fire_at = nullif(r.fire_at, to_timestamp(0)), \
      state = case when r.next_due = to_timestamp(0) then 'ended' else s.state end, \
      ended_because = nullif(r.ended, ''), \
      last_due = coalesce(nullif(r.last_due, to_timestamp(0)), s.last_due), \
      last_workflow = coalesce(nullif(r.workflow, '00000000-0000-0000-0000-000000000000'::uuid), s.last_workflow), \
      queued = s.queued + r.queued, revision = s.revision + 1 \
    from unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::timestamptz[], $5::text[], $6::timestamptz[], \
      $7::uuid[], $8::bigint[]) as r(id, revision, next_due, fire_at, ended, last_due, workflow, queued) \
    where s.id = r.id and s.revision = r.revision returning s.id";

const MOVE_ON_SQLITE: &str = "update schedules set next_due = $3, fire_at = $4, \
      state = case when $3 is null then 'ended' else state end, ended_because = $5, \
      last_due = coalesce($6, last_due), last_workflow = coalesce($7, last_workflow), \
      queued = queued + $8, revision = revision + 1 \
    where id = $1 and revision = $2 returning id";

impl Store {
    /// Hands up to `limit` schedules whose time has come, the longest waiting first, to `plan`, and
    /// records what it makes of them. `plan` may read through this store, and nothing is recorded
    /// when it fails.
    #[instrument(level = "debug", name = "db.schedules.fire_due", skip_all)]
    pub async fn fire_due<F, Fut, E>(&self, now: DateTime<Utc>, limit: u32, plan: F) -> Result<Recorded, E>
    where
        F: FnOnce(Vec<DueSchedule>) -> Fut,
        Fut: Future<Output = Result<Vec<PlannedRound>, E>>,
        E: From<StoreError>,
    {
        let _time = timed("fire_due");
        if self.is_postgresql() {
            let tx = self.begin().await?;
            let rows = self.due(&tx, now, limit).await?;
            return self.fire(tx, rows, plan, now).await;
        }
        // The one writer is not kept waiting while it is planned.
        let rows = self.due(self.reader(), now, limit).await?;
        if rows.is_empty() {
            return Ok(Recorded::default());
        }
        let (due, unreadable) = self.readable(self.reader(), &rows).await?;
        let rounds = plan(due).await?;
        let tx = self.begin().await?;
        self.record(tx, rows.len(), rounds, &unreadable, now).await.map_err(E::from)
    }

    async fn fire<F, Fut, E>(
        &self,
        tx: sea_orm::DatabaseTransaction,
        rows: Vec<schedules::Model>,
        plan: F,
        now: DateTime<Utc>,
    ) -> Result<Recorded, E>
    where
        F: FnOnce(Vec<DueSchedule>) -> Fut,
        Fut: Future<Output = Result<Vec<PlannedRound>, E>>,
        E: From<StoreError>,
    {
        if rows.is_empty() {
            return Ok(Recorded::default());
        }
        let (due, unreadable) = self.readable(&tx, &rows).await?;
        let rounds = plan(due).await?;
        self.record(tx, rows.len(), rounds, &unreadable, now).await.map_err(E::from)
    }

    async fn due(
        &self,
        db: &impl ConnectionTrait,
        now: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<schedules::Model>, StoreError> {
        let sql = format!("{DUE} {}", skip_locked(self.backend()));
        let values: [Value; 2] = [now.into(), i64::from(limit).into()];
        Ok(schedules::Entity::find().from_raw_sql(statement(db, sql, values)).all(db).await?)
    }

    /// With whether their last workflow goes on; one row that cannot be read must not stop the rest.
    async fn readable(
        &self,
        db: &impl ConnectionTrait,
        rows: &[schedules::Model],
    ) -> Result<(Vec<DueSchedule>, Vec<Uuid>), StoreError> {
        let last: Vec<Uuid> = rows.iter().filter_map(|row| row.last_workflow).collect();
        let running: HashSet<Uuid> = if last.is_empty() {
            HashSet::new()
        } else {
            let finished =
                WorkflowState::ALL.iter().filter(|state| state.is_finished()).map(|state| state.as_str());
            workflows::Entity::find()
                .select_only()
                .column(workflows::Column::Id)
                .filter(one_of(self.backend(), workflows::Column::Id, &last))
                .filter(workflows::Column::State.is_not_in(finished))
                .into_tuple::<Uuid>()
                .all(db)
                .await?
                .into_iter()
                .collect()
        };
        let (mut due, mut unreadable) = (Vec::new(), Vec::new());
        for row in rows {
            match Schedule::try_from(row) {
                Ok(schedule) => {
                    let running = row.last_workflow.is_some_and(|id| running.contains(&id));
                    due.push(DueSchedule { schedule, running });
                }
                Err(error) => {
                    tracing::error!(schedule = row.name, %error, "a schedule cannot be read and does not fire");
                    metrics::counter!("farmhand_schedules_unreadable_total").increment(1);
                    unreadable.push(row.id);
                }
            }
        }
        Ok((due, unreadable))
    }

    async fn record(
        &self,
        tx: sea_orm::DatabaseTransaction,
        schedules: usize,
        mut rounds: Vec<PlannedRound>,
        unreadable: &[Uuid],
        now: DateTime<Utc>,
    ) -> Result<Recorded, StoreError> {
        self.leave_out_recorded(&tx, &mut rounds).await?;
        let moved = self.move_on(&tx, &rounds).await?;
        rounds.retain(|round| moved.contains(&round.schedule.0));
        let rows: Vec<_> = rounds
            .iter()
            .flat_map(|round| {
                let row = |fire| schedule_fires::Model::of(round.schedule.0, &round.owner, fire, now);
                round.fires.iter().map(row)
            })
            .collect();
        let announced = self.announce_missed(&tx, &rounds, now).await?;
        for rows in rows.chunks(ROWS_PER_INSERT) {
            let rows = rows.iter().map(|row| row.clone().into_active_model().reset_all());
            schedule_fires::Entity::insert_many(rows).exec_without_returning(&tx).await?;
        }
        let fires: Vec<PlannedFire> = rounds.into_iter().flat_map(|round| round.fires).collect();
        let recorded = fires.iter().map(|fire| (fire.outcome, fire.reason)).collect();
        let new: Vec<_> = fires.into_iter().filter_map(|fire| fire.workflow).collect();
        for new in new.chunks(ROWS_PER_INSERT) {
            self.insert(&tx, new).await?;
        }
        if !unreadable.is_empty() {
            schedules::Entity::update_many()
                .col_expr(schedules::Column::FireAt, Value::from(now + UNREADABLE_FOR).into())
                .filter(one_of(self.backend(), schedules::Column::Id, unreadable))
                .exec(&tx)
                .await?;
        }
        tx.commit().await?;
        if !new.is_empty() {
            self.wake_relay();
        }
        self.wake_announcer(announced);
        Ok(Recorded { schedules, fires: recorded })
    }

    /// Due times that should have become a workflow and did not.
    async fn announce_missed(
        &self,
        db: &impl ConnectionTrait,
        rounds: &[PlannedRound],
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let missed = |round: &&PlannedRound| round.fires.iter().any(is_missed);
        let ids: Vec<Uuid> = rounds.iter().filter(missed).map(|round| round.schedule.0).collect();
        if ids.is_empty() {
            return Ok(false);
        }
        let names: HashMap<Uuid, String> = schedules::Entity::find()
            .select_only()
            .columns([schedules::Column::Id, schedules::Column::Name])
            .filter(one_of(self.backend(), schedules::Column::Id, &ids))
            .into_tuple::<(Uuid, String)>()
            .all(db)
            .await?
            .into_iter()
            .collect();
        let mut news = Vec::new();
        for round in rounds {
            // Of a name that cannot be read there is no schedule to fire either.
            let name = names.get(&round.schedule.0).and_then(|name| ScheduleName::parse(name).ok());
            let Some(name) = name else { continue };
            news.extend(round.fires.iter().filter_map(|fire| missed_fire(&name, fire.due, fire)));
        }
        self.announce_with(db, &news, now).await
    }

    /// A due time that is on record already (a schedule that was changed after the clock was set
    /// back comes to it again) is not recorded twice, and never runs twice.
    async fn leave_out_recorded(
        &self,
        db: &impl ConnectionTrait,
        rounds: &mut [PlannedRound],
    ) -> Result<(), StoreError> {
        let ids: Vec<Uuid> = rounds.iter().map(|round| round.schedule.0).collect();
        let first = rounds.iter().flat_map(|round| round.fires.iter().map(|fire| fire.due)).min();
        let Some(first) = first else { return Ok(()) };
        let known: HashSet<(Uuid, DateTime<Utc>)> = schedule_fires::Entity::find()
            .select_only()
            .columns([schedule_fires::Column::ScheduleId, schedule_fires::Column::DueAt])
            .filter(one_of(self.backend(), schedule_fires::Column::ScheduleId, &ids))
            .filter(schedule_fires::Column::DueAt.gte(first))
            .into_tuple()
            .all(db)
            .await?
            .into_iter()
            .collect();
        for round in rounds {
            round.fires.retain(|fire| !known.contains(&(round.schedule.0, fire.due)));
        }
        Ok(())
    }

    /// To their next due times. Those that had not changed since they were read.
    async fn move_on(
        &self,
        db: &impl ConnectionTrait,
        rounds: &[PlannedRound],
    ) -> Result<HashSet<Uuid>, StoreError> {
        let mut moved = HashSet::with_capacity(rounds.len());
        let mut run = async |sql: &str, values: Vec<Value>| -> Result<(), StoreError> {
            for row in db.query_all_raw(statement(db, sql, values)).await? {
                moved.insert(row.try_get::<Uuid>("", "id")?);
            }
            Ok(())
        };
        if self.is_postgresql() {
            run(MOVE_ON_POSTGRESQL, columns(rounds)).await?;
        } else {
            for round in rounds {
                run(MOVE_ON_SQLITE, Step::of(round).into_values()).await?;
            }
        }
        Ok(moved)
    }
}

fn is_missed(fire: &PlannedFire) -> bool {
    fire.outcome == FireOutcome::Missed
}

/// `None` where it was not missed.
pub(super) fn missed_fire(
    schedule: &ScheduleName,
    due: DateTime<Utc>,
    fire: &PlannedFire,
) -> Option<Announcement> {
    let reason = fire.reason.map(|reason| reason.as_str());
    is_missed(fire).then(|| Announcement::fire_missed(schedule, due, reason, fire.detail.as_deref()))
}

/// What changes in a schedule's row.
struct Step {
    id: Uuid,
    revision: i64,
    next: Option<(DateTime<Utc>, DateTime<Utc>)>,
    ended: Option<String>,
    last_due: Option<DateTime<Utc>>,
    workflow: Option<Uuid>,
    queued: i64,
}

impl Step {
    fn of(round: &PlannedRound) -> Self {
        let fires = &round.fires;
        let queued = fires.iter().filter(|fire| fire.outcome == FireOutcome::Queued).count();
        Self {
            id: round.schedule.0,
            revision: round.revision,
            next: round.next,
            ended: round.ended_because.clone().filter(|_| round.next.is_none()),
            last_due: fires.last().map(|fire| fire.due),
            workflow: fires.iter().rev().find_map(|fire| fire.workflow.as_ref()).map(|new| new.id.0),
            queued: i64::try_from(queued).unwrap_or(i64::MAX),
        }
    }

    fn into_values(self) -> Vec<Value> {
        vec![
            self.id.into(),
            self.revision.into(),
            self.next.map(|next| next.0).into(),
            self.next.map(|next| next.1).into(),
            self.ended.into(),
            self.last_due.into(),
            self.workflow.into(),
            self.queued.into(),
        ]
    }
}

fn columns(rounds: &[PlannedRound]) -> Vec<Value> {
    let steps: Vec<_> = rounds.iter().map(Step::of).collect();
    let time = |time: Option<DateTime<Utc>>| time.unwrap_or(DateTime::UNIX_EPOCH);
    vec![
        steps.iter().map(|step| step.id).collect::<Vec<_>>().into(),
        steps.iter().map(|step| step.revision).collect::<Vec<_>>().into(),
        steps.iter().map(|step| time(step.next.map(|next| next.0))).collect::<Vec<_>>().into(),
        steps.iter().map(|step| time(step.next.map(|next| next.1))).collect::<Vec<_>>().into(),
        steps.iter().map(|step| step.ended.clone().unwrap_or_default()).collect::<Vec<_>>().into(),
        steps.iter().map(|step| time(step.last_due)).collect::<Vec<_>>().into(),
        steps.iter().map(|step| step.workflow.unwrap_or_default()).collect::<Vec<_>>().into(),
        steps.iter().map(|step| step.queued).collect::<Vec<_>>().into(),
    ]
}
