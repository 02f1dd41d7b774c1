//! The engine, with runbooks that the tests register: what it promises whatever the steps do.

mod approvals;
mod deletions;
mod hosts;
mod preempted;
mod waits;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use directory::Base;
use domain::{
    AttributeChange, Change, Clock, Dn, ErrorCode, Mode, Problem, StepState, SystemClock, WaitReason,
    WorkflowKind, WorkflowState,
};
use serde_json::{Value, json};
use store::Action;
use tests::wait::{eventually, never};
use tests::world::World;
use tokio::sync::Semaphore;
use workers::runbook::{RunResult, Runbook};
use workers::step::{DynStep, Step, StepPlan, Verified};
use workers::{Registry, StepContext, StepError};

/// What a scripted step does at each attempt; the last entry repeats.
type Script = Vec<fn() -> Result<(), StepError>>;

struct Scripted {
    name: &'static str,
    script: Script,
    attempts: Arc<AtomicU32>,
    /// Attempts wait here, if there is one.
    gate: Option<Arc<Semaphore>>,
}

impl Scripted {
    fn new(name: &'static str, script: Script) -> (Arc<Self>, Arc<AtomicU32>) {
        let attempts = Arc::new(AtomicU32::new(0));
        (Arc::new(Self { name, script, attempts: attempts.clone(), gate: None }), attempts)
    }
}

#[async_trait]
impl Step for Scripted {
    type Observed = ();

    fn name(&self) -> &'static str {
        self.name
    }

    async fn check(&self, _: &StepContext) -> Result<(), StepError> {
        let attempt = self.attempts.fetch_add(1, Ordering::SeqCst) as usize;
        if let Some(gate) = &self.gate {
            gate.acquire().await.expect("an open gate").forget();
        }
        self.script[attempt.min(self.script.len() - 1)]()
    }

    fn plan(&self, _: &StepContext, (): &()) -> Result<StepPlan, StepError> {
        Ok(StepPlan::nothing("nothing to do", Value::Null))
    }

    async fn verify(&self, _: &StepContext, _: &StepPlan) -> Result<Verified, StepError> {
        Ok(Verified { output: json!({ "from": self.name }), detail: "done".into() })
    }
}

/// A step that makes a group, and with `delete` one that takes it away.
struct Group {
    name: &'static str,
    group: &'static str,
    delete: bool,
    /// What the group is to say of itself; a test may change its mind.
    description: Arc<Mutex<&'static str>>,
    /// Every look waits here, if there is one.
    gate: Option<Arc<Semaphore>>,
    looks: Arc<AtomicU32>,
    /// How many look right now: a worker that was killed is gone when none of its own does.
    looking: Arc<AtomicU32>,
}

/// Counts for as long as it lives.
struct Counted<'a>(&'a AtomicU32);

