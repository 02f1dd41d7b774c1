//! How gMSAs' passwords stand: written in batches by checks, listed as a board.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::rotation::{RotationChange, RotationEntry};
use domain::{Announcement, DirectoryName, FarmName, RotationItem, RotationVerdict, Sid, WorkflowId};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter,
    QueryOrder, QuerySelect, Select,
};
use tracing::instrument;
use uuid::Uuid;

use crate::entity::rotation::{Column, Entity, Model, account_key};
use crate::entity::{Cell, farms, rotation_history as history};
use crate::listing::MAX_LIMIT;
use crate::sql::statement;
use crate::store::timed;
use crate::{Page, RotationBatch, RotationFilter, RotationRecorded, Store, StoreError, VerdictChange};

/// In place of a verdict, of an account that is not there.
const GONE: &str = "gone";
const NOT_THERE: &str = "the account is not there any more";

/// 13 columns each; SQLite takes 32,766 values in a statement.
const ROWS_PER_INSERT: usize = 500;

impl Store {
    /// What a check found of some accounts, in one transaction. An account that is as it was costs
    /// no more than the time of the look; a change of verdict or key is kept as history too.
    #[instrument(name = "db.rotation.record", skip_all, fields(accounts = batch.items.len()))]
    pub async fn record_rotation(&self, batch: &RotationBatch) -> Result<RotationRecorded, StoreError> {
        let _time = timed("record_rotation");
        let (mut recorded, mut announced) = (RotationRecorded::default(), false);
        let tx = self.begin().await?;
        for items in batch.items.chunks(ROWS_PER_INSERT) {
            let rows = items.iter().map(|item| Model::of(item, batch.now)).collect::<Result<Vec<_>, _>>()?;
            let known = known(&tx, &batch.directory, &rows).await?;
            let (mut as_before, mut written, mut changes) = (Vec::new(), Vec::new(), Vec::new());
            let mut news = Vec::new();
            for (mut row, item) in rows.into_iter().zip(items) {
                let before = known.get(&row.account_sid);
                let changed = before.is_none_or(|before| row.differs_from(before));
                match before {
                    Some(before) if !changed && before.item == row.item => {
                        as_before.push(row.account_sid);
                        continue;
                    }
                    Some(before) if !changed => row.changed_at = before.changed_at,
                    _ => changes.push(history::Model::of(&row, &item.why, batch.workflow)),
                }
                let was = before.map(Model::verdict).transpose()?;
                news.extend(news_of(item, before, batch.workflow));
                if was != Some(item.verdict) {
                    let account = item.account.clone();
                    recorded.verdicts.push(VerdictChange { account, before: was, after: item.verdict });
                }
                written.push(row);
            }
            recorded.changed += changes.len() as u64;
            // In one order, so that two checks at once wait for each other and do not lock each other out.
            written.sort_unstable_by(|one, other| one.account_sid.cmp(&other.account_sid));
            touch(&tx, &batch.directory, as_before, batch.now).await?;
            upsert(&tx, written).await?;
            append(&tx, changes).await?;
            announced |= self.announce_with(&tx, &news, batch.now).await?;
        }
        tx.commit().await?;
        self.wake_announcer(announced);
        Ok(recorded)
    }

    /// Accounts that no check has seen since `since` are gone. How many there were.
    #[instrument(name = "db.rotation.gone", skip_all)]
    pub async fn note_gone_accounts(
        &self,
        directory: &DirectoryName,
        since: DateTime<Utc>,
        workflow: WorkflowId,
        now: DateTime<Utc>,
    ) -> Result<u64, StoreError> {
        let _time = timed("note_gone_accounts");
        let tx = self.begin().await?;
        let announced = self.announce_gone(&tx, directory, since, workflow, now).await?;
        let unseen = "directory_key = $1 and gone_at is null and checked_at < $2";
        let values = || [directory.key().into(), since.into(), now.into(), workflow.0.into()];
        let kept = format!(
            "insert into rotation_history \
             (directory_key, account_sid, at, workflow_id, verdict, why, key_slot, root_key, gone) \
             select directory_key, account_sid, $3, $4, verdict, '{NOT_THERE}', \
             key_slot, root_key, true from rotation where {unseen} on conflict do nothing"
        );
        tx.execute_raw(statement(&tx, kept, values())).await?;
        let [key, since, now, _] = values();
        let gone = format!("update rotation set gone_at = $3, changed_at = $3 where {unseen}");
        let gone = tx.execute_raw(statement(&tx, gone, [key, since, now])).await?.rows_affected();
        tx.commit().await?;
        self.wake_announcer(announced);
        Ok(gone)
    }

