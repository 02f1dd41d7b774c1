//! A containment holds the workflows that could let its host in again, until it ends.

use chrono::Duration;
use domain::{
    Cause, DirectoryName, Lane, Mode, WaitReason, WorkflowEvent, WorkflowId, WorkflowKind, WorkflowState,
};
use futures::future::join_all;
use store::{
    ActOutcome, Action, Claim, Claimed, Committed, Control, Heartbeat, NewWorkflow, Preempted, Preemption,
    StoreError, WorkflowChange,
};

use crate::kit::*;

const END: [WorkflowEvent; 4] =
    [WorkflowEvent::Succeed, WorkflowEvent::Fail, WorkflowEvent::Unwind, WorkflowEvent::Cancel];

fn containment(seconds: i64) -> NewWorkflow {
    NewWorkflow { kind: WorkflowKind::COMPROMISE_REMOVAL, lane: Lane::Urgent, ..check(seconds) }
}

async fn contains(world: &World) -> Claimed {
    let id = world.submit(containment(0)).await;
    world.claimed(id, 0).await
}

fn on_farm(by: &Claimed, farm: &str) -> Preemption {
    Preemption {
        by: by.workflow.id,
        directory: directory(),
        farms: vec![farm_name(farm)],
        hosts: vec!["Host1".to_owned()],
    }
}

async fn raise(world: &World, by: &Claimed, farm: &str) -> Vec<Preempted> {
    world.store.preempt(&on_farm(by, farm), at(20)).await.expect("raised")
}

fn ids(stopped: &[Preempted]) -> Vec<WorkflowId> {
    stopped.iter().map(|stopped| stopped.workflow).collect()
}

/// A lifecycle workflow that a worker has begun.
async fn begun(world: &World, farm: &str, seconds: i64) -> Claimed {
    let id = world.deploy(farm, seconds).await;
    let claimed = world.claimed(id, seconds).await;
    world
        .commit(with_steps(entry(&claimed, seconds, begin(&["look", "write"])), vec![done(0, "look")]))
        .await;
    claimed
}

async fn control(world: &World, claimed: &Claimed) -> Option<Control> {
    match world.commit(entry(claimed, 21, WorkflowChange::None)).await {
        Committed::Yes { control } => control,
        Committed::LeaseLost => panic!("the lease is lost"),
    }
}

fn is_preempted(answer: &Result<ActOutcome, StoreError>, by: &Claimed) -> bool {
    matches!(answer, Err(StoreError::Preempted(id)) if *id == by.workflow.id)
}

