//! Leases: who may work on a workflow, and until when.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::{Lane, StepRecord, Workflow, WorkflowId, WorkflowState};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Value};
use tracing::instrument;
use uuid::Uuid;

use crate::entity::workflows::control;
use crate::entity::{Cell, steps, workflows};
use crate::sql::{one_of, statement, workflow_columns, workflow_rows};
use crate::store::timed;
use crate::{Claim, Claimed, Control, Heartbeat, Lessee, Store, StoreError};

/// What a workflow in line for a farm's lock says of itself.
const WAITS: &str = "another workflow is working on this farm";

/// The whole batch in one statement.
///
/// * `candidate` locks rows in the order of their ids, so that two claims of one batch do not
///   wait for each other; who comes second finds them no longer queued.
/// * `locked` takes the farms' locks, one candidate for each farm: the one that holds it already,
///   else the oldest. `do update` even where nothing changes: it keeps the lock's row locked until
///   this claim is committed, so its release sees us waiting (see `locks.rs`).
///
/// `token + 0` and `state || ''` keep the planner on the primary key (see `journal.rs`).
fn claim_on_postgresql() -> String {
    format!(
        "with candidate as ( \
           select id, directory_key, farm_key, created_at, fencing_token + 1 as token, \
             farm_key is not null and lane = 'lifecycle' and mode = 'apply' as locking \
           from workflows where id = any($1) and state || '' = 'queued' order by id for update \
         ), locked as ( \
           insert into locks as l (directory_key, farm_key, workflow_id, fencing_token, locked_at) \
           select distinct on (c.directory_key, c.farm_key) c.directory_key, c.farm_key, c.id, c.token, $4 \
           from candidate c \
           left join locks k on k.directory_key = c.directory_key and k.farm_key = c.farm_key \
           where c.locking \
           order by c.directory_key, c.farm_key, (k.workflow_id = c.id) desc nulls last, c.created_at, c.id \
           on conflict (directory_key, farm_key) do update set fencing_token = excluded.fencing_token \
             where l.workflow_id = excluded.workflow_id \
           returning l.workflow_id \
         ), decided as ( \
           select c.id, c.token, c.locking and l.workflow_id is null as waits \
           from candidate c left join locked l on l.workflow_id = c.id where c.token = c.token + 0 \
         ) \
         update workflows w set revision = w.revision + 1, fencing_token = d.token, \
           state = case when d.waits then 'waiting' else 'running' end, \
           waiting_for = case when d.waits then 'lock' end, \
           waiting_detail = case when d.waits then '{WAITS}' end, \
           due_at = null, \
           lease_owner = case when d.waits then null else $2 end, \
           lease_until = case when d.waits then null else $3 end, \
           started_at = case when d.waits then w.started_at else coalesce(w.started_at, $4) end \
         from decided d where w.id = d.id \
         returning {}",
        workflow_columns("w.")
    )
}

fn run_on_sqlite() -> String {
    format!(
        "update workflows set revision = revision + 1, fencing_token = fencing_token + 1, state = 'running', \
           waiting_for = null, waiting_detail = null, due_at = null, \
           lease_owner = $2, lease_until = $3, started_at = coalesce(started_at, $4) \
         where id = $1 returning {}",
        workflow_columns("")
    )
}

fn wait_on_sqlite() -> String {
    format!(
        "update workflows set revision = revision + 1, fencing_token = fencing_token + 1, state = 'waiting', \
           waiting_for = 'lock', waiting_detail = '{WAITS}', due_at = null \
         where id = $1 returning {}",
        workflow_columns("")
    )
}

const LOCK_ON_SQLITE: &str = "insert into locks (directory_key, farm_key, workflow_id, fencing_token, locked_at) \
    values ($1, $2, $3, $4, $5) \
    on conflict (directory_key, farm_key) do update set fencing_token = excluded.fencing_token \
      where workflow_id = excluded.workflow_id \
    returning workflow_id";

/// A row that is being changed by someone else is left alone: a commit renews the lease itself,
/// and two batches that took rows in different order would wait for each other.
const BEAT_ON_POSTGRESQL: &str = "with held as ( \
      select * from unnest($1::uuid[], $2::bigint[]) as h(id, token) where h.token = h.token + 0 \
    ), free as ( \
      select w.id from workflows w join held h on h.id = w.id \
      where w.fencing_token = h.token and w.state || '' = 'running' for update of w skip locked \
    ), beaten as ( \
      update workflows w set lease_until = greatest(w.lease_until, $3) from free where w.id = free.id \
    ) \
    select w.id, w.control from workflows w join held h on h.id = w.id \
    where w.fencing_token = h.token and w.state || '' = 'running'";

