//! A farm's fence: a containment stops the lifecycle workflows that could let its host in again.
//!
//! What is stopped carries `preempted_by`, from the moment it is asked until the containment ends in
//! whatever way. While it does, it is
//!
//! * `running` with `control = preempt`: its worker stops at the next step boundary. If that worker
//!   dies or hands over, it is paused, not queued;
//! * `paused`: nobody claims, resumes or retries it. A person who had paused it, or wants it paused
//!   when the containment is over, leaves `control = pause` on it: such a one stays paused then;
//! * in any state with `control = cancel`: a person's cancellation goes its way. It is only counted
//!   among the stopped ones, so that the containment waits for a worker that takes things back.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::{Cause, DirectoryName, FarmName, Workflow, WorkflowId, WorkflowState};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Value};
use tracing::instrument;
use uuid::Uuid;

use crate::entity::farms;
use crate::entity::workflow_hosts::host_key;
use crate::entity::workflows::{Column, Entity, Model};
use crate::sql::{statement, workflow_columns, workflow_rows};
use crate::store::timed;
use crate::{Farm, Preempted, Preemption, Store, StoreError};

/// Values of one list in a statement on SQLite, which takes 32,766 in all.
const LIST: usize = 10_000;

/// Which workflows, as a condition with its values from `$3` on.
struct These {
    condition: String,
    values: Vec<Value>,
}

impl Store {
    /// Raises the fence: lifecycle workflows (mode apply) on these farms or about this host that
    /// are queued, waiting or paused are held, running ones are asked to stop at their next step
    /// boundary. Repeated, it also catches what came since. All that this containment has stopped,
    /// and those of its farms and hosts that another one has stopped before it, as they stand now.
    ///
    /// One statement, so that none slips through: a claim that takes a workflow from queued to running
    /// at the same moment either comes first, and it is asked to stop, or second, and finds it paused.
    ///
    /// A containment that is over raises nothing: a worker of it that lost its lease may come late,
    /// and nobody would lower that fence again.
    #[instrument(name = "db.workflows.preempt", skip_all, fields(by = %preemption.by))]
    pub async fn preempt(
        &self,
        preemption: &Preemption,
        now: DateTime<Utc>,
    ) -> Result<Vec<Preempted>, StoreError> {
        let _time = timed("preempt");
        let tx = self.begin().await?;
        // Shared with nobody who ends it: its end comes after this, and lowers what is raised here.
        let by = Entity::find_by_id(preemption.by.0).lock_shared().one(&tx).await?;
        let over = match by {
            Some(by) => by.state()?.is_finished(),
            None => true,
        };
        let mut stopped = BTreeMap::new();
        for these in self.these(preemption) {
            let values = || {
                let own = [Value::from(preemption.by.0), preemption.directory.key().into()];
                own.into_iter().chain(these.values.iter().cloned())
            };
            if !over {
                tx.execute_raw(statement(&tx, self.raise(&these.condition), values())).await?;
            }
            let rows = workflow_rows(&tx, stopped_of(&these.condition), values()).await?;
            stopped.extend(rows.into_iter().map(|row| (row.id, row)));
        }
        stopped.extend(stopped_by(&tx, preemption.by).await?.into_iter().map(|row| (row.id, row)));
        tx.commit().await?;
        if !stopped.is_empty() {
            tracing::info!(by = %preemption.by, workflows = stopped.len(), at = %now, "held for a containment");
        }
        stopped.values().map(preempted).collect()
    }

    /// In one condition on PostgreSQL, in as many as the lists need on SQLite.
    fn these(&self, preemption: &Preemption) -> Vec<These> {
        const NAMED: &str = "id in (select workflow_id from workflow_hosts where host_key";
        let farms: Vec<String> = preemption.farms.iter().map(FarmName::key).collect();
        let hosts: Vec<String> = preemption.hosts.iter().map(|host| host_key(host)).collect();
        if self.is_postgresql() {
            let condition = format!("(farm_key = any($3) or {NAMED} = any($4)))");
            return vec![These { condition, values: vec![farms.into(), hosts.into()] }];
        }
        let mut all = Vec::new();
        for (list, prefix, suffix) in
            [(farms, "farm_key in (".to_owned(), ")"), (hosts, format!("{NAMED} in ("), "))")]
        {
            for list in list.chunks(LIST) {
                let places: Vec<_> = (3..list.len() + 3).map(|n| format!("${n}")).collect();
                let condition = format!("{prefix}{}{suffix}", places.join(", "));
                all.push(These { condition, values: list.iter().cloned().map(Value::from).collect() });
            }
        }
        all
    }

