//! `quarantine-release`.

use std::time::Duration;

use chrono::TimeDelta;
use directory::embedded::{Fault, FaultKind, OperationKind};
use directory::{ReaderDescriptor, ResultCode};
use domain::{Mode, Sid, WaitReason, Workflow, WorkflowId, WorkflowState};
use serde_json::{Value, json};
use tests::wait::eventually;
use tests::world::{World, farm};
use workers::Registry;
use workers::runbooks::quarantine_release;
use workers::steps::quarantine::AwaitTickets;

use crate::check::check;
use crate::kit::{Contained, account, host_dn, succeeded};
use crate::{administrator, reject, waits_for};

const LIMIT: Duration = Duration::from_secs(60);

async fn release(there: &Contained, host: &Sid, force: Option<&str>) -> WorkflowId {
    // As the API records it: the containment of a host stops what names it.
    let input = json!({ "hostSid": host, "force": force, "host": host });
    there.world.submit_for("quarantine-release", Mode::Apply, None, input).await
}

async fn released(there: &Contained, id: WorkflowId) -> Value {
    let done = there.world.finishes_approved(id).await;
    succeeded(&done);
    done.result.expect("a result")
}

async fn under_quarantine(there: &Contained) -> usize {
    there.world.store.quarantined(&Default::default()).await.expect("the store answers").len()
}

/// A world in which tickets live for so long.
async fn with_tickets(life: TimeDelta) -> Contained {
    let registry = Registry::standard().with(quarantine_release::with(AwaitTickets { life }));
    let world = World::with(registry).await;
    let worker = world.start_worker("one");
    let dc = world.directory.pin(None).await.expect("a DC");
    Contained::with(world, dc, worker)
}

