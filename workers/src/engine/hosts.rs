//! Host actions of a step, in bounded waves; every answer is durable before the next wave.

use std::time::Duration;

use domain::farm::HostActionsSpec;
use domain::{ErrorCode, HostTask, HostTaskState, HostWork, Problem, StepRecord, WaitReason};
use futures::future::join_all;
use store::WorkflowChange;

use super::run::{Attempt, Run, Stop};
use crate::hosts::{HostActions, HostAnswer};
use crate::{PlannedWait, StepError};

/// Hosts that a message names.
const NAMED: usize = 5;

impl Run<'_> {
    /// Until all are settled. Stops at the first wave with a failure: what went wrong on ten hosts
    /// must not go wrong on a thousand.
    pub(super) async fn act_on_hosts(
        &mut self,
        record: &mut StepRecord,
        work: &[HostWork],
    ) -> Result<(), Attempt> {
        let farm = self.cx.host_actions()?;
        let hosts = self.cx.environment.hosts.clone();
        let named = hosts.adapter(&farm);
        let adapter = hosts.get(named).cloned().ok_or_else(|| no_adapter(&farm, named.as_str()))?;
        let begun = tokio::time::Instant::now();
        reconcile(record, work);
        loop {
            judge(record)?;
            let wave = next_wave(record, hosts.wave(&farm));
            if wave.is_empty() {
                return Ok(());
            }
            // A step has a time limit, other workflows want the slot, and who asked it to stop need not
            // wait for a thousand hosts.
            if begun.elapsed() > self.shared.timing.step / 2 || self.lease.control().is_some() {
                return Err(self.another_turn(record).into());
            }
            self.wave(record, &wave, adapter.as_ref()).await.map_err(Attempt::Stop)?;
        }
    }

    async fn wave(
        &mut self,
        record: &mut StepRecord,
        wave: &[usize],
        adapter: &dyn HostActions,
    ) -> Result<(), Stop> {
        let tasks = &mut record.outcome.get_or_insert_default().hosts;
        // A wave begins in the first half of a step's time and must end within it.
        let limit = self.shared.timing.step * 2 / 5;
        let asked = wave.iter().filter_map(|at| tasks.get(*at));
        let answers = join_all(asked.map(|task| ask_within(limit, &task.work, adapter))).await;
        let now = self.shared.clock.now();
        for (at, answer) in wave.iter().zip(answers) {
            let Some(task) = tasks.get_mut(*at) else { continue };
            let (state, detail) = match answer {
                HostAnswer::Later => (HostTaskState::Asked, None),
                HostAnswer::Succeeded { detail } => (HostTaskState::Succeeded, Some(detail)),
                HostAnswer::Failed { detail } => (HostTaskState::Failed, Some(detail)),
            };
            task.state = state;
            task.by = detail.is_some().then(|| adapter.name().to_owned());
            task.detail = detail.filter(|detail| !detail.is_empty());
            task.at = Some(now);
        }
        self.put(record.clone());
        self.commit(vec![record.clone()], WorkflowChange::None).await
    }

    fn another_turn(&self, record: &StepRecord) -> StepError {
        let (settled, all) =
            (tasks(record).filter(|task| task.state.is_settled()).count(), tasks(record).count());
        let wait = PlannedWait {
            reason: WaitReason::Timer,
            until: Some(self.shared.clock.now()),
            problem: Problem::new(
                ErrorCode::HostsAwaited,
                format!("{settled} of {all} hosts are done"),
                "nothing to do: the next hosts follow",
            ),
            memo: None,
        };
        wait.into()
    }
}

/// Several actions on one host may together take longer than each may alone.
async fn ask_within(limit: Duration, work: &HostWork, adapter: &dyn HostActions) -> HostAnswer {
    let answer = tokio::time::timeout(limit, ask(work, adapter)).await;
    answer.unwrap_or_else(|_| HostAnswer::Failed {
        detail: format!("the actions together took longer than {} s and were stopped", limit.as_secs()),
    })
}

/// One action after the other; the first that does not succeed ends it.
async fn ask(work: &HostWork, adapter: &dyn HostActions) -> HostAnswer {
    let mut said = Vec::new();
    for action in work.each() {
        match adapter.act(&action).await {
            HostAnswer::Succeeded { detail } => said.extend(Some(detail).filter(|detail| !detail.is_empty())),
            HostAnswer::Failed { detail } => {
                return HostAnswer::Failed { detail: format!("{}: {detail}", action.kind.as_str()) };
            }
            HostAnswer::Later => return HostAnswer::Later,
        }
    }
    HostAnswer::Succeeded { detail: said.join("; ") }
}

fn tasks(record: &StepRecord) -> impl Iterator<Item = &HostTask> {
    record.outcome.iter().flat_map(|outcome| &outcome.hosts)
}

/// A step that was parked because of hosts that failed has been resumed: they are asked again.
///
/// The error goes with it, so that a failure that is noted from now on (by a person, or by a worker
/// that dies before it can park) is a new one and parks.
pub(super) fn ask_failed_again(record: &mut StepRecord) {
    if record.error.as_ref().is_none_or(|problem| problem.code != ErrorCode::HostActionFailed) {
        return;
    }
    record.error = None;
    let tasks = record.outcome.iter_mut().flat_map(|outcome| &mut outcome.hosts);
    for task in tasks.filter(|task| task.state == HostTaskState::Failed) {
        *task = HostTask::pending(task.work.clone());
    }
}

