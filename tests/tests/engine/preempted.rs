//! A containment stops a workflow at its step boundary; when it is over, the workflow goes on with
//! nothing that it had only read.

use domain::{DirectoryName, FarmName, Lane, Workflow, WorkflowId};
use store::{NewWorkflow, Preempted, Preemption, StoreError};
use workers::runbook::Replan;
use workers::steps::approval;

use super::*;

const SOON: Duration = Duration::from_secs(20);

/// A world that knows the kind "scripted", and a containment that is over when the test says so.
struct Fenced {
    world: World,
    over: Arc<Semaphore>,
    containment: WorkflowId,
}

impl Fenced {
    async fn new(replan: Replan, steps: Vec<Arc<dyn DynStep>>) -> Self {
        let over = Arc::new(Semaphore::new(0));
        let contain: Arc<dyn DynStep> = gated("contain", &over);
        let none = |_: &StepContext| Ok(RunResult::default());
        let kind = WorkflowKind::known("scripted");
        let scripted = Runbook { needs_farm: false, replan, kind, steps, result: none };
        let kind = WorkflowKind::COMPROMISE_REMOVAL;
        let containment = Runbook { needs_farm: false, replan, kind, steps: vec![contain], result: none };
        let world = World::with(Registry::default().with(scripted).with(containment)).await;
        let containment = submit(&world, WorkflowKind::COMPROMISE_REMOVAL, Lane::Urgent, None).await;
        Self { world, over, containment }
    }

    async fn submit(&self, farm: &str) -> WorkflowId {
        submit(&self.world, WorkflowKind::known("scripted"), Lane::Lifecycle, Some(farm)).await
    }

    async fn raise(&self, farms: &[&str]) -> Vec<Preempted> {
        let preemption = Preemption {
            by: self.containment,
            directory: DirectoryName::default(),
            farms: farms.iter().map(|farm| FarmName::parse(farm).expect("a name")).collect(),
            hosts: Vec::new(),
        };
        self.world.store.preempt(&preemption, SystemClock.now()).await.expect("raised")
    }

    /// The containment ends, and with it its fence.
    async fn lower(&self) {
        self.over.add_permits(1);
        assert_eq!(self.world.finishes(self.containment).await.state, WorkflowState::Succeeded);
    }

    async fn succeeds(&self, id: WorkflowId) -> Workflow {
        let done = self.world.finishes(id).await;
        assert_eq!(done.state, WorkflowState::Succeeded, "{:?}", done.error);
        assert_eq!(done.preempted_by, None);
        done
    }
}

async fn submit(world: &World, kind: WorkflowKind, lane: Lane, farm: Option<&str>) -> WorkflowId {
    let now = SystemClock.now();
    let id = WorkflowId::new(now, &domain::SystemRng);
    let new = NewWorkflow {
        id,
        kind,
        directory: DirectoryName::default(),
        farm: farm.map(|name| FarmName::parse(name).expect("a name")),
        hosts: Vec::new(),
        lane,
        mode: Mode::Apply,
        requested_by: "a test".to_owned(),
        reason: None,
        input: json!({}),
        traceparent: None,
        parent: None,
        farm_spec: None,
        now,
    };
    world.store.submit(new, None).await.expect("submitted");
    world.signal.wake();
    id
}

fn gated(name: &'static str, gate: &Arc<Semaphore>) -> Arc<Scripted> {
    Arc::new(Scripted { name, script: vec![ok], attempts: Arc::default(), gate: Some(gate.clone()) })
}