    /// Page by page, before they are marked.
    async fn announce_gone(
        &self,
        db: &impl ConnectionTrait,
        directory: &DirectoryName,
        since: DateTime<Utc>,
        workflow: WorkflowId,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let (mut announced, mut last) = (false, String::new());
        loop {
            let rows = Entity::find()
                .filter(Column::DirectoryKey.eq(directory.key()))
                .filter(Column::GoneAt.is_null())
                .filter(Column::CheckedAt.lt(since))
                .filter(Column::AccountSid.gt(last.as_str()))
                .order_by_asc(Column::AccountSid)
                .limit(ROWS_PER_INSERT as u64)
                .all(db)
                .await?;
            let Some(end) = rows.last() else { return Ok(announced) };
            last.clone_from(&end.account_sid);
            let entries = rows.into_iter().map(RotationEntry::try_from).collect::<Result<Vec<_>, _>>()?;
            let news = entries.iter().map(|entry| {
                let was = Some(entry.item.verdict.as_str());
                Announcement::verdict_changed(&entry.item, was, GONE, NOT_THERE, workflow)
            });
            let news: Vec<_> = news.collect();
            announced |= self.announce_with(db, &news, now).await?;
        }
    }

    /// Forgets changes, and accounts that were gone, before that time.
    #[instrument(name = "db.rotation.prune", skip_all)]
    pub async fn prune_rotation(
        &self,
        directory: &DirectoryName,
        before: DateTime<Utc>,
    ) -> Result<u64, StoreError> {
        let _time = timed("prune_rotation");
        let tx = self.begin().await?;
        let forgotten = history::Entity::delete_many()
            .filter(history::Column::DirectoryKey.eq(directory.key()))
            .filter(history::Column::At.lt(before))
            .exec(&tx)
            .await?;
        Entity::delete_many()
            .filter(Column::DirectoryKey.eq(directory.key()))
            .filter(Column::GoneAt.lt(before))
            .exec(&tx)
            .await?;
        tx.commit().await?;
        Ok(forgotten.rows_affected)
    }

