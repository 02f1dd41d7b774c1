//! Calendars hold destructive work back before it writes anything, and nothing else.

use chrono::{DateTime, Utc};
use domain::calendar::CalendarManifest;
use domain::{
    Cause, Lane, Mode, Plan, StepOutcome, StepState, WaitReason, WorkflowId, WorkflowKind, WorkflowState,
};
use serde_json::json;
use store::{Action, CalendarRecord, Claim, NewWorkflow, WorkflowChange};

use crate::kit::*;

fn text(time: DateTime<Utc>) -> String {
    time.to_rfc3339()
}

/// From `from` to `until`, for all that is destructive.
async fn freeze(world: &World, name: &str, from: i64, until: i64) {
    let document = json!({
        "name": name, "effect": "freeze", "periods": [{"from": text(at(from)), "until": text(at(until))}]
    });
    let manifest: CalendarManifest = serde_json::from_value(document).expect("a manifest");
    let calendar = manifest.validate(at(from)).expect("valid");
    let record = CalendarRecord { calendar, created_by: "ann".into(), created_at: at(from) };
    assert!(world.store.create_calendar(&record).await.expect("written"));
}

fn removal(farm: &str, seconds: i64) -> NewWorkflow {
    NewWorkflow { kind: WorkflowKind::REMOVE_HOST, farm_spec: None, ..deploy(farm, seconds) }
}

fn is_held(claim: &Claim) -> bool {
    matches!(claim, Claim::NotClaimable(WorkflowState::Waiting))
}

async fn waits(world: &World, id: WorkflowId) -> Option<(WaitReason, Option<DateTime<Utc>>)> {
    world.workflow(id).await.waiting.map(|wait| (wait.reason, wait.until))
}

pub async fn destructive_work_waits_for_the_end_of_a_freeze_and_then_runs(world: World) {
    freeze(&world, "f", 0, 1000).await;
    let id = world.submit(removal("ITFarm1", 1)).await;
    world.events().await;
    assert!(is_held(&world.claim(id, 10).await));
    assert_eq!(waits(&world, id).await, Some((WaitReason::Calendar, Some(at(1000)))));
    let detail = world.workflow(id).await.waiting.expect("waits").detail;
    assert!(detail.starts_with("the freeze f is on; goes on by itself at "), "{detail}");
    assert_eq!(world.store.wake_due(at(999), 10).await.expect("an answer"), []);
    assert_eq!(world.store.wake_due(at(1000), 10).await.expect("an answer"), [id]);
    assert_eq!(world.events().await, [(id, Cause::Due)]);
    assert!(matches!(world.claim(id, 1001).await, Claim::Claimed(_)));
}

pub async fn what_is_urgent_or_harmless_or_only_asks_is_never_held(world: World) {
    freeze(&world, "f", 0, 1000).await;
    let containment = NewWorkflow { kind: WorkflowKind::COMPROMISE_REMOVAL, lane: Lane::Urgent, ..check(1) };
    let parent = world.submit(containment).await;
    // Even of a kind that is covered, on the urgent lane or asked for by a containment.
    let urgent = NewWorkflow { lane: Lane::Urgent, ..removal("A", 2) };
    let child = NewWorkflow { parent: Some(parent), ..removal("B", 2) };
    let dry = NewWorkflow { mode: Mode::Plan, ..removal("C", 2) };
    for new in [urgent, child, dry, deploy("D", 2)] {
        let id = world.submit(new).await;
        assert!(matches!(world.claim(id, 10).await, Claim::Claimed(_)));
    }
    assert!(matches!(world.claim(parent, 10).await, Claim::Claimed(_)));
}

pub async fn held_work_keeps_nobody_else_from_its_farm(world: World) {
    freeze(&world, "f", 0, 1000).await;
    // The removal was next in line for the farm's lock.
    let first = world.deploy("ITFarm1", 1).await;
    let claimed = world.claimed(first, 2).await;
    let removal = world.submit(removal("ITFarm1", 3)).await;
    let next = world.deploy("ITFarm1", 4).await;
    assert!(is_held(&world.claim(removal, 5).await));
    assert!(matches!(world.claim(next, 5).await, Claim::WaitsForLock));
    world.finish(&claimed, 6).await;
    assert_eq!(world.state(next).await, WorkflowState::Queued, "the lock went past the one that is held");
    assert!(matches!(world.claim(next, 7).await, Claim::Claimed(_)));
}

