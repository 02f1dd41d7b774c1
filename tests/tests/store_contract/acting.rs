//! What people ask of workflows.

use domain::step::Intent;
use domain::{Cause, StepRecord, StepState, WaitReason, WorkflowEvent, WorkflowId, WorkflowState};
use store::{ActOutcome, Action, Claim, Control, Finish, StoreError, WorkflowChange};

use crate::kit::*;

const ACTIONS: [Action; 4] = [Action::Cancel, Action::Pause, Action::Resume, Action::Retry];

pub async fn the_table_of_states_and_actions_is_what_was_reviewed(world: World) {
    use WorkflowState as S;
    let expected = |state: S, action: Action| match (state, action) {
        (S::Running, Action::Cancel | Action::Pause) => Some(S::Running),
        (S::Queued | S::Waiting | S::Paused, Action::Cancel) => Some(S::Cancelled),
        (S::Queued | S::Waiting, Action::Pause) => Some(S::Paused),
        (S::Waiting | S::Paused, Action::Resume) | (S::Failed, Action::Retry) => Some(S::Queued),
        _ => None,
    };
    for state in S::ALL.iter().copied() {
        for action in ACTIONS {
            let id = world.in_state(state).await;
            world.events().await;
            let before = world.workflow(id).await;
            let answer = world.store.act(id, action, "ann", at(50)).await;
            let after = world.workflow(id).await;
            match (expected(state, action), answer) {
                (None, Err(StoreError::IllegalTransition(_))) => assert_eq!(after, before),
                (Some(S::Running), Ok(ActOutcome::Asked(now))) => {
                    assert_eq!((&now, now.state), (&after, S::Running))
                }
                (Some(next), Ok(ActOutcome::Done(now))) => assert_eq!((&now, now.state), (&after, next)),
                other => panic!("{state} {action:?}: {other:?}"),
            }
            let queued = expected(state, action) == Some(S::Queued);
            let events = if queued { vec![(id, Cause::Operator)] } else { vec![] };
            assert_eq!(world.events().await, events, "{state} {action:?}");
            assert_eq!(after.waiting.is_some(), after.state == S::Waiting);
            assert_eq!(after.finished_at.is_some(), after.state.is_finished(), "{state} {action:?}");
        }
    }
    let nobody = WorkflowId::new(at(0), &domain::SystemRng);
    let answer = world.store.act(nobody, Action::Cancel, "ann", at(0)).await.expect("an answer");
    assert_eq!(answer, ActOutcome::NotFound);
}

pub async fn a_cancelled_workflow_that_wrote_is_unwound_by_a_worker(world: World) {
    let waiting = WorkflowChange::Wait(wait(WaitReason::Approval, None));
    let intent = Some(Intent { dc: "dc1".into(), changes: Vec::new(), at: at(1) });
    let cut_short = StepRecord { intent, state: StepState::Running, ..StepRecord::pending(0, "a") };
    let undone = StepRecord { state: StepState::Undone, ..wrote(0, "a") };
    let cases = [(wrote(0, "a"), true), (cut_short, true), (done(0, "a"), false), (undone, false)];
    for change in [waiting, WorkflowChange::Pause, WorkflowChange::Release] {
        for (step, unwinds) in cases.clone() {
            let id = world.deploy("F", 0).await;
            let claimed = world.claimed(id, 1).await;
            world.commit(with_steps(entry(&claimed, 2, begin(&["a"])), vec![step])).await;
            world.commit(entry(&claimed, 3, change.clone())).await;
            world.events().await;
            let answer = world.store.act(id, Action::Cancel, "ann", at(4)).await.expect("an answer");
            if unwinds {
                assert!(
                    matches!(&answer, ActOutcome::Asked(now) if now.state == WorkflowState::Queued),
                    "{answer:?}"
                );
                assert_eq!(world.events().await, [(id, Cause::Operator)]);
                let again = world.claimed(id, 5).await;
                assert_eq!((again.control, again.holds_lock), (Some(Control::Cancel), true));
                world.commit(entry(&again, 6, finish(WorkflowEvent::Cancel))).await;
            } else {
                let ActOutcome::Done(now) = answer else { panic!("{answer:?}") };
                assert_eq!((now.state, now.finished_at), (WorkflowState::Cancelled, Some(at(4))));
                let error = now.error.expect("it says who cancelled it");
                assert_eq!(
                    (error.code, error.message.as_str()),
                    (domain::ErrorCode::Cancelled, "cancelled by ann")
                );
            }
            assert_eq!((world.state(id).await, world.rows("locks").await), (WorkflowState::Cancelled, 0));
        }
    }
}

pub async fn a_cancelled_workflow_gives_its_lock_to_the_next(world: World) {
    let (first, second, third) =
        (world.deploy("F", 0).await, world.deploy("F", 1).await, world.deploy("F", 2).await);
    let claimed = world.claimed(first, 3).await;
    for id in [second, third] {
        assert!(matches!(world.claim(id, 3).await, Claim::WaitsForLock));
    }
    world.commit(entry(&claimed, 4, WorkflowChange::Wait(wait(WaitReason::Approval, None)))).await;
    world.events().await;
    // One that waits in line leaves it; the holder's end then reaches the one behind.
    world.store.act(second, Action::Cancel, "ann", at(5)).await.expect("cancelled");
    assert!(world.events().await.is_empty());
    world.store.act(first, Action::Cancel, "ann", at(6)).await.expect("cancelled");
    assert_eq!(world.events().await, [(third, Cause::LockReleased)]);
    // Woken, and cancelled before a worker came.
    world.store.act(third, Action::Cancel, "ann", at(7)).await.expect("cancelled");
    assert_eq!(world.rows("locks").await, 0);
}