    /// The board, by account.
    #[instrument(name = "db.rotation.list", skip_all)]
    pub async fn rotation(
        &self,
        filter: &RotationFilter,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<RotationEntry>, StoreError> {
        let _time = timed("rotation");
        let limit = limit.clamp(1, MAX_LIMIT);
        let mut select = conditions(Entity::find(), filter);
        if let Some(cursor) = cursor {
            select = select.filter(after(cursor)?);
        }
        let mut rows = select
            .order_by_asc(Column::DirectoryKey)
            .order_by_asc(Column::AccountKey)
            .order_by_asc(Column::AccountSid)
            .limit(u64::from(limit) + 1)
            .all(self.reader())
            .await?;
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let next = rows.last().filter(|_| more).map(cursor_of);
        let items = rows.into_iter().map(RotationEntry::try_from).collect::<Result<_, _>>()?;
        Ok(Page { items, next })
    }

    /// One account by its name (with or without `$`) or its SID. Of several that had the name, the
    /// one that is there, or was last.
    #[instrument(name = "db.rotation.get", skip_all)]
    pub async fn rotation_of(
        &self,
        directory: &DirectoryName,
        account: &str,
    ) -> Result<Option<RotationEntry>, StoreError> {
        let _time = timed("rotation_of");
        let named = Condition::any()
            .add(Column::AccountKey.eq(account_key(account)))
            .add(Column::AccountSid.eq(account.to_uppercase()));
        let row = Entity::find()
            .filter(Column::DirectoryKey.eq(directory.key()))
            .filter(named)
            .order_by_asc(Expr::cust("case when gone_at is null then 0 else 1 end"))
            .order_by_desc(Column::CheckedAt)
            .one(self.reader())
            .await?;
        row.map(RotationEntry::try_from).transpose()
    }

    /// Its changes, newest first.
    #[instrument(name = "db.rotation.history", skip_all)]
    pub async fn rotation_changes(
        &self,
        directory: &DirectoryName,
        account: &Sid,
        limit: u32,
    ) -> Result<Vec<RotationChange>, StoreError> {
        let _time = timed("rotation_changes");
        let rows = history::Entity::find()
            .filter(history::Column::DirectoryKey.eq(directory.key()))
            .filter(history::Column::AccountSid.eq(account.to_string()))
            .order_by_desc(history::Column::At)
            .limit(u64::from(limit.clamp(1, MAX_LIMIT)))
            .all(self.reader())
            .await?;
        rows.into_iter().map(RotationChange::try_from).collect()
    }

    /// How many accounts of each directory have each verdict; gone ones are not counted.
    #[instrument(level = "debug", name = "db.rotation.count", skip_all)]
    pub async fn count_by_verdict(&self) -> Result<Vec<(DirectoryName, RotationVerdict, u64)>, StoreError> {
        let _time = timed("count_by_verdict");
        let sql = "select max(directory) as directory, verdict, count(*) as number from rotation \
             where gone_at is null group by directory_key, verdict";
        let rows = self.reader().query_all_raw(statement(self.reader(), sql, [])).await?;
        let read = |row: &sea_orm::QueryResult| {
            let cell = |column| Cell { table: "rotation", column, row: &"count" };
            Ok((
                cell("directory").parse(&row.try_get::<String>("", "directory")?)?,
                cell("verdict").parse(&row.try_get::<String>("", "verdict")?)?,
                cell("count").number(row.try_get::<i64>("", "number")?)?,
            ))
        };
        rows.iter().map(read).collect()
    }

    /// The root key of the password that was made last, as far as checks have seen: a DC takes the
    /// newest usable one, so this is evidence where the keys themselves cannot be read.
    #[instrument(name = "db.rotation.root_key", skip_all)]
    pub async fn newest_root_key_in_use(
        &self,
        directory: &DirectoryName,
    ) -> Result<Option<Uuid>, StoreError> {
        let _time = timed("newest_root_key_in_use");
        let row = Entity::find()
            .select_only()
            .column(Column::RootKey)
            .filter(Column::DirectoryKey.eq(directory.key()))
            .filter(Column::RootKey.is_not_null())
            .filter(Column::GoneAt.is_null())
            .order_by_desc(Column::KeySlot)
            .into_tuple::<Option<Uuid>>()
            .one(self.reader())
            .await?;
        Ok(row.flatten())
    }

    /// Deployed farms whose account no check has seen, or saw gone.
    #[instrument(name = "db.rotation.farms_without_account", skip_all)]
    pub async fn farms_without_account(
        &self,
        directory: &DirectoryName,
        limit: u32,
    ) -> Result<Vec<FarmName>, StoreError> {
        let _time = timed("farms_without_account");
        let sql = "select f.name from farms f where f.directory_key = $1 and f.state = $2 \
             and not exists (select 1 from rotation r where r.directory_key = f.directory_key \
             and r.account_sid = f.account_sid and r.gone_at is null) \
             order by f.farm_key limit $3";
        let values = [directory.key().into(), farms::DEPLOYED.into(), i64::from(limit).into()];
        let rows = self.reader().query_all_raw(statement(self.reader(), sql, values)).await?;
        let cell = Cell { table: "farms", column: "name", row: &"list" };
        rows.iter().map(|row| cell.parse(&row.try_get::<String>("", "name")?)).collect()
    }
}

/// What others are told of a check of that account. A first look is news only where something may be
/// wrong: not ten thousand times that all is well.
fn news_of(item: &RotationItem, before: Option<&Model>, workflow: WorkflowId) -> Option<Announcement> {
    let after = item.verdict.as_str();
    let was = before.map(|before| if before.gone_at.is_some() { GONE } else { before.verdict.as_str() });
    let is_news = match was {
        None => !item.verdict.is_harmless(),
        Some(was) => was != after,
    };
    is_news.then(|| Announcement::verdict_changed(item, was, after, &item.why, workflow))
}

/// What is on record of the accounts of `rows`.
async fn known(
    db: &impl ConnectionTrait,
    directory: &DirectoryName,
    rows: &[Model],
) -> Result<HashMap<String, Model>, StoreError> {
    let known = Entity::find()
        .filter(Column::DirectoryKey.eq(directory.key()))
        .filter(Column::AccountSid.is_in(rows.iter().map(|row| row.account_sid.as_str())))
        .all(db)
        .await?;
    Ok(known.into_iter().map(|row| (row.account_sid.clone(), row)).collect())
}

async fn touch(
    db: &impl ConnectionTrait,
    directory: &DirectoryName,
    accounts: Vec<String>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    if accounts.is_empty() {
        return Ok(());
    }
    Entity::update_many()
        .col_expr(Column::CheckedAt, Expr::value(now))
        .filter(Column::DirectoryKey.eq(directory.key()))
        .filter(Column::AccountSid.is_in(accounts))
        .exec(db)
        .await?;
    Ok(())
}

async fn upsert(db: &impl ConnectionTrait, rows: Vec<Model>) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let replaced = [
        Column::Directory,
        Column::AccountKey,
        Column::FarmKey,
        Column::Verdict,
        Column::KeySlot,
        Column::RootKey,
        Column::Findings,
        Column::Item,
        Column::CheckedAt,
        Column::ChangedAt,
        Column::GoneAt,
    ];
    let known =
        OnConflict::columns([Column::DirectoryKey, Column::AccountSid]).update_columns(replaced).to_owned();
    let rows = rows.into_iter().map(|row| row.into_active_model().reset_all());
    Entity::insert_many(rows).on_conflict(known).exec_without_returning(db).await?;
    Ok(())
}

