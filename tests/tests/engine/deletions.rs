//! Deletions are the point of no return: up to the first everything is undone, behind it nothing.

use directory::ResultCode;
use directory::embedded::{Fault, FaultKind, OperationKind};
use domain::WorkflowId;

use super::*;

/// Makes `New`, deletes `Old`, and then does as the script says.
async fn world(script: Script) -> World {
    let (last, _) = Scripted::new("last", script);
    let steps: Vec<Arc<dyn DynStep>> =
        vec![Arc::new(Group::made("make", "New")), Arc::new(Group::deleted("delete", "Old")), last];
    let world = World::with(registry(steps)).await;
    let dc = world.directory.pin(None).await.expect("a DC");
    let old = [("objectClass", "group"), ("sAMAccountName", "Old"), ("groupType", "-2147483646")];
    let old = old.map(|(name, value)| directory::Attribute { name: name.into(), values: vec![value.into()] });
    dc.add(&users("Old"), &old).await.expect("added");
    world.faults.forget();
    world
}

async fn stand(world: &World) -> [bool; 2] {
    [group(world, "New").await.is_some(), group(world, "Old").await.is_some()]
}

fn refuse_deletion(world: &World) {
    let kind = FaultKind::Refuse(ResultCode::INSUFFICIENT_ACCESS_RIGHTS, "00002098: refused".into());
    world.faults.inject(Fault::once(OperationKind::Delete, kind));
}

async fn begin(world: &World) -> WorkflowId {
    world.submit("scripted", Mode::Apply, json!({})).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_is_refused_parks_and_a_resume_tries_it_again() {
    let world = world(vec![ok]).await;
    refuse_deletion(&world);
    let _worker = world.start_worker("one");
    let id = begin(&world).await;
    waits_for(&world, id, WaitReason::Operator).await;
    assert_eq!(stand(&world).await, [true, true], "what was done stays");
    act(&world, id, Action::Resume).await;
    assert_eq!(world.finishes(id).await.state, WorkflowState::Succeeded);
    assert_eq!(stand(&world).await, [true, false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_before_the_first_deletion_everything_is_undone() {
    let world = world(vec![ok]).await;
    refuse_deletion(&world);
    let _worker = world.start_worker("one");
    let id = begin(&world).await;
    waits_for(&world, id, WaitReason::Operator).await;
    act(&world, id, Action::Cancel).await;
    assert_eq!(world.finishes(id).await.state, WorkflowState::Cancelled);
    assert_eq!(stand(&world).await, [false, true]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_behind_a_deletion_parks_and_cancelling_it_leaves_everything_as_it_stands() {
    let fails: fn() -> Result<(), StepError> = || Err(StepError::Fail(problem()));
    let world = world(vec![fails]).await;
    let _worker = world.start_worker("one");
    let id = begin(&world).await;
    let parked = waits_for(&world, id, WaitReason::Operator).await;
    assert_eq!(parked.steps[2].error, Some(problem()));
    act(&world, id, Action::Cancel).await;
    let cancelled = world.finishes(id).await;
    assert_eq!(cancelled.state, WorkflowState::Cancelled);
    assert!(cancelled.error.expect("an error").hint.contains("nothing was undone"));
    assert_eq!(stand(&world).await, [true, false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_whose_answer_was_lost_counts_when_it_is_cancelled_next() {
    let world = world(vec![ok]).await;
    world.faults.inject(Fault::once(OperationKind::Delete, FaultKind::HangAfterEffect));
    let doomed = world.start_worker("doomed");
    let id = begin(&world).await;
    eventually("the deletion hangs", Duration::from_secs(20), async || {
        (world.faults.hanging() == 1).then_some(())
    })
    .await;
    doomed.kill();
    act(&world, id, Action::Cancel).await;
    let _heir = world.start_worker("heir");
    let cancelled = world.finishes(id).await;
    assert_eq!(cancelled.state, WorkflowState::Cancelled, "{:?}", cancelled.error);
    assert!(cancelled.error.expect("an error").hint.contains("nothing was undone"));
    assert_eq!(stand(&world).await, [true, false]);
}
