//! What a check found goes on record.

use std::collections::HashMap;

use domain::{Announcement, AnnouncementKind, DirectoryName, FarmName};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter};
use serde_json::{Map, json};
use tracing::instrument;

use super::model::{Compared, DriftBatch, DriftChange, DriftMark, Mend};
use crate::entity::drift::{Column, Entity, Model};
use crate::entity::{drift_marks as marks, farms};
use crate::sql::statement;
use crate::store::timed;
use crate::{Store, StoreError};

/// 24 columns each; SQLite takes 32,766 values in a statement.
const ROWS_PER_INSERT: usize = 500;

/// Of two checks at once the one that began to read later knows better.
const NO_OLDER: &str = "excluded.invocation <> drift.invocation or excluded.usn >= drift.usn";
const NO_OLDER_MARK: &str =
    "excluded.invocation <> drift_marks.invocation or excluded.usn >= drift_marks.usn";

impl Store {
    /// In one transaction. Which farms have other items than before.
    #[instrument(name = "db.drift.record", skip_all, fields(farms = batch.farms.len()))]
    pub async fn record_drift(&self, batch: &DriftBatch) -> Result<Vec<DriftChange>, StoreError> {
        let _time = timed("record_drift");
        let (mut changes, mut announced) = (Vec::new(), false);
        let tx = self.begin().await?;
        for farms in batch.farms.chunks(ROWS_PER_INSERT) {
            let known = Entity::find()
                .filter(Column::DirectoryKey.eq(batch.directory.key()))
                .filter(Column::FarmKey.is_in(farms.iter().map(|farm| farm.farm.key())))
                .all(&tx)
                .await?;
            let known: HashMap<String, Model> =
                known.into_iter().map(|row| (row.farm_key.clone(), row)).collect();
            let (mut rows, mut news) = (Vec::new(), Vec::new());
            for farm in farms {
                let mut row = Model::of(farm, batch)?;
                let before = known.get(&row.farm_key);
                if before.is_some_and(|before| is_newer(before, &row)) {
                    continue;
                }
                if let Some(before) = before.filter(|before| before.drift_hash == row.drift_hash) {
                    row.changed_at = before.changed_at;
                }
                let changed = change(farm, before, &row)?;
                news.extend(changed.as_ref().and_then(|changed| announcement(changed, batch)));
                changes.extend(changed);
                rows.push(row);
            }
            // In one order, so that two checks at once wait for each other and do not lock each other out.
            rows.sort_unstable_by(|one, other| one.farm_key.cmp(&other.farm_key));
            upsert(&tx, rows).await?;
            announced |= self.announce_with(&tx, &news, batch.now).await?;
        }
        tx.commit().await?;
        self.wake_announcer(announced);
        Ok(changes)
    }

    /// An update was asked for that mends the drift of that hash.
    #[instrument(name = "db.drift.note_mend", skip_all)]
    pub async fn note_mend(
        &self,
        directory: &DirectoryName,
        farm: &FarmName,
        mend: &Mend,
    ) -> Result<(), StoreError> {
        let _time = timed("note_mend");
        Entity::update_many()
            .col_expr(Column::State, Expr::value(domain::DriftState::Mending.as_str()))
            .col_expr(Column::MendedBy, Expr::value(mend.workflow.0))
            .col_expr(Column::MendedHash, Expr::value(mend.hash.as_str()))
            .col_expr(Column::MendedAt, Expr::value(mend.at))
            .filter(Column::DirectoryKey.eq(directory.key()))
            .filter(Column::FarmKey.eq(farm.key()))
            .filter(Column::DriftHash.eq(mend.hash.as_str()))
            .exec(self.writer())
            .await?;
        Ok(())
    }

    #[instrument(name = "db.drift.mark", skip_all)]
    pub async fn drift_mark(&self, directory: &DirectoryName) -> Result<Option<DriftMark>, StoreError> {
        let _time = timed("drift_mark");
        let row = marks::Entity::find_by_id(directory.key()).one(self.reader()).await?;
        Ok(row.map(DriftMark::from))
    }

