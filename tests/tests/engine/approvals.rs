//! Approval: a second person decides on exactly what would be done.

use domain::{Approval, Workflow, WorkflowId};
use store::{Decided, Ruling};
use workers::steps::approval;

use super::*;

/// Approval, then a group.
fn approved(group: Group) -> Registry {
    registry(vec![Arc::new(approval::Approval), Arc::new(group)])
}

fn asked(workflow: &Workflow) -> Approval {
    let outcome = workflow.steps[0].outcome.clone().expect("an outcome");
    outcome.approval.expect("an approval that was asked for")
}

async fn decide(world: &World, id: WorkflowId, by: &str, plan_hash: &str, approve: bool) -> Decided {
    let ruling = Ruling { approve, plan_hash: plan_hash.into(), by: by.into(), reason: Some("so".into()) };
    let decided = world.store.decide(id, ruling, SystemClock.now()).await.expect("an answer");
    world.signal.wake();
    decided
}

#[tokio::test(flavor = "multi_thread")]
async fn it_waits_with_the_plan_and_goes_on_when_a_second_person_approved_it() {
    let world = World::with(approved(Group::made("make", "Approved"))).await;
    let _worker = world.start_worker("one");
    let id = world.submit("scripted", Mode::Apply, json!({})).await;
    let waiting = waits_for(&world, id, WaitReason::Approval).await;
    let plan = waiting.plan.clone().expect("the plan to approve");
    assert_eq!(plan.changes.iter().map(|change| change.dn.clone()).collect::<Vec<_>>(), [users("Approved")]);
    let approval = asked(&waiting);
    assert_eq!(approval.plan_hash, plan.hash);
    assert_eq!(waiting.waiting.expect("a wait").until, Some(approval.expires_at));
    assert!(group(&world, "Approved").await.is_none(), "nothing is done before");
    assert!(matches!(decide(&world, id, "second", &plan.hash, true).await, Decided::Done(_)));
    let done = world.finishes(id).await;
    assert_eq!(done.state, WorkflowState::Succeeded, "{:?}", done.error);
    assert_eq!(asked(&done).decision.expect("a verdict").by, "second");
    assert!(group(&world, "Approved").await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_requester_and_another_plans_hash_are_refused() {
    let world = World::with(approved(Group::made("make", "Refused"))).await;
    let _worker = world.start_worker("one");
    let id = world.submit("scripted", Mode::Apply, json!({})).await;
    let hash = asked(&waits_for(&world, id, WaitReason::Approval).await).plan_hash;
    assert_eq!(decide(&world, id, "A Test", &hash, true).await, Decided::Own, "whatever the case");
    let other = decide(&world, id, "second", "0000", true).await;
    assert_eq!(other, Decided::OtherPlan { waiting: hash });
    assert_eq!(world.workflow(id).await.state, WorkflowState::Waiting);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_of_what_has_changed_since_is_void_and_asked_again() {
    let step = Group::made("make", "Changed");
    let description = step.description.clone();
    let world = World::with(approved(step)).await;
    let _worker = world.start_worker("one");
    let id = world.submit("scripted", Mode::Apply, json!({})).await;
    let first = asked(&waits_for(&world, id, WaitReason::Approval).await).plan_hash;
    *description.lock().expect("a lock") = "another";
    assert!(matches!(decide(&world, id, "second", &first, true).await, Decided::Done(_)));
    let again = eventually("it is asked again", Duration::from_secs(30), async || {
        let workflow = waits_for(&world, id, WaitReason::Approval).await;
        (asked(&workflow).plan_hash != first).then_some(workflow)
    })
    .await;
    let approval = asked(&again);
    assert_eq!((approval.decision.as_ref(), approval.voided.len()), (None, 1));
    let void = &approval.voided[0];
    assert_eq!(
        (void.plan_hash.as_str(), void.decision.as_ref().expect("the verdict").by.as_str()),
        (first.as_str(), "second")
    );
    assert!(again.waiting.expect("a wait").detail.contains("void"));
    assert!(group(&world, "Changed").await.is_none(), "what was approved is not what would be done");
    world.approve(id).await;
    assert_eq!(world.finishes(id).await.state, WorkflowState::Succeeded);
    let made = group(&world, "Changed").await.expect("the group");
    assert_eq!(made.text("description"), Some("another"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobodys_word_in_time_fails_it_and_a_retry_asks_anew() {
    let mut world = World::with(approved(Group::made("make", "Expired"))).await;
    world.timing.approval = Duration::from_millis(50);
    let _worker = world.start_worker("one");
    let id = world.submit("scripted", Mode::Apply, json!({})).await;
    let failed = world.finishes(id).await;
    assert_eq!(failed.state, WorkflowState::Failed);
    assert_eq!(failed.error.as_ref().expect("an error").code, ErrorCode::ApprovalExpired);
    let hash = asked(&failed).plan_hash;
    assert!(matches!(decide(&world, id, "second", &hash, true).await, Decided::NotAwaited(_)));
    act(&world, id, Action::Retry).await;
    let again = world.finishes(id).await;
    assert_eq!(again.error.expect("an error").code, ErrorCode::ApprovalExpired);
    assert_eq!(asked(&world.workflow(id).await).voided.len(), 1, "it was asked anew");
    assert!(group(&world, "Expired").await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejection_cancels_and_takes_back_what_came_before_the_question() {
    let asks: Arc<dyn DynStep> = Arc::new(approval::Approval);
    let make = |name, group| -> Arc<dyn DynStep> { Arc::new(Group::made(name, group)) };
    for steps in [
        vec![asks.clone(), make("after", "Rejected")],
        vec![make("before", "Before"), asks.clone(), make("after", "Rejected")],
    ] {
        let written = steps.len() == 3;
        let world = World::with(registry(steps)).await;
        let _worker = world.start_worker("one");
        let id = world.submit("scripted", Mode::Apply, json!({})).await;
        let waiting = waits_for(&world, id, WaitReason::Approval).await;
        assert_eq!(group(&world, "Before").await.is_some(), written);
        let hash = waiting.plan.expect("a plan").hash;
        assert!(matches!(decide(&world, id, "second", &hash, false).await, Decided::Done(_)));
        let cancelled = world.finishes(id).await;
        assert_eq!(cancelled.state, WorkflowState::Cancelled);
        let error = cancelled.error.expect("an error");
        assert_eq!(error.code, ErrorCode::ApprovalRejected);
        assert!(error.message.contains("second") && error.message.contains("so"), "{}", error.message);
        assert!(group(&world, "Before").await.is_none() && group(&world, "Rejected").await.is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_survives_the_death_of_its_worker_at_every_point() {
    let gate = Arc::new(Semaphore::new(0));
    let step = Group { gate: Some(gate.clone()), ..Group::made("make", "Survives") };
    let (looks, looking) = (step.looks.clone(), step.looking.clone());
    let looked = async |times: u32| {
        let what = format!("the step is looked at {times} time(s)");
        eventually(&what, Duration::from_secs(30), async || {
            (looks.load(Ordering::SeqCst) == times).then_some(())
        })
        .await;
    };
    let world = World::with(approved(step)).await;
    let id = world.submit("scripted", Mode::Apply, json!({})).await;
    let rehearsing = world.start_worker("dies while it rehearses");
    looked(1).await;
    rehearsing.kill();
    gone(&looking).await;
    gate.add_permits(1);
    let asking = world.start_worker("dies while a person is asked");
    let hash = asked(&waits_for(&world, id, WaitReason::Approval).await).plan_hash;
    asking.kill();
    assert_eq!(looks.load(Ordering::SeqCst), 2);
    assert!(matches!(decide(&world, id, "second", &hash, true).await, Decided::Done(_)));
    let approved = world.start_worker("dies with the approval in its hands");
    looked(3).await;
    approved.kill();
    gone(&looking).await;
    gate.add_permits(2);
    let _heir = world.start_worker("heir");
    let done = world.finishes(id).await;
    assert_eq!(done.state, WorkflowState::Succeeded, "{:?}", done.error);
    assert_eq!((asked(&done).plan_hash, asked(&done).voided.len()), (hash, 0), "asked once");
    assert!(group(&world, "Survives").await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_would_be_done_nobody_is_asked() {
    let (last, lasts) = Scripted::new("last", vec![ok]);
    let world = World::with(registry(vec![Arc::new(approval::Approval), last])).await;
    let _worker = world.start_worker("one");
    let id = world.submit("scripted", Mode::Apply, json!({})).await;
    let done = world.finishes(id).await;
    assert_eq!((done.state, done.steps[0].state), (WorkflowState::Succeeded, StepState::Skipped));
    assert_eq!(lasts.load(Ordering::SeqCst), 2, "rehearsed, then run");
}
