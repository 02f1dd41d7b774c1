//! The quarantine: hosts that no workflow lets in, and the deny entries that we wrote for them.

use chrono::{DateTime, Utc};
use domain::announcement::QuarantinedHost;
use domain::ids::uuid_v7;
use domain::request::QuarantineReleaseRequest;
use domain::{Announcement, DirectoryName, Dn, Sid, SystemRng, WorkflowId};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
    QueryResult, QuerySelect, Select,
};
use tracing::instrument;
use uuid::Uuid;

use crate::entity::quarantine::{Column, Entity, Model};
use crate::entity::{Cell, clean, quarantine_denials as denials};
use crate::listing::MAX_LIMIT;
use crate::sql::statement;
use crate::store::timed;
use crate::{Denial, NewQuarantine, Page, QuarantineFilter, Quarantined, Release, Store, StoreError};

/// Denials that share a statement.
const ROWS_PER_INSERT: usize = 1_000;

fn open(directory: &DirectoryName) -> Select<Entity> {
    Entity::find().filter(Column::DirectoryKey.eq(directory.key())).filter(Column::ReleasedAt.is_null())
}

fn about(quarantined: &Quarantined) -> QuarantinedHost<'_> {
    let Quarantined { directory, host_name, host_sid, .. } = quarantined;
    QuarantinedHost { directory, host: host_name, sid: host_sid }
}

impl Store {
    /// Puts a host on the list; one whose quarantine is open already stays as it is (the earlier
    /// row is the answer).
    #[instrument(name = "db.quarantine.place", skip_all, fields(host = %new.host_sid))]
    pub async fn quarantine(
        &self,
        new: &NewQuarantine,
        now: DateTime<Utc>,
    ) -> Result<Quarantined, StoreError> {
        let _time = timed("quarantine");
        let tx = self.begin().await?;
        // A second time where the quarantine that was met was released before it could be read.
        for _ in 0..2 {
            let id = uuid_v7(now, &SystemRng);
            let row = Model::of(new, id, now);
            // Whatever it meets is the open quarantine of that host: ids are never the same.
            Entity::insert(row.into_active_model().reset_all())
                .on_conflict(OnConflict::new().do_nothing().to_owned())
                .exec_without_returning(&tx)
                .await?;
            let found = open(&new.directory).filter(Column::HostSid.eq(new.host_sid.to_string()));
            if let Some(found) = found.one(&tx).await? {
                let found = Quarantined::try_from(found)?;
                let announced = if found.id == id {
                    let by = (new.workflow, new.placed_by.as_str(), new.reason.as_deref());
                    let news = Announcement::quarantine_added(&about(&found), by.0, by.1, by.2);
                    self.announce_with(&tx, &[news], now).await?
                } else {
                    false
                };
                tx.commit().await?;
                self.wake_announcer(announced);
                return Ok(found);
            }
        }
        Err(StoreError::Statement("no quarantine was made".into()))
    }

    /// Every open quarantine of a directory.
    #[instrument(name = "db.quarantine.open", skip_all, fields(%directory))]
    pub async fn quarantined(&self, directory: &DirectoryName) -> Result<Vec<Quarantined>, StoreError> {
        let _time = timed("quarantined");
        let rows = open(directory).order_by_asc(Column::Id).all(self.reader()).await?;
        rows.into_iter().map(Quarantined::try_from).collect()
    }