pub async fn a_fence_holds_the_work_on_a_farm_and_about_a_host_and_nothing_else(world: World) {
    let by = contains(&world).await;
    let running = begun(&world, "F", 1).await.workflow.id;
    let queued = world.deploy("f", 2).await;
    let in_line = world.deploy("F", 3).await;
    assert!(matches!(world.claim(in_line, 4).await, Claim::WaitsForLock));
    let waits = begun(&world, "G", 1).await;
    world.commit(entry(&waits, 2, WorkflowChange::Wait(wait(WaitReason::Approval, Some(at(99)))))).await;
    let elsewhere = DirectoryName::parse("other").expect("a name");
    let dn = "CN=Host1,CN=Computers,DC=contoso,DC=com";
    let mut named = Vec::new();
    for (n, host) in (5..).zip(["HOST1$", dn, "S-1-5-21-1-2-3-1104"]) {
        let new = NewWorkflow { hosts: vec!["Host2".into(), host.into()], ..deploy("Far", n) };
        named.push(world.submit(new).await);
    }
    let left = [
        world.submit(NewWorkflow { mode: Mode::Plan, ..deploy("F", 10) }).await,
        world.submit(NewWorkflow { lane: Lane::Urgent, ..deploy("F", 11) }).await,
        world.submit(NewWorkflow { directory: elsewhere, farm_spec: None, ..deploy("F", 12) }).await,
        world.submit(NewWorkflow { parent: Some(by.workflow.id), ..deploy("F", 13) }).await,
        world.submit(NewWorkflow { hosts: vec!["Host3".into()], ..deploy("Another", 14) }).await,
    ];
    world.events().await;
    let hosts = vec!["host1".to_owned(), dn.to_uppercase(), "s-1-5-21-1-2-3-1104".to_owned()];
    let preemption = Preemption {
        by: by.workflow.id,
        directory: directory(),
        farms: vec![farm_name("F"), farm_name("G")],
        hosts,
    };
    let stopped = world.store.preempt(&preemption, at(20)).await.expect("raised");
    let mut expected = vec![running, queued, in_line, waits.workflow.id];
    expected.extend(&named);
    let mut found = ids(&stopped);
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
    for stopped in &stopped {
        let workflow = world.workflow(stopped.workflow).await;
        let runs = workflow.id == running;
        assert_eq!(workflow.state, if runs { WorkflowState::Running } else { WorkflowState::Paused });
        assert_eq!((workflow.preempted_by, workflow.waiting), (Some(by.workflow.id), None));
        assert_eq!((stopped.state, stopped.lease_until.is_some()), (workflow.state, runs));
    }
    for id in left {
        let workflow = world.workflow(id).await;
        assert_eq!((workflow.state, workflow.preempted_by), (WorkflowState::Queued, None));
    }
    assert_eq!(world.events().await, [], "nobody is to look at them");
    let revision = world.store.revision(queued).await.expect("an answer");
    assert_eq!(world.store.preempt(&preemption, at(21)).await.expect("again"), stopped);
    assert_eq!(world.store.revision(queued).await.expect("an answer"), revision, "held already");
    assert_eq!(world.store.preempted(by.workflow.id).await.expect("an answer"), stopped);
    let late = world.deploy("F", 22).await;
    assert!(ids(&world.store.preempt(&preemption, at(23)).await.expect("again")).contains(&late));
    assert_eq!(world.state(late).await, WorkflowState::Paused);
}

pub async fn a_running_workflow_learns_of_it_and_stays_stopped(world: World) {
    let by = contains(&world).await;
    let runs = begun(&world, "F", 1).await;
    let id = runs.workflow.id;
    assert_eq!(control(&world, &runs).await, None);
    raise(&world, &by, "F").await;
    let beats = world.store.heartbeat(&[(id, runs.fencing_token)], at(80)).await.expect("an answer");
    assert_eq!(beats, [Heartbeat::Held { control: Some(Control::Preempt) }]);
    assert_eq!(control(&world, &runs).await, Some(Control::Preempt));
    world.commit(entry(&runs, 22, WorkflowChange::Pause)).await;
    world.events().await;
    assert!(matches!(world.claim(id, 23).await, Claim::NotClaimable(WorkflowState::Paused)));
    assert!(is_preempted(&world.store.act(id, Action::Resume, "ann", at(24)).await, &by));
    assert_eq!((world.state(id).await, world.events().await.len()), (WorkflowState::Paused, 0));
    assert_eq!(world.rows("locks").await, 1, "the farm's lock is kept");
    let stopped = world.store.preempted(by.workflow.id).await.expect("an answer");
    assert_eq!((stopped[0].state, stopped[0].lease_until), (WorkflowState::Paused, None));
}

pub async fn one_that_fails_at_the_fence_is_not_tried_again_before_it_is_lowered(world: World) {
    let by = contains(&world).await;
    let runs = begun(&world, "F", 1).await;
    let id = runs.workflow.id;
    raise(&world, &by, "F").await;
    world.commit(entry(&runs, 22, finish(WorkflowEvent::Fail))).await;
    assert!(is_preempted(&world.store.act(id, Action::Retry, "ann", at(24)).await, &by));
    assert_eq!(world.state(id).await, WorkflowState::Failed);
    world.events().await;
    world.finish(&by, 25).await;
    assert_eq!(world.events().await, [], "its end stays its end");
    assert_eq!(world.workflow(id).await.preempted_by, None);
    world.store.act(id, Action::Retry, "ann", at(26)).await.expect("tried again");
    assert_eq!(world.claimed(id, 27).await.control, None, "it failed by itself");
}