async fn counts(counter: &AtomicU32, number: u32) {
    eventually(&format!("{number} attempts"), SOON, async || {
        (counter.load(Ordering::SeqCst) == number).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_one_stops_at_its_boundary_and_goes_on_with_what_it_had_changed_and_nothing_it_had_read() {
    for (replan, expected) in [(Replan::FromStart, [2, 2, 1]), (Replan::FromLastChange, [1, 2, 1])] {
        let gate = Arc::new(Semaphore::new(0));
        let (reads, read) = Scripted::new("read", vec![ok]);
        let make = Group::made("make", "Fenced");
        let made = make.looks.clone();
        let looks = gated("look", &gate);
        let looked = looks.attempts.clone();
        let (last, lasts) = Scripted::new("last", vec![ok]);
        let fenced = Fenced::new(replan, vec![reads, Arc::new(make), looks, last]).await;
        let _worker = fenced.world.start_worker("one");
        let id = fenced.submit("F").await;
        counts(&looked, 1).await;
        assert_eq!(fenced.raise(&["F"]).await[0].state, WorkflowState::Running);
        gate.add_permits(1);
        let stopped = fenced.world.reaches(id, &[WorkflowState::Paused]).await;
        assert_eq!(stopped.preempted_by, Some(fenced.containment));
        assert_eq!(stopped.steps[2].state, StepState::Succeeded, "the step under way is ended");
        assert_eq!(lasts.load(Ordering::SeqCst), 0);
        let resumed = fenced.world.store.act(id, Action::Resume, "a test", SystemClock.now()).await;
        assert!(matches!(resumed, Err(StoreError::Preempted(by)) if by == fenced.containment));
        gate.add_permits(1);
        fenced.lower().await;
        let done = fenced.succeeds(id).await;
        let attempts = [&read, &looked, &lasts].map(|counter| counter.load(Ordering::SeqCst));
        assert_eq!(attempts, expected, "{replan:?}");
        assert_eq!(made.load(Ordering::SeqCst), 1, "what it wrote stays done");
        assert!(done.steps.iter().all(|step| step.state == StepState::Succeeded), "{:?}", done.steps);
        assert_eq!(done.steps[1].changed, Some(true));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queued_and_a_waiting_one_are_held_and_go_on_at_once_afterwards() {
    let retry: fn() -> Result<(), StepError> =
        || Err(StepError::Retry { after: Duration::from_secs(3600), problem: problem() });
    let (waits, attempts) = Scripted::new("waits", vec![retry, ok]);
    let fenced = Fenced::new(Replan::FromStart, vec![waits]).await;
    let worker = fenced.world.start_worker("one");
    let waiting = fenced.submit("F").await;
    waits_for(&fenced.world, waiting, WaitReason::Retry).await;
    worker.stop().await;
    let queued = fenced.submit("G").await;
    let states: Vec<_> = fenced.raise(&["F", "G"]).await.iter().map(|stopped| stopped.state).collect();
    assert_eq!(states, [WorkflowState::Paused; 2]);
    let _worker = fenced.world.start_worker("two");
    fenced.world.reaches(fenced.containment, &[WorkflowState::Running]).await;
    never("a step behind the fence", Duration::from_millis(500), async || {
        (attempts.load(Ordering::SeqCst) > 1).then_some(())
    })
    .await;
    fenced.lower().await;
    for id in [waiting, queued] {
        fenced.succeeds(id).await;
    }
    assert_eq!(attempts.load(Ordering::SeqCst), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn once_all_have_stopped_no_step_begins_before_the_fence_is_lowered() {
    let steps: Vec<_> =
        ["a", "b", "c", "d", "e"].into_iter().map(|name| Scripted::new(name, vec![ok])).collect();
    let counters: Vec<_> = steps.iter().map(|(_, attempts)| attempts.clone()).collect();
    let steps = steps.into_iter().map(|(step, _)| -> Arc<dyn DynStep> { step }).collect();
    let fenced = Fenced::new(Replan::FromLastChange, steps).await;
    let _workers = [fenced.world.start_worker("one"), fenced.world.start_worker("two")];
    let farms: Vec<_> = (0..30).map(|n| format!("F{n}")).collect();
    let farms: Vec<_> = farms.iter().map(String::as_str).collect();
    let mut all = Vec::new();
    for farm in &farms {
        all.push(fenced.submit(farm).await);
    }
    let held = eventually("all have stopped", SOON, async || {
        let stopped = fenced.raise(&farms).await;
        let held = stopped.iter().filter(|stopped| stopped.state == WorkflowState::Paused).count();
        let rests = stopped.iter().all(|stopped| stopped.state != WorkflowState::Running);
        rests.then_some(held)
    })
    .await;
    let begun = || counters.iter().map(|counter| counter.load(Ordering::SeqCst)).sum::<u32>();
    let before = begun();
    never("a step behind the fence", Duration::from_millis(500), async || (begun() > before).then_some(()))
        .await;
    fenced.lower().await;
    for id in all {
        fenced.succeeds(id).await;
    }
    assert!(held == 0 || begun() > before, "those that were held have gone on");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_given_before_counts_for_the_same_plan_and_is_void_for_another() {
    for changes in [false, true] {
        let gate = Arc::new(Semaphore::new(2));
        let pass = gated("pass", &gate);
        let passed = pass.attempts.clone();
        let make = Group::made("make", "FencedApproved");
        let description = make.description.clone();
        let steps: Vec<Arc<dyn DynStep>> = vec![Arc::new(approval::Approval), pass, Arc::new(make)];
        let fenced = Fenced::new(Replan::FromStart, steps).await;
        let world = &fenced.world;
        let _worker = world.start_worker("one");
        let id = fenced.submit("F").await;
        waits_for(world, id, WaitReason::Approval).await;
        world.approve(id).await;
        // Rehearsed twice; now it is carried out.
        counts(&passed, 3).await;
        fenced.raise(&["F"]).await;
        gate.add_permits(1);
        world.reaches(id, &[WorkflowState::Paused]).await;
        if changes {
            *description.lock().expect("a lock") = "another";
        }
        gate.add_permits(10);
        fenced.lower().await;
        if changes {
            let asked = waits_for(world, id, WaitReason::Approval).await;
            let approval = asked.steps[0].outcome.as_ref().and_then(|outcome| outcome.approval.clone());
            let approval = approval.expect("an approval that was asked for");
            assert_eq!((approval.decision, approval.voided.len()), (None, 1));
            assert!(group(world, "FencedApproved").await.is_none(), "nobody approved that");
            world.approve(id).await;
        }
        let done = fenced.succeeds(id).await;
        let approval = done.steps[0].outcome.as_ref().and_then(|outcome| outcome.approval.clone());
        assert_eq!(approval.expect("an approval").voided.len(), usize::from(changes));
        let made = group(world, "FencedApproved").await.expect("the group");
        assert_eq!(made.text("description"), Some(if changes { "another" } else { "of a test" }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_takes_back_what_it_did_stops_too_and_goes_on_taking_back() {
    let gate = Arc::new(Semaphore::new(0));
    let fail: fn() -> Result<(), StepError> = || Err(StepError::Fail(problem()));
    let fails = Scripted { script: vec![fail], ..Arc::into_inner(gated("fails", &gate)).expect("mine") };
    let failing = fails.attempts.clone();
    let make = Arc::new(Group::made("make", "FencedUnwound"));
    let fenced = Fenced::new(Replan::FromStart, vec![make, Arc::new(fails)]).await;
    let world = &fenced.world;
    let _worker = world.start_worker("one");
    let id = fenced.submit("F").await;
    counts(&failing, 1).await;
    fenced.raise(&["F"]).await;
    gate.add_permits(1);
    world.reaches(id, &[WorkflowState::Paused]).await;
    assert!(group(world, "FencedUnwound").await.is_some(), "nothing is taken back behind the fence");
    fenced.lower().await;
    let unwound = world.finishes(id).await;
    assert_eq!((unwound.state, unwound.error), (WorkflowState::Unwound, Some(problem())));
    assert!(group(world, "FencedUnwound").await.is_none());
    assert_eq!(failing.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_whose_worker_dies_behind_the_fence_is_held_and_another_worker_goes_on() {
    let gate = Arc::new(Semaphore::new(0));
    let look = gated("look", &gate);
    let looked = look.attempts.clone();
    let (last, lasts) = Scripted::new("last", vec![ok]);
    let fenced = Fenced::new(Replan::FromStart, vec![look, last]).await;
    let dies = fenced.world.start_worker("dies");
    let id = fenced.submit("F").await;
    counts(&looked, 1).await;
    fenced.raise(&["F"]).await;
    dies.kill();
    fenced.world.reaches(id, &[WorkflowState::Paused]).await;
    let _heir = fenced.world.start_worker("heir");
    gate.add_permits(5);
    fenced.lower().await;
    fenced.succeeds(id).await;
    assert_eq!(lasts.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_persons_cancellation_is_not_held_up() {
    let gate = Arc::new(Semaphore::new(0));
    let look = gated("look", &gate);
    let looked = look.attempts.clone();
    let make = Arc::new(Group::made("make", "FencedCancelled"));
    let (last, lasts) = Scripted::new("last", vec![ok]);
    let fenced = Fenced::new(Replan::FromStart, vec![make, look, last]).await;
    let world = &fenced.world;
    let _worker = world.start_worker("one");
    let id = fenced.submit("F").await;
    counts(&looked, 1).await;
    fenced.raise(&["F"]).await;
    gate.add_permits(1);
    world.reaches(id, &[WorkflowState::Paused]).await;
    act(world, id, Action::Cancel).await;
    let cancelled = world.finishes(id).await;
    assert_eq!(cancelled.state, WorkflowState::Cancelled);
    assert!(group(world, "FencedCancelled").await.is_none(), "taken back while the containment goes on");
    assert_ne!(world.workflow(fenced.containment).await.state, WorkflowState::Succeeded);
    fenced.lower().await;
    assert_eq!(world.workflow(id).await.state, WorkflowState::Cancelled);
    assert_eq!(lasts.load(Ordering::SeqCst), 0);
}
