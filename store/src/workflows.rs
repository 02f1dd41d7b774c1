//! Workflows are looked at.

use domain::{StepRecord, StepState, Workflow, WorkflowId, WorkflowKind, WorkflowState};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use tracing::instrument;

use crate::entity::{Cell, steps, workflows};
use crate::sql::statement;
use crate::store::timed;
use crate::{Store, StoreError};

impl Store {
    /// The workflow with all its steps, those not begun included.
    #[instrument(name = "db.workflows.get", skip_all, fields(workflow = %id))]
    pub async fn workflow(&self, id: WorkflowId) -> Result<Option<Workflow>, StoreError> {
        let _time = timed("workflow");
        read_workflow(self.reader(), id).await
    }

    /// A number that grows with every change of the workflow; heartbeats do not count.
    #[instrument(level = "debug", name = "db.workflows.revision", skip_all, fields(workflow = %id))]
    pub async fn revision(&self, id: WorkflowId) -> Result<Option<i64>, StoreError> {
        let _time = timed("revision");
        let revision = workflows::Entity::find_by_id(id.0).select_only().column(workflows::Column::Revision);
        Ok(revision.into_tuple().one(self.reader()).await?)
    }

    /// How many workflows there are of each kind and state; the finished ones are not counted,
    /// since they are never all in a cache.
    #[instrument(level = "debug", name = "db.workflows.count", skip_all)]
    pub async fn count_by_state(&self) -> Result<Vec<(WorkflowKind, WorkflowState, u64)>, StoreError> {
        let _time = timed("count_by_state");
        // The first condition names the partial index; SQLite takes it by its words only.
        let sql = "select kind, state, count(*) as number from workflows \
             where state <> 'succeeded' and state in ('queued', 'running', 'waiting', 'paused') \
             group by kind, state order by kind, state";
        let rows = self.reader().query_all_raw(statement(self.reader(), sql, [])).await?;
        let read = |row: &sea_orm::QueryResult| {
            let kind: String = row.try_get("", "kind")?;
            let cell = |column| Cell { table: "workflows", column, row: &"count" };
            Ok((
                cell("kind").json(&format!("{kind:?}"))?,
                cell("state").parse(&row.try_get::<String>("", "state")?)?,
                cell("count").number(row.try_get::<i64>("", "number")?)?,
            ))
        };
        rows.iter().map(read).collect()
    }
}

pub(crate) async fn read_workflow(
    db: &impl ConnectionTrait,
    id: WorkflowId,
) -> Result<Option<Workflow>, StoreError> {
    let Some(row) = workflows::Entity::find_by_id(id.0).one(db).await? else { return Ok(None) };
    with_all_steps(db, &row).await.map(Some)
}

pub(crate) async fn with_all_steps(
    db: &impl ConnectionTrait,
    row: &workflows::Model,
) -> Result<Workflow, StoreError> {
    let mut workflow = Workflow::try_from(row)?;
    if row.fencing_token == 0 {
        return Ok(workflow);
    }
    let names = row.step_names()?.unwrap_or_default();
    let begun = steps::Entity::find()
        .filter(steps::Column::WorkflowId.eq(row.id))
        .order_by_asc(steps::Column::Index)
        .all(db)
        .await?;
    let begun = begun.into_iter().map(StepRecord::try_from).collect::<Result<Vec<_>, _>>()?;
    workflow.steps = merge(&names, begun);
    if workflow.state == WorkflowState::Running {
        show_running(&mut workflow.steps);
    }
    Ok(workflow)
}

/// Rows where there are any, pending steps for the rest.
fn merge(names: &[String], begun: Vec<StepRecord>) -> Vec<StepRecord> {
    let mut begun = begun.into_iter().peekable();
    let mut steps = Vec::with_capacity(names.len());
    for (index, name) in (0..).zip(names) {
        match begun.next_if(|step| step.index == index) {
            Some(step) => steps.push(step),
            None => steps.push(StepRecord::pending(index, name)),
        }
    }
    // A runbook that grew shorter since: what was done stays to be seen.
    steps.extend(begun);
    steps
}

/// A step without intent leaves no row before its outcome: of a running workflow, the first step
/// that is not done is the one under way.
fn show_running(steps: &mut [StepRecord]) {
    if let Some(step) = steps.iter_mut().find(|step| !step.state.is_done())
        && step.state == StepState::Pending
    {
        step.state = StepState::Running;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(index: u16, state: StepState) -> StepRecord {
        StepRecord { state, ..StepRecord::pending(index, "begun") }
    }

    fn states(begun: Vec<StepRecord>) -> Vec<StepState> {
        let names = ["a", "b", "c"].map(str::to_owned);
        let mut steps = merge(&names, begun);
        show_running(&mut steps);
        steps.into_iter().map(|step| step.state).collect()
    }

    #[test]
    fn the_first_step_that_is_not_done_is_shown_as_running_and_only_that() {
        use StepState as S;
        assert_eq!(states(vec![]), [S::Running, S::Pending, S::Pending]);
        assert_eq!(states(vec![step(0, S::Succeeded)]), [S::Succeeded, S::Running, S::Pending]);
        assert_eq!(states(vec![step(0, S::Running)]), [S::Running, S::Pending, S::Pending]);
        assert_eq!(states(vec![step(0, S::Waiting)]), [S::Waiting, S::Pending, S::Pending]);
        assert_eq!(states(vec![step(1, S::Skipped)]), [S::Running, S::Skipped, S::Pending]);
        assert_eq!(
            states(vec![step(0, S::Succeeded), step(1, S::Undone)]),
            [S::Succeeded, S::Undone, S::Pending]
        );
    }

    #[test]
    fn rows_beyond_the_known_names_are_kept() {
        let steps = merge(&["a".to_owned()], vec![step(0, StepState::Succeeded), step(4, StepState::Failed)]);
        assert_eq!(steps.iter().map(|step| step.index).collect::<Vec<_>>(), [0, 4]);
    }
}