    /// By page, newest first.
    #[instrument(name = "db.quarantine.list", skip_all)]
    pub async fn quarantines(
        &self,
        filter: &QuarantineFilter,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Quarantined>, StoreError> {
        let _time = timed("quarantines");
        let limit = limit.clamp(1, MAX_LIMIT);
        let mut select = Entity::find();
        if let Some(directory) = &filter.directory {
            select = select.filter(Column::DirectoryKey.eq(directory.key()));
        }
        if !filter.released {
            select = select.filter(Column::ReleasedAt.is_null());
        }
        if let Some(cursor) = cursor {
            let after: Uuid = cursor.parse().map_err(|_| StoreError::InvalidCursor)?;
            select = select.filter(Column::Id.lt(after));
        }
        let rows = select.order_by_desc(Column::Id).limit(u64::from(limit) + 1).all(self.reader()).await?;
        let more = rows.len() > limit as usize;
        let items = rows
            .into_iter()
            .take(limit as usize)
            .map(Quarantined::try_from)
            .collect::<Result<Vec<_>, _>>()?;
        let next = items.last().filter(|_| more).map(|last| last.id.to_string());
        Ok(Page { items, next })
    }

    /// The open quarantine of that computer account disabled it.
    #[instrument(name = "db.quarantine.disabled", skip_all, fields(%host))]
    pub async fn note_computer_disabled(
        &self,
        directory: &DirectoryName,
        host: &Sid,
    ) -> Result<(), StoreError> {
        let _time = timed("note_computer_disabled");
        Entity::update_many()
            .col_expr(Column::ComputerDisabled, Expr::value(true))
            .filter(Column::DirectoryKey.eq(directory.key()))
            .filter(Column::HostSid.eq(host.to_string()))
            .filter(Column::ReleasedAt.is_null())
            .exec(self.writer())
            .await?;
        Ok(())
    }

    /// Ends the open quarantine of a host and forgets its denials. Whether there was one.
    #[instrument(name = "db.quarantine.release", skip_all, fields(%host))]
    pub async fn release_quarantine(
        &self,
        directory: &DirectoryName,
        host: &Sid,
        release: &Release,
    ) -> Result<bool, StoreError> {
        let _time = timed("release_quarantine");
        let tx = self.begin().await?;
        // Locked: of two releases at once, one ends it and says so.
        let ended = open(directory).filter(Column::HostSid.eq(host.to_string())).lock_exclusive();
        let ended = ended.one(&tx).await?.map(Quarantined::try_from).transpose()?;
        Entity::update_many()
            .col_expr(Column::ReleasedAt, Expr::value(release.at))
            .col_expr(Column::ReleasedBy, Expr::value(clean(&release.by)))
            .col_expr(Column::ReleaseWorkflow, Expr::value(release.workflow.0))
            .col_expr(Column::ReleaseReason, Expr::value(release.reason.as_deref().map(clean)))
            .filter(Column::DirectoryKey.eq(directory.key()))
            .filter(Column::HostSid.eq(host.to_string()))
            .filter(Column::ReleasedAt.is_null())
            .exec(&tx)
            .await?;
        let (by, reason) = (release.by.as_str(), release.reason.as_deref());
        let news = ended
            .as_ref()
            .map(|ended| Announcement::quarantine_released(&about(ended), release.workflow, by, reason));
        let announced = self.announce_with(&tx, news.as_slice(), release.at).await?;
        denials::Entity::delete_many()
            .filter(denials::Column::DirectoryKey.eq(directory.key()))
            .filter(denials::Column::HostSid.eq(host.to_string()))
            .exec(&tx)
            .await?;
        tx.commit().await?;
        self.wake_announcer(announced);
        Ok(ended.is_some())
    }

    /// Deny entries for that host that this workflow wrote; one that is known stays as it is.
    #[instrument(name = "db.quarantine.note_denials", skip_all, fields(%host, accounts = accounts.len()))]
    pub async fn note_denials(
        &self,
        directory: &DirectoryName,
        host: &Sid,
        accounts: &[(Sid, Dn)],
        workflow: WorkflowId,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let _time = timed("note_denials");
        if accounts.is_empty() {
            return Ok(());
        }
        let tx = self.begin().await?;
        for accounts in accounts.chunks(ROWS_PER_INSERT) {
            let rows = accounts.iter().map(|(sid, dn)| denials::Model {
                directory_key: directory.key(),
                host_sid: host.to_string(),
                account_sid: sid.to_string(),
                account_dn: dn.to_string(),
                workflow_id: workflow.0,
                written_at: now,
            });
            denials::Entity::insert_many(rows.map(|row| row.into_active_model().reset_all()))
                .on_conflict(OnConflict::new().do_nothing().to_owned())
                .exec_without_returning(&tx)
                .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// The deny entries that we wrote for that host.
    #[instrument(name = "db.quarantine.denials", skip_all, fields(%host))]
    pub async fn denials(&self, directory: &DirectoryName, host: &Sid) -> Result<Vec<Denial>, StoreError> {
        let _time = timed("denials");
        let rows = denials::Entity::find()
            .filter(denials::Column::DirectoryKey.eq(directory.key()))
            .filter(denials::Column::HostSid.eq(host.to_string()))
            .order_by_asc(denials::Column::AccountSid)
            .all(self.reader())
            .await?;
        rows.into_iter().map(Denial::try_from).collect()
    }

    /// The hosts that a release is letting go of: a second person has approved it, and from its step
    /// `lift-denials` on the deny entries go one by one, while the quarantine stands until the end. One
    /// that was paused half-way is not among them.
    #[instrument(name = "db.quarantine.releasing", skip_all)]
    pub async fn hosts_being_released(&self, directory: &DirectoryName) -> Result<Vec<Sid>, StoreError> {
        let _time = timed("hosts_being_released");
        let sql = "select w.id, w.input from workflows w where w.directory_key = $1 \
             and w.kind = 'quarantine-release' and w.mode = 'apply' \
             and w.state in ('queued', 'running', 'waiting') and w.state <> 'succeeded' \
             and exists (select 1 from steps s where s.workflow_id = w.id and s.name = 'lift-denials')";
        let rows =
            self.reader().query_all_raw(statement(self.reader(), sql, [directory.key().into()])).await?;
        let read = |row: &QueryResult| {
            let id: Uuid = row.try_get("", "id")?;
            let cell = Cell { table: "workflows", column: "input", row: &id };
            let release: QuarantineReleaseRequest = cell.json(&row.try_get::<String>("", "input")?)?;
            Ok(release.host_sid)
        };
        rows.iter().map(read).collect()
    }
}