    /// `$1` is the containment, `$2` the directory. Rows are locked in the order of their ids, as
    /// claims and commits do, so that they do not wait for each other.
    fn raise(&self, these: &str) -> String {
        format!(
            "with these as ( \
               select id from workflows where {OF_OTHERS} and {these} \
                 and state <> 'succeeded' and state in ('queued', 'running', 'waiting', 'paused') \
                 and (state <> 'paused' or (preempted_by is null and control is null)) \
                 and (preempted_by is null \
                   or (preempted_by = $1 and coalesce(control, '') not in ('preempt', 'pause', 'cancel'))) \
               {in_order} \
             ) \
             update workflows set revision = revision + 1, preempted_by = $1, \
               control = case when control in ('cancel', 'pause') then control \
                 when state = 'running' then 'preempt' when state = 'paused' then 'pause' end, \
               waiting_for = case when {goes_on} then waiting_for end, \
               waiting_detail = case when {goes_on} then waiting_detail end, \
               due_at = case when {goes_on} then due_at end, \
               state = case when {goes_on} then state else 'paused' end \
             where id in (select id from these)",
            in_order = self.lock_in_order(),
            goes_on = "state = 'running' or control = 'cancel'",
        )
    }

    /// `{these}` names the containments with `$1`; `$2` is now. What a person had paused stays so,
    /// but is planned anew, too, when it goes on; so is one that had not come to its boundary yet.
    fn lower(&self, these: &str) -> String {
        format!(
            "with these as (select id from workflows where preempted_by {these} {in_order}) \
             update workflows set revision = revision + 1, preempted_by = null, \
               replan = replan or state in ('queued', 'running', 'waiting', 'paused'), \
               control = case when control = 'cancel' or (control = 'pause' and state <> 'paused') \
                 then control end, \
               emitted_at = case when {held} then $2 else emitted_at end, \
               emissions = case when {held} then 1 else emissions end, \
               state = case when {held} then 'queued' else state end \
             where id in (select id from these) returning {columns}",
            in_order = self.lock_in_order(),
            held = "state = 'paused' and coalesce(control, '') <> 'pause'",
            columns = workflow_columns(""),
        )
    }

    fn lock_in_order(&self) -> &'static str {
        if self.is_postgresql() { "order by id for update" } else { "" }
    }

    /// The containments are over: what they had stopped goes on, planned anew. Within the
    /// transaction that ends them. Whether an event was written.
    pub(crate) async fn lower_fences(
        &self,
        db: &impl ConnectionTrait,
        ended: &[Uuid],
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let mut lowered = Vec::new();
        if self.is_postgresql() {
            let values: [Value; 2] = [ended.to_vec().into(), now.into()];
            lowered = workflow_rows(db, self.lower("= any($1)"), values).await?;
        } else {
            for id in ended {
                let values: [Value; 2] = [(*id).into(), now.into()];
                lowered.extend(workflow_rows(db, self.lower("= $1"), values).await?);
            }
        }
        lowered.retain(|row| row.state == WorkflowState::Queued.as_str());
        self.write_events(db, &lowered, Cause::FenceLowered, now).await?;
        Ok(!lowered.is_empty())
    }

    /// Those that a containment has stopped, as they stand now.
    #[instrument(name = "db.workflows.preempted", skip_all, fields(%by))]
    pub async fn preempted(&self, by: WorkflowId) -> Result<Vec<Preempted>, StoreError> {
        let _time = timed("preempted");
        stopped_by(self.reader(), by).await?.iter().map(preempted).collect()
    }

    /// The workflows that this one asked for, oldest first, without their steps.
    #[instrument(name = "db.workflows.children", skip_all, fields(%parent))]
    pub async fn children(&self, parent: WorkflowId) -> Result<Vec<Workflow>, StoreError> {
        let _time = timed("children");
        let rows = Entity::find()
            .filter(Column::Parent.eq(parent.0))
            .order_by_asc(Column::Id)
            .all(self.reader())
            .await?;
        rows.iter().map(Workflow::try_from).collect()
    }

    /// Every deployed farm of a directory.
    #[instrument(name = "db.farms.deployed", skip_all, fields(%directory))]
    pub async fn deployed_farms(&self, directory: &DirectoryName) -> Result<Vec<Farm>, StoreError> {
        let _time = timed("deployed_farms");
        let rows = farms::Entity::find()
            .filter(farms::Column::DirectoryKey.eq(directory.key()))
            .filter(farms::Column::State.eq(farms::DEPLOYED))
            .order_by_asc(farms::Column::FarmKey)
            .all(self.reader())
            .await?;
        rows.into_iter().map(Farm::try_from).collect()
    }
}

/// Lifecycle workflows of the directory `$2` that `$1` may stop: not itself, nor what it asked for.
const OF_OTHERS: &str = "directory_key = $2 and lane = 'lifecycle' and mode = 'apply' and id <> $1 \
    and (parent is null or parent <> $1)";

fn stopped_of(these: &str) -> String {
    format!(
        "select {} from workflows where preempted_by is not null and {OF_OTHERS} and {these}",
        workflow_columns("")
    )
}

async fn stopped_by(db: &impl ConnectionTrait, by: WorkflowId) -> Result<Vec<Model>, StoreError> {
    Ok(Entity::find().filter(Column::PreemptedBy.eq(by.0)).order_by_asc(Column::Id).all(db).await?)
}

fn preempted(row: &Model) -> Result<Preempted, StoreError> {
    let workflow = Workflow::try_from(row)?;
    Ok(Preempted {
        workflow: workflow.id,
        kind: workflow.kind,
        farm: workflow.farm,
        state: workflow.state,
        lease_until: row.lease_until,
    })
}
