//! What is announced to other systems: rows of the outbox, written in the same transaction as the
//! fact that they tell of.

use chrono::{DateTime, Utc};
use domain::announcement::Ending;
use domain::{Announcement, Workflow};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, Value,
};
use tracing::instrument;

use crate::entity::{outbox, to_json, workflows};
use crate::sql::statement;
use crate::store::timed;
use crate::{AnnouncementRow, Store, StoreError};

/// Six columns each; SQLite takes 32,766 values in a statement.
const ROWS_PER_INSERT: usize = 1000;

const INSERT_ON_POSTGRESQL: &str = "insert into outbox (id, topic, body, created_at) \
    select a.id, a.topic, a.body, $4 from unnest($1::uuid[], $2::text[], $3::bytea[]) as a(id, topic, body)";

impl Store {
    /// Announces what is no change of state of ours.
    ///
    /// # Errors
    /// Also for data of more than [`Announcement::MAX_DATA_BYTES`].
    #[instrument(name = "db.announce", skip_all, fields(announcements = announcements.len()))]
    pub async fn announce(
        &self,
        announcements: &[Announcement],
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let _time = timed("announce");
        for announcement in announcements {
            let bytes = to_json(&announcement.data)?.len();
            if bytes > Announcement::MAX_DATA_BYTES {
                let text = format!("{} has {bytes} bytes: nobody would read it", announcement.kind);
                return Err(StoreError::Statement(text.into()));
            }
        }
        let tx = self.begin().await?;
        let announced = self.announce_with(&tx, announcements, now).await?;
        tx.commit().await?;
        self.wake_announcer(announced);
        Ok(())
    }

    /// Within the transaction of the fact. Whether something was written: after the commit it is the
    /// caller's to [`Store::wake_announcer`].
    pub(crate) async fn announce_with(
        &self,
        db: &impl ConnectionTrait,
        announcements: &[Announcement],
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let rows: Vec<_> = announcements
            .iter()
            .filter_map(|announcement| self.announcement_row(announcement, now))
            .collect();
        if rows.is_empty() {
            return Ok(false);
        }
        if self.is_postgresql() {
            db.execute_raw(statement(db, INSERT_ON_POSTGRESQL, columns(rows, now))).await?;
            return Ok(true);
        }
        let rows = rows.into_iter().map(|row| outbox::Model::announcement(row, now)).collect();
        self.insert_announcements(db, rows).await?;
        Ok(true)
    }

    /// Of a workflow that came to its end without a worker.
    pub(crate) async fn announce_end(
        &self,
        db: &impl ConnectionTrait,
        row: &workflows::Model,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let workflow = Workflow::try_from(row)?;
        let announced = Announcement::workflow_finished(&workflow, &Ending::of(&workflow, now));
        let announced = announced.map(|one| one.traced(row.traceparent.clone()));
        self.announce_with(db, announced.as_slice(), now).await
    }

    pub(crate) async fn insert_announcements(
        &self,
        db: &impl ConnectionTrait,
        rows: Vec<outbox::Model>,
    ) -> Result<(), StoreError> {
        for rows in rows.chunks(ROWS_PER_INSERT) {
            let rows = rows.iter().map(|row| row.clone().into_active_model().reset_all());
            outbox::Entity::insert_many(rows).exec_without_returning(db).await?;
        }
        Ok(())
    }

    /// One, and what its event is called; `None` where nothing is announced.
    pub(crate) async fn announce_one(
        &self,
        db: &impl ConnectionTrait,
        announcement: &Announcement,
        now: DateTime<Utc>,
    ) -> Result<Option<uuid::Uuid>, StoreError> {
        let Some(row) = self.announcement_row(announcement, now) else { return Ok(None) };
        let id = row.id;
        self.insert_announcements(db, vec![outbox::Model::announcement(row, now)]).await?;
        Ok(Some(id))
    }

    /// Forgets announcements from before that time that are still unpublished. How many.
    #[instrument(name = "db.announcements.give_up", skip_all)]
    pub async fn give_up_announcements(&self, before: DateTime<Utc>) -> Result<u64, StoreError> {
        let _time = timed("give_up_announcements");
        let old = outbox::Entity::delete_many()
            .filter(outbox::Column::Topic.is_not_null())
            .filter(outbox::Column::CreatedAt.lt(before));
        Ok(old.exec(self.writer()).await?.rows_affected)
    }

    /// `None` where nothing is announced. One that is too large for an event is left out: it must not
    /// fail the commit of the fact.
    pub(crate) fn announcement_row(
        &self,
        announcement: &Announcement,
        now: DateTime<Utc>,
    ) -> Option<AnnouncementRow> {
        let row = self.0.events.announce(announcement, now)?;
        if row.body.len() > Announcement::MAX_EVENT_BYTES {
            let (kind, subject) = (announcement.kind, announcement.subject.as_str());
            tracing::error!(%kind, subject, bytes = row.body.len(), "too large to be announced");
            return None;
        }
        Some(row)
    }
}

fn columns(rows: Vec<AnnouncementRow>, now: DateTime<Utc>) -> [Value; 4] {
    let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    let (topics, bodies): (Vec<_>, Vec<_>) = rows.into_iter().map(|row| (row.topic, row.body)).unzip();
    [ids.into(), topics.into(), bodies.into(), now.into()]
}