const BEAT_ON_SQLITE: &str = "update workflows set lease_until = max(lease_until, $3) \
    where id = $1 and fencing_token = $2 and state = 'running' returning id, control";

impl Store {
    /// Takes the lease of every queued workflow of `ids`, and its farm's lock where it needs one.
    /// Answers in the order of `ids`.
    #[instrument(name = "db.workflows.claim", skip_all, fields(workflows = ids.len()))]
    pub async fn claim(
        &self,
        ids: &[WorkflowId],
        lessee: &Lessee,
        now: DateTime<Utc>,
    ) -> Result<Vec<Claim>, StoreError> {
        let _time = timed("claim");
        self.hold_back(ids, now).await?;
        let until = now + lessee.lease;
        let rows = if self.is_postgresql() {
            let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
            let values: [Value; 4] = [ids.into(), lessee.worker.as_str().into(), until.into(), now.into()];
            // Its own transaction; what is read afterwards only its new holder can change.
            workflow_rows(self.writer(), claim_on_postgresql(), values).await?
        } else {
            self.claim_one_by_one(ids, lessee, now).await?
        };
        // Nothing can have been begun before the first claim.
        let begun: Vec<_> = rows.iter().filter(|row| row.fencing_token > 1).map(|row| row.id).collect();
        let mut begun = self.steps_of(&begun).await?;
        let mut claims = HashMap::with_capacity(rows.len());
        for row in rows {
            let steps = begun.remove(&row.id).unwrap_or_default();
            claims.insert(row.id(), self.claim_of(&row, steps, until)?);
        }
        self.in_order(ids, claims).await
    }

    async fn claim_one_by_one(
        &self,
        ids: &[WorkflowId],
        lessee: &Lessee,
        now: DateTime<Utc>,
    ) -> Result<Vec<workflows::Model>, StoreError> {
        let (run, wait) = (run_on_sqlite(), wait_on_sqlite());
        let until = now + lessee.lease;
        let tx = self.begin().await?;
        let mut rows = Vec::with_capacity(ids.len());
        for id in ids {
            let queued = workflows::Column::State.eq(WorkflowState::Queued.as_str());
            let Some(row) = workflows::Entity::find_by_id(id.0).filter(queued).one(&tx).await? else {
                continue;
            };
            if row.needs_lock() && !lock_on_sqlite(&tx, &row, now).await? {
                rows.extend(workflow_rows(&tx, wait.as_str(), [id.0.into()]).await?);
                continue;
            }
            let values: [Value; 4] = [id.0.into(), lessee.worker.as_str().into(), until.into(), now.into()];
            rows.extend(workflow_rows(&tx, run.as_str(), values).await?);
        }
        tx.commit().await?;
        Ok(rows)
    }

    async fn steps_of(&self, ids: &[Uuid]) -> Result<HashMap<Uuid, Vec<StepRecord>>, StoreError> {
        let mut steps: HashMap<Uuid, Vec<StepRecord>> = HashMap::new();
        // No more than SQLite takes in a list.
        for ids in ids.chunks(10_000) {
            let rows = steps::Entity::find()
                .filter(one_of(self.backend(), steps::Column::WorkflowId, ids))
                .order_by_asc(steps::Column::WorkflowId)
                .order_by_asc(steps::Column::Index)
                .all(self.writer())
                .await?;
            for row in rows {
                steps.entry(row.workflow_id).or_default().push(StepRecord::try_from(row)?);
            }
        }
        Ok(steps)
    }

    fn claim_of(
        &self,
        row: &workflows::Model,
        steps: Vec<StepRecord>,
        lease_until: DateTime<Utc>,
    ) -> Result<Claim, StoreError> {
        if row.state()? != WorkflowState::Running {
            return Ok(Claim::WaitsForLock);
        }
        let holds_lock = row.needs_lock();
        // A containment that ends lowers fences, wherever they were raised.
        if !holds_lock && row.lane()? != Lane::Urgent {
            self.remember_without_lock(row.id());
        }
        Ok(Claim::Claimed(Box::new(Claimed {
            workflow: Workflow { steps, ..Workflow::try_from(row)? },
            input: row.input()?,
            fencing_token: row.fencing_token,
            lease_until,
            pinned_dc: row.pinned_dc.clone(),
            unwinding: row.unwinding()?,
            holds_lock,
            traceparent: row.traceparent.clone(),
            control: row.control()?.or_else(|| row.replan.then_some(Control::Replan)),
        })))
    }

