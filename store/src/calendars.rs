//! Calendars: kept, and remembered by every process for a moment, since every claim asks them.

use std::sync::{Arc, PoisonError};

use chrono::{DateTime, Duration, Utc};
use domain::{Calendar, CalendarName};
use sea_orm::{ActiveModelTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryOrder, TryInsertResult};
use tracing::instrument;

use crate::entity::calendars::{Column, Entity, Model};
use crate::sql::statement;
use crate::store::timed;
use crate::{CalendarRecord, Store, StoreError};

/// How long another process may not know of a change.
const BELIEVED_FOR: Duration = Duration::seconds(1);

/// What was known, and when.
pub(crate) type KnownCalendars = Option<(DateTime<Utc>, Arc<Vec<Calendar>>)>;

/// What waits for a calendar is judged again, by the calendars as they are now.
const JUDGE_AGAIN: &str =
    "update workflows set due_at = $1 where state = 'waiting' and waiting_for = 'calendar'";

impl Store {
    /// Whether it is new: `false` when there is one of that name.
    #[instrument(name = "db.calendars.create", skip_all, fields(calendar = %record.calendar.name))]
    pub async fn create_calendar(&self, record: &CalendarRecord) -> Result<bool, StoreError> {
        let _time = timed("create_calendar");
        let row = Model::of(record)?.into_active_model().reset_all();
        let tx = self.begin().await?;
        let inserted = Entity::insert(row).on_conflict_do_nothing().exec_without_returning(&tx).await?;
        tx.execute_raw(statement(&tx, JUDGE_AGAIN, [record.created_at.into()])).await?;
        tx.commit().await?;
        self.forget_calendars();
        Ok(matches!(inserted, TryInsertResult::Inserted(1)))
    }

    /// Whether there was one. What waited for it is judged again by the others.
    #[instrument(name = "db.calendars.delete", skip_all, fields(calendar = %name))]
    pub async fn delete_calendar(&self, name: &CalendarName, now: DateTime<Utc>) -> Result<bool, StoreError> {
        let _time = timed("delete_calendar");
        let tx = self.begin().await?;
        let deleted = Entity::delete_by_id(name.key()).exec(&tx).await?.rows_affected > 0;
        tx.execute_raw(statement(&tx, JUDGE_AGAIN, [now.into()])).await?;
        tx.commit().await?;
        self.forget_calendars();
        Ok(deleted)
    }

    /// By name.
    #[instrument(name = "db.calendars.list", skip_all)]
    pub async fn calendars(&self) -> Result<Vec<CalendarRecord>, StoreError> {
        let _time = timed("calendars");
        let rows = Entity::find().order_by_asc(Column::NameKey).all(self.reader()).await?;
        rows.into_iter().map(CalendarRecord::try_from).collect()
    }

    /// As they were at most a second ago.
    pub(crate) async fn known_calendars(&self, now: DateTime<Utc>) -> Result<Arc<Vec<Calendar>>, StoreError> {
        let fresh = |known: &KnownCalendars| {
            let (seen, calendars) = known.as_ref()?;
            // A clock that was set back gives a negative age: ask again.
            let age = now - *seen;
            (age >= Duration::zero() && age < BELIEVED_FOR).then(|| calendars.clone())
        };
        let known = self.0.calendars.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(calendars) = fresh(&known) {
            return Ok(calendars);
        }
        let rows = Entity::find().all(self.reader()).await?;
        // One that another version wrote and this one cannot read must not keep all claims from
        // being made, those of containments first of all.
        let readable = rows.into_iter().filter_map(|row| match CalendarRecord::try_from(row) {
            Ok(record) => Some(record.calendar),
            Err(error) => {
                tracing::error!(%error, "a calendar cannot be read and holds nothing back");
                None
            }
        });
        let calendars = Arc::new(readable.collect::<Vec<_>>());
        *self.0.calendars.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, calendars.clone()));
        Ok(calendars)
    }

    fn forget_calendars(&self) {
        *self.0.calendars.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