    /// A check of a whole directory has come to its end: every result stands as of `mark`, and those
    /// of farms that are no more are forgotten.
    #[instrument(name = "db.drift.settle", skip_all)]
    pub async fn settle_drift(&self, directory: &DirectoryName, mark: &DriftMark) -> Result<(), StoreError> {
        let _time = timed("settle_drift");
        let tx = self.begin().await?;
        Entity::update_many()
            .col_expr(Column::CheckedAt, Expr::value(mark.checked_at))
            .filter(Column::DirectoryKey.eq(directory.key()))
            .filter(Column::CheckedAt.lt(mark.checked_at))
            .exec(&tx)
            .await?;
        let gone = "delete from drift where directory_key = $1 and not exists (select 1 from farms f \
             where f.directory_key = drift.directory_key and f.farm_key = drift.farm_key and f.state = $2)";
        let values = [directory.key().into(), farms::DEPLOYED.into()];
        sea_orm::ConnectionTrait::execute_raw(&tx, statement(&tx, gone, values)).await?;
        put_mark(&tx, directory, mark).await?;
        Ok(tx.commit().await?)
    }
}

fn is_newer(known: &Model, row: &Model) -> bool {
    known.invocation == row.invocation && known.usn > row.usn
}

fn change(farm: &Compared, before: Option<&Model>, row: &Model) -> Result<Option<DriftChange>, StoreError> {
    let same = before.is_some_and(|before| before.drift_hash == row.drift_hash);
    if same || (before.is_none() && row.drift_hash.is_none()) {
        return Ok(None);
    }
    Ok(Some(DriftChange {
        farm: farm.farm.clone(),
        before: before.map(Model::state).transpose()?,
        after: farm.state,
        had_items: before.is_some_and(|before| before.drift_hash.is_some()),
        has_items: row.drift_hash.is_some(),
    }))
}

/// Other items than before are news, and so are none where there were some.
fn announcement(change: &DriftChange, batch: &DriftBatch) -> Option<Announcement> {
    let kind = match (change.had_items, change.has_items) {
        (_, true) => AnnouncementKind::DriftFound,
        (true, false) => AnnouncementKind::DriftMended,
        (false, false) => return None,
    };
    let data = Map::from_iter([
        ("directory".to_owned(), json!(batch.directory)),
        ("farm".to_owned(), json!(change.farm)),
        ("workflowId".to_owned(), json!(batch.workflow)),
    ]);
    Some(Announcement::new(kind, change.farm.as_str(), data))
}

async fn upsert(db: &impl sea_orm::ConnectionTrait, rows: Vec<Model>) -> Result<(), StoreError> {
    use sea_orm::Iterable as _;
    if rows.is_empty() {
        return Ok(());
    }
    let key = [Column::DirectoryKey, Column::FarmKey];
    let replaced = Column::iter().filter(|column| !matches!(column, Column::DirectoryKey | Column::FarmKey));
    let known =
        OnConflict::columns(key).update_columns(replaced).action_and_where(Expr::cust(NO_OLDER)).to_owned();
    let rows = rows.into_iter().map(|row| row.into_active_model().reset_all());
    Entity::insert_many(rows).on_conflict(known).exec_without_returning(db).await?;
    Ok(())
}

async fn put_mark(
    db: &impl sea_orm::ConnectionTrait,
    directory: &DirectoryName,
    mark: &DriftMark,
) -> Result<(), StoreError> {
    let row = marks::Model {
        directory_key: directory.key(),
        dc: mark.dc.clone(),
        invocation: mark.invocation.clone(),
        usn: mark.usn,
        quarantine: mark.quarantine.clone(),
        full_at: mark.full_at,
        checked_at: mark.checked_at,
    };
    let replaced = [
        marks::Column::Dc,
        marks::Column::Invocation,
        marks::Column::Usn,
        marks::Column::Quarantine,
        marks::Column::FullAt,
        marks::Column::CheckedAt,
    ];
    let known = OnConflict::column(marks::Column::DirectoryKey)
        .update_columns(replaced)
        .action_and_where(Expr::cust(NO_OLDER_MARK))
        .to_owned();
    marks::Entity::insert(row.into_active_model().reset_all())
        .on_conflict(known)
        .exec_without_returning(db)
        .await?;
    Ok(())
}
