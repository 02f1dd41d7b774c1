//! The word of people about actions on hosts.

use chrono::{DateTime, Utc};
use domain::host::HostAck;
use domain::{HostTask, HostTaskState, StepRecord, StepState, WaitReason, WorkflowId, WorkflowState};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, EntityTrait, IntoActiveModel, QuerySelect};
use tracing::instrument;

use crate::act::Decision;
use crate::entity::{clean, steps, to_json, workflows};
use crate::store::timed;
use crate::workflows::with_all_steps;
use crate::{Acked, Store, StoreError};

impl Store {
    /// Records what `by` says of the hosts that the step waits for, and queues the workflow when it
    /// has something to do with it. All or nothing.
    #[instrument(name = "db.workflows.ack", skip_all, fields(workflow = %id, step = index, acks = acks.len()))]
    pub async fn ack(
        &self,
        id: WorkflowId,
        index: u16,
        acks: &[HostAck],
        by: &str,
        now: DateTime<Utc>,
    ) -> Result<Acked, StoreError> {
        let _time = timed("ack");
        let tx = self.begin().await?;
        let Some(row) = workflows::Entity::find_by_id(id.0).lock_exclusive().one(&tx).await? else {
            return Ok(Acked::NotFound);
        };
        let waits = row.waits_for(WaitReason::Host) || row.waits_for(WaitReason::Operator);
        if row.state()? != WorkflowState::Waiting || !waits {
            return Ok(Acked::NotAwaited(row.state()?));
        }
        let Some(step_row) = steps::Entity::find_by_id((row.id, i32::from(index))).one(&tx).await? else {
            return Ok(Acked::NoSuchStep);
        };
        let mut step = StepRecord::try_from(step_row.clone())?;
        let tasks = step.outcome.as_mut().map(|outcome| &mut outcome.hosts).filter(|tasks| !tasks.is_empty());
        let (StepState::Waiting, Some(tasks)) = (step.state, tasks) else { return Ok(Acked::NoSuchStep) };
        for ack in acks {
            if !apply(tasks, ack, by, now) {
                return Ok(Acked::NoSuchHost(ack.host.clone().unwrap_or_default()));
            }
        }
        let open = tasks.iter().any(|task| task.state == HostTaskState::Asked);
        let failed = tasks.iter().any(|task| task.state == HostTaskState::Failed);
        let outcome = step.outcome.as_ref().map(to_json).transpose()?;
        let mut change = step_row.into_active_model();
        change.outcome = Set(outcome);
        change.update(&tx).await?;
        // One that is parked for failures goes on by itself when the last of them is settled; one
        // that waits for hosts when the last has answered, or at once to be parked for a failure.
        let goes_on = if row.waits_for(WaitReason::Operator) { !failed } else { failed || !open };
        let decision = if goes_on { Decision::Queue(None) } else { Decision::Note };
        let row = self.carry_out(&tx, row, decision, by, now).await?;
        let workflow = with_all_steps(&tx, &row).await?;
        tx.commit().await?;
        self.wake_relay();
        tracing::info!(workflow = %id, step = index, by, "hosts were acknowledged by a person");
        Ok(Acked::Done(Box::new(workflow)))
    }
}

/// Whether the ack named a host that is awaited (or had failed, which a person may overrule).
fn apply(tasks: &mut [HostTask], ack: &HostAck, by: &str, now: DateTime<Utc>) -> bool {
    let answerable = |task: &HostTask| matches!(task.state, HostTaskState::Asked | HostTaskState::Failed);
    let named = |task: &HostTask| match &ack.host {
        Some(host) => task.work.host.name.eq_ignore_ascii_case(host.strip_suffix('$').unwrap_or(host)),
        None => true,
    };
    let mut found = false;
    for task in tasks.iter_mut().filter(|task| answerable(task) && named(task)) {
        found = true;
        task.state = ack.outcome.state();
        task.detail = ack.detail.as_deref().map(clean);
        task.by = Some(clean(by));
        task.at = Some(now);
    }
    found
}
