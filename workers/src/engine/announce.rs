//! What a commit of a workflow announces to other systems.

use chrono::{DateTime, Utc};
use domain::announcement::{Ending, needs_operator};
use domain::{Announcement, StepRecord, StepState, Wait, WorkflowState};
use store::WorkflowChange;

use super::run::Run;

impl Run<'_> {
    /// What its steps have announced, and what becomes of the workflow itself.
    pub(super) fn announced(
        &self,
        steps: &[StepRecord],
        change: &WorkflowChange,
        now: DateTime<Utc>,
    ) -> Vec<Announcement> {
        // The intent of a step is committed in the middle of it.
        let mut announced = match steps.iter().any(|step| step.state.is_done()) {
            true => self.cx.take_announcements(),
            false => Vec::new(),
        };
        let workflow = &self.claimed.workflow;
        match change {
            WorkflowChange::Finish(finish) => {
                // An end that does not follow from running is refused by the journal.
                let state = WorkflowState::Running.next(finish.event).unwrap_or(WorkflowState::Failed);
                let needs_operator = needs_operator(finish.result.as_ref());
                let ending = Ending { state, error: finish.error.as_ref(), needs_operator, at: now };
                announced.extend(Announcement::workflow_finished(workflow, &ending));
            }
            WorkflowChange::Wait(wait) | WorkflowChange::AwaitApproval { wait, .. }
                if is_news(&self.records, steps, wait) =>
            {
                announced.extend(Announcement::workflow_waiting(workflow, wait));
            }
            _ => {}
        }
        announced.into_iter().map(|one| one.traced(self.claimed.traceparent.clone())).collect()
    }
}

/// Whether it waits for something else than when it last came to rest. What looks again by itself
/// would otherwise say the same every hour; without a time, a person has let it go on, and it came
/// back.
fn is_news(before: &[StepRecord], steps: &[StepRecord], wait: &Wait) -> bool {
    let Some(step) = steps.iter().find(|step| step.state == StepState::Waiting) else { return true };
    let Some(_) = wait.until else { return true };
    let known = before.iter().find(|known| known.index == step.index);
    let approval = |step: &StepRecord| step.outcome.as_ref().and_then(|outcome| outcome.approval.clone());
    !known.is_some_and(|known| {
        known.state == StepState::Waiting
            && known.error == step.error
            && known.detail == step.detail
            && approval(known) == approval(step)
    })
}

#[cfg(test)]
mod tests {
    use domain::{Approval, ErrorCode, Problem, StepOutcome, WaitReason};

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).expect("a valid time")
    }
    fn waiting(detail: &str) -> StepRecord {
        let error = Some(Problem::new(ErrorCode::AccountInUse, detail, "look"));
        let detail = Some(detail.to_owned());
        StepRecord { state: StepState::Waiting, detail, error, ..StepRecord::pending(3, "cool-down") }
    }
    fn wait(until: Option<DateTime<Utc>>) -> Wait {
        Wait { reason: WaitReason::Operator, until, detail: "look".to_owned() }
    }

    #[test]
    fn who_looks_again_by_itself_says_the_same_once_and_another_thing_at_once() {
        let hourly = wait(Some(at(3600)));
        assert!(is_news(&[], &[waiting("in use")], &hourly));
        assert!(!is_news(&[waiting("in use")], &[waiting("in use")], &hourly));
        assert!(is_news(&[waiting("in use")], &[waiting("in use by two")], &hourly));
        assert!(is_news(&[StepRecord::pending(3, "cool-down")], &[waiting("in use")], &hourly));
    }

    #[test]
    fn what_a_person_let_go_on_and_came_back_is_news() {
        assert!(is_news(&[waiting("in use")], &[waiting("in use")], &wait(None)));
    }

    #[test]
    fn an_approval_is_asked_for_once_for_each_plan() {
        let asked = |hash: &str| {
            let approval = Some(Approval::asked(hash.to_owned(), at(0), at(60)));
            let outcome = Some(StepOutcome { approval, ..StepOutcome::default() });
            StepRecord { outcome, ..waiting("approve") }
        };
        let until = wait(Some(at(60)));
        assert!(!is_news(&[asked("one")], &[asked("one")], &until));
        assert!(is_news(&[asked("one")], &[asked("two")], &until));
    }
}