pub async fn a_pause_before_the_start_gives_up_the_lock_and_later_keeps_it(world: World) {
    let (first, second) = (world.deploy("F", 0).await, world.deploy("F", 1).await);
    let claimed = world.claimed(first, 2).await;
    assert!(matches!(world.claim(second, 3).await, Claim::WaitsForLock));
    world.finish(&claimed, 4).await;
    let third = world.deploy("F", 5).await;
    assert!(matches!(world.claim(third, 6).await, Claim::WaitsForLock), "the second has the lock already");
    world.store.act(second, Action::Pause, "ann", at(7)).await.expect("paused");
    let claimed = world.claimed(third, 8).await;
    world.commit(entry(&claimed, 9, WorkflowChange::Pause)).await;
    world.store.act(second, Action::Resume, "ann", at(10)).await.expect("resumed");
    assert!(
        matches!(world.claim(second, 11).await, Claim::WaitsForLock),
        "paused in the middle: the lock is kept"
    );
    world.store.act(third, Action::Resume, "ann", at(12)).await.expect("resumed");
    let claimed = world.claimed(third, 13).await;
    world.finish(&claimed, 14).await;
    assert!(world.claimed(second, 15).await.holds_lock);
}

pub async fn a_retry_starts_with_a_clean_slate(world: World) {
    let id = world.deploy("F", 0).await;
    let claimed = world.claimed(id, 1).await;
    let failed = StepRecord { state: StepState::Failed, error: Some(problem("x")), ..done(0, "a") };
    world.commit(with_steps(entry(&claimed, 2, begin(&["a"])), vec![failed.clone()])).await;
    world.commit(entry(&claimed, 3, WorkflowChange::Unwind { error: problem("x") })).await;
    world.store.act(id, Action::Pause, "ann", at(3)).await.expect("asked");
    let end = Finish {
        event: WorkflowEvent::Fail,
        error: Some(problem("x")),
        result: Some(serde_json::json!(1)),
        plan: None,
        farm: None,
    };
    world.commit(entry(&claimed, 4, WorkflowChange::Finish(end))).await;
    world.store.act(id, Action::Retry, "ann", at(5)).await.expect("retried");
    let workflow = world.workflow(id).await;
    assert_eq!((workflow.error, workflow.result, workflow.finished_at), (None, None, None));
    assert_eq!((workflow.started_at, workflow.steps), (Some(at(1)), vec![failed]));
    let again = world.claimed(id, 6).await;
    assert_eq!(
        (again.unwinding, again.control, again.fencing_token, again.holds_lock),
        (None, None, 2, true)
    );
}

pub async fn what_is_waited_for_by_nobody_is_not_resumed(world: World) {
    for reason in [WaitReason::Approval, WaitReason::Host, WaitReason::Timer, WaitReason::Retry] {
        let id = world.check(0).await;
        let claimed = world.claimed(id, 1).await;
        world.commit(entry(&claimed, 2, WorkflowChange::Wait(wait(reason, Some(at(90)))))).await;
        let answer = world.store.act(id, Action::Resume, "ann", at(3)).await;
        assert!(matches!(answer, Err(StoreError::IllegalTransition(_))), "{reason}");
        assert_eq!(world.workflow(id).await.waiting, Some(wait(reason, Some(at(90)))));
    }
}

pub async fn every_change_raises_the_revision(world: World) {
    let id = world.check(0).await;
    let mut last = 0;
    let mut raised = async |what: &str| {
        let revision = world.store.revision(id).await.expect("an answer").expect("a workflow");
        assert!(revision > last, "{what}: {last} to {revision}");
        last = revision;
    };
    raised("requested").await;
    let claimed = world.claimed(id, 1).await;
    raised("claimed").await;
    world.commit(with_steps(entry(&claimed, 2, WorkflowChange::None), vec![done(0, "a")])).await;
    raised("a step").await;
    world.store.act(id, Action::Pause, "ann", at(3)).await.expect("asked");
    raised("asked to pause").await;
    world.commit(entry(&claimed, 4, WorkflowChange::Pause)).await;
    raised("paused").await;
    world.store.act(id, Action::Resume, "ann", at(5)).await.expect("resumed");
    raised("resumed").await;
    let claimed = world.claimed(id, 6).await;
    raised("claimed again").await;
    world.commit(entry(&claimed, 7, WorkflowChange::Wait(wait(WaitReason::Timer, Some(at(8)))))).await;
    raised("waiting").await;
    world.store.wake_due(at(8), 5).await.expect("woken");
    raised("woken").await;
    world.claimed(id, 9).await;
    raised("claimed a third time").await;
    world.store.release_expired_leases(at(900), 5).await.expect("released");
    raised("released").await;
}