/// Claims and fences cross each other; each workflow is asked to stop, or held.
pub async fn no_claim_slips_through_a_fence(world: World) {
    let by = contains(&world).await;
    for round in 0..40 {
        // Of two on one farm the second waits for the lock, if it comes that far.
        let farm = format!("F{round}");
        let both = [world.deploy(&farm, 1).await, world.deploy(&farm, 2).await];
        let (fence, claimant) = (on_farm(&by, &farm), worker("w1"));
        let (claims, stopped) = if round % 2 == 0 {
            let claim = world.store.claim(&both, &claimant, at(10));
            futures::join!(claim, world.store.preempt(&fence, at(10)))
        } else {
            let (stopped, claims) = futures::join!(
                world.store.preempt(&fence, at(10)),
                world.store.claim(&both, &claimant, at(10))
            );
            (claims, stopped)
        };
        let stopped = ids(&stopped.expect("raised"));
        for (id, claim) in both.iter().zip(claims.expect("an answer")) {
            assert!(stopped.contains(id), "round {round}");
            if let Claim::Claimed(claimed) = claim {
                assert_eq!(control(&world, &claimed).await, Some(Control::Preempt), "round {round}");
                world.commit(entry(&claimed, 22, WorkflowChange::Pause)).await;
            }
            assert_eq!(world.state(*id).await, WorkflowState::Paused, "round {round}");
        }
    }
}

/// Batches of many workflows, in whatever order, and fences about all of them: none has to be told
/// to try again.
pub async fn commits_claims_and_fences_do_not_wait_for_each_other(world: World) {
    let mut fences = Vec::new();
    for _ in 0..4 {
        fences.push(contains(&world).await);
    }
    for round in 0..6 {
        let hosts = || vec!["Host1".to_owned()];
        let mut new = Vec::new();
        for n in 0..60 {
            let farm = format!("R{round}N{n}");
            new.push(NewWorkflow { hosts: hosts(), ..deploy(&farm, 1) });
        }
        let all: Vec<_> = new.iter().map(|new| new.id).collect();
        world.store.submit_many(new).await.expect("submitted");
        let (first, second) = all.split_at(30);
        let claims = world.store.claim(first, &worker("w1"), at(2)).await.expect("claimed");
        let mut entries: Vec<_> = claims
            .iter()
            .filter_map(|claim| if let Claim::Claimed(claimed) = claim { Some(claimed) } else { None })
            .map(|claimed| with_steps(entry(claimed, 3, begin(&["a"])), vec![done(0, "a")]))
            .collect();
        assert_eq!(entries.len(), 30);
        entries.reverse();
        let backwards: Vec<_> = second.iter().rev().copied().collect();
        let fence = |by: &Claimed| Preemption {
            by: by.workflow.id,
            directory: directory(),
            farms: Vec::new(),
            hosts: hosts(),
        };
        let raised = join_all(fences.iter().map(async |by| world.store.preempt(&fence(by), at(4)).await));
        let claimant = worker("w2");
        let (committed, claimed, raised) = futures::join!(
            world.store.commit(&entries),
            world.store.claim(&backwards, &claimant, at(4)),
            raised
        );
        committed.expect("committed");
        claimed.expect("claimed");
        for raised in raised {
            assert!(all.iter().all(|id| ids(raised.as_ref().expect("raised")).contains(id)));
        }
    }
}

