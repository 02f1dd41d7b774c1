//! `await-stopped`: nothing that was stopped still runs.
//!
//! A workflow that was in the middle of a step when the fence went up may finish that step. Until it
//! has, or its lease has run out, it could write once more; what it wrote is read in the next step.

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use domain::{ErrorCode, Problem, Sid, WaitReason, WorkflowState, Write};
use serde_json::Value;
use store::Preempted;

use super::affected::Affected;
use super::deny_on_record::{self, Case};
use super::preempt;
use super::sweep::{self, SweepOutput};
use crate::steps::outputs::{count, list, to_value};
use crate::{PlannedWait, Step, StepContext, StepError, StepPlan, Verified};

pub const NAME: &str = "await-stopped";

/// Steps take a second or so: looked at again this soon.
const AGAIN: TimeDelta = TimeDelta::milliseconds(250);

/// Output: what was stopped, as `preempt`'s.
#[derive(Debug)]
pub struct AwaitStopped;

#[async_trait]
impl Step for AwaitStopped {
    type Observed = ();

    fn name(&self) -> &'static str {
        NAME
    }

    fn is_kept(&self) -> bool {
        true
    }

    async fn check(&self, _: &StepContext) -> Result<(), StepError> {
        Ok(())
    }

    fn plan(&self, _: &StepContext, (): &()) -> Result<StepPlan, StepError> {
        let detail = "what was stopped would be waited for until it has come to a stop";
        Ok(StepPlan::nothing(detail, Value::Array(Vec::new())))
    }

    /// Raises the fence again, so that what was asked for meanwhile is stopped as well.
    async fn verify(&self, cx: &StepContext, _: &StepPlan) -> Result<Verified, StepError> {
        let case: Case = cx.output(deny_on_record::NAME)?;
        let swept: SweepOutput = cx.output(sweep::NAME)?;
        let mut farms = preempt::farms(&[case.affected.clone(), swept.affected.clone()].concat());
        farms.extend(on_record_since(cx, &case, &swept.affected).await?);
        let stopped = preempt::raise(cx, &case, farms).await?;
        let now = cx.environment.clock.now();
        let running: Vec<_> = stopped.iter().filter(|one| runs(one, now)).collect();
        if !running.is_empty() {
            return Err(wait(&running, now).into());
        }
        let detail = match stopped.len() {
            0 => "there was nothing to stop".to_owned(),
            number => format!("{} at rest until this one is done", count(number, "workflow")),
        };
        Ok(Verified { output: to_value(&stopped)?, detail })
    }

    async fn undo(&self, _: &StepContext, _: &[Write]) -> Result<(), StepError> {
        Ok(())
    }
}

/// Farms whose account was only found by the sweep.
async fn on_record_since(
    cx: &StepContext,
    case: &Case,
    swept: &[Affected],
) -> Result<Vec<domain::FarmName>, StepError> {
    if swept.is_empty() {
        return Ok(Vec::new());
    }
    let sids: Vec<&Sid> = case.affected.iter().chain(swept).map(|one| &one.sid).collect();
    let farms = cx.records()?.deployed_farms(&cx.directory).await?;
    let is_affected =
        |farm: &store::Farm| farm.recorded.as_ref().is_some_and(|facts| sids.contains(&&facts.account_sid));
    Ok(farms.into_iter().filter(is_affected).map(|farm| farm.name).collect())
}

/// Whoever holds a lease that has run out writes no more: the engine looks at it before each write.
fn runs(stopped: &Preempted, now: DateTime<Utc>) -> bool {
    stopped.state == WorkflowState::Running && stopped.lease_until.is_some_and(|until| until > now)
}

fn wait(running: &[&Preempted], now: DateTime<Utc>) -> PlannedWait {
    let names: Vec<_> = running.iter().map(|one| format!("{} {}", one.kind, one.workflow)).collect();
    PlannedWait {
        reason: WaitReason::Timer,
        until: Some(now + AGAIN),
        problem: Problem::new(
            ErrorCode::NotContained,
            format!("{} still in a step: {}", count(running.len(), "workflow"), list(&names)),
            "the host is denied already; it is read once more when they have come to a stop",
        ),
        memo: None,
    }
}

#[cfg(test)]
mod tests {
    use domain::{SystemRng, WorkflowId, WorkflowKind};

    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).expect("a time")
    }
    fn stopped(state: WorkflowState, lease_until: Option<i64>) -> Preempted {
        Preempted {
            workflow: WorkflowId::new(at(1), &SystemRng),
            kind: WorkflowKind::ADD_HOST,
            farm: None,
            state,
            lease_until: lease_until.map(at),
        }
    }

    #[test]
    fn only_one_that_holds_a_lease_can_still_write() {
        for (state, lease, expected) in [
            (WorkflowState::Running, Some(11), true),
            (WorkflowState::Running, Some(9), false),
            (WorkflowState::Paused, Some(11), false),
            (WorkflowState::Succeeded, None, false),
        ] {
            assert_eq!(runs(&stopped(state, lease), at(10)), expected, "{state} {lease:?}");
        }
    }

    #[test]
    fn it_is_named_and_looked_at_again_within_a_second() {
        let running = stopped(WorkflowState::Running, Some(11));
        let wait = wait(&[&running], at(10));
        assert!(wait.until.is_some_and(|until| until > at(10) && until < at(11)));
        assert!(wait.problem.message.contains(&running.workflow.to_string()), "{}", wait.problem.message);
    }
}
