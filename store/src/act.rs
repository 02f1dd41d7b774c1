//! What people ask of a workflow.

use chrono::{DateTime, Utc};
use domain::workflow::IllegalTransition;
use domain::{Cause, ErrorCode, Problem, WaitReason, WorkflowEvent, WorkflowId, WorkflowState};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel,
    PaginatorTrait, QueryFilter, QuerySelect,
};
use tracing::instrument;

use crate::entity::{clean, steps, to_json, workflows};
use crate::store::timed;
use crate::workflows::with_all_steps;
use crate::{ActOutcome, Action, Control, Store, StoreError};

/// What an action comes to in the state it meets.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// The worker is told; it obeys at the next step boundary.
    Ask(Control),
    /// Back to the queue, with what the next worker has to obey.
    Queue(Option<Control>),
    /// From failed: a clean slate for everything but the steps.
    QueueAfresh,
    Pause,
    /// With what the workflow then says.
    Cancel(Problem),
    /// It goes on waiting; only the revision grows, so that watchers look.
    Note,
}

impl Store {
    /// `by` is recorded with what it leads to. [`StoreError::IllegalTransition`] where the state
    /// does not allow it.
    #[instrument(name = "db.workflows.act", skip_all, fields(workflow = %id, ?action))]
    pub async fn act(
        &self,
        id: WorkflowId,
        action: Action,
        by: &str,
        now: DateTime<Utc>,
    ) -> Result<ActOutcome, StoreError> {
        let _time = timed("act");
        let tx = self.begin().await?;
        let Some(row) = workflows::Entity::find_by_id(id.0).lock_exclusive().one(&tx).await? else {
            return Ok(ActOutcome::NotFound);
        };
        let to_undo = action == Action::Cancel && has_written(&tx, &row).await?;
        let decision = decide(&row, action, to_undo, by)?;
        let asked = matches!(decision, Decision::Ask(_) | Decision::Queue(Some(_)));
        let row = self.carry_out(&tx, row, decision, by, now).await?;
        let workflow = with_all_steps(&tx, &row).await?;
        tx.commit().await?;
        self.wake_relay();
        self.wake_announcer(workflow.state.is_finished());
        tracing::info!(workflow = %id, ?action, by, state = %workflow.state, "asked by a person");
        Ok(if asked { ActOutcome::Asked(workflow) } else { ActOutcome::Done(workflow) })
    }

    pub(crate) async fn carry_out(
        &self,
        db: &impl ConnectionTrait,
        row: workflows::Model,
        decision: Decision,
        by: &str,
        now: DateTime<Utc>,
    ) -> Result<workflows::Model, StoreError> {
        let never_begun = row.started_at.is_none();
        let mut change = row.clone().into_active_model();
        change.revision = Set(row.revision + 1);
        change.control_by = Set(Some(clean(by)));
        if !matches!(decision, Decision::Ask(_) | Decision::Note) {
            change.waiting_for = Set(None);
            change.waiting_detail = Set(None);
            change.due_at = Set(None);
        }
        match &decision {
            Decision::Note => {}
            Decision::Ask(control) => change.control = Set(Some(control.as_str().to_owned())),
            Decision::Queue(control) => {
                change.control = Set(control.map(|control| control.as_str().to_owned()));
                queue(&mut change, now);
            }
            Decision::QueueAfresh => {
                for text in
                    [&mut change.control, &mut change.error, &mut change.result, &mut change.unwinding]
                {
                    *text = Set(None);
                }
                change.finished_at = Set(None);
                queue(&mut change, now);
            }
            Decision::Pause => change.state = Set(WorkflowState::Paused.to_string()),
            Decision::Cancel(problem) => {
                change.state = Set(WorkflowState::Cancelled.to_string());
                change.control = Set(None);
                change.finished_at = Set(Some(now));
                change.error = Set(Some(to_json(problem)?));
            }
        }
        let changed = change.update(db).await?;
        match decision {
            Decision::Queue(_) | Decision::QueueAfresh => {
                self.write_events(db, std::slice::from_ref(&changed), Cause::Operator, now).await?;
            }
            // Others need not wait for one that has done nothing and will not for a while.
            Decision::Cancel(_) => {
                self.release_locks(db, &[row.id], now).await?;
                self.lower_fences(db, &[row.id], now).await?;
                self.announce_end(db, &changed, now).await?;
            }
            Decision::Pause if never_begun => {
                self.release_locks(db, &[row.id], now).await?;
            }
            Decision::Pause | Decision::Ask(_) | Decision::Note => {}
        }
        Ok(changed)
    }
}

fn queue(change: &mut workflows::ActiveModel, now: DateTime<Utc>) {
    change.state = Set(WorkflowState::Queued.to_string());
    change.emitted_at = Set(now);
    change.emissions = Set(1);
}

fn cancelled(by: &str) -> Problem {
    let hint = "Nothing had been changed. Ask for it again if it is still wanted.";
    Problem::new(ErrorCode::Cancelled, format!("cancelled by {by}"), hint)
}

/// Whether a step wrote something, or may have, that was not taken back.
pub(crate) async fn has_written(
    db: &impl ConnectionTrait,
    row: &workflows::Model,
) -> Result<bool, StoreError> {
    let wrote = steps::Entity::find()
        .filter(steps::Column::WorkflowId.eq(row.id))
        .filter(steps::Column::Wrote.eq(true));
    Ok(wrote.count(db).await? > 0)
}

fn decide(row: &workflows::Model, action: Action, to_undo: bool, by: &str) -> Result<Decision, StoreError> {
    let state = row.state()?;
    let next = |event: WorkflowEvent| state.next(event).map(|_| ()).map_err(StoreError::from);
    let is_being_cancelled = row.control()? == Some(Control::Cancel);
    match action {
        Action::Cancel => {
            next(WorkflowEvent::Cancel)?;
            Ok(match state {
                WorkflowState::Running => Decision::Ask(Control::Cancel),
                // Only a worker can take back what was written.
                _ if to_undo => Decision::Queue(Some(Control::Cancel)),
                _ => Decision::Cancel(cancelled(by)),
            })
        }
        // It is held by a containment already, and is to stay paused when that is over.
        Action::Pause if is_held(row) && row.control.is_none() => Ok(Decision::Ask(Control::Pause)),
        Action::Pause => {
            next(WorkflowEvent::Pause)?;
            Ok(match state {
                // Who cancelled it meant it: the pause would be forgotten at its end anyway.
                WorkflowState::Running if is_being_cancelled => Decision::Ask(Control::Cancel),
                WorkflowState::Running => Decision::Ask(Control::Pause),
                _ => Decision::Pause,
            })
        }
        Action::Resume => {
            next(WorkflowEvent::Due)?;
            not_preempted(row)?;
            // A timer, a host or an approval is not a person's to skip.
            if state == WorkflowState::Waiting && !row.waits_for(WaitReason::Operator) {
                return Err(IllegalTransition { from: state, event: WorkflowEvent::Due }.into());
            }
            Ok(Decision::Queue(is_being_cancelled.then_some(Control::Cancel)))
        }
        Action::Retry => {
            next(WorkflowEvent::Retry)?;
            not_preempted(row).map(|()| Decision::QueueAfresh)
        }
    }
}

fn is_held(row: &workflows::Model) -> bool {
    row.preempted_by.is_some() && row.state == WorkflowState::Paused.as_str()
}

/// Not a person's to let go on: who ends the containment does.
fn not_preempted(row: &workflows::Model) -> Result<(), StoreError> {
    row.preempted_by.map_or(Ok(()), |by| Err(StoreError::Preempted(WorkflowId(by))))
}