pub async fn what_would_rest_or_be_handed_over_at_the_fence_is_paused(world: World) {
    let by = contains(&world).await;
    let asks = wait(WaitReason::Approval, Some(at(99)));
    let plan = domain::Plan::new(Vec::new(), Vec::new());
    for (n, change) in (0..).zip([
        WorkflowChange::Wait(wait(WaitReason::Retry, Some(at(30)))),
        WorkflowChange::AwaitApproval { wait: asks, plan },
        WorkflowChange::Pause,
        WorkflowChange::Release,
    ]) {
        let farm = format!("F{n}");
        let runs = begun(&world, &farm, 1).await;
        raise(&world, &by, &farm).await;
        world.events().await;
        world.commit(entry(&runs, 22, change.clone())).await;
        let workflow = world.workflow(runs.workflow.id).await;
        assert_eq!((workflow.state, workflow.waiting), (WorkflowState::Paused, None), "{change:?}");
        assert!(
            world.events().await.is_empty() && world.store.wake_due(at(500), 9).await.expect("").is_empty()
        );
    }
}

pub async fn one_whose_worker_died_is_held_and_goes_on_when_the_fence_is_lowered(world: World) {
    let by = contains(&world).await;
    let runs = begun(&world, "F", 1).await;
    let id = runs.workflow.id;
    raise(&world, &by, "F").await;
    world.events().await;
    let late = at(1) + LEASE + Duration::seconds(1);
    assert_eq!(world.store.release_expired_leases(late, 1).await.expect("released"), [by.workflow.id]);
    assert_eq!(world.store.release_expired_leases(late, 9).await.expect("released"), [id]);
    assert_eq!(world.state(id).await, WorkflowState::Paused);
    assert_eq!(world.events().await, [(by.workflow.id, Cause::LeaseExpired)]);
    let heir = world.claimed(by.workflow.id, 100).await;
    assert_eq!(world.store.preempted(heir.workflow.id).await.expect("an answer").len(), 1);
    // The dead worker wakes up.
    assert_eq!(world.commit(entry(&runs, 101, WorkflowChange::None)).await, Committed::LeaseLost);
    world.finish(&heir, 102).await;
    assert_eq!(world.events().await, [(id, Cause::FenceLowered)]);
    assert_eq!(world.claimed(id, 103).await.control, Some(Control::Replan));
}

pub async fn every_end_of_a_containment_lowers_its_fence(world: World) {
    for (n, end) in (0..).zip(END.map(Some).into_iter().chain([None])) {
        let (farm, other) = (format!("F{n}"), format!("G{n}"));
        let by = contains(&world).await;
        let (runs, queued) = (begun(&world, &farm, 1).await, world.deploy(&other, 2).await);
        let mut fence = on_farm(&by, &farm);
        fence.farms.push(farm_name(&other));
        world.store.preempt(&fence, at(20)).await.expect("raised");
        world.commit(entry(&runs, 21, WorkflowChange::Pause)).await;
        world.events().await;
        match end {
            Some(end) => world.commit(entry(&by, 22, finish(end))).await,
            None => {
                // Nobody works on it, and nothing was written: it ends without a worker.
                let rests = WorkflowChange::Wait(wait(WaitReason::Timer, Some(at(99))));
                let rested = world.commit(entry(&by, 22, rests)).await;
                world.store.act(by.workflow.id, Action::Cancel, "ann", at(23)).await.expect("cancelled");
                rested
            }
        };
        let mut events = world.events().await;
        events.sort_unstable_by_key(|(id, _)| *id);
        let mut expected = [(runs.workflow.id, Cause::FenceLowered), (queued, Cause::FenceLowered)];
        expected.sort_unstable_by_key(|(id, _)| *id);
        assert_eq!(events, expected, "{end:?}");
        assert!(world.store.preempted(by.workflow.id).await.expect("an answer").is_empty());
        for id in [runs.workflow.id, queued] {
            let workflow = world.workflow(id).await;
            assert_eq!((workflow.state, workflow.preempted_by), (WorkflowState::Queued, None));
            // The wish outlives a worker that dies with it, and is done when one has obeyed.
            let first = world.claimed(id, 30).await;
            assert_eq!(first.control, Some(Control::Replan));
            assert_eq!(first.workflow.steps.len(), usize::from(id == runs.workflow.id));
            world.store.release_expired_leases(at(200), 9).await.expect("released");
            let second = world.claimed(id, 201).await;
            assert_eq!(second.control, Some(Control::Replan));
            world.commit(entry(&second, 202, WorkflowChange::Replanned)).await;
            world.commit(entry(&second, 203, WorkflowChange::Release)).await;
            let third = world.claimed(id, 204).await;
            assert_eq!(third.control, None);
            world.finish(&third, 205).await;
        }
    }
}

