//! A directory that refuses, a worker that dies: who can be denied is denied, and done is only what is done.

use std::time::Duration;

use directory::ResultCode;
use directory::embedded::{Fault, FaultKind, OperationKind};
use domain::Clock as _;
use domain::containment::ComputerState;
use domain::{ErrorCode, SystemClock, WaitReason, WorkflowState};
use serde_json::json;
use store::Action;
use tests::wait::eventually;
use tests::world::{World, farm};

use crate::kit::{Contained, contained, step};

fn refusal() -> FaultKind {
    FaultKind::Refuse(ResultCode::INSUFFICIENT_ACCESS_RIGHTS, "00002098: refused".into())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_account_that_may_not_be_written_keeps_none_of_the_others_open() {
    let there = Contained::new().await;
    for name in ["Right1", "Right2", "Right3"] {
        there.deploy(farm(name, &format!("{name}Hosts"), &["Host1"])).await;
    }
    there.world.faults.inject(Fault::once(OperationKind::Modify, refusal()).on("CN=Right2,").always());
    let id = there.ask(json!({ "host": "Host1" })).await;
    let parked = eventually("it waits for a person", Duration::from_secs(40), async || {
        let workflow = there.world.workflow(id).await;
        let parked = workflow.waiting.as_ref().is_some_and(|wait| wait.reason == WaitReason::Operator);
        parked.then_some(workflow)
    })
    .await;
    assert!(there.denied("Host1", "Right1").await && there.denied("Host1", "Right3").await);
    assert!(!there.denied("Host1", "Right2").await);
    assert_eq!(there.control("Host1").await & 2, 2, "everything else is done");
    let waiting = step(&parked, "contain-everywhere");
    let problem = waiting.error.clone().expect("a problem");
    assert_eq!(problem.code, ErrorCode::NotContained);
    assert!(
        problem.message.contains("CN=Right2") && problem.hint.contains("msDS-GroupMSAMembership"),
        "{problem:?}"
    );

    there.world.faults.clear();
    there.world.store.act(id, Action::Resume, "a test", SystemClock.now()).await.expect("resumed");
    there.world.signal.wake();
    contained(&there.world.finishes(id).await);
    assert!(there.denied("Host1", "Right2").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_to_disable_that_is_missing_is_told_and_keeps_nothing_from_its_end() {
    let there = Contained::new().await;
    there.deploy(farm("Enabled1", "Enabled1Hosts", &["Host1"])).await;
    there.world.faults.inject(Fault::once(OperationKind::Modify, refusal()).on("CN=Host1,").always());
    let told = there.contain("Host1").await;
    assert!(there.denied("Host1", "Enabled1").await);
    assert_eq!((told.host.computer, there.control("Host1").await & 2), (ComputerState::StillEnabled, 0));
    assert!(told.not_done.iter().any(|text| text.contains("userAccountControl")), "{:?}", told.not_done);
    let listed = there.world.store.quarantined(&Default::default()).await.expect("an answer");
    assert!(!listed[0].computer_disabled, "a release has nothing to enable");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_may_not_be_written_is_told_and_the_deny_entry_holds() {
    let there = Contained::new().await;
    there.deploy(farm("Door1", "Door1Hosts", &["Host1"])).await;
    there.world.faults.inject(Fault::once(OperationKind::Modify, refusal()).on("CN=Door1Hosts,").always());
    let told = there.contain("Host1").await;
    assert!(there.denied("Host1", "Door1").await && !there.reads("Host1", "Door1").await);
    assert!(told.not_done.iter().any(|text| text.contains("still in CN=Door1Hosts")), "{:?}", told.not_done);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_writes_the_list_at_the_same_moment_cannot_lose_the_denial() {
    let there = Contained::new().await;
    there.deploy(farm("Swap1", "Swap1Hosts", &["Host1"])).await;
    let other = there.sid(&crate::kit::host_dn("Host9")).await;
    there.world.faults.forget();
    let delay = FaultKind::Delay(Duration::from_secs(1));
    there.world.faults.inject(Fault::once(OperationKind::Modify, delay).on("CN=Swap1,"));
    let id = there.ask(json!({ "host": "Host1" })).await;
    eventually("the denial is on its way", Duration::from_secs(20), async || {
        (!there.world.faults.writes().is_empty()).then_some(())
    })
    .await;
    let mut list = there.list("Swap1").await;
    list.allow(&other);
    there.put_list("Swap1", list.to_bytes().expect("fits")).await;
    contained(&there.world.finishes(id).await);
    assert!(there.denied("Host1", "Swap1").await);
    assert!(there.list("Swap1").await.readers().contains(&other), "and what the other put in is still there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_at_any_read_or_write_is_succeeded_by_another() {
    // The writes, and what is read around them: of accounts, groups, host.
    let hangs = [FaultKind::HangBeforeEffect, FaultKind::HangAfterEffect];
    let writes = ["CN=Die1,", "CN=Die1Hosts,", "CN=Host1,"].into_iter().flat_map(|target| {
        hangs.clone().map(move |kind| Fault::once(OperationKind::Modify, kind).on(target))
    });
    let reads = (1..=14).map(|nth| Fault::once(OperationKind::Search, FaultKind::HangBeforeEffect).nth(nth));
    for (case, fault) in writes.chain(reads).enumerate() {
        let world = World::new().await;
        let worker = world.start_worker("before");
        let id = world.submit("deploy", domain::Mode::Apply, farm("Die1", "Die1Hosts", &["Host1"])).await;
        crate::kit::succeeded(&world.finishes(id).await);
        worker.stop().await;
        let doomed = world.start_worker("doomed");
        // Its connections ask for the rootDSE first, whoever comes by: warmed up, they ask no more.
        world.faults.inject(fault);
        let id = world
            .submit_for("compromise-removal", domain::Mode::Apply, None, json!({ "host": "Host1" }))
            .await;
        eventually(&format!("case {case}: it hangs"), Duration::from_secs(40), async || {
            (world.faults.hanging() == 1).then_some(())
        })
        .await;
        doomed.kill();
        let dc = world.directory.pin(None).await.expect("a DC");
        let heir = world.start_worker("heir");
        let there = Contained::with(world, dc, heir);
        let told = contained(&there.world.finishes(id).await);
        assert!(there.denied("Host1", "Die1").await, "case {case}");
        assert_eq!(there.control("Host1").await & 2, 2, "case {case}");
        assert!(told.changed, "case {case}: whoever sent it, it was this workflow's");
        let sid = there.sid(&crate::kit::host_dn("Host1")).await;
        let noted = there.world.store.denials(&Default::default(), &sid).await.expect("an answer");
        assert_eq!(noted.len(), 1, "case {case}: a release knows which entry is ours");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_directory_is_written_to_again() {
    let there = Contained::new().await;
    there.deploy(farm("Busy1", "Busy1Hosts", &["Host1"])).await;
    for target in ["CN=Busy1,", "CN=Busy1Hosts,", "CN=Host1,"] {
        there.world.faults.inject(Fault::once(OperationKind::Modify, FaultKind::Busy).on(target));
    }
    let told = there.contain("Host1").await;
    assert!(there.denied("Host1", "Busy1").await);
    assert_eq!((told.host.computer, told.not_done), (ComputerState::Disabled, vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_containment_that_is_cancelled_lets_nobody_in_again() {
    let there = Contained::new().await;
    there.deploy(farm("Cancel1", "Cancel1Hosts", &["Host1"])).await;
    // It never comes to its end: one account cannot be written.
    let me = there.sid(&crate::kit::host_dn("Host1")).await;
    there.wild("Stuck1", &[&me]).await;
    there.world.faults.inject(Fault::once(OperationKind::Modify, refusal()).on("CN=Stuck1,").always());
    let id = there.ask(json!({ "host": "Host1" })).await;
    eventually("it waits for a person", Duration::from_secs(40), async || {
        let waiting = there.world.workflow(id).await.waiting;
        waiting.is_some_and(|wait| wait.reason == WaitReason::Operator).then_some(())
    })
    .await;
    there.world.store.act(id, Action::Cancel, "a test", SystemClock.now()).await.expect("cancelled");
    there.world.signal.wake();
    let done = there.world.finishes(id).await;
    assert_eq!(done.state, WorkflowState::Cancelled);
    assert!(done.error.is_some_and(|error| error.hint.contains("stays")));
    assert!(there.denied("Host1", "Cancel1").await);
    assert_eq!(there.control("Host1").await & 2, 2);
    assert_eq!(there.world.store.quarantined(&Default::default()).await.expect("an answer").len(), 1);
}
