//! One claimed workflow, from its first open step to its end or its next rest.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::step::Intent;
use domain::{
    Change, ChangeKind, ErrorCode, FarmName, HostTask, Mode, Plan, Problem, StepEvent, StepOutcome,
    StepRecord, StepState, Wait, WaitReason, Workflow, WorkflowEvent,
};
use futures::FutureExt as _;
use store::{Claimed, Committed, Control, Farm, Finish, JournalEntry, StoreError, WorkflowChange};
use tracing::Instrument as _;

use super::journal::JournalError;
use super::lease::Lease;
use super::{Shared, approve, backoff, execute, hosts, replan, step_names, unwind};
use crate::runbook::Runbook;
use crate::step::{DynStep, StepPlan};
use crate::{PlannedWait, StepContext, StepError};

/// Attempts in one run after a write whose outcome was unknown, before the workflow waits.
const READ_AGAIN: u32 = 3;
/// Pause before such an attempt: a DC that has just cut a connection needs a moment.
const READ_AGAIN_PAUSE: Duration = Duration::from_millis(100);
/// A kind that this worker does not know may be known to a newer one beside it.
const UNKNOWN_RUNBOOK_PAUSE: Duration = Duration::from_secs(60);
/// After a farm's record could not be read.
const FARM_UNREAD_PAUSE: Duration = Duration::from_secs(5);

/// Why a run stops without having reached an end: somebody else goes on, or later.
#[derive(Debug)]
pub(super) enum Stop {
    LeaseLost,
    Journal(JournalError),
    /// A commit put the workflow to rest (waiting, paused, handed over).
    AtRest,
}

pub(super) struct Run<'a> {
    pub shared: &'a Shared,
    pub runbook: Arc<Runbook>,
    pub cx: StepContext,
    pub lease: Lease,
    pub claimed: Claimed,
    /// Every step that has been begun, by index.
    pub records: Vec<StepRecord>,
    begun: bool,
    pinned: bool,
}

/// Runs a claimed workflow until it ends or rests. Never fails: what cannot be persisted is left
/// to the lease and the reaper.
pub(super) async fn run(shared: &Shared, claimed: Claimed) {
    let span = tracing::info_span!(
        "workflow.run",
        workflow = %claimed.workflow.id,
        kind = %claimed.workflow.kind,
        farm = claimed.workflow.farm.as_ref().map(tracing::field::display),
        fencing_token = claimed.fencing_token,
    );
    if let Some(traceparent) = &claimed.traceparent {
        messages::trace::link(&span, traceparent);
    }
    let lease = Lease::new(claimed.workflow.id, claimed.fencing_token, claimed.lease_until);
    let _holding = shared.leases.hold(&lease);
    async {
        match drive(shared, claimed, lease).await {
            Ok(()) | Err(Stop::AtRest) => {}
            Err(Stop::LeaseLost) => tracing::warn!("the lease is lost: another worker goes on"),
            Err(Stop::Journal(error)) => tracing::error!(error = %error, "an outcome could not be persisted"),
        }
    }
    .instrument(span)
    .await;
}

async fn drive(shared: &Shared, claimed: Claimed, lease: Lease) -> Result<(), Stop> {
    lease.note(claimed.control);
    let workflow = &claimed.workflow;
    let Some(runbook) = shared.registry.get(&workflow.kind).cloned() else {
        let detail = format!("no worker that took it knows the kind {}", workflow.kind);
        let entry = not_now(shared, &claimed, UNKNOWN_RUNBOOK_PAUSE, detail);
        return answer(shared.journal.commit(entry).await, &lease).map(drop);
    };
    let (farm, sharing) = match record_of_farm(shared, workflow, runbook.needs_farm).await {
        Ok(found) => found,
        Err(error) => {
            let entry = not_now(shared, &claimed, FARM_UNREAD_PAUSE, format!("the farm's record: {error}"));
            return answer(shared.journal.commit(entry).await, &lease).map(drop);
        }
    };
    let cx = StepContext::new(
        workflow.id,
        workflow.directory.clone(),
        workflow.mode,
        shared.environment.clone(),
        claimed.input.clone(),
        claimed.pinned_dc.clone(),
    )
    .under(lease.clone())
    .of_kind(workflow.kind.clone())
    .about(workflow.farm.clone())
    .among(Arc::new(shared.store.clone()))
    .child_of(workflow.parent)
    .asked_by(&workflow.requested_by, workflow.reason.as_deref())
    .with_farm(farm, sharing);
    let records = workflow.steps.iter().filter(|step| step.attempts > 0).cloned().collect();
    let (begun, pinned) = (!workflow.steps.is_empty(), claimed.pinned_dc.is_some());
    let mut run = Run { shared, runbook, cx, lease, claimed, records, begun, pinned };
    match run.claimed.unwinding.clone() {
        Some(cause) => unwind::unwind(&mut run, cause).await,
        None => {
            if run.claimed.control == Some(Control::Replan) {
                replan::go_back(&mut run).await?;
            }
            run.forward().await
        }
    }
}