/// Denied by an administrator, who took every right and not only ours.
fn foreign(host: &Sid) -> Vec<u8> {
    let everyone: Sid = "S-1-1-0".parse().expect("a SID");
    let mut list = ReaderDescriptor::allowing([&everyone]);
    list.deny(host);
    let mut bytes = list.to_bytes().expect("fits");
    let at = bytes.windows(4).position(|four| four == 0x10_u32.to_le_bytes()).expect("the mask");
    bytes[at..at + 4].copy_from_slice(&0xf01ff_u32.to_le_bytes());
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_our_deny_entries_go_and_the_computer_is_enabled_when_a_second_person_agrees() {
    let there = Contained::new().await;
    there.deploy(farm("Free1", "Free1Hosts", &["Host1", "Host2"])).await;
    let host = there.sid(&host_dn("Host1")).await;
    there.wild("Free2", &[&host]).await;
    there.wild("Foreign1", &[]).await;
    there.put_list("Foreign1", foreign(&host)).await;
    there.contain("Host1").await;
    let contained = [there.list("Free1").await, there.list("Free2").await];

    let id = release(&there, &host, Some("it was wiped and installed anew")).await;
    let asked = waits_for(&there.world, id, WaitReason::Approval).await;
    let plan = asked.plan.expect("what is to be approved");
    assert_eq!(plan.changes.len(), 3, "two lists and the computer: {:#?}", plan.changes);
    assert!(there.denied("Host1", "Free1").await && there.denied("Host1", "Free2").await);
    let result = released(&there, id).await;

    for (name, before) in ["Free1", "Free2"].into_iter().zip(contained) {
        let mut expected = before;
        assert!(expected.lift_denial_written_by_us(&host), "{name}");
        assert_eq!(there.list(name).await, expected, "{name}: that entry and nothing else");
    }
    assert_eq!(there.list("Foreign1").await.to_bytes().expect("fits"), foreign(&host));
    assert_eq!((there.control("Host1").await & 2, under_quarantine(&there).await), (0, 0));
    let denials = there.world.store.denials(&Default::default(), &host).await.expect("the store answers");
    assert!(denials.is_empty(), "{denials:?}");
    assert_eq!((&result["computer"], &result["changed"]), (&json!("enabled"), &json!(true)), "{result:#}");
    assert_eq!(result["forced"], json!("it was wiped and installed anew"));
    assert_eq!(result["lifted"].as_array().map(Vec::len), Some(2), "{result:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_reason_the_host_stays_denied_until_tickets_of_before_are_dead() {
    let life = TimeDelta::seconds(4);
    let there = with_tickets(life).await;
    there.deploy(farm("Wait1", "Wait1Hosts", &["Host1"])).await;
    let containment = there.run(json!({ "host": "Host1" })).await;
    let over = containment.finished_at.expect("done") + life;
    let id = release(&there, &there.sid(&host_dn("Host1")).await, None).await;
    waits_for(&there.world, id, WaitReason::Approval).await;
    there.world.approve(id).await;
    let waiting = waits_for(&there.world, id, WaitReason::Timer).await;
    assert_eq!(waiting.waiting.and_then(|wait| wait.until), Some(over));
    assert!(there.denied("Host1", "Wait1").await && there.control("Host1").await & 2 == 2);
    let done = there.world.finishes(id).await;
    succeeded(&done);
    assert!(done.finished_at.is_some_and(|at| at >= over));
    assert!(!there.denied("Host1", "Wait1").await && there.control("Host1").await & 2 == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_could_read_nothing_needs_a_second_person_too_and_one_who_says_no_keeps_it_there() {
    let there = Contained::new().await;
    there.run(json!({ "host": "Host4", "keepComputerEnabled": true })).await;
    let id = release(&there, &there.sid(&host_dn("Host4")).await, Some("a false alarm")).await;
    let asked = waits_for(&there.world, id, WaitReason::Approval).await;
    assert!(asked.plan.is_some_and(|plan| plan.is_empty()));
    reject(&there.world, id).await;
    assert_eq!(there.world.finishes(id).await.state, WorkflowState::Cancelled);
    assert_eq!(under_quarantine(&there).await, 1);
    let id = release(&there, &there.sid(&host_dn("Host4")).await, Some("a false alarm")).await;
    let result = released(&there, id).await;
    assert_eq!((&result["computer"], under_quarantine(&there).await), (&json!("left-as-it-is"), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_fails_halfway_puts_every_denial_back() {
    let there = Contained::new().await;
    there.deploy(farm("Half1", "Half1Hosts", &["Host1"])).await;
    there.contain("Host1").await;
    let id = release(&there, &there.sid(&host_dn("Host1")).await, Some("it is clean")).await;
    waits_for(&there.world, id, WaitReason::Approval).await;
    let refusal =
        FaultKind::Refuse(ResultCode::INSUFFICIENT_ACCESS_RIGHTS, "00002098: no right to enable".into());
    // The first lifts, the second enables.
    there.world.faults.inject(Fault::once(OperationKind::Modify, refusal).nth(2));
    there.world.approve(id).await;
    let done = there.world.finishes(id).await;
    assert_eq!(done.state, WorkflowState::Unwound, "{:#?}", done.error);
    assert!(there.denied("Host1", "Half1").await && there.control("Host1").await & 2 == 2);
    assert_eq!(under_quarantine(&there).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_falls_into_a_release_puts_nothing_back() {
    let there = Contained::new().await;
    there.deploy(farm("Between1", "Between1Hosts", &["Host1"])).await;
    there.contain("Host1").await;
    let id = release(&there, &there.sid(&host_dn("Host1")).await, Some("it is clean")).await;
    waits_for(&there.world, id, WaitReason::Approval).await;
    // The first lifts, the second enables: between the two there is time for a check.
    let slow = FaultKind::Delay(Duration::from_secs(4));
    there.world.faults.inject(Fault::once(OperationKind::Modify, slow).nth(2));
    there.world.approve(id).await;
    eventually("the deny entry is lifted", LIMIT, async || {
        (!there.denied("Host1", "Between1").await).then_some(())
    })
    .await;
    let (checked, result) = check(&there).await;
    assert_eq!((checked.state, &result["hosts"]), (WorkflowState::Succeeded, &json!([])), "{result:#}");
    released(&there, id).await;
    assert!(!there.denied("Host1", "Between1").await && there.control("Host1").await & 2 == 0);
    assert_eq!(under_quarantine(&there).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_contained_again_meanwhile_is_released_only_after_another_approval() {
    let there = with_tickets(TimeDelta::hours(1)).await;
    there.deploy(farm("Again1", "Again1Hosts", &["Host1"])).await;
    let host = there.sid(&host_dn("Host1")).await;
    there.contain("Host1").await;
    let id = release(&there, &host, None).await;
    waits_for(&there.world, id, WaitReason::Approval).await;
    there.world.approve(id).await;
    waits_for(&there.world, id, WaitReason::Timer).await;
    there.wild("Again2", &[&host]).await;
    let told = there.contain("Host1").await;
    assert!(told.preempted.contains(&id), "{:?}", told.preempted);
    let asked = waits_for(&there.world, id, WaitReason::Approval).await;
    let plan = asked.plan.expect("what is to be approved");
    assert!(plan.changes.iter().any(|change| change.dn == account("Again2")), "{:#?}", plan.changes);
    assert!(there.denied("Host1", "Again1").await && there.denied("Host1", "Again2").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_rebuilt_host_the_denials_go_and_the_new_account_is_not_touched() {
    let there = Contained::new().await;
    there.deploy(farm("Built1", "Built1Hosts", &["Host1", "Host2"])).await;
    let host = there.sid(&host_dn("Host1")).await;
    there.contain("Host1").await;
    administrator(&there.world).await.delete(&host_dn("Host1")).await.expect("deleted");
    there.world.embedded.seed_computer("Host1").await.expect("joined again");
    let new = there.control("Host1").await;
    assert_ne!(there.sid(&host_dn("Host1")).await, host);
    let id = release(&there, &host, Some("it is rebuilt")).await;
    let result = released(&there, id).await;
    assert!(!there.list("Built1").await.denied().contains(&host));
    assert_eq!((&result["computer"], there.control("Host1").await), (&json!("gone"), new));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_not_under_quarantine_is_not_released() {
    let there = Contained::new().await;
    let id = release(&there, &there.sid(&host_dn("Host3")).await, Some("why not")).await;
    let done: Workflow = there.world.finishes(id).await;
    assert_eq!(done.state, WorkflowState::Failed);
    assert_eq!(done.error.expect("an error").code, domain::ErrorCode::NotQuarantined);
}
