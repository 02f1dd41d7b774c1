//! A workflow that failed takes back what it changed itself, last step first.

use domain::{ChangeKind, ErrorCode, Mode, Problem, StepEvent, StepRecord, StepState, WorkflowEvent};
use store::{Control, Finish, WorkflowChange};

use super::run::{Run, Stop};
use crate::StepError;

/// Persists the failure, then undoes. A workflow that changed nothing just ends; so does one that
/// deleted something: half of what was would be worse than none.
pub(super) async fn begin(run: &mut Run<'_>, steps: Vec<StepRecord>, cause: Problem) -> Result<(), Stop> {
    if has_deleted(&run.records) {
        return leave(run, steps, cause, DELETED).await;
    }
    if run.runbook.steps.iter().any(|step| step.is_kept()) {
        return leave(run, steps, cause, KEPT).await;
    }
    if run.cx.mode == Mode::Plan || !run.records.iter().any(may_have_written) {
        let event = end_of(&cause, false);
        let finish = Finish { event, error: Some(cause), result: None, plan: None, farm: None };
        return run.finish(steps, finish).await;
    }
    run.commit(steps, WorkflowChange::Unwind { error: cause.clone() }).await?;
    unwind(run, cause).await
}

/// Undoes what is left to undo; also entered by a worker that finds the workflow unwinding.
pub(super) async fn unwind(run: &mut Run<'_>, cause: Problem) -> Result<(), Stop> {
    let steps = run.runbook.steps.clone();
    let open: Vec<_> = run.records.iter().filter(|record| may_have_written(record)).cloned().collect();
    for mut record in open.into_iter().rev() {
        // Taking back may let the host in that a containment cuts off. A person's pause does not stop
        // it: half a farm is no place to rest.
        if run.lease.control() == Some(Control::Preempt) {
            return run.commit(Vec::new(), WorkflowChange::Pause).await;
        }
        let Some(step) = steps.get(usize::from(record.index)) else { continue };
        match undo(run, step.as_ref(), &mut record).await {
            // Its answer had been lost; deletions come last, so nothing has been undone yet.
            Ok(()) if has_deleted([&record]) => return leave(run, vec![record], cause, DELETED).await,
            Ok(()) => {
                end_step(run, &mut record);
                run.commit(vec![record], WorkflowChange::None).await?;
            }
            Err(StepError::Retry { after, problem }) => return wait(run, record, after, &problem).await,
            Err(StepError::ReadAgain(problem)) => {
                return wait(run, record, std::time::Duration::from_secs(1), &problem).await;
            }
            Err(error @ StepError::Wait(_)) => {
                return stuck(run, record, &cause, error.problem().clone()).await;
            }
            Err(StepError::Park(problem) | StepError::Fail(problem)) => {
                return stuck(run, record, &cause, problem).await;
            }
        }
    }
    // A step that waited does so no more.
    let waiting = run.records.iter().filter(|record| record.state == StepState::Waiting);
    let mut waiting: Vec<_> = waiting.cloned().collect();
    waiting.iter_mut().for_each(|record| end_step(run, record));
    let finish =
        Finish { event: end_of(&cause, true), error: Some(cause), result: None, plan: None, farm: None };
    run.finish(waiting, finish).await
}

fn end_step(run: &Run<'_>, record: &mut StepRecord) {
    let was = record.detail.take().map(|detail| format!("; had been: {detail}")).unwrap_or_default();
    let what = if may_have_written(record) { "taken back" } else { "given up" };
    record.detail = Some(format!("{what}{was}"));
    record.state = record.state.next(StepEvent::Undo).unwrap_or(StepState::Undone);
    record.finished_at = Some(run.shared.clock.now());
}

const DELETED: &str = "what is deleted cannot be brought back by Farmhand, so nothing was undone; ask for the workflow \
                       again to have the rest done";
const KEPT: &str = "what it wrote before stays: a host that is cut off is let in again by `farmhand quarantine release` \
                    only";

/// The end of a workflow of which nothing is taken back: it stays as it stands.
async fn leave(run: &mut Run<'_>, steps: Vec<StepRecord>, cause: Problem, why: &str) -> Result<(), Stop> {
    let wrote = run.records.iter().any(may_have_written);
    let hint = if wrote { why.to_owned() } else { cause.hint.clone() };
    let error = Problem { hint, ..cause };
    let event = end_of(&error, false);
    run.finish(steps, Finish { event, error: Some(error), result: None, plan: None, farm: None }).await
}

pub(super) fn has_deleted<'a>(records: impl IntoIterator<Item = &'a StepRecord>) -> bool {
    let writes = records.into_iter().filter_map(|record| record.outcome.as_ref()).flat_map(|o| &o.writes);
    writes.into_iter().any(|write| write.change.kind == ChangeKind::Delete)
}

fn may_have_written(record: &StepRecord) -> bool {
    let wrote = record.outcome.as_ref().is_some_and(|outcome| !outcome.writes.is_empty());
    record.state != StepState::Undone && (wrote || record.intent.is_some())
}

fn end_of(cause: &Problem, undone: bool) -> WorkflowEvent {
    match (cause.code, undone) {
        (ErrorCode::Cancelled | ErrorCode::ApprovalRejected, _) => WorkflowEvent::Cancel,
        (_, true) => WorkflowEvent::Unwind,
        (_, false) => WorkflowEvent::Fail,
    }
}

async fn undo(
    run: &Run<'_>,
    step: &dyn crate::step::DynStep,
    record: &mut StepRecord,
) -> Result<(), StepError> {
    if let Some(trouble) = run.resolve(record).await? {
        return Err(trouble);
    }
    if has_deleted([&*record]) {
        return Ok(());
    }
    let writes = record.outcome.as_ref().map_or(&[][..], |outcome| &outcome.writes);
    step.undo(&run.cx, writes).await
}

/// Passing trouble while undoing is tried again for ever: giving up would leave half a farm.
async fn wait(
    run: &mut Run<'_>,
    mut record: StepRecord,
    after: std::time::Duration,
    problem: &Problem,
) -> Result<(), Stop> {
    record.attempts += 1;
    let wait = run.retry(after, record.attempts, problem);
    run.commit(vec![record], WorkflowChange::Wait(wait)).await
}

/// An undo that cannot be done is a state of its own: a person must put it right.
async fn stuck(
    run: &mut Run<'_>,
    mut record: StepRecord,
    cause: &Problem,
    problem: Problem,
) -> Result<(), Stop> {
    let message = format!("{}; then undoing step {} failed: {}", cause.message, record.name, problem.message);
    let error = Problem::new(ErrorCode::UndoFailed, message, problem.hint.clone());
    record.error = Some(problem);
    let result = serde_json::json!({ "needsOperator": true, "cause": cause });
    let finish = Finish {
        event: WorkflowEvent::Fail,
        error: Some(error),
        result: Some(result),
        plan: None,
        farm: None,
    };
    run.finish(vec![record], finish).await
}