/// The farm, and the names of the other deployed farms that use its group.
async fn record_of_farm(
    shared: &Shared,
    workflow: &Workflow,
    needed: bool,
) -> Result<(Option<Farm>, Vec<FarmName>), StoreError> {
    let Some(name) = workflow.farm.as_ref().filter(|_| needed) else { return Ok((None, Vec::new())) };
    let farm = shared.store.farm(&workflow.directory, name).await?;
    let group = farm.as_ref().and_then(|farm| farm.recorded.as_ref()?.group_sid.clone());
    let sharing = match group {
        Some(group) => shared.store.farms_of_group(&workflow.directory, &group).await?,
        None => Vec::new(),
    };
    Ok((farm, sharing.into_iter().filter(|other| other.key() != name.key()).collect()))
}

/// Back to rest before the first step.
fn not_now(shared: &Shared, claimed: &Claimed, pause: Duration, detail: String) -> JournalEntry {
    let now = shared.clock.now();
    let wait = Wait { reason: WaitReason::Retry, until: Some(now + pause), detail };
    JournalEntry {
        workflow_id: claimed.workflow.id,
        fencing_token: claimed.fencing_token,
        lease_until: now,
        steps: Vec::new(),
        change: WorkflowChange::Wait(wait),
        announcements: Vec::new(),
        now,
    }
}

fn answer(answer: Result<Committed, JournalError>, lease: &Lease) -> Result<(), Stop> {
    match answer {
        Ok(Committed::Yes { control }) => {
            lease.note(control);
            Ok(())
        }
        Ok(Committed::LeaseLost) => {
            lease.give_up();
            Err(Stop::LeaseLost)
        }
        Err(error) => Err(Stop::Journal(error)),
    }
}

