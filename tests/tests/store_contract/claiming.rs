//! Leases: one holder, and what it learns.

use domain::{Lane, WorkflowEvent, WorkflowId, WorkflowState};
use futures::future::join_all;
use store::{Action, Claim, Committed, Control, Heartbeat, NewWorkflow, WorkflowChange};

use crate::kit::*;

pub async fn one_of_twenty_claimers_gets_it(world: World) {
    let mut ids = Vec::new();
    for n in 0..10 {
        ids.push(world.check(n).await);
    }
    let mut backwards = ids.clone();
    backwards.reverse();
    // In both directions: two batches that take rows in different order must not block each other.
    let workers: Vec<_> = (0..20).map(|n| worker(&format!("w{n}"))).collect();
    let claims = workers.iter().zip([&ids, &backwards].into_iter().cycle());
    let answers = join_all(claims.map(|(worker, ids)| world.store.claim(ids, worker, at(1)))).await;
    let mut winners = 0;
    for claim in answers.into_iter().flat_map(|answer| answer.expect("an answer")) {
        match claim {
            Claim::Claimed(claimed) => {
                winners += 1;
                assert_eq!(claimed.fencing_token, 1);
            }
            Claim::NotClaimable(state) => assert_eq!(state, WorkflowState::Running),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(winners, ids.len());
}

pub async fn answers_come_in_the_order_of_the_ids(world: World) {
    let finished = world.in_state(WorkflowState::Succeeded).await;
    let (first, second) = (world.check(5).await, world.check(1).await);
    let nobody = WorkflowId::new(at(1), &domain::SystemRng);
    let ids = [nobody, first, finished, second, first];
    let claims = world.store.claim(&ids, &worker("w1"), at(9)).await.expect("an answer");
    let seen: Vec<_> = claims
        .iter()
        .map(|claim| match claim {
            Claim::Claimed(claimed) => claimed.workflow.id.to_string(),
            other => format!("{other:?}"),
        })
        .collect();
    let expected = [
        "Unknown".to_owned(),
        first.to_string(),
        "NotClaimable(Succeeded)".to_owned(),
        second.to_string(),
        "NotClaimable(Running)".to_owned(),
    ];
    assert_eq!(seen, expected);
    assert!(world.store.claim(&[], &worker("w1"), at(9)).await.expect("an answer").is_empty());
}

pub async fn a_claim_brings_what_the_last_worker_left(world: World) {
    let id = world
        .submit(NewWorkflow { traceparent: Some("00-a-b-01".into()), lane: Lane::Urgent, ..check(0) })
        .await;
    let first = world.claimed(id, 1).await;
    assert_eq!((first.fencing_token, first.lease_until), (1, at(1) + LEASE));
    assert_eq!((first.traceparent.as_deref(), first.holds_lock), (Some("00-a-b-01"), false));
    assert_eq!((first.workflow.started_at, first.workflow.state), (Some(at(1)), WorkflowState::Running));
    let steps = vec![done(0, "look"), wrote(1, "write")];
    world.commit(with_steps(entry(&first, 2, begin(&["look", "write", "end"])), steps.clone())).await;
    world.commit(entry(&first, 2, WorkflowChange::Pin { dc: "dc1.contoso.com".into() })).await;
    world.commit(entry(&first, 3, WorkflowChange::Release)).await;
    let second = world.claimed(id, 50).await;
    assert_eq!(second.fencing_token, 2);
    assert_eq!(second.workflow.steps, steps);
    assert_eq!(second.workflow.started_at, Some(at(1)), "it started once");
    assert_eq!(second.pinned_dc.as_deref(), Some("dc1.contoso.com"));
    assert_eq!((second.unwinding, second.control), (None, None));
}

pub async fn a_heartbeat_renews_and_tells_what_is_asked(world: World) {
    let (a, b) = (world.check(0).await, world.check(0).await);
    let held = [(a, world.claimed(a, 0).await.fencing_token), (b, world.claimed(b, 0).await.fencing_token)];
    world.store.act(b, Action::Cancel, "ann", at(1)).await.expect("asked");
    let revision = world.store.revision(a).await.expect("an answer");
    let beats = world.store.heartbeat(&held, at(500)).await.expect("an answer");
    let expected = [Heartbeat::Held { control: None }, Heartbeat::Held { control: Some(Control::Cancel) }];
    assert_eq!(beats, expected);
    assert_eq!(world.store.revision(a).await.expect("an answer"), revision, "nothing to look at");
    // A late one takes nothing back.
    world.store.heartbeat(&held, at(100)).await.expect("an answer");
    assert!(world.store.release_expired_leases(at(499), 10).await.expect("an answer").is_empty());
    assert_eq!(world.store.release_expired_leases(at(501), 10).await.expect("an answer").len(), 2);
}

pub async fn a_heartbeat_of_a_lost_lease_says_so(world: World) {
    let (lost, ended, kept) = (world.check(0).await, world.check(0).await, world.check(0).await);
    let old = world.claimed(lost, 0).await;
    world.store.release_expired_leases(at(100), 10).await.expect("released");
    world.claimed(lost, 101).await;
    let over = world.claimed(ended, 101).await;
    world.commit(entry(&over, 102, finish(WorkflowEvent::Succeed))).await;
    let mine = world.claimed(kept, 101).await;
    let nobody = WorkflowId::new(at(1), &domain::SystemRng);
    let held = [(lost, old.fencing_token), (ended, 1), (kept, mine.fencing_token), (nobody, 1)];
    let beats = world.store.heartbeat(&held, at(300)).await.expect("an answer");
    let expected = [Heartbeat::Lost, Heartbeat::Lost, Heartbeat::Held { control: None }, Heartbeat::Lost];
    assert_eq!(beats, expected);
    assert_eq!(world.commit(entry(&old, 103, WorkflowChange::None)).await, Committed::LeaseLost);
}
