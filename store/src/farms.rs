//! Farms on record.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::{DirectoryName, FarmName, Sid};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter,
    QueryOrder, QuerySelect,
};
use tracing::instrument;
use uuid::Uuid;

use crate::entity::farms::{Column, DECOMMISSIONED, DEPLOYED, Entity, Model};
use crate::entity::to_json;
use crate::listing::MAX_LIMIT;
use crate::store::timed;
use crate::{Farm, FarmFacts, FarmRecord, Page, Store, StoreError};

/// SQLite takes 32,766 values in a statement.
const KEYS_PER_SELECT: usize = 1000;

impl Store {
    #[instrument(name = "db.farms.get", skip_all, fields(%directory, farm = %name))]
    pub async fn farm(&self, directory: &DirectoryName, name: &FarmName) -> Result<Option<Farm>, StoreError> {
        let _time = timed("farm");
        let row = Entity::find_by_id((directory.key(), name.key())).one(self.reader()).await?;
        row.map(Farm::try_from).transpose()
    }

    /// The farm whose account has that SID; a farm that is gone has none.
    pub async fn farm_of_account(
        &self,
        directory: &DirectoryName,
        account: &Sid,
    ) -> Result<Option<FarmName>, StoreError> {
        let found = self.farms_of_accounts(directory, std::slice::from_ref(account)).await?;
        Ok(found.into_values().next().map(|farm| farm.name))
    }

    /// The deployed farms whose accounts those are, by the account's SID.
    #[instrument(name = "db.farms.of_accounts", skip_all, fields(accounts = accounts.len()))]
    pub async fn farms_of_accounts(
        &self,
        directory: &DirectoryName,
        accounts: &[Sid],
    ) -> Result<HashMap<Sid, Farm>, StoreError> {
        let _time = timed("farms_of_accounts");
        let mut farms = HashMap::new();
        for part in accounts.chunks(KEYS_PER_SELECT) {
            let rows = Entity::find()
                .filter(Column::DirectoryKey.eq(directory.key()))
                .filter(Column::AccountSid.is_in(part.iter().map(ToString::to_string)))
                .filter(Column::State.eq(DEPLOYED))
                .all(self.reader())
                .await?;
            for row in rows {
                let farm = Farm::try_from(row)?;
                if let Some(facts) = &farm.recorded {
                    farms.insert(facts.account_sid.clone(), farm);
                }
            }
        }
        Ok(farms)
    }

    /// By directory and name.
    #[instrument(name = "db.farms.list", skip_all)]
    pub async fn farms(
        &self,
        directory: Option<&DirectoryName>,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Farm>, StoreError> {
        let _time = timed("farms");
        let limit = limit.clamp(1, MAX_LIMIT);
        let mut select = Entity::find();
        if let Some(directory) = directory {
            select = select.filter(Column::DirectoryKey.eq(directory.key()));
        }
        if let Some(cursor) = cursor {
            select = select.filter(after(cursor)?);
        }
        let rows = select
            .order_by_asc(Column::DirectoryKey)
            .order_by_asc(Column::FarmKey)
            .limit(u64::from(limit) + 1)
            .all(self.reader())
            .await?;
        let more = rows.len() > limit as usize;
        let items =
            rows.into_iter().take(limit as usize).map(Farm::try_from).collect::<Result<Vec<_>, _>>()?;
        let next = items.last().filter(|_| more).map(cursor_of);
        Ok(Page { items, next })
    }

    /// The deployed farms on record whose hosts are members of this group.
    #[instrument(name = "db.farms.of_group", skip_all, fields(%directory, %group))]
    pub async fn farms_of_group(
        &self,
        directory: &DirectoryName,
        group: &Sid,
    ) -> Result<Vec<FarmName>, StoreError> {
        let _time = timed("farms_of_group");
        // The text holds other SIDs too, and this one may be the head of a longer one.
        let rows = Entity::find()
            .filter(Column::DirectoryKey.eq(directory.key()))
            .filter(Column::State.eq(DEPLOYED))
            .filter(Column::Recorded.contains(group.to_string()))
            .all(self.reader())
            .await?;
        let farms = rows.into_iter().map(Farm::try_from).collect::<Result<Vec<_>, _>>()?;
        let uses =
            |farm: &Farm| farm.recorded.as_ref().is_some_and(|facts| facts.group_sid.as_ref() == Some(group));
        Ok(farms.into_iter().filter(uses).map(|farm| farm.name).collect())
    }
}

/// No name holds a `/`; hexadecimal, so that nobody reads a meaning into it.
fn cursor_of(farm: &Farm) -> String {
    hex::encode(format!("{}/{}", farm.directory.key(), farm.name.key()))
}

fn after(cursor: &str) -> Result<Condition, StoreError> {
    let text = hex::decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let Some((directory, farm)) = text.as_deref().and_then(|text| text.split_once('/')) else {
        return Err(StoreError::InvalidCursor);
    };
    let same = Condition::all().add(Column::DirectoryKey.eq(directory)).add(Column::FarmKey.gt(farm));
    Ok(Condition::any().add(Column::DirectoryKey.gt(directory)).add(same))
}

/// What the end of a workflow leaves on record.
pub(crate) async fn record(
    db: &impl ConnectionTrait,
    record: &FarmRecord,
    workflow: Uuid,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    match record {
        FarmRecord::Deployed(facts) => record_deployed(db, facts, workflow, now).await,
        FarmRecord::Decommissioned { directory, farm } => {
            Entity::update_many()
                .col_expr(Column::State, Expr::value(DECOMMISSIONED))
                .col_expr(Column::LastWorkflow, Expr::value(workflow))
                .col_expr(Column::UpdatedAt, Expr::value(now))
                .filter(Column::DirectoryKey.eq(directory.key()))
                .filter(Column::FarmKey.eq(farm.key()))
                .exec(db)
                .await?;
            Ok(())
        }
    }
}

async fn record_deployed(
    db: &impl ConnectionTrait,
    facts: &FarmFacts,
    workflow: Uuid,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let row = Model {
        directory_key: facts.spec.directory.key(),
        farm_key: facts.spec.name.key(),
        directory: facts.spec.directory.to_string(),
        name: facts.spec.name.to_string(),
        state: DEPLOYED.to_owned(),
        spec: to_json(&facts.spec)?,
        recorded: Some(to_json(facts)?),
        account_sid: Some(facts.account_sid.to_string()),
        last_workflow: Some(workflow),
        created_at: now,
        updated_at: now,
    };
    let replaced = [
        Column::Name,
        Column::State,
        Column::Spec,
        Column::Recorded,
        Column::AccountSid,
        Column::LastWorkflow,
        Column::UpdatedAt,
    ];
    let known =
        OnConflict::columns([Column::DirectoryKey, Column::FarmKey]).update_columns(replaced).to_owned();
    Entity::insert(row.into_active_model().reset_all()).on_conflict(known).exec_without_returning(db).await?;
    Ok(())
}
