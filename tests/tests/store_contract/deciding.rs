//! The word of people that a workflow waits for: approvals and hosts.

use domain::host::{AckOutcome, HostAck};
use domain::{
    AccountName, Approval, Cause, HostActionKind, HostTask, HostTaskState, HostWork, Lane, MemberHost, Plan,
    StepOutcome, StepRecord, StepState, WaitReason, Workflow, WorkflowId, WorkflowState,
};
use store::{Acked, ActOutcome, Action, Claimed, Control, Decided, NewWorkflow, Ruling, WorkflowChange};

use crate::kit::*;

pub const HASH: &str = "5f1e";
/// When the approval expires.
const EXPIRES: i64 = 3600;

fn ruling(by: &str, approve: bool, hash: &str) -> Ruling {
    let reason = Some("seen".to_owned());
    Ruling { approve, plan_hash: hash.to_owned(), by: by.to_owned(), reason }
}

/// Asked by `ann`; waits with the plan of [`HASH`], after `before`.
async fn awaits_approval(world: &World, before: Vec<StepRecord>) -> WorkflowId {
    let new = NewWorkflow { lane: Lane::Lifecycle, ..deploy("ITFarm1", 0) };
    let id = world.submit(new).await;
    let claimed = world.claimed(id, 0).await;
    shows_plan(world, &claimed, before).await;
    id
}

/// Waits with the plan of [`HASH`], after `before`.
pub async fn shows_plan(world: &World, claimed: &Claimed, before: Vec<StepRecord>) {
    let index = u16::try_from(before.len()).expect("few");
    let outcome = StepOutcome {
        approval: Some(Approval::asked(HASH.to_owned(), at(0), at(EXPIRES))),
        ..StepOutcome::default()
    };
    let step = StepRecord {
        state: StepState::Waiting,
        outcome: Some(outcome),
        ..StepRecord::pending(index, "approval")
    };
    let names: Vec<_> = before.iter().chain([&step]).map(|step| step.name.clone()).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    world.commit(entry(claimed, 0, begin(&names))).await;
    let plan = Plan { hash: HASH.to_owned(), ..Plan::new(vec![], vec![]) };
    let wait = wait(WaitReason::Approval, Some(at(EXPIRES)));
    let change = WorkflowChange::AwaitApproval { wait, plan };
    world.commit(with_steps(entry(claimed, 0, change), [before, vec![step]].concat())).await;
    world.events().await;
}

/// Waits for `reason` with a task for each host at the step of index 1.
async fn awaits_hosts(world: &World, reason: WaitReason, hosts: &[(&str, HostTaskState)]) -> WorkflowId {
    let id = world.deploy("ITFarm1", 0).await;
    let claimed = world.claimed(id, 0).await;
    let task = |(name, state): &(&str, HostTaskState)| {
        let sid = "S-1-5-21-1-2-3-1104".parse().expect("a SID");
        let host = MemberHost { name: (*name).to_owned(), sid, dns_host_name: None };
        let account = AccountName::parse("ITFarm1").expect("a name");
        let work = HostWork { host, account, actions: vec![HostActionKind::Install] };
        HostTask { state: *state, ..HostTask::pending(work) }
    };
    let outcome = StepOutcome { hosts: hosts.iter().map(task).collect(), ..StepOutcome::default() };
    let step =
        StepRecord { state: StepState::Waiting, outcome: Some(outcome), ..StepRecord::pending(1, "install") };
    world.commit(entry(&claimed, 0, begin(&["group", "install"]))).await;
    let change = WorkflowChange::Wait(wait(reason, None));
    world.commit(with_steps(entry(&claimed, 0, change), vec![done(0, "group"), step])).await;
    world.events().await;
    id
}

fn said(host: Option<&str>, outcome: AckOutcome) -> HostAck {
    HostAck { host: host.map(str::to_owned), outcome, detail: Some("seen".to_owned()) }
}

