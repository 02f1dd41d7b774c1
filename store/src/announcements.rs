//! What is announced to other systems: rows of the outbox, written in the same transaction as the
//! fact that they tell of.

use chrono::{DateTime, Utc};
use domain::Announcement;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, Value,
};
use tracing::instrument;

use crate::entity::outbox;
use crate::sql::statement;
use crate::store::timed;
use crate::{AnnouncementRow, Store, StoreError};

/// Six columns each; SQLite takes 32,766 values in a statement.
const ROWS_PER_INSERT: usize = 1000;

const INSERT_ON_POSTGRESQL: &str = "insert into outbox (id, topic, body, created_at) \
    select a.id, a.topic, a.body, $4 from unnest($1::uuid[], $2::text[], $3::bytea[]) as a(id, topic, body)";

impl Store {
    /// Announces what is no change of state of ours.
    #[instrument(name = "db.announce", skip_all, fields(announcements = announcements.len()))]
    pub async fn announce(
        &self,
        announcements: &[Announcement],
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let _time = timed("announce");
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
        let rows = announcements.iter().map(|announcement| self.announcement_row(announcement, now));
        let rows: Vec<_> = rows.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
        if rows.is_empty() {
            return Ok(false);
        }
        if self.is_postgresql() {
            db.execute_raw(statement(db, INSERT_ON_POSTGRESQL, columns(rows, now))).await?;
            return Ok(true);
        }
        for rows in rows.chunks(ROWS_PER_INSERT) {
            let rows = rows.iter().map(|row| model(row.clone(), now).into_active_model().reset_all());
            outbox::Entity::insert_many(rows).exec_without_returning(db).await?;
        }
        Ok(true)
    }

    /// One, and what its event is called; `None` where nothing is announced.
    pub(crate) async fn announce_one(
        &self,
        db: &impl ConnectionTrait,
        announcement: &Announcement,
        now: DateTime<Utc>,
    ) -> Result<Option<uuid::Uuid>, StoreError> {
        let Some(row) = self.announcement_row(announcement, now)? else { return Ok(None) };
        let id = row.id;
        let row = model(row, now).into_active_model().reset_all();
        outbox::Entity::insert(row).exec_without_returning(db).await?;
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

    /// `None` where nothing is announced.
    pub(crate) fn announcement_row(
        &self,
        announcement: &Announcement,
        now: DateTime<Utc>,
    ) -> Result<Option<AnnouncementRow>, StoreError> {
        let row = self.0.events.announce(announcement, now);
        match row {
            Some(row) if row.body.len() > Announcement::MAX_EVENT_BYTES => {
                let text =
                    format!("{} has {} bytes: nobody would read it", announcement.kind, row.body.len());
                Err(StoreError::Statement(text.into()))
            }
            row => Ok(row),
        }
    }
}

fn model(row: AnnouncementRow, now: DateTime<Utc>) -> outbox::Model {
    let AnnouncementRow { id, topic, body } = row;
    outbox::Model { id, workflow_id: None, lane: None, topic: Some(topic), body, created_at: now }
}

fn columns(rows: Vec<AnnouncementRow>, now: DateTime<Utc>) -> [Value; 4] {
    let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    let (topics, bodies): (Vec<_>, Vec<_>) = rows.into_iter().map(|row| (row.topic, row.body)).unzip();
    [ids.into(), topics.into(), bodies.into(), now.into()]
}
