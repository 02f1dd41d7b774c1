//! One lifecycle workflow on a farm at a time, first come, first served.

use domain::{Cause, DirectoryName, Lane, Mode, WaitReason, WorkflowEvent, WorkflowState};
use futures::future::join_all;
use store::{Claim, Claimed, NewWorkflow, WorkflowChange};

use crate::kit::*;

fn is_waiting(claim: &Claim) -> bool {
    matches!(claim, Claim::WaitsForLock)
}

pub async fn the_lock_of_a_farm_passes_in_the_order_of_asking(world: World) {
    let first = world.deploy("ITFarm1", 0).await;
    let second = world.deploy("ITFarm1", 1).await;
    let third = world.deploy("itfarm1", 2).await;
    let mut holder = world.claimed(first, 3).await;
    assert!(holder.holds_lock);
    // Those who come later fail in the other order.
    assert!(is_waiting(&world.claim(third, 4).await) && is_waiting(&world.claim(second, 5).await));
    let waits = world.workflow(second).await;
    let wait = waits.waiting.expect("it says what it waits for");
    assert_eq!((waits.state, waits.started_at), (WorkflowState::Waiting, None));
    assert_eq!((wait.reason, wait.until), (WaitReason::Lock, None));
    world.events().await;
    for next in [second, third] {
        world.finish(&holder, 6).await;
        assert_eq!(world.events().await, [(next, Cause::LockReleased)]);
        assert_eq!(world.workflow(next).await.waiting, None);
        holder = world.claimed(next, 7).await;
        assert!(holder.holds_lock);
    }
    world.finish(&holder, 8).await;
    assert_eq!((world.rows("locks").await, world.events().await.len()), (0, 0));
}

pub async fn two_farms_are_worked_on_side_by_side(world: World) {
    let elsewhere = DirectoryName::parse("other").expect("a name");
    let one = world.deploy("ITFarm1", 0).await;
    let two = world.deploy("ITFarm2", 0).await;
    let far =
        world.submit(NewWorkflow { directory: elsewhere, farm_spec: None, ..deploy("ITFarm1", 0) }).await;
    let claims = world.store.claim(&[one, two, far], &worker("w1"), at(1)).await.expect("an answer");
    assert!(
        claims.iter().all(|claim| matches!(claim, Claim::Claimed(claimed) if claimed.holds_lock)),
        "{claims:?}"
    );
}

pub async fn a_latecomer_does_not_slip_in_before_those_who_wait(world: World) {
    let (first, second, late) =
        (world.deploy("F", 0).await, world.deploy("F", 1).await, world.deploy("F", 2).await);
    let holder = world.claimed(first, 3).await;
    assert!(is_waiting(&world.claim(second, 3).await));
    world.finish(&holder, 4).await;
    // The lock is free, the second is awake, and the third is quicker.
    assert!(is_waiting(&world.claim(late, 5).await));
    let holder = world.claimed(second, 6).await;
    world.finish(&holder, 7).await;
    assert!(world.claimed(late, 8).await.holds_lock);
}

pub async fn a_lock_is_kept_while_waiting_and_its_token_grows(world: World) {
    let (first, second) = (world.deploy("F", 0).await, world.deploy("F", 1).await);
    let claimed = world.claimed(first, 2).await;
    world.commit(entry(&claimed, 3, WorkflowChange::Wait(wait(WaitReason::Host, Some(at(10)))))).await;
    assert!(is_waiting(&world.claim(second, 4).await));
    world.store.wake_due(at(10), 5).await.expect("woken");
    let again = world.claimed(first, 11).await;
    assert_eq!((again.fencing_token, again.holds_lock), (2, true));
    assert_eq!(world.store.number("select fencing_token from locks").await.expect("a number"), 2);
    // A worker that dies keeps the lock for its workflow, too.
    world.store.release_expired_leases(at(1000), 5).await.expect("released");
    assert_eq!(world.state(second).await, WorkflowState::Waiting);
    let again = world.claimed(first, 1001).await;
    world.commit(entry(&again, 1002, finish(WorkflowEvent::Fail))).await;
    assert!(world.claimed(second, 1003).await.holds_lock, "a failed workflow gives its lock up");
}

pub async fn dry_runs_and_urgent_work_take_no_lock(world: World) {
    let holder = world.deploy("F", 0).await;
    world.claimed(holder, 1).await;
    let plan = world.submit(NewWorkflow { mode: Mode::Plan, ..deploy("F", 1) }).await;
    let urgent = world.submit(NewWorkflow { lane: Lane::Urgent, ..deploy("F", 1) }).await;
    for id in [plan, urgent] {
        assert!(!world.claimed(id, 2).await.holds_lock);
    }
    assert_eq!(world.rows("locks").await, 1);
}

pub async fn one_batch_with_two_of_a_farm_gives_the_lock_to_its_holder(world: World) {
    let (older, holder) = (world.deploy("F", 0).await, world.deploy("F", 1).await);
    let claimed = world.claimed(holder, 2).await;
    world.commit(entry(&claimed, 3, WorkflowChange::Release)).await;
    let claims = world.store.claim(&[older, holder], &worker("w1"), at(4)).await.expect("an answer");
    assert!(is_waiting(&claims[0]) && matches!(claims[1], Claim::Claimed(_)), "{claims:?}");
    // And of two that are new, to the older one.
    let (young, old) = (world.deploy("G", 9).await, world.deploy("G", 8).await);
    let claims = world.store.claim(&[old, young], &worker("w1"), at(10)).await.expect("an answer");
    assert!(matches!(claims[0], Claim::Claimed(_)) && is_waiting(&claims[1]), "{claims:?}");
}

/// Claims and ends of one farm cross each other in every way; none may be left waiting for ever.
pub async fn many_on_one_farm_all_get_their_turn(world: World) {
    let count = 40;
    let mut ids = Vec::new();
    for n in 0..count {
        ids.push(world.deploy("F", n).await);
    }
    world.events().await;
    let mut open = ids.clone();
    while !open.is_empty() {
        let claims = join_all(open.iter().map(|id| world.claim(*id, 100))).await;
        let holders: Vec<&Claimed> = claims
            .iter()
            .filter_map(|claim| if let Claim::Claimed(claimed) = claim { Some(&**claimed) } else { None })
            .collect();
        assert!(holders.len() <= 1, "two hold one lock");
        // The end of one and the next claims at the same time.
        join_all(holders.iter().map(async |holder| {
            let others = open.iter().filter(|id| **id != holder.workflow.id).copied().collect::<Vec<_>>();
            let end = world.finish(holder, 101);
            let again = join_all(others.iter().map(|id| world.claim(*id, 102)));
            let ((), again) = futures::join!(end, again);
            for claim in again {
                if let Claim::Claimed(claimed) = claim {
                    world.finish(&claimed, 103).await;
                }
            }
        }))
        .await;
        let mut left = Vec::new();
        for id in open {
            match world.state(id).await {
                WorkflowState::Succeeded => {}
                WorkflowState::Queued | WorkflowState::Waiting => left.push(id),
                other => panic!("{id} is {other}"),
            }
        }
        open = left;
        let held = world.rows("locks").await;
        assert_eq!(held, i64::from(!open.is_empty()), "while any wait, one of them has the lock");
    }
    for id in ids {
        assert_eq!(world.state(id).await, WorkflowState::Succeeded);
    }
}
