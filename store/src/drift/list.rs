//! How farms stand, for people and for metrics.

use domain::drift::DriftEntry;
use domain::{DirectoryName, DriftState, FarmName};
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use tracing::instrument;

use super::model::DriftFilter;
use crate::entity::Cell;
use crate::entity::drift::{Column, Entity, Model};
use crate::listing::MAX_LIMIT;
use crate::sql::statement;
use crate::store::timed;
use crate::{Page, Store, StoreError};

impl Store {
    /// By directory and farm.
    #[instrument(name = "db.drift.list", skip_all)]
    pub async fn drift(
        &self,
        filter: &DriftFilter,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<DriftEntry>, StoreError> {
        let _time = timed("drift");
        let limit = limit.clamp(1, MAX_LIMIT);
        let mut select = Entity::find();
        if let Some(directory) = &filter.directory {
            select = select.filter(Column::DirectoryKey.eq(directory.key()));
        }
        if let Some(state) = filter.state {
            select = select.filter(Column::State.eq(state.as_str()));
        }
        if let Some(farm) = &filter.farm {
            select = select.filter(Column::FarmKey.eq(farm.key()));
        }
        if let Some(cursor) = cursor {
            select = select.filter(after(cursor)?);
        }
        let mut rows = select
            .order_by_asc(Column::DirectoryKey)
            .order_by_asc(Column::FarmKey)
            .limit(u64::from(limit) + 1)
            .all(self.reader())
            .await?;
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let next = rows.last().filter(|_| more).map(cursor_of);
        let items = rows.into_iter().map(DriftEntry::try_from).collect::<Result<_, _>>()?;
        Ok(Page { items, next })
    }

    #[instrument(name = "db.drift.get", skip_all)]
    pub async fn drift_of(
        &self,
        directory: &DirectoryName,
        farm: &FarmName,
    ) -> Result<Option<DriftEntry>, StoreError> {
        let _time = timed("drift_of");
        let row = Entity::find_by_id((directory.key(), farm.key())).one(self.reader()).await?;
        row.map(DriftEntry::try_from).transpose()
    }

    /// How many farms of each directory stand how.
    #[instrument(level = "debug", name = "db.drift.count", skip_all)]
    pub async fn count_by_drift(&self) -> Result<Vec<(DirectoryName, DriftState, u64)>, StoreError> {
        let _time = timed("count_by_drift");
        let sql = "select max(directory) as directory, state, count(*) as number from drift \
             group by directory_key, state";
        let rows = self.reader().query_all_raw(statement(self.reader(), sql, [])).await?;
        let read = |row: &sea_orm::QueryResult| {
            let cell = |column| Cell { table: "drift", column, row: &"count" };
            Ok((
                cell("directory").parse(&row.try_get::<String>("", "directory")?)?,
                cell("state").parse(&row.try_get::<String>("", "state")?)?,
                cell("count").number(row.try_get::<i64>("", "number")?)?,
            ))
        };
        rows.iter().map(read).collect()
    }

    /// The first farms of a directory that are not in line, as the last checks left them.
    #[instrument(name = "db.drift.drifted", skip_all)]
    pub async fn drifted_farms(
        &self,
        directory: &DirectoryName,
        limit: u32,
    ) -> Result<Vec<FarmName>, StoreError> {
        let _time = timed("drifted_farms");
        let rows: Vec<String> = Entity::find()
            .select_only()
            .column(Column::Farm)
            .filter(Column::DirectoryKey.eq(directory.key()))
            .filter(Column::State.is_in([DriftState::Drifted.as_str(), DriftState::Mending.as_str()]))
            .order_by_asc(Column::FarmKey)
            .limit(u64::from(limit))
            .into_tuple()
            .all(self.reader())
            .await?;
        rows.iter().map(|farm| Cell { table: "drift", column: "farm", row: farm }.parse(farm)).collect()
    }
}

/// No name holds a `/`.
fn cursor_of(row: &Model) -> String {
    hex::encode(format!("{}/{}", row.directory_key, row.farm_key))
}

fn after(cursor: &str) -> Result<Condition, StoreError> {
    let text = hex::decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let Some((directory, farm)) = text.as_deref().and_then(|text| text.split_once('/')) else {
        return Err(StoreError::InvalidCursor);
    };
    let same = Condition::all().add(Column::DirectoryKey.eq(directory)).add(Column::FarmKey.gt(farm));
    Ok(Condition::any().add(Column::DirectoryKey.gt(directory)).add(same))
}
