//! Drift that is put right: by an update that a second person approves.

use domain::drift::{DriftKind as K, DriftState};
use domain::{Clock, ErrorCode, WaitReason, Workflow, WorkflowId, WorkflowState};
use serde_json::json;
use store::{Decided, Ruling};
use tests::wait::eventually;
use tests::world::World;

use super::embedded::{account_dn, admin, group_dn, host_dn, set};
use super::{deployed, entry, farm, full, in_line, mended, quick, succeeded, told};

async fn awaits_approval(world: &World, id: WorkflowId) -> Workflow {
    eventually("the approval", std::time::Duration::from_secs(30), async || {
        let workflow = world.workflow(id).await;
        let waits = workflow.waiting.as_ref().is_some_and(|wait| wait.reason == WaitReason::Approval);
        waits.then_some(workflow)
    })
    .await
}

async fn reject(world: &World, id: WorkflowId) {
    let plan_hash = awaits_approval(world, id).await.plan.expect("a plan").hash;
    let ruling = Ruling { approve: false, plan_hash, by: "a second person".to_owned(), reason: None };
    let decided = world.store.decide(id, ruling, world.clock.now()).await.expect("the store answers");
    assert!(matches!(decided, Decided::Done(_)), "{decided:?}");
    world.signal.wake();
    assert_eq!(world.finishes(id).await.state, WorkflowState::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_farm_wants_mended_is_mended_after_a_second_person_has_approved_exactly_that() {
    let world = World::new().await;
    let _worker = world.start_worker("one");
    deployed(&world, mended("mend1", &["Host1", "Host2"])).await;
    deployed(&world, farm("mend2", &["Host1"], json!({}))).await;
    full(&world).await;
    for name in ["mend1", "mend2"] {
        set(&world, &account_dn(name), "description", &["another's"]).await;
    }
    set(&world, &group_dn("mend1g"), "member", &[host_dn("Host1").as_str()]).await;

    let found = quick(&world).await;
    assert_eq!((found.farms.mending, found.farms.drifted, found.mending.len()), (1, 1, 1), "{found:#?}");
    let id = found.mending[0];
    assert_eq!(
        (entry(&world, "mend1").await.state, entry(&world, "mend1").await.mended_by),
        (DriftState::Mending, Some(id))
    );
    let waiting = awaits_approval(&world, id).await;
    assert_eq!((waiting.kind.as_str(), waiting.requested_by.as_str()), ("update", "a test"));
    assert!(
        waiting.reason.as_ref().is_some_and(|reason| reason.starts_with("drift-check")),
        "{:?}",
        waiting.reason
    );
    let plan = waiting.plan.expect("a plan");
    assert_eq!(plan.changes.len(), 2, "{plan:#?}");

    // Who had the check made cannot be the second person.
    let own = Ruling { approve: true, plan_hash: plan.hash, by: "a test".to_owned(), reason: None };
    assert_eq!(
        world.store.decide(id, own, world.clock.now()).await.expect("the store answers"),
        Decided::Own
    );
    // While it waits no other is asked for.
    assert_eq!(quick(&world).await.mending, []);
    assert_eq!(entry(&world, "mend1").await.state, DriftState::Mending);

    world.approve(id).await;
    succeeded(&world.finishes(id).await);
    let then = quick(&world).await;
    assert_eq!((then.farms.in_line, then.farms.drifted), (1, 1), "{then:#?}");
    in_line(&world, "mend1").await;
    assert_eq!(told(&entry(&world, "mend2").await), [(K::Changed, "mend2$", "description")]);

    // Once more the same: it is asked for again, since the last one was carried out.
    set(&world, &account_dn("mend1"), "description", &["another's"]).await;
    assert_eq!(quick(&world).await.mending.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_is_void_when_the_directory_has_moved_on() {
    let world = World::new().await;
    let _worker = world.start_worker("one");
    deployed(&world, mended("void1", &["Host1"])).await;
    full(&world).await;
    set(&world, &account_dn("void1"), "description", &["another's"]).await;
    let id = quick(&world).await.mending[0];
    let seen = awaits_approval(&world, id).await.plan.expect("a plan");
    set(&world, &account_dn("void1"), "description", &["yet another's"]).await;
    world.approve(id).await;
    let again = eventually("another plan", std::time::Duration::from_secs(30), async || {
        world.workflow(id).await.plan.filter(|plan| plan.hash != seen.hash)
    })
    .await;
    assert_eq!(again.changes.len(), 1);
    // By hand as it was: then there is nothing to approve, and nothing to do.
    set(&world, &account_dn("void1"), "description", &["a farm of a test"]).await;
    awaits_approval(&world, id).await;
    world.approve(id).await;
    succeeded(&world.finishes(id).await);
    quick(&world).await;
    in_line(&world, "void1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_rejected_is_not_asked_for_again_and_another_drift_is() {
    let world = World::new().await;
    let _worker = world.start_worker("one");
    deployed(&world, mended("rej1", &["Host1"])).await;
    full(&world).await;
    set(&world, &account_dn("rej1"), "description", &["as it has to be"]).await;
    let id = quick(&world).await.mending[0];
    reject(&world, id).await;
    let rejected = world.workflow(id).await;
    assert_eq!(rejected.error.map(|error| error.code), Some(ErrorCode::ApprovalRejected));

    for _ in 0..2 {
        assert_eq!(full(&world).await.mending, []);
        let found = entry(&world, "rej1").await;
        assert_eq!((found.state, found.mended_by), (DriftState::Drifted, Some(id)));
        assert!(found.why.as_ref().is_some_and(|why| why.contains("rejected")), "{:?}", found.why);
    }
    set(&world, &account_dn("rej1"), "description", &["something else"]).await;
    let next = quick(&world).await;
    assert_eq!((next.mending.len(), next.farms.mending), (1, 1), "{next:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_update_mends_is_left_to_people_and_says_so() {
    let world = World::new().await;
    let _worker = world.start_worker("one");
    for name in ["hand1", "hand2"] {
        deployed(&world, mended(name, &["Host1"])).await;
    }
    full(&world).await;
    let members = [host_dn("Host1"), host_dn("Host9")];
    set(&world, &group_dn("hand1g"), "member", &[members[0].as_str(), members[1].as_str()]).await;
    admin(&world).await.delete(&account_dn("hand2")).await.expect("deleted");
    let found = quick(&world).await;
    assert_eq!((found.mending.len(), found.farms.drifted), (0, 2), "{found:#?}");
    let (one, two) = (entry(&world, "hand1").await, entry(&world, "hand2").await);
    assert!(one.items[0].hint.contains("farmhand remove-host hand1 Host9"), "{one:#?}");
    assert!(two.why.as_ref().is_some_and(|why| why.contains("no update can mend it")), "{two:#?}");

    // As the hint says.
    let removed = world
        .submit_for("remove-host", domain::Mode::Apply, Some("hand1"), json!({ "hosts": ["Host9"] }))
        .await;
    succeeded(&world.finishes(removed).await);
    quick(&world).await;
    in_line(&world, "hand1").await;
}