pub async fn one_that_stops_for_a_fence_that_is_down_goes_on_at_once(world: World) {
    let by = contains(&world).await;
    let (stops, goes_on) = (begun(&world, "F", 1).await, begun(&world, "G", 1).await);
    let mut fence = on_farm(&by, "F");
    fence.farms.push(farm_name("G"));
    world.store.preempt(&fence, at(20)).await.expect("raised");
    assert_eq!(control(&world, &stops).await, Some(Control::Preempt));
    world.finish(&by, 22).await;
    world.events().await;
    for runs in [&stops, &goes_on] {
        assert_eq!(world.state(runs.workflow.id).await, WorkflowState::Running);
        assert_eq!(control(&world, runs).await, None);
    }
    world.commit(entry(&stops, 23, WorkflowChange::Pause)).await;
    assert_eq!(world.events().await, [(stops.workflow.id, Cause::FenceLowered)]);
    world.commit(entry(&goes_on, 24, WorkflowChange::Wait(wait(WaitReason::Timer, Some(at(30)))))).await;
    world.store.wake_due(at(30), 9).await.expect("woken");
    for runs in [&stops, &goes_on] {
        assert_eq!(world.claimed(runs.workflow.id, 31).await.control, Some(Control::Replan));
    }
}

pub async fn what_a_person_has_paused_stays_paused_and_is_planned_anew_when_resumed(world: World) {
    let by = contains(&world).await;
    let pause = async |id| world.store.act(id, Action::Pause, "ann", at(19)).await.expect("paused");
    let before = world.deploy("A", 1).await;
    pause(before).await;
    let (both, later) = (begun(&world, "B", 1).await, begun(&world, "C", 1).await);
    pause(both.workflow.id).await;
    let held = world.deploy("D", 1).await;
    let fence = Preemption { farms: ["A", "B", "C", "D"].map(farm_name).to_vec(), ..on_farm(&by, "A") };
    let stopped = world.store.preempt(&fence, at(20)).await.expect("raised");
    assert_eq!(stopped.len(), 4);
    assert_eq!(control(&world, &both).await, Some(Control::Pause));
    assert!(matches!(pause(later.workflow.id).await, ActOutcome::Asked(_)));
    assert!(matches!(pause(held).await, ActOutcome::Asked(now) if now.state == WorkflowState::Paused));
    for runs in [&both, &later] {
        world.commit(entry(runs, 22, WorkflowChange::Pause)).await;
    }
    let all = [before, both.workflow.id, later.workflow.id, held];
    for id in all {
        assert!(is_preempted(&world.store.act(id, Action::Resume, "ann", at(24)).await, &by));
    }
    world.store.preempt(&fence, at(25)).await.expect("again");
    world.events().await;
    world.finish(&by, 26).await;
    assert_eq!(world.events().await, []);
    for id in all {
        let workflow = world.workflow(id).await;
        assert_eq!((workflow.state, workflow.preempted_by), (WorkflowState::Paused, None));
        world.store.act(id, Action::Resume, "ann", at(27)).await.expect("resumed");
        assert_eq!(world.claimed(id, 28).await.control, Some(Control::Replan));
    }
}

