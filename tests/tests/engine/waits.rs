//! Planned waits: a moment, with what the step put aside; cancelling during one.

use workers::PlannedWait;

use super::*;

/// What was put aside, as each attempt found it.
type Found = Arc<Mutex<Vec<Option<Value>>>>;

/// Waits as long as its script says, and notes what it finds put aside.
struct Waits {
    /// Reason, how long (`None`: no timer), and what is put aside, for each attempt; then it succeeds.
    script: Vec<(WaitReason, Option<Duration>, Option<Value>)>,
    found: Found,
}

impl Waits {
    fn new(script: Vec<(WaitReason, Option<Duration>, Option<Value>)>) -> (Arc<Self>, Found) {
        let found = Found::default();
        (Arc::new(Self { script, found: found.clone() }), found)
    }
}

#[async_trait]
impl Step for Waits {
    type Observed = ();

    fn name(&self) -> &'static str {
        "waits"
    }

    async fn check(&self, cx: &StepContext) -> Result<(), StepError> {
        let attempt = {
            let mut found = self.found.lock().expect("a lock");
            found.push(cx.memo::<Value>()?);
            found.len() - 1
        };
        let Some((reason, after, memo)) = self.script.get(attempt).cloned() else { return Ok(()) };
        let problem = Problem::new(ErrorCode::CoolingDown, "it cools down", "nothing to do");
        let until = after.map(|after| cx.environment.clock.now() + after);
        Err(PlannedWait { reason, until, problem, memo }.into())
    }

    fn plan(&self, _: &StepContext, (): &()) -> Result<StepPlan, StepError> {
        Ok(StepPlan::nothing("nothing to do", Value::Null))
    }

    async fn verify(&self, _: &StepContext, _: &StepPlan) -> Result<Verified, StepError> {
        Ok(Verified { output: Value::Null, detail: "over".into() })
    }
}

const SHORT: Duration = Duration::from_millis(50);
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);

#[tokio::test(flavor = "multi_thread")]
async fn a_step_finds_what_it_put_aside_and_keeps_it_until_it_puts_aside_something_else() {
    let (waits, found) = Waits::new(vec![
        (WaitReason::Timer, Some(SHORT), Some(json!({ "n": 1 }))),
        (WaitReason::Timer, Some(SHORT), None),
        (WaitReason::Timer, Some(SHORT), Some(json!({ "n": 2 }))),
    ]);
    let world = World::with(registry(vec![waits])).await;
    let _worker = world.start_worker("one");
    let id = world.submit("scripted", Mode::Apply, json!({})).await;
    let done = world.finishes(id).await;
    assert_eq!(done.state, WorkflowState::Succeeded, "{:?}", done.error);
    let found = found.lock().expect("a lock").clone();
    let (one, two) = (Some(json!({ "n": 1 })), Some(json!({ "n": 2 })));
    assert_eq!(found, [None, one.clone(), one, two]);
    let step = &done.steps[0];
    assert_eq!((step.attempts, step.error.as_ref()), (4, None), "waiting is no fault");
    assert_eq!(step.outcome.as_ref().expect("an outcome").memo, Value::Null, "no use any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_outlives_its_worker_and_is_no_persons_to_skip() {
    let (waits, found) =
        Waits::new(vec![(WaitReason::Timer, Some(Duration::from_secs(5)), Some(json!("since")))]);
    let world = World::with(registry(vec![waits])).await;
    let worker = world.start_worker("one");
    let id = world.submit("scripted", Mode::Apply, json!({})).await;
    let waiting = waits_for(&world, id, WaitReason::Timer).await;
    let wait = waiting.waiting.expect("a wait");
    assert!(wait.until.is_some() && wait.detail.contains("it cools down"), "{wait:?}");
    assert!(world.store.act(id, Action::Resume, "a test", SystemClock.now()).await.is_err());
    worker.kill();
    let _heir = world.start_worker("heir");
    assert_eq!(world.finishes(id).await.state, WorkflowState::Succeeded);
    assert_eq!(*found.lock().expect("a lock"), [None, Some(json!("since"))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_during_a_wait_undoes_what_was_done_and_says_so() {
    let (waits, _) = Waits::new(vec![(WaitReason::Timer, Some(FOR_EVER), None)]);
    let world = World::with(registry(vec![Arc::new(Group::made("make", "Cancelled")), waits])).await;
    let _worker = world.start_worker("one");
    let id = world.submit("scripted", Mode::Apply, json!({})).await;
    waits_for(&world, id, WaitReason::Timer).await;
    assert!(group(&world, "Cancelled").await.is_some());
    act(&world, id, Action::Cancel).await;
    let cancelled = world.finishes(id).await;
    assert_eq!(cancelled.state, WorkflowState::Cancelled);
    assert_eq!(cancelled.error.expect("an error").code, ErrorCode::Cancelled);
    assert!(group(&world, "Cancelled").await.is_none());
    let said: Vec<_> =
        cancelled.steps.iter().map(|step| (step.state, step.detail.clone().unwrap_or_default())).collect();
    assert!(said.iter().all(|(state, _)| *state == StepState::Undone), "{said:?}");
    assert!(said[0].1.starts_with("taken back") && said[1].1.starts_with("given up"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_is_parked_with_something_put_aside_finds_it_when_resumed() {
    let (waits, found) = Waits::new(vec![(WaitReason::Operator, None, Some(json!("seen")))]);
    let world = World::with(registry(vec![waits])).await;
    let _worker = world.start_worker("one");
    let id = world.submit("scripted", Mode::Apply, json!({})).await;
    let parked = waits_for(&world, id, WaitReason::Operator).await;
    let error = parked.steps[0].error.as_ref().expect("what a person is to look at");
    assert_eq!(error.code, ErrorCode::CoolingDown);
    act(&world, id, Action::Resume).await;
    assert_eq!(world.finishes(id).await.state, WorkflowState::Succeeded);
    assert_eq!(*found.lock().expect("a lock"), [None, Some(json!("seen"))]);
}
