//! Other workflows that are about the same host at the same moment.

use std::time::Duration;

use directory::embedded::{Fault, FaultKind, OperationKind};
use domain::{ErrorCode, Mode, WorkflowState};
use serde_json::json;
use tests::wait::eventually;
use tests::world::{direct_farm, farm};

use crate::kit::{Contained, dn, host_dn};

fn slow(target: &str) -> Fault {
    Fault::once(OperationKind::Modify, FaultKind::Delay(Duration::from_secs(1))).on(target)
}

/// Both are asked for; the other one's write is under way when the containment begins.
async fn raced(there: &Contained, kind: &str, name: &str, input: serde_json::Value, target: &str) {
    there.world.faults.forget();
    there.world.faults.inject(slow(target));
    let other = there.world.submit_for(kind, Mode::Apply, Some(name), input).await;
    eventually("its write is under way", Duration::from_secs(20), async || {
        (!there.world.faults.writes().is_empty()).then_some(())
    })
    .await;
    let told = there.contain("Host1").await;
    assert!(told.preempted.contains(&other), "{kind} was in the middle of a step: {told:#?}");
    let other = there.world.finishes(other).await;
    assert!(other.state.is_finished() && other.preempted_by.is_none(), "{other:#?}");
    assert!(there.denied("Host1", name).await && !there.reads("Host1", name).await, "{kind} on {name}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_add_host_of_that_very_host_that_is_in_the_middle_of_its_write_lets_it_in_nowhere() {
    let there = Contained::new().await;
    there.deploy(farm("Race1", "Race1Hosts", &["Host2"])).await;
    let input = json!({ "hosts": ["Host1"] });
    raced(&there, "add-host", "Race1", input, "CN=Race1Hosts,").await;
    let group = dn("CN=Race1Hosts,CN=Users,DC=contoso,DC=com");
    assert!(!there.members(&group).await.contains(&host_dn("Host1")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_writes_the_reader_list_at_the_same_moment_keeps_the_deny_entry() {
    let there = Contained::new().await;
    there.deploy(direct_farm("Race2", &["Host1", "Host2"])).await;
    let input = direct_farm("Race2", &["Host1", "Host2", "Host3"]);
    raced(&there, "update", "Race2", input, "CN=Race2,").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_that_waits_is_at_rest_until_the_containment_is_over() {
    let there = Contained::new().await;
    there.deploy(farm("Rest1", "Rest1Hosts", &["Host1", "Host2"])).await;
    let input = json!({ "coolDownSeconds": 0 });
    let other = there.world.submit_for("decommission", Mode::Apply, Some("Rest1"), input).await;
    there.world.reaches(other, &[WorkflowState::Waiting]).await;
    let told = there.contain("Host1").await;
    assert_eq!(told.preempted, [other]);
    // It goes on, and asks for approval of a plan that is made anew.
    let waiting = there.world.reaches(other, &[WorkflowState::Waiting]).await;
    assert_eq!(waiting.preempted_by, None);
    assert!(there.denied("Host1", "Rest1").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_under_quarantine_is_let_in_by_no_workflow() {
    let there = Contained::new().await;
    there.deploy(farm("After1", "After1Hosts", &["Host2"])).await;
    there.contain("Host1").await;
    let id =
        there.world.submit_for("add-host", Mode::Apply, Some("After1"), json!({ "hosts": ["Host1"] })).await;
    let refused = there.world.finishes(id).await;
    assert_eq!(refused.error.map(|error| error.code), Some(ErrorCode::HostQuarantined));
    let id = there.world.submit("deploy", Mode::Apply, farm("After2", "After2Hosts", &["Host1"])).await;
    let refused = there.world.finishes(id).await;
    assert_eq!(refused.error.map(|error| error.code), Some(ErrorCode::HostQuarantined));
}