pub async fn a_persons_cancellation_goes_its_way_through_the_fence(world: World) {
    let by = contains(&world).await;
    let cancel = async |id| world.store.act(id, Action::Cancel, "ann", at(19)).await.expect("cancelled");
    // Asked before the fence; asked of a held one that wrote; of a held one that did not.
    let before = begun(&world, "A", 1).await;
    cancel(before.workflow.id).await;
    let (wrote_some, wrote_none) = (begun(&world, "B", 1).await, world.deploy("C", 1).await);
    world.commit(with_steps(entry(&wrote_some, 2, WorkflowChange::None), vec![wrote(0, "look")])).await;
    let fence = Preemption { farms: ["A", "B", "C"].map(farm_name).to_vec(), ..on_farm(&by, "A") };
    assert_eq!(world.store.preempt(&fence, at(20)).await.expect("raised").len(), 3);
    assert_eq!(control(&world, &before).await, Some(Control::Cancel));
    world.commit(entry(&wrote_some, 21, WorkflowChange::Pause)).await;
    assert!(matches!(cancel(wrote_some.workflow.id).await, ActOutcome::Asked(_)));
    assert!(
        matches!(cancel(wrote_none).await, ActOutcome::Done(now) if now.state == WorkflowState::Cancelled)
    );
    let stopped = world.store.preempt(&fence, at(22)).await.expect("again");
    let states: Vec<_> = stopped.iter().map(|stopped| (stopped.workflow, stopped.state)).collect();
    assert!(states.contains(&(before.workflow.id, WorkflowState::Running)), "the containment waits for it");
    assert!(states.contains(&(wrote_some.workflow.id, WorkflowState::Queued)), "{states:?}");
    let unwinds = world.claimed(wrote_some.workflow.id, 23).await;
    assert_eq!(unwinds.control, Some(Control::Cancel));
    for runs in [&before, &unwinds] {
        world.commit(entry(runs, 24, finish(WorkflowEvent::Cancel))).await;
    }
    world.events().await;
    world.finish(&by, 25).await;
    assert_eq!(world.events().await, []);
    for id in [before.workflow.id, wrote_some.workflow.id, wrote_none] {
        let workflow = world.workflow(id).await;
        assert_eq!((workflow.state, workflow.preempted_by), (WorkflowState::Cancelled, None));
    }
}

pub async fn a_containment_that_is_over_raises_no_fence(world: World) {
    let by = contains(&world).await;
    world.finish(&by, 1).await;
    let queued = world.deploy("F", 2).await;
    assert!(raise(&world, &by, "F").await.is_empty());
    let nobody = Preemption { by: WorkflowId::new(at(0), &domain::SystemRng), ..on_farm(&by, "F") };
    assert!(world.store.preempt(&nobody, at(3)).await.expect("an answer").is_empty());
    assert_eq!(world.workflow(queued).await.state, WorkflowState::Queued);
    // Its end and a late call of a worker that had lost it, at once: nothing is left behind a fence.
    for round in 0..20 {
        let (by, farm) = (contains(&world).await, format!("L{round}"));
        let queued = world.deploy(&farm, 2).await;
        let fence = on_farm(&by, &farm);
        let (raised, ()) = futures::join!(world.store.preempt(&fence, at(4)), world.finish(&by, 4));
        raised.expect("an answer");
        let workflow = world.workflow(queued).await;
        assert_eq!((workflow.state, workflow.preempted_by), (WorkflowState::Queued, None), "round {round}");
    }
}

pub async fn two_containments_see_what_either_has_stopped(world: World) {
    let (one, two) = (contains(&world).await, contains(&world).await);
    let runs = begun(&world, "F", 1).await;
    let id = runs.workflow.id;
    raise(&world, &one, "F").await;
    let seen = raise(&world, &two, "F").await;
    assert_eq!(
        (ids(&seen), seen[0].state),
        (vec![id], WorkflowState::Running),
        "the second waits for it, too"
    );
    world.commit(entry(&runs, 22, WorkflowChange::Pause)).await;
    world.finish(&one, 23).await;
    assert_eq!(world.state(id).await, WorkflowState::Queued);
    assert_eq!(
        raise(&world, &two, "F").await[0].state,
        WorkflowState::Paused,
        "and holds it after the first"
    );
    world.finish(&two, 24).await;
    assert_eq!(world.claimed(id, 25).await.control, Some(Control::Replan));
}
