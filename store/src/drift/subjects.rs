//! Which farms a check has to look at, with all that the record says of them.

use std::collections::{BTreeMap, HashMap};

use domain::{DirectoryName, FarmName, FarmSpec, WaitReason, WorkflowId, WorkflowKind, WorkflowState};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Value};
use tracing::instrument;
use uuid::Uuid;

use super::model::{AskedFor, AtWork, DriftRow, DriftSubject, Newest, RestsOn};
use crate::entity::{Cell, drift, farms};
use crate::sql::statement;
use crate::store::timed;
use crate::{Farm, Store, StoreError};

/// The newest lifecycle workflow on the farm `f`: one look into `workflows_farm`, from its end.
fn newest(column: &str) -> String {
    format!(
        "(select w.{column} from workflows w where w.farm_key = f.farm_key \
         and w.directory_key = f.directory_key and w.lane = 'lifecycle' and w.mode = 'apply' \
         order by w.id desc limit 1)"
    )
}

impl Store {
    /// Deployed farms by name, from behind `after` on.
    #[instrument(name = "db.drift.subjects", skip_all)]
    pub async fn drift_subjects(
        &self,
        directory: &DirectoryName,
        after: Option<&FarmName>,
        limit: u32,
    ) -> Result<Vec<DriftSubject>, StoreError> {
        let _time = timed("drift_subjects");
        let rows = farms::Entity::find()
            .filter(farms::Column::DirectoryKey.eq(directory.key()))
            .filter(farms::Column::State.eq(farms::DEPLOYED))
            .filter(farms::Column::FarmKey.gt(after.map(FarmName::key).unwrap_or_default()))
            .order_by_asc(farms::Column::FarmKey)
            .limit(u64::from(limit))
            .all(self.reader())
            .await?;
        self.subjects_of(directory, rows).await
    }

    /// Those of `names` that are deployed.
    #[instrument(name = "db.drift.subjects_named", skip_all)]
    pub async fn drift_subjects_named(
        &self,
        directory: &DirectoryName,
        names: &[FarmName],
    ) -> Result<Vec<DriftSubject>, StoreError> {
        let _time = timed("drift_subjects_named");
        let rows = farms::Entity::find()
            .filter(farms::Column::DirectoryKey.eq(directory.key()))
            .filter(farms::Column::State.eq(farms::DEPLOYED))
            .filter(farms::Column::FarmKey.is_in(names.iter().map(FarmName::key)))
            .order_by_asc(farms::Column::FarmKey)
            .all(self.reader())
            .await?;
        self.subjects_of(directory, rows).await
    }

    /// Deployed farms whose last result does not stand, whatever the directory says: never compared,
    /// or on another DC's word; the record is another; something has happened to a workflow on it; or
    /// the result did not rest on objects alone.
    #[instrument(name = "db.drift.due", skip_all)]
    pub async fn drift_due(
        &self,
        directory: &DirectoryName,
        invocation: &str,
        after: Option<&FarmName>,
        limit: u32,
    ) -> Result<Vec<FarmName>, StoreError> {
        let _time = timed("drift_due");
        let sql = format!(
            "select f.name from farms f left join drift d \
             on d.directory_key = f.directory_key and d.farm_key = f.farm_key \
             where f.directory_key = $1 and f.state = '{}' and f.farm_key > $2 and (\
               d.farm_key is null or not d.settled or d.invocation <> $3 \
               or d.farm_updated_at <> f.updated_at \
               or d.newest_workflow is distinct from {} or d.newest_revision is distinct from {}) \
             order by f.farm_key limit $4",
            farms::DEPLOYED,
            newest("id"),
            newest("revision"),
        );
        let after = after.map(FarmName::key).unwrap_or_default();
        let values: [Value; 4] =
            [directory.key().into(), after.into(), invocation.into(), i64::from(limit).into()];
        let rows = self.reader().query_all_raw(statement(self.reader(), sql, values)).await?;
        let cell = Cell { table: "farms", column: "name", row: &"due" };
        rows.iter().map(|row| cell.parse(&row.try_get::<String>("", "name")?)).collect()
    }

    /// What the last results of deployed farms rest on, by name, from behind `after` on.
    #[instrument(name = "db.drift.rests_on", skip_all)]
    pub async fn drift_rests_on(
        &self,
        directory: &DirectoryName,
        after: Option<&FarmName>,
        limit: u32,
    ) -> Result<Vec<RestsOn>, StoreError> {
        let _time = timed("drift_rests_on");
        let rows: Vec<(String, String)> = drift::Entity::find()
            .select_only()
            .columns([drift::Column::Farm, drift::Column::RestsOn])
            .filter(drift::Column::DirectoryKey.eq(directory.key()))
            .filter(drift::Column::FarmKey.gt(after.map(FarmName::key).unwrap_or_default()))
            .order_by_asc(drift::Column::FarmKey)
            .limit(u64::from(limit))
            .into_tuple()
            .all(self.reader())
            .await?;
        let rest = |(farm, objects): (String, String)| {
            let cell = |column| Cell { table: "drift", column, row: &farm };
            Ok(RestsOn { farm: cell("farm").parse(&farm)?, objects: cell("rests_on").json(&objects)? })
        };
        rows.into_iter().map(rest).collect()
    }