fn states(workflow: &Workflow) -> Vec<HostTaskState> {
    let outcome = workflow.steps[1].outcome.as_ref().expect("an outcome");
    outcome.hosts.iter().map(|task| task.state).collect()
}

fn acknowledged(acked: Acked) -> Workflow {
    match acked {
        Acked::Done(workflow) => *workflow,
        other => panic!("not recorded: {other:?}"),
    }
}

pub async fn an_approval_queues_the_workflow_and_is_kept_with_its_step(world: World) {
    let id = awaits_approval(&world, vec![]).await;
    let revision = world.store.revision(id).await.expect("an answer");
    let decided = world.store.decide(id, ruling("ben", true, HASH), at(10)).await.expect("an answer");
    let Decided::Done(workflow) = decided else { panic!("{decided:?}") };
    assert_eq!((workflow.state, workflow.waiting), (WorkflowState::Queued, None));
    let outcome = world.workflow(id).await.steps[0].outcome.clone().expect("an outcome");
    let verdict = outcome.approval.and_then(|approval| approval.decision).expect("a decision");
    assert_eq!((verdict.approved, verdict.by.as_str(), verdict.at), (true, "ben", at(10)));
    assert_eq!(verdict.reason.as_deref(), Some("seen"));
    assert_eq!(world.events().await, [(id, Cause::Operator)]);
    assert!(world.store.revision(id).await.expect("an answer") > revision, "watchers look");
}

pub async fn what_is_refused_changes_nothing(world: World) {
    let id = awaits_approval(&world, vec![]).await;
    let before = world.workflow(id).await;
    let decide =
        async |ruling, seconds| world.store.decide(id, ruling, at(seconds)).await.expect("an answer");
    for approve in [true, false] {
        for own in ["ann", "ANN", "Ann"] {
            assert_eq!(decide(ruling(own, approve, HASH), 1).await, Decided::Own, "{own}");
        }
        let other = decide(ruling("ben", approve, "beef"), 1).await;
        assert_eq!(other, Decided::OtherPlan { waiting: HASH.to_owned() });
        let late = decide(ruling("ben", approve, HASH), EXPIRES).await;
        assert_eq!(late, Decided::Expired { at: at(EXPIRES) });
    }
    assert_eq!(world.workflow(id).await, before);
    assert_eq!(world.events().await, []);

    let unknown = WorkflowId::new(at(0), &domain::SystemRng);
    let decided = world.store.decide(unknown, ruling("ben", true, HASH), at(1)).await.expect("an answer");
    assert_eq!(decided, Decided::NotFound);
    for state in WorkflowState::ALL.iter().copied() {
        // `Waiting` is for an operator here.
        let id = world.in_state(state).await;
        let decided = world.store.decide(id, ruling("ben", true, HASH), at(1)).await.expect("an answer");
        assert_eq!(decided, Decided::NotAwaited(state), "{state}");
    }
}

pub async fn of_ten_that_decide_at_once_one_does(world: World) {
    let id = awaits_approval(&world, vec![]).await;
    let tasks: Vec<_> = (0..10)
        .map(|at_once| {
            let store = world.store.clone();
            let ruling = ruling(&format!("ben{at_once}"), at_once % 2 == 0, HASH);
            tokio::spawn(async move { (ruling.approve, store.decide(id, ruling, at(1)).await) })
        })
        .collect();
    let (mut done, mut refused) = (Vec::new(), 0);
    for task in tasks {
        match task.await.expect("no panic") {
            (approve, Ok(Decided::Done(_))) => done.push(approve),
            (_, Ok(Decided::NotAwaited(_))) => refused += 1,
            (_, other) => panic!("{other:?}"),
        }
    }
    assert_eq!((done.len(), refused), (1, 9));
    let expected = if done[0] { WorkflowState::Queued } else { WorkflowState::Cancelled };
    assert_eq!(world.state(id).await, expected);
}