    /// Says of those that were not claimed why not. An id that is named twice is claimed once.
    async fn in_order(
        &self,
        ids: &[WorkflowId],
        mut claims: HashMap<WorkflowId, Claim>,
    ) -> Result<Vec<Claim>, StoreError> {
        let mut states: HashMap<WorkflowId, WorkflowState> = HashMap::new();
        for (id, claim) in &claims {
            let waits = matches!(claim, Claim::WaitsForLock);
            states.insert(*id, if waits { WorkflowState::Waiting } else { WorkflowState::Running });
        }
        let missing: Vec<Uuid> = ids.iter().filter(|id| !claims.contains_key(id)).map(|id| id.0).collect();
        for missing in missing.chunks(10_000) {
            let found = workflows::Entity::find()
                .select_only()
                .columns([workflows::Column::Id, workflows::Column::State])
                .filter(one_of(self.backend(), workflows::Column::Id, missing))
                .into_tuple::<(Uuid, String)>()
                .all(self.reader())
                .await?;
            for (id, state) in found {
                let cell = Cell { table: "workflows", column: "state", row: &id };
                states.insert(WorkflowId(id), cell.parse(&state)?);
            }
        }
        let answer = |id: &WorkflowId| match (claims.remove(id), states.get(id)) {
            (Some(claim), _) => claim,
            (None, Some(state)) => Claim::NotClaimable(*state),
            (None, None) => Claim::Unknown,
        };
        Ok(ids.iter().map(answer).collect())
    }

    /// Renews leases. Answers in the order of `held` (workflow and fencing token).
    #[instrument(level = "debug", name = "db.workflows.heartbeat", skip_all, fields(workflows = held.len()))]
    pub async fn heartbeat(
        &self,
        held: &[(WorkflowId, i64)],
        lease_until: DateTime<Utc>,
    ) -> Result<Vec<Heartbeat>, StoreError> {
        let _time = timed("heartbeat");
        let mut living = HashMap::with_capacity(held.len());
        if self.is_postgresql() {
            let (ids, tokens): (Vec<Uuid>, Vec<i64>) = held.iter().map(|(id, token)| (id.0, *token)).unzip();
            let values: [Value; 3] = [ids.into(), tokens.into(), lease_until.into()];
            living.extend(beats(self.writer(), BEAT_ON_POSTGRESQL, values).await?);
        } else {
            let tx = self.begin().await?;
            for (id, token) in held {
                let values: [Value; 3] = [id.0.into(), (*token).into(), lease_until.into()];
                living.extend(beats(&tx, BEAT_ON_SQLITE, values).await?);
            }
            tx.commit().await?;
        }
        let answer = |(id, _): &(WorkflowId, i64)| match living.get(&id.0) {
            Some(control) => Heartbeat::Held { control: *control },
            None => {
                self.forget(*id);
                Heartbeat::Lost
            }
        };
        Ok(held.iter().map(answer).collect())
    }
}

async fn lock_on_sqlite(
    db: &impl ConnectionTrait,
    row: &workflows::Model,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let values: [Value; 5] = [
        row.directory_key.as_str().into(),
        row.farm_key.as_deref().into(),
        row.id.into(),
        (row.fencing_token + 1).into(),
        now.into(),
    ];
    Ok(db.query_one_raw(statement(db, LOCK_ON_SQLITE, values)).await?.is_some())
}

/// Those that still run, each with what a person asked of it.
async fn beats(
    db: &impl ConnectionTrait,
    sql: &str,
    values: impl IntoIterator<Item = Value>,
) -> Result<Vec<(Uuid, Option<Control>)>, StoreError> {
    let rows = db.query_all_raw(statement(db, sql, values)).await?;
    let read = |row: &sea_orm::QueryResult| {
        let id: Uuid = row.try_get("", "id")?;
        let text: Option<String> = row.try_get("", "control")?;
        Ok((id, control(&id, text.as_deref())?))
    };
    rows.iter().map(read).collect()
}