async fn append(db: &impl ConnectionTrait, changes: Vec<history::Model>) -> Result<(), StoreError> {
    if changes.is_empty() {
        return Ok(());
    }
    let rows = changes.into_iter().map(|row| row.into_active_model().reset_all());
    history::Entity::insert_many(rows)
        .on_conflict(OnConflict::new().do_nothing().to_owned())
        .exec_without_returning(db)
        .await?;
    Ok(())
}

fn conditions(mut select: Select<Entity>, filter: &RotationFilter) -> Select<Entity> {
    if let Some(directory) = &filter.directory {
        select = select.filter(Column::DirectoryKey.eq(directory.key()));
    }
    if let Some(verdict) = filter.verdict {
        select = select.filter(Column::Verdict.eq(verdict.as_str()));
    }
    if let Some(farm) = &filter.farm {
        select = select.filter(Column::FarmKey.eq(farm.key()));
    }
    if let Some(finding) = filter.finding {
        // Of a fixed list of words without a wildcard.
        select = select.filter(Column::Findings.like(format!("% {finding} %")));
    }
    if filter.gone {
        select.filter(Column::GoneAt.is_not_null())
    } else {
        select.filter(Column::GoneAt.is_null())
    }
}

/// No directory's name and no SID holds a `/`.
fn cursor_of(row: &Model) -> String {
    hex::encode(format!("{}/{}/{}", row.directory_key, row.account_sid, row.account_key))
}

fn after(cursor: &str) -> Result<Condition, StoreError> {
    let text = hex::decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let text = text.as_deref().unwrap_or_default();
    let Some((directory, (sid, account))) =
        text.split_once('/').and_then(|(directory, rest)| Some((directory, rest.split_once('/')?)))
    else {
        return Err(StoreError::InvalidCursor);
    };
    let same_name = Condition::all().add(Column::AccountKey.eq(account)).add(Column::AccountSid.gt(sid));
    let later = Condition::any().add(Column::AccountKey.gt(account)).add(same_name);
    let same = Condition::all().add(Column::DirectoryKey.eq(directory)).add(later);
    Ok(Condition::any().add(Column::DirectoryKey.gt(directory)).add(same))
}