pub async fn an_approval_and_a_cancellation_at_once_end_in_one_of_both(world: World) {
    let id = awaits_approval(&world, vec![]).await;
    let (decided, acted) = tokio::join!(
        world.store.decide(id, ruling("ben", true, HASH), at(1)),
        world.store.act(id, Action::Cancel, "ann", at(1))
    );
    // A cancellation after the approval meets a queued workflow, which it may cancel as well.
    assert!(matches!(acted.expect("an answer"), ActOutcome::Done(_)));
    assert!(matches!(
        decided.expect("an answer"),
        Decided::Done(_) | Decided::NotAwaited(WorkflowState::Cancelled)
    ));
    assert_eq!(world.state(id).await, WorkflowState::Cancelled);
}

pub async fn a_rejection_before_any_write_cancels_and_gives_the_lock_to_the_next(world: World) {
    let id = awaits_approval(&world, vec![done(0, "find-farm")]).await;
    let next = world.deploy("ITFarm1", 1).await;
    assert!(matches!(world.claim(next, 1).await, store::Claim::WaitsForLock));
    world.events().await;
    let decided = world.store.decide(id, ruling("ben", false, HASH), at(2)).await.expect("an answer");
    let Decided::Done(workflow) = decided else { panic!("{decided:?}") };
    assert_eq!(workflow.state, WorkflowState::Cancelled);
    let error = workflow.error.expect("why");
    assert_eq!(error.code, domain::ErrorCode::ApprovalRejected);
    assert!(error.message.contains("ben") && error.message.contains("seen"), "{}", error.message);
    assert_eq!(world.events().await, [(next, Cause::LockReleased)]);
}

pub async fn a_rejection_after_writes_has_a_worker_take_them_back(world: World) {
    let id = awaits_approval(&world, vec![wrote(0, "ensure-group")]).await;
    let decided = world.store.decide(id, ruling("ben", false, HASH), at(2)).await.expect("an answer");
    let Decided::Done(workflow) = decided else { panic!("{decided:?}") };
    assert_eq!(workflow.state, WorkflowState::Queued);
    let claimed = world.claimed(id, 3).await;
    assert_eq!(claimed.control, Some(Control::Cancel));
    let approval = claimed.workflow.steps[1].outcome.clone().and_then(|outcome| outcome.approval);
    let verdict = approval.and_then(|approval| approval.decision).expect("the rejection is kept");
    assert!(!verdict.approved);
}

pub async fn hosts_are_acknowledged_until_none_is_awaited(world: World) {
    use HostTaskState as S;
    let hosts = [("Host1", S::Asked), ("Host2", S::Asked), ("Host3", S::Succeeded)];
    let id = awaits_hosts(&world, WaitReason::Host, &hosts).await;
    let revision = world.store.revision(id).await.expect("an answer");
    let ack = async |acks: &[HostAck]| world.store.ack(id, 1, acks, "ann", at(5)).await.expect("an answer");
    let one = acknowledged(ack(&[said(Some("HOST1$"), AckOutcome::Succeeded)]).await);
    assert_eq!(states(&one), [S::Succeeded, S::Asked, S::Succeeded]);
    assert_eq!(one.state, WorkflowState::Waiting);
    assert_eq!(world.events().await, []);
    assert!(world.store.revision(id).await.expect("an answer") > revision, "watchers look");
    let task = one.steps[1].outcome.as_ref().expect("an outcome").hosts[0].clone();
    assert_eq!(
        (task.by.as_deref(), task.detail.as_deref(), task.at),
        (Some("ann"), Some("seen"), Some(at(5)))
    );

    let again = ack(&[said(Some("Host1"), AckOutcome::Failed)]).await;
    assert_eq!(again, Acked::NoSuchHost("Host1".to_owned()), "what is settled is not asked any more");
    let rest = acknowledged(ack(&[said(None, AckOutcome::Skipped)]).await);
    assert_eq!(states(&rest), [S::Succeeded, S::Skipped, S::Succeeded]);
    assert_eq!(rest.state, WorkflowState::Queued);
    assert_eq!(world.events().await, [(id, Cause::Operator)]);
    assert_eq!(ack(&[said(None, AckOutcome::Succeeded)]).await, Acked::NotAwaited(WorkflowState::Queued));
}