    async fn subjects_of(
        &self,
        directory: &DirectoryName,
        rows: Vec<farms::Model>,
    ) -> Result<Vec<DriftSubject>, StoreError> {
        let farms = rows.into_iter().map(Farm::try_from).collect::<Result<Vec<_>, _>>()?;
        let keys: Vec<String> = farms.iter().map(|farm| farm.name.key()).collect();
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let newest = self.newest_of(directory, &keys).await?;
        let mut work = self.work_of(directory, &keys).await?;
        let known = drift::Entity::find()
            .filter(drift::Column::DirectoryKey.eq(directory.key()))
            .filter(drift::Column::FarmKey.is_in(keys.iter().map(String::as_str)))
            .all(self.reader())
            .await?;
        let known = known.iter().map(|row| Ok((row.farm_key.clone(), DriftRow::try_from(row)?)));
        let mut known = known.collect::<Result<HashMap<_, _>, StoreError>>()?;
        let subject = |farm: Farm| {
            let key = farm.name.key();
            let Work { asked, at_work } = work.remove(&key).unwrap_or_default();
            let (newest, known) = (newest.get(&key).copied(), known.remove(&key));
            DriftSubject { asked, at_work, newest, known, farm }
        };
        Ok(farms.into_iter().map(subject).collect())
    }

    async fn newest_of(
        &self,
        directory: &DirectoryName,
        keys: &[String],
    ) -> Result<HashMap<String, Newest>, StoreError> {
        let sql = format!(
            "select f.farm_key, {} as id, {} as revision from farms f where f.directory_key = $1 \
             and f.farm_key in ({})",
            newest("id"),
            newest("revision"),
            placeholders(2, keys.len()),
        );
        let rows = self.reader().query_all_raw(statement(self.reader(), sql, of(directory, keys))).await?;
        let mut found = HashMap::new();
        for row in rows {
            let id: Option<Uuid> = row.try_get("", "id")?;
            let revision: Option<i64> = row.try_get("", "revision")?;
            if let Some((id, revision)) = id.zip(revision) {
                let newest = Newest { workflow: WorkflowId(id), revision };
                found.insert(row.try_get("", "farm_key")?, newest);
            }
        }
        Ok(found)
    }

    /// Workflows under way on those farms, and deploys and updates that have failed since the record
    /// was written; the latest decides.
    async fn work_of(
        &self,
        directory: &DirectoryName,
        keys: &[String],
    ) -> Result<BTreeMap<String, Work>, StoreError> {
        let sql = format!(
            "select w.id, w.farm_key, w.kind, w.state, w.waiting_for, w.input from workflows w \
             join farms f on f.directory_key = w.directory_key and f.farm_key = w.farm_key \
             where w.directory_key = $1 and w.farm_key in ({}) and w.lane = 'lifecycle' and w.mode = 'apply' \
             and (w.state in ('queued', 'running', 'waiting', 'paused') \
               or (w.kind in ('deploy', 'update') and w.state in ('failed', 'unwound') \
                 and w.finished_at > f.updated_at)) \
             order by w.id",
            placeholders(2, keys.len()),
        );
        let rows = self.reader().query_all_raw(statement(self.reader(), sql, of(directory, keys))).await?;
        let mut found: BTreeMap<String, Work> = BTreeMap::new();
        for row in rows {
            let id: Uuid = row.try_get("", "id")?;
            let cell = |column| Cell { table: "workflows", column, row: &id };
            let kind: String = row.try_get("", "kind")?;
            let kind = WorkflowKind::parse(&kind).map_err(|_| cell("kind").inconsistent())?;
            let state: WorkflowState = cell("state").parse(&row.try_get::<String>("", "state")?)?;
            let waits: Option<String> = row.try_get("", "waiting_for")?;
            let waits = waits.map(|text| cell("waiting_for").parse::<WaitReason>(&text)).transpose()?;
            let work = found.entry(row.try_get("", "farm_key")?).or_default();
            if [WorkflowKind::DEPLOY, WorkflowKind::UPDATE].contains(&kind) {
                // An input of another version says nothing here.
                let input: String = row.try_get("", "input")?;
                let spec = serde_json::from_str::<FarmSpec>(&input).ok();
                work.asked =
                    spec.map(|spec| AskedFor { workflow: WorkflowId(id), spec }).or(work.asked.take());
            }
            if writes(state, waits) {
                work.at_work = Some(AtWork { workflow: WorkflowId(id), kind });
            }
        }
        Ok(found)
    }
}

#[derive(Default)]
struct Work {
    asked: Option<AskedFor>,
    at_work: Option<AtWork>,
}

/// Whether such a workflow may have written something that is not on record yet. One that waits for
/// its turn has not; neither has one that waits for approval, which comes before the first write.
fn writes(state: WorkflowState, waits: Option<WaitReason>) -> bool {
    match state {
        WorkflowState::Running | WorkflowState::Paused => true,
        WorkflowState::Waiting => {
            !matches!(waits, Some(WaitReason::Approval | WaitReason::Lock | WaitReason::Calendar))
        }
        _ => false,
    }
}

fn placeholders(from: usize, number: usize) -> String {
    (from..from + number).map(|at| format!("${at}")).collect::<Vec<_>>().join(", ")
}

fn of(directory: &DirectoryName, keys: &[String]) -> Vec<Value> {
    let keys = keys.iter().map(|key| Value::from(key.as_str()));
    std::iter::once(directory.key().into()).chain(keys).collect()
}