impl Run<'_> {
    async fn forward(&mut self) -> Result<(), Stop> {
        let steps = self.runbook.steps.clone();
        for (index, step) in steps.iter().enumerate() {
            let last = index + 1 == steps.len();
            if let Some(done) = self.records.get(index).filter(|record| record.state.is_done()) {
                let output = done.outcome.as_ref().map(|outcome| outcome.output.clone()).unwrap_or_default();
                self.cx.set_output(step.name(), output);
                if last {
                    return self.succeed(None).await;
                }
                continue;
            }
            self.boundary().await?;
            let record = self.attempt_until_decided(index, step.as_ref()).await?;
            let output = record.outcome.as_ref().map(|outcome| outcome.output.clone()).unwrap_or_default();
            self.cx.set_output(step.name(), output);
            self.put(record.clone());
            if last {
                return self.succeed(Some(record)).await;
            }
            self.commit(vec![record], WorkflowChange::None).await?;
        }
        self.succeed(None).await
    }

    /// Between two steps: the place where a person's wish, a containment or a stop of the worker is
    /// obeyed.
    async fn boundary(&mut self) -> Result<(), Stop> {
        match self.lease.control() {
            Some(Control::Cancel) => {
                let problem = approve::rejection(&self.records).unwrap_or_else(|| {
                    Problem::new(
                        ErrorCode::Cancelled,
                        "the workflow was cancelled",
                        "nothing to do: what it had changed in the directory is undone (work on hosts is not)",
                    )
                });
                unwind::begin(self, Vec::new(), problem).await?;
                Err(Stop::AtRest)
            }
            Some(Control::Pause | Control::Preempt) => {
                self.commit(Vec::new(), WorkflowChange::Pause).await?;
                Err(Stop::AtRest)
            }
            None | Some(Control::Replan) if self.shared.stop.is_cancelled() => {
                self.commit(Vec::new(), WorkflowChange::Release).await?;
                Err(Stop::AtRest)
            }
            None | Some(Control::Replan) => Ok(()),
        }
    }

    /// Carries one step to its success, or puts the workflow to rest.
    async fn attempt_until_decided(&mut self, index: usize, step: &dyn DynStep) -> Result<StepRecord, Stop> {
        let mut record = self.record(index, step.name());
        if record.state == StepState::Undone {
            // What it once wrote has been taken back: it is no longer ours to undo.
            record = StepRecord::pending(record.index, step.name());
        }
        record.started_at = record.started_at.or(Some(self.shared.clock.now()));
        for again in 1.. {
            record.state = record.state.next(StepEvent::Start).unwrap_or(StepState::Running);
            record.attempts += 1;
            let span = tracing::info_span!("workflow.step", step = step.name(), attempt = record.attempts);
            let started = tokio::time::Instant::now();
            let outcome = self.attempt(step, &mut record).instrument(span).await;
            let label = outcome_label(&outcome);
            metrics::histogram!("farmhand_step_seconds", "step" => step.name(), "result" => label)
                .record(started.elapsed().as_secs_f64());
            match outcome {
                Ok(()) => return Ok(record),
                Err(Attempt::Stop(stop)) => return Err(stop),
                Err(Attempt::Failed(StepError::ReadAgain(_))) if again < READ_AGAIN => {
                    tokio::time::sleep(READ_AGAIN_PAUSE * again).await;
                }
                Err(Attempt::Failed(error)) => return Err(self.rest(record, error).await),
            }
        }
        Err(Stop::AtRest)
    }

    /// One attempt under a deadline: the step's own, and the lease.
    async fn attempt(&mut self, step: &dyn DynStep, record: &mut StepRecord) -> Result<(), Attempt> {
        let lease = self.lease.clone();
        let limit = self.shared.timing.step;
        self.cx.take_announcements();
        self.cx.set_memo(record.outcome.as_ref().map(|outcome| outcome.memo.clone()).unwrap_or_default());
        tokio::select! {
            outcome = AssertUnwindSafe(self.ensure(step, record)).catch_unwind() => outcome.unwrap_or_else(|_| {
                Err(Attempt::Failed(StepError::fail(
                    ErrorCode::StepFault,
                    format!("step {} ended in a panic", step.name()),
                    "this is a defect of Farmhand: report it with the workflow's id and the worker's log",
                )))
            }),
            () = lease.lost() => Err(Attempt::Stop(Stop::LeaseLost)),
            () = tokio::time::sleep(limit) => Err(Attempt::Failed(StepError::Retry {
                after: Duration::from_secs(5),
                problem: Problem::new(
                    ErrorCode::StepTimedOut,
                    format!("step {} did not end within {} s", step.name(), limit.as_secs()),
                    "it is tried again; if this repeats, look at the domain controller's load",
                ),
            })),
        }
    }

    /// check → plan → intent → apply → verify.
    async fn ensure(&mut self, step: &dyn DynStep, record: &mut StepRecord) -> Result<(), Attempt> {
        // The step asks the DCs that it names by itself.
        let _in_doubt = self.resolve(record).await?;
        hosts::ask_failed_again(record);
        if step.is_approval(&self.cx) && self.cx.mode == Mode::Apply {
            return self.approve(step, record).await;
        }
        self.cx.set_refused(Vec::new());
        let plan = step.assess(&self.cx).await?;
        if self.cx.mode == Mode::Plan || plan.skipped {
            self.conclude_unwritten(record, plan);
            return Ok(());
        }
        if !plan.changes.is_empty() {
            self.write(record, &plan).await?;
        }
        if !plan.host_actions.is_empty() {
            self.act_on_hosts(record, &plan.host_actions).await?;
        }
        self.cx.set_written(record.outcome.as_ref().map_or(&[], |outcome| &outcome.writes));
        let verified = step.verify(&self.cx, &plan).await?;
        let outcome = record.outcome.get_or_insert_default();
        outcome.output = verified.output;
        outcome.memo = serde_json::Value::Null;
        record.changed = Some(!outcome.writes.is_empty() || !outcome.hosts.is_empty());
        self.conclude(record, StepEvent::Succeed, verified.detail);
        Ok(())
    }

    /// After a crash or a lost answer: which of the intended writes are in effect? Those are ours.
    /// What stays in doubt because a DC of its own cannot be asked stays in the intent; the answer
    /// says why. The record changes only after the last await: an attempt can be cut short at any.
    pub(super) async fn resolve(&self, record: &mut StepRecord) -> Result<Option<StepError>, StepError> {
        let Some(intent) = &record.intent else { return Ok(None) };
        let found = execute::in_effect(&self.cx, intent).await?;
        let outcome = record.outcome.get_or_insert_default();
        for write in found.writes {
            if !outcome.writes.iter().any(|known| known.change == write.change) {
                outcome.writes.push(write);
            }
        }
        record.intent = intent_of(found.in_doubt, &intent.dc, intent.at);
        Ok(found.trouble)
    }

    /// Makes the plan durable, then carries it out.
    async fn write(&mut self, record: &mut StepRecord, plan: &StepPlan) -> Result<(), Attempt> {
        // A plan that names all its DCs does not tie the workflow to one, which might be the next to
        // go away.
        let stays = plan.changes.iter().any(|change| change.dc.is_none());
        let dc = match (stays, self.pinned) {
            (true, _) => self.cx.dc().await?.dc().to_owned(),
            (false, true) => self.stays_on(),
            (false, false) => String::new(),
        };
        let doubted = record.intent.take();
        let at = doubted.as_ref().map_or_else(|| self.shared.clock.now(), |intent| intent.at);
        let mut doubted = doubted.map(|intent| intent.changes).unwrap_or_default();
        doubted.retain(|change| !plan.changes.contains(change));
        let intended = doubted.iter().chain(&plan.changes).cloned().collect();
        record.intent = intent_of(intended, &dc, at);
        record.detail = Some(plan.detail.clone());
        self.commit_intent(record, stays.then_some(dc.as_str())).await.map_err(Attempt::Stop)?;
        let carried = match plan.independent {
            true => execute::carry_out_each(&self.cx, &plan.changes).await,
            false => execute::carry_out(&self.cx, &plan.changes).await,
        };
        self.cx.set_refused(carried.refused);
        record.outcome.get_or_insert_default().writes.extend(carried.writes);
        // What was refused is not ours, whatever the directory shows later; only a write without
        // an answer stays in doubt.
        doubted.extend(carried.unknown);
        record.intent = intent_of(doubted, &dc, at);
        let Some(error) = carried.stopped else { return Ok(()) };
        // Who has come as far as a deletion has waited for it; a right that is missing is no reason
        // to take all of it back.
        let deletes = plan.changes.iter().any(|change| change.kind == ChangeKind::Delete);
        Err(Attempt::Failed(if deletes { error.or_park() } else { error }))
    }

    /// By name, of a workflow that stays on one.
    fn stays_on(&self) -> String {
        let named = self.cx.pinned().or(self.claimed.pinned_dc.as_deref());
        named.unwrap_or_default().to_owned()
    }

    /// The DC that the workflow stays on, if there is one, becomes durable with the first intent.
    async fn commit_intent(&mut self, record: &StepRecord, dc: Option<&str>) -> Result<(), Stop> {
        let Some(dc) = dc.filter(|_| !self.pinned) else {
            return self.commit(vec![record.clone()], WorkflowChange::None).await;
        };
        if !self.begun {
            self.commit(Vec::new(), WorkflowChange::None).await?;
        }
        self.commit(vec![record.clone()], WorkflowChange::Pin { dc: dc.to_owned() }).await?;
        self.pinned = true;
        Ok(())
    }

    fn conclude_unwritten(&self, record: &mut StepRecord, plan: StepPlan) {
        let event = if plan.skipped { StepEvent::Skip } else { StepEvent::Succeed };
        let known = record.outcome.take().unwrap_or_default();
        // A step that is not needed any more may have written at an earlier attempt.
        let wrote = !known.writes.is_empty();
        record.changed = Some(wrote || !plan.changes.is_empty() || !plan.host_actions.is_empty());
        let hosts = plan.host_actions.into_iter().map(HostTask::pending).collect();
        record.outcome = Some(StepOutcome {
            output: plan.expected,
            hosts,
            writes: known.writes,
            ..StepOutcome::default()
        });
        if self.cx.mode == Mode::Plan && !plan.changes.is_empty() {
            let dc = self.cx.pinned().unwrap_or_default().to_owned();
            record.intent = Some(Intent { dc, changes: plan.changes, at: self.shared.clock.now() });
        }
        self.conclude(record, event, plan.detail);
    }

    pub(super) fn conclude(&self, record: &mut StepRecord, event: StepEvent, detail: String) {
        record.state = record.state.next(event).unwrap_or(record.state);
        record.detail = Some(detail);
        record.error = None;
        record.finished_at = Some(self.shared.clock.now());
    }

    /// Persists a step that did not succeed, and what follows for the workflow.
    async fn rest(&mut self, mut record: StepRecord, error: StepError) -> Stop {
        self.cx.take_announcements();
        // Behind a deletion nothing is undone, so that it can only go on.
        let error = match unwind::has_deleted(&self.records) || unwind::has_deleted([&record]) {
            true => error.or_park(),
            false => error,
        };
        record.error = Some(error.problem().clone());
        let (event, wait) = match &error {
            StepError::Fail(problem) => {
                record.state = record.state.next(StepEvent::Fail).unwrap_or(StepState::Failed);
                self.put(record.clone());
                return match unwind::begin(self, vec![record], problem.clone()).await {
                    Ok(()) => Stop::AtRest,
                    Err(stop) => stop,
                };
            }
            StepError::Wait(wait) => {
                let PlannedWait { reason, until, problem, memo } = wait.as_ref();
                let is_trouble = matches!(reason, WaitReason::Operator | WaitReason::Retry);
                record.error = is_trouble.then(|| problem.clone());
                record.detail = Some(problem.message.clone());
                if let Some(memo) = memo {
                    record.outcome.get_or_insert_default().memo = memo.clone();
                }
                let detail = format!("{} ({})", problem.message, problem.hint);
                (StepEvent::Wait, Wait { reason: *reason, until: *until, detail })
            }
            StepError::Park(problem) => (StepEvent::Wait, self.wait(WaitReason::Operator, None, problem)),
            StepError::Retry { after, problem } => {
                (StepEvent::Wait, self.retry(*after, record.attempts, problem))
            }
            StepError::ReadAgain(problem) => {
                (StepEvent::Wait, self.retry(Duration::from_secs(1), record.attempts, problem))
            }
        };
        record.state = record.state.next(event).unwrap_or(StepState::Waiting);
        match self.commit(vec![record], WorkflowChange::Wait(wait)).await {
            Ok(()) => Stop::AtRest,
            Err(stop) => stop,
        }
    }

    pub(super) fn retry(&self, after: Duration, attempts: u32, problem: &Problem) -> Wait {
        metrics::counter!("farmhand_retries_total", "code" => problem.code.as_str()).increment(1);
        let after = backoff::wait(after, attempts, self.shared.rng.fraction());
        self.wait(WaitReason::Retry, Some(after), problem)
    }

    fn wait(&self, reason: WaitReason, after: Option<Duration>, problem: &Problem) -> Wait {
        let until = after.map(|after| self.shared.clock.now() + after);
        Wait { reason, until, detail: format!("{} ({})", problem.message, problem.hint) }
    }

    async fn succeed(&mut self, last: Option<StepRecord>) -> Result<(), Stop> {
        let steps: Vec<_> = last.into_iter().collect();
        let mut finish =
            Finish { event: WorkflowEvent::Succeed, error: None, result: None, plan: None, farm: None };
        match self.cx.mode {
            Mode::Plan => {
                let intents = self.records.iter().filter_map(|record| record.intent.as_ref());
                let changes = intents.flat_map(|intent| intent.changes.clone()).collect();
                let outcomes = self.records.iter().filter_map(|record| record.outcome.as_ref());
                let hosts = outcomes.flat_map(|outcome| &outcome.hosts).map(|task| task.work.clone());
                finish.plan = Some(Plan::new(changes, hosts.collect()));
            }
            Mode::Apply => {
                let changed = self.records.iter().filter(|record| record.changed == Some(true));
                self.cx.set_changed(changed.map(|record| record.name.clone()));
                match (self.runbook.result)(&self.cx) {
                    Ok(result) => (finish.result, finish.farm) = (Some(result.result), result.farm),
                    Err(error) => return unwind::begin(self, steps, error.problem().clone()).await,
                }
            }
        }
        self.finish(steps, finish).await
    }

    pub(super) async fn finish(&mut self, steps: Vec<StepRecord>, finish: Finish) -> Result<(), Stop> {
        let (kind, event) = (self.claimed.workflow.kind.to_string(), finish.event);
        self.commit(steps, WorkflowChange::Finish(finish)).await?;
        metrics::counter!("farmhand_workflows_finished_total", "kind" => kind, "event" => format!("{event:?}"))
            .increment(1);
        Ok(())
    }

    /// One durable write; renews the lease and learns what a person asked for meanwhile.
    pub(super) async fn commit(
        &mut self,
        steps: Vec<StepRecord>,
        change: WorkflowChange,
    ) -> Result<(), Stop> {
        let change = match change {
            WorkflowChange::None if !self.begun => {
                self.begun = true;
                WorkflowChange::Begin { step_names: step_names(&self.runbook.steps) }
            }
            change => change,
        };
        if self.lease.is_lost() {
            return Err(Stop::LeaseLost);
        }
        let now = self.shared.clock.now();
        let lease_until = now + self.shared.timing.lease;
        let announcements = self.announced(&steps, &change, now);
        let entry = JournalEntry {
            workflow_id: self.claimed.workflow.id,
            fencing_token: self.lease.fencing_token(),
            lease_until,
            steps,
            change,
            announcements,
            now,
        };
        let committed = self.shared.journal.commit(entry).await;
        answer(committed, &self.lease)?;
        self.lease.renewed(lease_until);
        Ok(())
    }

    fn record(&self, index: usize, name: &str) -> StepRecord {
        let fresh = || StepRecord::pending(u16::try_from(index).unwrap_or(u16::MAX), name);
        self.records.get(index).cloned().unwrap_or_else(fresh)
    }

    pub(super) fn put(&mut self, record: StepRecord) {
        let index = usize::from(record.index);
        match self.records.get_mut(index) {
            Some(old) => *old = record,
            None => self.records.push(record),
        }
    }
}

fn intent_of(changes: Vec<Change>, dc: &str, at: DateTime<Utc>) -> Option<Intent> {
    (!changes.is_empty()).then(|| Intent { dc: dc.to_owned(), changes, at })
}

/// How an attempt ended if not well.
pub(super) enum Attempt {
    Failed(StepError),
    Stop(Stop),
}

impl From<StepError> for Attempt {
    fn from(error: StepError) -> Self {
        Self::Failed(error)
    }
}

fn outcome_label(outcome: &Result<(), Attempt>) -> &'static str {
    match outcome {
        Ok(()) => "succeeded",
        Err(Attempt::Stop(_)) => "stopped",
        Err(Attempt::Failed(StepError::Fail(_))) => "failed",
        Err(Attempt::Failed(StepError::Park(_))) => "parked",
        Err(Attempt::Failed(StepError::Wait(_))) => "waits",
        Err(Attempt::Failed(StepError::Retry { .. } | StepError::ReadAgain(_))) => "retried",
    }
}
