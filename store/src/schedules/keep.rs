//! Schedules are made, changed, looked at and deleted.

use chrono::{DateTime, Utc};
use domain::schedule::{FireOutcome, FireReason, ScheduleState};
use domain::{ScheduleId, ScheduleName};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect,
};
use tracing::instrument;
use uuid::Uuid;

use crate::entity::schedule_fires;
use crate::entity::schedules::{Column, Entity, Model};
use crate::listing::MAX_LIMIT;
use crate::store::timed;
use crate::{Fire, Page, Schedule, Store, StoreError};

impl Store {
    /// Whether it is new: `false` when there is one of that name.
    #[instrument(name = "db.schedules.create", skip_all, fields(schedule = %schedule.spec.name))]
    pub async fn create_schedule(&self, schedule: &Schedule) -> Result<bool, StoreError> {
        let _time = timed("create_schedule");
        let row = Model::of(schedule)?.into_active_model().reset_all();
        // Without a target: the key that is met is the name's.
        let inserted = Entity::insert(row)
            .on_conflict(OnConflict::new().do_nothing().to_owned())
            .exec_without_returning(self.writer())
            .await?;
        self.announce_schedules();
        Ok(inserted == 1)
    }

    /// Writes a schedule that was read before and changed; its revision grows. `false`: it has
    /// changed meanwhile, or is gone, and nothing was written.
    #[instrument(name = "db.schedules.save", skip_all, fields(schedule = %schedule.spec.name))]
    pub async fn save_schedule(&self, schedule: &Schedule) -> Result<bool, StoreError> {
        let _time = timed("save_schedule");
        let mut row = Model::of(schedule)?;
        let read = row.revision;
        row.revision += 1;
        let saved = Entity::update_many()
            .set(row.into_active_model().reset_all())
            .filter(Column::Id.eq(schedule.id.0))
            .filter(Column::Revision.eq(read))
            .exec(self.writer())
            .await?;
        self.announce_schedules();
        Ok(saved.rows_affected > 0)
    }

    #[instrument(name = "db.schedules.get", skip_all, fields(schedule = %name))]
    pub async fn schedule(&self, name: &ScheduleName) -> Result<Option<Schedule>, StoreError> {
        let _time = timed("schedule");
        let row = Entity::find().filter(Column::NameKey.eq(name.key())).one(self.reader()).await?;
        row.as_ref().map(Schedule::try_from).transpose()
    }

    /// By name.
    #[instrument(name = "db.schedules.list", skip_all)]
    pub async fn schedules(
        &self,
        state: Option<ScheduleState>,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Schedule>, StoreError> {
        let _time = timed("schedules");
        let limit = limit.clamp(1, MAX_LIMIT);
        let mut select = Entity::find();
        if let Some(state) = state {
            select = select.filter(Column::State.eq(state.as_str()));
        }
        if let Some(cursor) = cursor {
            let after: ScheduleName = cursor.parse().map_err(|_| StoreError::InvalidCursor)?;
            select = select.filter(Column::NameKey.gt(after.key()));
        }
        let rows =
            select.order_by_asc(Column::NameKey).limit(u64::from(limit) + 1).all(self.reader()).await?;
        let more = rows.len() > limit as usize;
        let items =
            rows.iter().take(limit as usize).map(Schedule::try_from).collect::<Result<Vec<_>, _>>()?;
        let next = items.last().filter(|_| more).map(|last| last.spec.name.key());
        Ok(Page { items, next })
    }

    /// What it has done stays on record; what waited in line is not run. Whether there was one.
    #[instrument(name = "db.schedules.delete", skip_all, fields(schedule = %id))]
    pub async fn delete_schedule(&self, id: ScheduleId, now: DateTime<Utc>) -> Result<bool, StoreError> {
        let _time = timed("delete_schedule");
        let tx = self.begin().await?;
        // First: whoever fires it at this moment holds its row.
        let deleted = Entity::delete_by_id(id.0).exec(&tx).await?.rows_affected > 0;
        schedule_fires::Entity::update_many()
            .col_expr(schedule_fires::Column::Outcome, Expr::value(FireOutcome::Skipped.as_str()))
            .col_expr(schedule_fires::Column::Reason, Expr::value(FireReason::Deleted.as_str()))
            .col_expr(schedule_fires::Column::RecordedAt, Expr::value(now))
            .filter(schedule_fires::Column::ScheduleId.eq(id.0))
            .filter(schedule_fires::Column::Outcome.eq(FireOutcome::Queued.as_str()))
            .exec(&tx)
            .await?;
        tx.commit().await?;
        Ok(deleted)
    }

    /// What became of its due times, the latest first.
    #[instrument(name = "db.schedules.fires", skip_all, fields(schedule = %id))]
    pub async fn schedule_fires(
        &self,
        id: ScheduleId,
        outcome: Option<FireOutcome>,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Fire>, StoreError> {
        use schedule_fires::Column;
        let _time = timed("schedule_fires");
        let limit = limit.clamp(1, MAX_LIMIT);
        let mut select = schedule_fires::Entity::find().filter(Column::ScheduleId.eq(id.0));
        if let Some(outcome) = outcome {
            select = select.filter(Column::Outcome.eq(outcome.as_str()));
        }
        if let Some(cursor) = cursor {
            let before = cursor.parse().ok().and_then(DateTime::from_timestamp_micros);
            select = select.filter(Column::DueAt.lt(before.ok_or(StoreError::InvalidCursor)?));
        }
        let rows = select.order_by_desc(Column::DueAt).limit(u64::from(limit) + 1).all(self.reader()).await?;
        let more = rows.len() > limit as usize;
        let items =
            rows.into_iter().take(limit as usize).map(Fire::try_from).collect::<Result<Vec<_>, _>>()?;
        let next = items.last().filter(|_| more).map(|last| last.due.timestamp_micros().to_string());
        Ok(Page { items, next })
    }

    /// Who answers for a workflow that a schedule asked for.
    pub(crate) async fn owner_of(
        &self,
        db: &impl sea_orm::ConnectionTrait,
        workflow: Uuid,
    ) -> Result<Option<String>, StoreError> {
        let fire = schedule_fires::Entity::find()
            .filter(schedule_fires::Column::WorkflowId.eq(workflow))
            .one(db)
            .await?;
        Ok(fire.map(|fire| fire.owner))
    }
}