/// The tasks become those of `work`, with the answers that are known.
fn reconcile(record: &mut StepRecord, work: &[HostWork]) {
    let tasks = &mut record.outcome.get_or_insert_default().hosts;
    let known = std::mem::take(tasks);
    let task = |work: &HostWork| {
        let earlier = known.iter().find(|task| task.work == *work);
        earlier.cloned().unwrap_or_else(|| HostTask::pending(work.clone()))
    };
    tasks.extend(work.iter().map(task));
}

fn next_wave(record: &StepRecord, size: usize) -> Vec<usize> {
    let pending = tasks(record).enumerate().filter(|(_, task)| task.state == HostTaskState::Pending);
    pending.map(|(at, _)| at).take(size).collect()
}

/// Whether another wave may begin.
fn judge(record: &StepRecord) -> Result<(), StepError> {
    let all = tasks(record).count();
    let failed: Vec<_> = tasks(record).filter(|task| task.state == HostTaskState::Failed).collect();
    if !failed.is_empty() {
        let said = |task: &&HostTask| {
            format!("{}: {}", task.work.host.name, task.detail.as_deref().unwrap_or("no word why"))
        };
        let list: Vec<_> = failed.iter().take(NAMED).map(said).collect();
        return Err(StepError::park(
            ErrorCode::HostActionFailed,
            format!("{} of {all} hosts failed: {}", failed.len(), list.join("; ")),
            "mend them and resume the workflow, which asks them again; or say with `farmhand workflow ack` that \
             a host is to be skipped",
        ));
    }
    let asked: Vec<_> = tasks(record).filter(|task| task.state == HostTaskState::Asked).collect();
    if asked.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = asked.iter().take(NAMED).map(|task| task.work.host.name.as_str()).collect();
    let more = if asked.len() > NAMED { ", ..." } else { "" };
    let wait = PlannedWait {
        reason: WaitReason::Host,
        until: None,
        problem: Problem::new(
            ErrorCode::HostsAwaited,
            format!("{} of {all} hosts are awaited: {}{more}", asked.len(), names.join(", ")),
            "run on each host what the step shows for it, then say so with `farmhand workflow ack`",
        ),
        memo: None,
    };
    Err(wait.into())
}

fn no_adapter(farm: &HostActionsSpec, adapter: &str) -> StepError {
    let source = if farm.adapter.is_some() { "the farm's spec.hostActions" } else { "the configuration" };
    StepError::park(
        ErrorCode::HostActionFailed,
        format!("{source} names the adapter {adapter}, which this worker does not have"),
        "configure it on every worker ([host_actions] in farmhand.toml), then resume the workflow",
    )
}

#[cfg(test)]
mod tests {
    use domain::{AccountName, HostActionKind, MemberHost};

    use super::*;

    fn work(name: &str) -> HostWork {
        let sid = "S-1-5-21-1-2-3-1104".parse().expect("valid");
        HostWork {
            host: MemberHost { name: name.into(), sid, dns_host_name: None },
            account: AccountName::parse("ITFarm1").expect("valid"),
            actions: vec![HostActionKind::Install],
        }
    }
    fn record(states: &[HostTaskState]) -> StepRecord {
        let mut record = StepRecord::pending(0, "install");
        let task = |(at, state): (usize, &HostTaskState)| HostTask {
            state: *state,
            ..HostTask::pending(work(&format!("Host{at}")))
        };
        record.outcome.get_or_insert_default().hosts = states.iter().enumerate().map(task).collect();
        record
    }

    #[test]
    fn a_failure_stops_the_next_wave_and_an_open_answer_holds_it() {
        use HostTaskState as S;
        assert_eq!(judge(&record(&[S::Succeeded, S::Skipped, S::Pending])), Ok(()));
        let failed = judge(&record(&[S::Failed, S::Asked, S::Pending])).expect_err("stops");
        assert!(matches!(failed, StepError::Park(_)));
        let asked = judge(&record(&[S::Succeeded, S::Asked])).expect_err("waits");
        assert!(matches!(asked, StepError::Wait(wait) if wait.reason == WaitReason::Host));
    }

    #[test]
    fn a_wave_takes_what_was_not_begun_and_no_more_than_its_size() {
        use HostTaskState as S;
        let record = record(&[S::Succeeded, S::Pending, S::Pending, S::Pending]);
        assert_eq!(next_wave(&record, 2), [1, 2]);
    }

    fn states(record: &StepRecord) -> Vec<HostTaskState> {
        tasks(record).map(|task| task.state).collect()
    }

    #[test]
    fn what_is_known_stays_and_who_is_no_host_any_more_goes() {
        use HostTaskState as S;
        let mut record = record(&[S::Succeeded, S::Failed, S::Asked, S::Pending]);
        reconcile(&mut record, &[work("Host0"), work("Host1"), work("Host2"), work("Host9")]);
        assert_eq!(states(&record), [S::Succeeded, S::Failed, S::Asked, S::Pending]);
        assert_eq!(tasks(&record).last().expect("a task").work.host.name, "Host9");
    }

    #[test]
    fn a_failure_is_asked_again_only_by_one_who_resumes_what_was_parked_for_it() {
        use HostTaskState as S;
        let mut fresh = record(&[S::Succeeded, S::Failed]);
        ask_failed_again(&mut fresh);
        assert_eq!(states(&fresh), [S::Succeeded, S::Failed], "just noted: it parks first");
        let mut parked = record(&[S::Succeeded, S::Failed, S::Asked]);
        parked.error = Some(judge(&parked).expect_err("parks").problem().clone());
        ask_failed_again(&mut parked);
        assert_eq!((states(&parked), parked.error), (vec![S::Succeeded, S::Pending, S::Asked], None));
    }
}