pub async fn a_failed_host_brings_the_workflow_back_at_once(world: World) {
    use HostTaskState as S;
    let hosts = [("Host1", S::Asked), ("Host2", S::Asked)];
    let id = awaits_hosts(&world, WaitReason::Host, &hosts).await;
    let acks = [said(Some("Host1"), AckOutcome::Failed)];
    let workflow = acknowledged(world.store.ack(id, 1, &acks, "ann", at(5)).await.expect("an answer"));
    assert_eq!((workflow.state, states(&workflow)), (WorkflowState::Queued, vec![S::Failed, S::Asked]));
}

pub async fn a_failed_host_may_be_left_out_while_it_waits_for_an_operator(world: World) {
    use HostTaskState as S;
    let hosts = [("Host1", S::Failed), ("Host2", S::Succeeded)];
    let id = awaits_hosts(&world, WaitReason::Operator, &hosts).await;
    let acks = [said(Some("Host1"), AckOutcome::Skipped)];
    let workflow = acknowledged(world.store.ack(id, 1, &acks, "ann", at(5)).await.expect("an answer"));
    assert_eq!((workflow.state, states(&workflow)), (WorkflowState::Queued, vec![S::Skipped, S::Succeeded]));
}

pub async fn acknowledgements_are_all_or_nothing(world: World) {
    use HostTaskState as S;
    let id = awaits_hosts(&world, WaitReason::Host, &[("Host1", S::Asked), ("Host2", S::Asked)]).await;
    let before = world.workflow(id).await;
    let ack = async |index, acks: &[HostAck]| {
        world.store.ack(id, index, acks, "ann", at(5)).await.expect("an answer")
    };
    let both = [said(Some("Host1"), AckOutcome::Succeeded), said(Some("Host9"), AckOutcome::Succeeded)];
    assert_eq!(ack(1, &both).await, Acked::NoSuchHost("Host9".to_owned()));
    for index in [0, 2, 7] {
        assert_eq!(ack(index, &[said(None, AckOutcome::Succeeded)]).await, Acked::NoSuchStep, "{index}");
    }
    assert_eq!(world.workflow(id).await, before);
    assert_eq!(world.events().await, []);

    let unknown = WorkflowId::new(at(0), &domain::SystemRng);
    let acked = world.store.ack(unknown, 1, &both, "ann", at(5)).await.expect("an answer");
    assert_eq!(acked, Acked::NotFound);
    for state in WorkflowState::ALL.iter().copied() {
        let id = world.in_state(state).await;
        let acked = world.store.ack(id, 1, &both, "ann", at(5)).await.expect("an answer");
        // What waits for an operator may wait because of hosts, but this one has no such step.
        let expected =
            if state == WorkflowState::Waiting { Acked::NoSuchStep } else { Acked::NotAwaited(state) };
        assert_eq!(acked, expected, "{state}");
    }
}

pub async fn words_about_twenty_hosts_at_once_are_all_kept(world: World) {
    let names: Vec<_> = (0..20).map(|at| format!("Host{at}")).collect();
    let hosts: Vec<_> = names.iter().map(|name| (name.as_str(), HostTaskState::Asked)).collect();
    let id = awaits_hosts(&world, WaitReason::Host, &hosts).await;
    let tasks: Vec<_> = names
        .iter()
        .map(|name| {
            let (store, acks) = (world.store.clone(), [said(Some(name), AckOutcome::Succeeded)]);
            tokio::spawn(async move { store.ack(id, 1, &acks, "ann", at(5)).await })
        })
        .collect();
    for task in tasks {
        acknowledged(task.await.expect("no panic").expect("an answer"));
    }
    let workflow = world.workflow(id).await;
    assert!(states(&workflow).iter().all(|state| *state == HostTaskState::Succeeded));
    assert_eq!(workflow.state, WorkflowState::Queued);
    assert_eq!(world.events().await, [(id, Cause::Operator)], "queued once");
}