pub async fn a_lock_that_reaches_held_work_is_handed_on(world: World) {
    let first = world.deploy("ITFarm1", 1).await;
    let claimed = world.claimed(first, 2).await;
    let removal = world.submit(removal("ITFarm1", 3)).await;
    let next = world.deploy("ITFarm1", 4).await;
    for id in [removal, next] {
        assert!(matches!(world.claim(id, 5).await, Claim::WaitsForLock));
    }
    // The freeze begins while it waits in line.
    freeze(&world, "f", 6, 1000).await;
    world.finish(&claimed, 7).await;
    assert_eq!(world.state(removal).await, WorkflowState::Queued);
    assert!(is_held(&world.claim(removal, 8).await));
    assert!(matches!(world.claim(next, 9).await, Claim::Claimed(_)));
}

pub async fn what_has_begun_to_write_goes_on(world: World) {
    let id = world.submit(removal("ITFarm1", 1)).await;
    let claimed = world.claimed(id, 2).await;
    world.commit(entry(&claimed, 2, begin(&["a", "b"]))).await;
    world.commit(with_steps(entry(&claimed, 3, WorkflowChange::Release), vec![wrote(0, "a")])).await;
    freeze(&world, "f", 4, 1000).await;
    assert!(matches!(world.claim(id, 5).await, Claim::Claimed(_)));
}

pub async fn an_approval_is_asked_in_a_freeze_and_obeyed_after_it(world: World) {
    freeze(&world, "f", 0, 1000).await;
    let decommission =
        NewWorkflow { kind: WorkflowKind::DECOMMISSION, farm_spec: None, ..deploy("ITFarm1", 1) };
    let id = world.submit(decommission).await;
    let claimed = world.claimed(id, 2).await;
    let approval = domain::Approval::asked("h".to_owned(), at(2), at(5000));
    let step = domain::StepRecord {
        state: StepState::Waiting,
        outcome: Some(StepOutcome { approval: Some(approval), ..StepOutcome::default() }),
        ..domain::StepRecord::pending(0, "approval")
    };
    let change = WorkflowChange::AwaitApproval {
        wait: wait(WaitReason::Approval, None),
        plan: Plan { hash: "h".to_owned(), ..Plan::new(Vec::new(), Vec::new()) },
    };
    world.commit(with_steps(entry(&claimed, 3, change), vec![step])).await;
    let ruling = store::Ruling { approve: true, plan_hash: "h".into(), by: "ben".into(), reason: None };
    world.store.decide(id, ruling, at(4)).await.expect("decided");
    assert!(is_held(&world.claim(id, 5).await));
    assert_eq!(waits(&world, id).await, Some((WaitReason::Calendar, Some(at(1000)))));
    // It had begun: its lock stays with it, and a cancellation needs no window.
    assert_eq!(world.rows("locks").await, 1);
    world.store.act(id, Action::Cancel, "ann", at(6)).await.expect("cancelled");
    assert_eq!((world.state(id).await, world.rows("locks").await), (WorkflowState::Cancelled, 0));
}

pub async fn a_change_of_calendars_is_judged_at_once_and_by_other_processes_in_a_second(world: World) {
    let other = world.another_store().await;
    let id = world.submit(removal("ITFarm1", 1)).await;
    freeze(&world, "f", 0, 1000).await;
    freeze(&world, "g", 0, 2000).await;
    assert!(is_held(&world.claim(id, 10).await));
    assert_eq!(waits(&world, id).await, Some((WaitReason::Calendar, Some(at(2000)))));
    for (name, until) in [("G", Some(at(1000))), ("f", None)] {
        let name = domain::CalendarName::parse(name).expect("a name");
        assert!(world.store.delete_calendar(&name, at(20)).await.expect("an answer"));
        assert!(!world.store.delete_calendar(&name, at(20)).await.expect("an answer"));
        assert_eq!(world.store.wake_due(at(20), 10).await.expect("an answer"), [id]);
        let claim = world.claim(id, 21).await;
        assert_eq!(is_held(&claim), until.is_some(), "{claim:?}");
        assert_eq!(waits(&world, id).await, until.map(|until| (WaitReason::Calendar, Some(until))));
    }
    // A process that has looked keeps what it saw for a second, not longer.
    let second = world.submit(removal("ITFarm2", 30)).await;
    let third = world.submit(removal("ITFarm3", 30)).await;
    assert!(matches!(
        other.claim(&[second], &worker("w2"), at(31)).await.expect("an answer")[0],
        Claim::Claimed(_)
    ));
    freeze(&world, "h", 31, 1000).await;
    let claim = other.claim(&[third], &worker("w2"), at(32)).await.expect("an answer").remove(0);
    assert!(is_held(&claim), "{claim:?}");
}

pub async fn a_calendar_that_cannot_be_read_keeps_no_claim_from_being_made(world: World) {
    freeze(&world, "f", 0, 1000).await;
    world.store.execute_raw("update calendars set spec = '{\"newer\": true}'").await.expect("written");
    let id = world.check(1).await;
    assert!(matches!(world.claim(id, 10).await, Claim::Claimed(_)));
    assert!(world.store.calendars().await.is_err(), "who looks at it is told");
}