impl<'a> Counted<'a> {
    fn by(counter: &'a AtomicU32) -> Self {
        counter.fetch_add(1, Ordering::SeqCst);
        Self(counter)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A killed worker's tasks end in their own time; until then one may still go on.
async fn gone(counter: &AtomicU32) {
    eventually("the killed worker is gone", Duration::from_secs(10), async || {
        (counter.load(Ordering::SeqCst) == 0).then_some(())
    })
    .await;
}

impl Group {
    fn made(name: &'static str, group: &'static str) -> Self {
        let description = Arc::new(Mutex::new("of a test"));
        let (looks, looking) = (Arc::default(), Arc::default());
        Self { name, group, delete: false, description, gate: None, looks, looking }
    }

    fn deleted(name: &'static str, group: &'static str) -> Self {
        Self { delete: true, ..Self::made(name, group) }
    }
}

fn users(group: &str) -> Dn {
    Dn::parse(&format!("CN={group},CN=Users,DC=contoso,DC=com")).expect("a DN")
}

#[async_trait]
impl Step for Group {
    type Observed = bool;

    fn name(&self) -> &'static str {
        self.name
    }

    async fn check(&self, cx: &StepContext) -> Result<bool, StepError> {
        let _looking = Counted::by(&self.looking);
        self.looks.fetch_add(1, Ordering::SeqCst);
        if let Some(gate) = &self.gate {
            gate.acquire().await.expect("an open gate").forget();
        }
        Ok(cx.dc().await?.read(&Base::from(&users(self.group)), &["objectGUID"]).await?.is_some())
    }

    fn plan(&self, _: &StepContext, there: &bool) -> Result<StepPlan, StepError> {
        let description = *self.description.lock().expect("a lock");
        let attributes = vec![
            AttributeChange::new("objectClass", ["group"]),
            AttributeChange::new("sAMAccountName", [self.group]),
            AttributeChange::new("groupType", ["-2147483646"]),
            AttributeChange::new("description", [description]),
        ];
        let changes = match (self.delete, there) {
            (false, false) => vec![Change::add(users(self.group), attributes)],
            (true, true) => vec![Change::delete(users(self.group), vec![])],
            _ => vec![],
        };
        Ok(StepPlan::new(changes, "as planned", Value::Null))
    }

    async fn verify(&self, _: &StepContext, _: &StepPlan) -> Result<Verified, StepError> {
        Ok(Verified { output: Value::Null, detail: "done".into() })
    }
}

/// The group in the directory.
async fn group(world: &World, name: &str) -> Option<directory::Entry> {
    let dc = world.directory.pin(None).await.expect("a DC");
    dc.read(&Base::from(&users(name)), &["description"]).await.expect("an answer")
}

async fn act(world: &World, id: domain::WorkflowId, action: Action) {
    world.store.act(id, action, "a test", SystemClock.now()).await.expect("accepted");
    world.signal.wake();
}

/// Until it waits for that.
async fn waits_for(world: &World, id: domain::WorkflowId, reason: WaitReason) -> domain::Workflow {
    eventually(&format!("workflow {id} waits for {reason}"), Duration::from_secs(40), async || {
        let workflow = world.workflow(id).await;
        let end = workflow.state.is_finished();
        assert!(!end, "{:?} instead of waiting for {reason}: {:?}", workflow.state, workflow.error);
        workflow.waiting.as_ref().is_some_and(|wait| wait.reason == reason).then_some(workflow)
    })
    .await
}

fn problem() -> Problem {
    Problem::new(ErrorCode::DirectoryBusy, "busy", "wait")
}

fn ok() -> Result<(), StepError> {
    Ok(())
}

fn registry(steps: Vec<Arc<dyn DynStep>>) -> Registry {
    Registry::default().with(Runbook {
        needs_farm: false,
        replan: workers::runbook::Replan::FromStart,
        kind: WorkflowKind::known("scripted"),
        steps,
        result: |cx| Ok(RunResult { result: cx.output::<Value>("last").unwrap_or_default(), farm: None }),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_run_in_order_and_outputs_survive_into_the_result() {
    let (first, _) = Scripted::new("first", vec![ok]);
    let (last, _) = Scripted::new("last", vec![ok]);
    let world = World::with(registry(vec![first, last])).await;
    let _worker = world.start_worker("one");
    let id = world.submit("scripted", Mode::Apply, json!({})).await;
    let done = world.finishes(id).await;
    assert_eq!(done.state, WorkflowState::Succeeded);
    assert_eq!(done.result, Some(json!({ "from": "last" })));
    let steps: Vec<_> = done.steps.iter().map(|s| (s.name.as_str(), s.state, s.changed)).collect();
    assert_eq!(
        steps,
        [("first", StepState::Succeeded, Some(false)), ("last", StepState::Succeeded, Some(false))]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn passing_trouble_is_waited_out_and_the_earlier_steps_are_not_run_again() {
    let (first, firsts) = Scripted::new("first", vec![ok]);
    let retry: fn() -> Result<(), StepError> =
        || Err(StepError::Retry { after: Duration::from_millis(50), problem: problem() });
    let (last, lasts) = Scripted::new("last", vec![retry, retry, ok]);
    let world = World::with(registry(vec![first, last])).await;
    let _worker = world.start_worker("one");
    let id = world.submit("scripted", Mode::Apply, json!({})).await;
    let done = world.finishes(id).await;
    assert_eq!(done.state, WorkflowState::Succeeded);
    assert_eq!((firsts.load(Ordering::SeqCst), lasts.load(Ordering::SeqCst)), (1, 3));
    assert_eq!(done.steps[1].attempts, 3);
    assert_eq!(done.steps[1].error, None, "a step that succeeded shows no old error");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_step_waits_for_a_person_and_goes_on_when_resumed() {
    let park: fn() -> Result<(), StepError> = || Err(StepError::Park(problem()));
    let (last, _) = Scripted::new("last", vec![park, ok]);
    let world = World::with(registry(vec![last])).await;
    let _worker = world.start_worker("one");
    let id = world.submit("scripted", Mode::Apply, json!({})).await;
    let parked = world.reaches(id, &[WorkflowState::Waiting]).await;
    let wait = parked.waiting.expect("a reason");
    assert_eq!((wait.reason, wait.until), (WaitReason::Operator, None));
    assert!(wait.detail.contains("busy") && wait.detail.contains("wait"), "{}", wait.detail);
    world.store.act(id, Action::Resume, "a test", SystemClock.now()).await.expect("resumed");
    world.signal.wake();
    assert_eq!(world.finishes(id).await.state, WorkflowState::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_before_any_write_ends_failed_and_a_retry_starts_at_the_failed_step() {
    let (first, firsts) = Scripted::new("first", vec![ok]);
    let fail: fn() -> Result<(), StepError> = || Err(StepError::Fail(problem()));
    let (last, _) = Scripted::new("last", vec![fail, ok]);
    let world = World::with(registry(vec![first, last])).await;
    let _worker = world.start_worker("one");
    let id = world.submit("scripted", Mode::Apply, json!({})).await;
    let failed = world.finishes(id).await;
    assert_eq!(failed.state, WorkflowState::Failed);
    assert_eq!(failed.error, Some(problem()));
    assert_eq!(failed.steps[1].state, StepState::Failed);
    world.store.act(id, Action::Retry, "a test", SystemClock.now()).await.expect("retried");
    world.signal.wake();
    assert_eq!(world.reaches(id, &[WorkflowState::Succeeded]).await.error, None);
    assert_eq!(firsts.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_a_step_fails_the_workflow_and_spares_the_worker() {
    let panics: fn() -> Result<(), StepError> = || panic!("a defect");
    let (last, _) = Scripted::new("last", vec![panics]);
    let world = World::with(registry(vec![last])).await;
    let _worker = world.start_worker("one");
    for _ in 0..2 {
        let id = world.submit("scripted", Mode::Apply, json!({})).await;
        let failed = world.finishes(id).await;
        assert_eq!(failed.error.expect("an error").code, ErrorCode::StepFault);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_and_a_doubled_event_run_a_workflow_once() {
    let (last, lasts) = Scripted::new("last", vec![ok]);
    let world = World::with(registry(vec![last])).await;
    let _workers = [world.start_worker("one"), world.start_worker("two")];
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(world.submit("scripted", Mode::Apply, json!({})).await);
    }
    for id in &ids {
        let body = event_for(*id);
        let doubled =
            ["again", "and again"].map(|name| world.bus.publish(domain::Lane::Lifecycle, name, &body));
        futures::future::join_all(doubled).await.into_iter().for_each(|sent| sent.expect("published"));
    }
    for id in ids {
        assert_eq!(world.finishes(id).await.state, WorkflowState::Succeeded);
    }
    never("a second run", Duration::from_millis(300), async || {
        (lasts.load(Ordering::SeqCst) > 20).then_some(())
    })
    .await;
    assert_eq!(world.bus.dead_letters(10).await.expect("dead letters"), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_and_malformed_events_are_dead_lettered_with_the_reason() {
    let world = World::with(registry(vec![])).await;
    let _worker = world.start_worker("one");
    let forged = domain::WorkflowId::new(SystemClock.now(), &domain::SystemRng);
    world.bus.publish(domain::Lane::Lifecycle, "forged", &event_for(forged)).await.expect("published");
    world.bus.publish(domain::Lane::Lifecycle, "malformed", b"{\"specversion\":").await.expect("published");
    let dead = eventually("two dead letters", Duration::from_secs(10), async || {
        let dead = world.bus.dead_letters(10).await.expect("dead letters");
        (dead.len() == 2).then_some(dead)
    })
    .await;
    let reasons: BTreeSet<_> = dead.iter().map(|dead| dead.reason.clone()).collect();
    assert!(reasons.iter().any(|reason| reason.contains(&format!("no workflow {forged}"))), "{reasons:?}");
    assert!(reasons.iter().any(|reason| reason.contains("not an event of ours")), "{reasons:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stops_hands_over_at_the_next_step_boundary() {
    let gate = Arc::new(Semaphore::new(0));
    let first = Arc::new(Scripted {
        name: "first",
        script: vec![ok],
        attempts: Arc::default(),
        gate: Some(gate.clone()),
    });
    let attempts = first.attempts.clone();
    let (last, lasts) = Scripted::new("last", vec![ok]);
    let world = World::with(registry(vec![first, last])).await;
    let one = world.start_worker("one");
    let id = world.submit("scripted", Mode::Apply, json!({})).await;
    eventually("the first step begins", Duration::from_secs(10), async || {
        (attempts.load(Ordering::SeqCst) == 1).then_some(())
    })
    .await;
    let stopping = tokio::spawn(one.stop());
    gate.add_permits(1);
    stopping.await.expect("the worker stops");
    assert_eq!(lasts.load(Ordering::SeqCst), 0, "the stopping worker begins no further step");
    assert_eq!(world.workflow(id).await.state, WorkflowState::Queued);
    let _two = world.start_worker("two");
    assert_eq!(world.finishes(id).await.state, WorkflowState::Succeeded);
    assert_eq!(attempts.load(Ordering::SeqCst), 1, "the first step is not run again");
}

#[tokio::test(flavor = "multi_thread")]
async fn pause_and_cancel_take_hold_at_a_step_boundary() {
    for (action, state) in
        [(Action::Pause, WorkflowState::Paused), (Action::Cancel, WorkflowState::Cancelled)]
    {
        let gate = Arc::new(Semaphore::new(0));
        let first = Arc::new(Scripted {
            name: "first",
            script: vec![ok],
            attempts: Arc::default(),
            gate: Some(gate.clone()),
        });
        let attempts = first.attempts.clone();
        let (last, lasts) = Scripted::new("last", vec![ok]);
        let world = World::with(registry(vec![first, last])).await;
        let _worker = world.start_worker("one");
        let id = world.submit("scripted", Mode::Apply, json!({})).await;
        eventually("the first step begins", Duration::from_secs(10), async || {
            (attempts.load(Ordering::SeqCst) == 1).then_some(())
        })
        .await;
        world.store.act(id, action, "a test", SystemClock.now()).await.expect("accepted");
        gate.add_permits(1);
        world.reaches(id, &[state]).await;
        assert_eq!(lasts.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_that_no_worker_knows_waits_and_says_so() {
    let world = World::with(registry(vec![])).await;
    let _worker = world.start_worker("one");
    let id = world.submit("from-the-future", Mode::Apply, json!({})).await;
    let waiting = world.reaches(id, &[WorkflowState::Waiting]).await.waiting.expect("a reason");
    assert!(waiting.detail.contains("from-the-future"), "{}", waiting.detail);
    assert!(waiting.until.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_persists_nothing_but_its_plan() {
    static ORDER: Mutex<Vec<&str>> = Mutex::new(Vec::new());
    let note: fn() -> Result<(), StepError> = || {
        ORDER.lock().expect("a lock").push("checked");
        Ok(())
    };
    let (last, _) = Scripted::new("last", vec![note]);
    let world = World::with(registry(vec![last])).await;
    let _worker = world.start_worker("one");
    let id = world.submit("scripted", Mode::Plan, json!({})).await;
    let done = world.finishes(id).await;
    assert_eq!(done.plan.expect("a plan").changes, []);
    assert_eq!(ORDER.lock().expect("a lock").as_slice(), ["checked"]);
}

fn event_for(id: domain::WorkflowId) -> Vec<u8> {
    let event = messages::WorkflowEvent {
        workflow_id: id,
        kind: WorkflowKind::known("scripted"),
        lane: domain::Lane::Lifecycle,
        cause: domain::Cause::Requested,
    };
    let id = domain::ids::uuid_v7(SystemClock.now(), &domain::SystemRng);
    messages::Envelope::workflow_event(id, SystemClock.now(), &event, None).to_bytes()
}
