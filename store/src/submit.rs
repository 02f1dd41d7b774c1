//! Requests come in: workflow, farm, key and event in one transaction.

use domain::{Cause, FarmName, FarmSpec, Lane, Mode, Workflow, WorkflowId};
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter,
    TryInsertResult, sea_query::Expr,
};
use tracing::instrument;

use crate::entity::{clean, farms, idempotency_keys, to_json, workflow_hosts, workflows};
use crate::store::timed;
use crate::workflows::read_workflow;
use crate::{IdempotencyKey, NewWorkflow, Store, StoreError, Submitted};

/// 37 columns each; SQLite takes 32,766 values in a statement.
pub(crate) const ROWS_PER_INSERT: usize = 500;

impl Store {
    /// Records the request and its event. With a key that was used before: what it stands for.
    #[instrument(name = "db.workflows.submit", skip_all, fields(workflow = %new.id))]
    pub async fn submit(
        &self,
        new: NewWorkflow,
        key: Option<IdempotencyKey>,
    ) -> Result<Submitted, StoreError> {
        let _time = timed("submit");
        let tx = self.begin().await?;
        if let Some(key) = key
            && let Some(earlier) = claim_key(&tx, &key, &new).await?
        {
            return answer_again(&tx, &key, earlier).await;
        }
        let rows = self.insert(&tx, std::slice::from_ref(&new)).await?;
        tx.commit().await?;
        self.wake_relay();
        let row = rows.first().ok_or_else(|| StoreError::Statement("no row was made".into()))?;
        Ok(Submitted::New(Workflow::try_from(row)?))
    }

    /// What a key stands for already, without asking for anything.
    #[instrument(name = "db.workflows.submitted", skip_all)]
    pub async fn submitted(&self, key: &IdempotencyKey) -> Result<Option<Submitted>, StoreError> {
        let _time = timed("submitted");
        let id = (clean(&key.principal), clean(&key.key));
        match idempotency_keys::Entity::find_by_id(id).one(self.reader()).await? {
            Some(earlier) => answer_again(self.reader(), key, earlier).await.map(Some),
            None => Ok(None),
        }
    }

    /// Many requests in one transaction.
    #[instrument(name = "db.workflows.submit_many", skip_all, fields(workflows = new.len()))]
    pub async fn submit_many(&self, new: Vec<NewWorkflow>) -> Result<(), StoreError> {
        let _time = timed("submit_many");
        let tx = self.begin().await?;
        for part in new.chunks(ROWS_PER_INSERT) {
            self.insert(&tx, part).await?;
        }
        tx.commit().await?;
        self.wake_relay();
        Ok(())
    }

    pub(crate) async fn insert(
        &self,
        db: &impl ConnectionTrait,
        new: &[NewWorkflow],
    ) -> Result<Vec<workflows::Model>, StoreError> {
        for new in new {
            record_farm(db, new).await?;
        }
        let rows = new.iter().map(workflows::Model::queued).collect::<Result<Vec<_>, _>>()?;
        let actives = rows.iter().map(|row| row.clone().into_active_model().reset_all());
        workflows::Entity::insert_many(actives).exec_without_returning(db).await?;
        let hosts: Vec<_> = new.iter().flat_map(hosts_of).collect();
        for hosts in hosts.chunks(ROWS_PER_INSERT * 10) {
            let hosts = hosts.iter().map(|host| host.clone().into_active_model().reset_all());
            workflow_hosts::Entity::insert_many(hosts)
                .on_conflict(OnConflict::new().do_nothing().to_owned())
                .exec_without_returning(db)
                .await?;
        }
        if let Some(now) = new.first().map(|new| new.now) {
            self.write_events(db, &rows, Cause::Requested, now).await?;
        }
        Ok(rows)
    }
}

fn hosts_of(new: &NewWorkflow) -> impl Iterator<Item = workflow_hosts::Model> {
    let row =
        |host| workflow_hosts::Model { workflow_id: new.id.0, host_key: workflow_hosts::host_key(host) };
    new.hosts.iter().map(move |host| row(host))
}

/// The key's earlier owner, if it has one. Two requests with one key at once: the second waits
/// here for the first's end and then sees its row.
async fn claim_key(
    db: &impl ConnectionTrait,
    key: &IdempotencyKey,
    new: &NewWorkflow,
) -> Result<Option<idempotency_keys::Model>, StoreError> {
    let (principal, text) = (clean(&key.principal), clean(&key.key));
    let row = idempotency_keys::Model {
        principal: principal.clone(),
        key: text.clone(),
        request_hash: key.request_hash.clone(),
        workflow_id: new.id.0,
        created_at: new.now,
    };
    let inserted = idempotency_keys::Entity::insert(row.into_active_model().reset_all())
        .on_conflict_do_nothing()
        .exec_without_returning(db)
        .await?;
    if matches!(inserted, TryInsertResult::Inserted(1)) {
        return Ok(None);
    }
    Ok(idempotency_keys::Entity::find_by_id((principal, text)).one(db).await?)
}

async fn answer_again(
    db: &impl ConnectionTrait,
    key: &IdempotencyKey,
    earlier: idempotency_keys::Model,
) -> Result<Submitted, StoreError> {
    let id = WorkflowId(earlier.workflow_id);
    if earlier.request_hash != key.request_hash {
        return Ok(Submitted::Conflict(id));
    }
    let inconsistent =
        || StoreError::Inconsistent { table: "idempotency_keys", column: "workflow_id", row: id.to_string() };
    Ok(Submitted::Replayed(read_workflow(db, id).await?.ok_or_else(inconsistent)?))
}

/// A farm that is asked for the first time gets its row; one on record only learns its last
/// workflow. A dry run and a question leave no trace.
async fn record_farm(db: &impl ConnectionTrait, new: &NewWorkflow) -> Result<(), StoreError> {
    if new.mode != Mode::Apply || new.lane != Lane::Lifecycle {
        return Ok(());
    }
    match (&new.farm_spec, &new.farm) {
        (Some(spec), _) => insert_farm(db, new, spec).await,
        (None, Some(farm)) => set_last_workflow(db, new, farm).await,
        (None, None) => Ok(()),
    }
}

async fn insert_farm(
    db: &impl ConnectionTrait,
    new: &NewWorkflow,
    spec: &FarmSpec,
) -> Result<(), StoreError> {
    let row = farms::Model {
        directory_key: spec.directory.key(),
        farm_key: spec.name.key(),
        directory: spec.directory.to_string(),
        name: spec.name.to_string(),
        state: farms::REQUESTED.to_owned(),
        spec: to_json(spec)?,
        recorded: None,
        account_sid: None,
        last_workflow: Some(new.id.0),
        created_at: new.now,
        updated_at: new.now,
    };
    let known = OnConflict::columns([farms::Column::DirectoryKey, farms::Column::FarmKey])
        .update_column(farms::Column::LastWorkflow)
        .to_owned();
    farms::Entity::insert(row.into_active_model().reset_all())
        .on_conflict(known)
        .exec_without_returning(db)
        .await?;
    Ok(())
}

async fn set_last_workflow(
    db: &impl ConnectionTrait,
    new: &NewWorkflow,
    farm: &FarmName,
) -> Result<(), StoreError> {
    farms::Entity::update_many()
        .col_expr(farms::Column::LastWorkflow, Expr::value(new.id.0))
        .filter(farms::Column::DirectoryKey.eq(new.directory.key()))
        .filter(farms::Column::FarmKey.eq(farm.key()))
        .exec(db)
        .await?;
    Ok(())
}
