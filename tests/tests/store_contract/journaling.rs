//! What workers write.

use std::time::Duration;

use domain::{
    Cause, Dn, Plan, Sid, StepRecord, StepState, WaitReason, WorkflowEvent, WorkflowId, WorkflowState,
};
use serde_json::json;
use store::{
    Action, Claim, Committed, Control, FarmFacts, FarmRecord, FarmState, Finish, StoreError, WorkflowChange,
};

use tests::wait::eventually;

use crate::kit::*;

const YES: Committed = Committed::Yes { control: None };

pub async fn a_commit_writes_steps_and_lease(world: World) {
    let id = world.check(0).await;
    let claimed = world.claimed(id, 0).await;
    let mut failed = StepRecord { error: Some(problem("no")), state: StepState::Failed, ..done(1, "b") };
    let steps = vec![done(0, "a"), failed.clone()];
    let answer = world.commit(with_steps(entry(&claimed, 30, begin(&["a", "b"])), steps.clone())).await;
    assert_eq!(answer, YES);
    assert_eq!(world.workflow(id).await.steps, steps);
    assert!(world.store.release_expired_leases(at(89), 5).await.expect("an answer").is_empty(), "renewed");
    // Replaced whole: nothing of the old row shines through.
    failed = StepRecord { state: StepState::Waiting, ..StepRecord::pending(1, "b") };
    world.commit(with_steps(entry(&claimed, 31, WorkflowChange::None), vec![failed.clone()])).await;
    assert_eq!(world.workflow(id).await.steps, [done(0, "a"), failed]);
    // Twice one step in one entry: the last word counts.
    let twice = vec![StepRecord { attempts: 7, ..done(1, "b") }, done(1, "b")];
    world.commit(with_steps(entry(&claimed, 32, WorkflowChange::None), twice)).await;
    assert_eq!(world.workflow(id).await.steps, [done(0, "a"), done(1, "b")]);
}

pub async fn a_stale_token_writes_nothing(world: World) {
    let (lost, kept) = (world.check(0).await, world.check(0).await);
    let old = world.claimed(lost, 0).await;
    world.store.release_expired_leases(at(100), 5).await.expect("released");
    let late = with_steps(entry(&old, 100, finish(WorkflowEvent::Fail)), vec![done(0, "a")]);
    assert_eq!(world.commit(late.clone()).await, Committed::LeaseLost, "released, and nobody has it yet");
    let new = world.claimed(lost, 101).await;
    let other = world.claimed(kept, 101).await;
    let changes = [
        WorkflowChange::None,
        begin(&["x"]),
        WorkflowChange::Pin { dc: "x".into() },
        WorkflowChange::Unwind { error: problem("x") },
        WorkflowChange::Wait(wait(WaitReason::Timer, None)),
        WorkflowChange::Pause,
        WorkflowChange::Release,
        finish(WorkflowEvent::Succeed),
    ];
    world.events().await;
    let before = (world.workflow(lost).await, world.store.revision(lost).await.expect("an answer"));
    for change in changes {
        let stale = with_steps(entry(&old, 102, change.clone()), vec![done(0, "stale")]);
        // In one batch with one that counts.
        let batch = [stale, with_steps(entry(&other, 102, WorkflowChange::None), vec![done(0, "kept")])];
        let answers = world.store.commit(&batch).await.expect("committed");
        assert_eq!(answers, [Committed::LeaseLost, YES], "{change:?}");
        let after = (world.workflow(lost).await, world.store.revision(lost).await.expect("an answer"));
        assert_eq!(after, before, "{change:?}");
    }
    assert_eq!((world.rows("steps").await, world.events().await.len()), (1, 0));
    world.finish(&new, 103).await;
    assert_eq!(world.commit(late).await, Committed::LeaseLost, "finished");
}

pub async fn three_hundred_workflows_share_a_commit(world: World) {
    let new: Vec<_> = (0..300).map(check).collect();
    let ids: Vec<WorkflowId> = new.iter().map(|new| new.id).collect();
    world.store.submit_many(new).await.expect("submitted");
    let claims = world.store.claim(&ids, &worker("w1"), at(400)).await.expect("an answer");
    let claimed: Vec<_> = claims
        .into_iter()
        .map(|claim| if let Claim::Claimed(claimed) = claim { claimed } else { panic!("{claim:?}") })
        .collect();
    for index in 0..3 {
        let batch: Vec<_> = claimed
            .iter()
            .map(|claimed| {
                let change = if index == 0 { begin(&["a", "b", "c"]) } else { WorkflowChange::None };
                with_steps(entry(claimed, 401, change), vec![done(index, "step")])
            })
            .collect();
        let answers = world.store.commit(&batch).await.expect("committed");
        assert!(answers.len() == 300 && answers.iter().all(|answer| *answer == YES));
    }
    let batch: Vec<_> =
        claimed.iter().map(|claimed| entry(claimed, 402, finish(WorkflowEvent::Succeed))).collect();
    assert!(world.store.commit(&batch).await.expect("committed").iter().all(|answer| *answer == YES));
    assert_eq!(world.rows("steps").await, 900);
    assert_eq!(world.rows("workflows where state = 'succeeded' and lease_owner is null").await, 300);
    assert_eq!(world.events().await.len(), 300, "one event each, from the request");
}

pub async fn two_entries_of_one_workflow_are_refused(world: World) {
    let id = world.check(0).await;
    let claimed = world.claimed(id, 0).await;
    let one = with_steps(entry(&claimed, 1, WorkflowChange::None), vec![done(0, "a")]);
    let refused = world.store.commit(&[one.clone(), one]).await;
    assert!(matches!(refused, Err(StoreError::DoubleEntry(double)) if double == id), "{refused:?}");
    let illegal = world.store.commit(&[entry(&claimed, 1, finish(WorkflowEvent::Retry))]).await;
    assert!(matches!(illegal, Err(StoreError::IllegalTransition(_))), "{illegal:?}");
    assert_eq!(world.rows("steps").await, 0);
    assert!(world.store.commit(&[]).await.expect("nothing to do").is_empty());
}

/// The outbox refuses a row: the change of state that it belongs to must not be seen either.
pub async fn a_bad_row_rolls_all_back(world: World) {
    let (a, b) = (world.check(0).await, world.check(0).await);
    let (first, second) = (world.claimed(a, 0).await, world.claimed(b, 0).await);
    world.store.execute_raw("alter table outbox rename column body to missing").await.expect("broken");
    let batch = [
        with_steps(entry(&first, 1, WorkflowChange::None), vec![done(0, "a")]),
        with_steps(entry(&second, 1, WorkflowChange::Release), vec![done(0, "b")]),
    ];
    assert!(world.store.commit(&batch).await.is_err());
    // A transaction that failed is rolled back a moment after its error is known; until then its rows
    // are locked, and the reaper passes them over.
    eventually("the reaper meets the broken table", Duration::from_secs(20), async || {
        world.store.release_expired_leases(at(500), 5).await.err()
    })
    .await;
    assert!(world.store.submit(deploy("F", 5), None).await.is_err());
    assert_eq!(
        (world.state(a).await, world.state(b).await),
        (WorkflowState::Running, WorkflowState::Running)
    );
    assert_eq!((world.rows("steps").await, world.rows("farms").await), (0, 0));
    world.store.execute_raw("alter table outbox rename column missing to body").await.expect("mended");
    let answers = world.store.commit(&batch).await.expect("the same batch, again");
    assert_eq!(answers, [YES, YES]);
    assert_eq!(world.state(b).await, WorkflowState::Queued);
    assert_eq!(world.rows("steps").await, 2);
}

pub async fn characters_that_databases_dislike_survive(world: World) {
    let id = world.check(0).await;
    let claimed = world.claimed(id, 0).await;
    let odd = "zero \u{0} quote ' \" back \\ \\u0000 brace } line \n ü \u{1F600}";
    let mut step = done(0, odd);
    step.detail = Some(odd.to_owned());
    step.outcome = step.outcome.map(|outcome| domain::StepOutcome { output: json!({ odd: odd }), ..outcome });
    step.error = Some(problem(odd));
    world.commit(with_steps(entry(&claimed, 1, begin(&[odd])), vec![step.clone()])).await;
    let clean = odd.replace('\u{0}', "\u{fffd}");
    step.name = clean.clone();
    step.detail = Some(clean);
    assert_eq!(world.workflow(id).await.steps, [step]);
    let result = json!({ "text": odd });
    let end = Finish {
        event: WorkflowEvent::Fail,
        error: Some(problem(odd)),
        result: Some(result.clone()),
        plan: None,
        farm: None,
    };
    world.commit(entry(&claimed, 2, WorkflowChange::Finish(end))).await;
    let workflow = world.workflow(id).await;
    assert_eq!((workflow.error, workflow.result), (Some(problem(odd)), Some(result)));
}

pub async fn steps_not_begun_are_shown_as_pending(world: World) {
    let id = world.check(0).await;
    assert!(world.workflow(id).await.steps.is_empty());
    let claimed = world.claimed(id, 0).await;
    world.commit(entry(&claimed, 1, begin(&["a", "b", "c"]))).await;
    let states = async || {
        let workflow = world.workflow(id).await;
        assert_eq!(workflow.steps.iter().map(|step| step.name.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
        workflow.steps.iter().map(|step| step.state).collect::<Vec<_>>()
    };
    assert_eq!(states().await, [StepState::Running, StepState::Pending, StepState::Pending]);
    world.commit(with_steps(entry(&claimed, 2, WorkflowChange::None), vec![done(0, "a")])).await;
    assert_eq!(states().await, [StepState::Succeeded, StepState::Running, StepState::Pending]);
    world.commit(entry(&claimed, 3, WorkflowChange::Pause)).await;
    assert_eq!(states().await, [StepState::Succeeded, StepState::Pending, StepState::Pending]);
}

pub fn facts(name: &str) -> FarmFacts {
    FarmFacts {
        spec: farm_spec(name),
        account_dn: Dn::parse("CN=ITFarm1,CN=Managed Service Accounts,DC=contoso,DC=com").expect("a DN"),
        account_sid: "S-1-5-21-1-2-3-1105".parse::<Sid>().expect("a SID"),
        group_dn: None,
        group_sid: None,
        group_made: false,
        foreign_readers: vec![],
    }
}

pub async fn a_finish_records_the_farm(world: World) {
    let mut first = deploy("ITFarm1", 0);
    first.farm_spec = first.farm_spec.map(|mut spec| {
        spec.hosts.clear();
        spec
    });
    let id = world.submit(first).await;
    let end = |farm: &str| {
        let facts = Some(facts(farm));
        WorkflowChange::Finish(Finish {
            event: WorkflowEvent::Succeed,
            error: None,
            result: None,
            plan: None,
            farm: facts.map(FarmRecord::Deployed),
        })
    };
    let claimed = world.claimed(id, 1).await;
    world.commit(entry(&claimed, 2, end("ITFarm1"))).await;
    let farm =
        world.store.farm(&directory(), &farm_name("itfarm1")).await.expect("an answer").expect("a farm");
    assert_eq!((farm.state, farm.spec), (FarmState::Deployed, farm_spec("ITFarm1")));
    assert_eq!((farm.recorded, farm.last_workflow), (Some(facts("ITFarm1")), Some(id)));
    assert_eq!((farm.created_at, farm.updated_at), (at(0), at(2)));
    // One that nobody had asked for by a specification is put on record as well.
    let id = world.submit(store::NewWorkflow { farm_spec: None, ..deploy("ITFarm2", 5) }).await;
    let claimed = world.claimed(id, 6).await;
    world.commit(entry(&claimed, 7, end("ITFarm2"))).await;
    let farm =
        world.store.farm(&directory(), &farm_name("ITFarm2")).await.expect("an answer").expect("a farm");
    assert_eq!((farm.state, farm.created_at), (FarmState::Deployed, at(7)));
}

pub async fn deployed_farms_are_found_by_their_group(world: World) {
    let group = |text: &str| text.parse::<Sid>().expect("a SID");
    let (ours, longer) = (group("S-1-5-21-1-2-3-120"), group("S-1-5-21-1-2-3-1205"));
    let facts_with = |name: &str, sid: &Sid| FarmFacts { group_sid: Some(sid.clone()), ..facts(name) };
    let decommissioned = FarmRecord::Decommissioned { directory: directory(), farm: farm_name("Gone") };
    let records = [
        ("One", FarmRecord::Deployed(facts_with("One", &ours))),
        ("Two", FarmRecord::Deployed(facts_with("Two", &ours))),
        ("Longer", FarmRecord::Deployed(facts_with("Longer", &longer))),
        ("Gone", FarmRecord::Deployed(facts_with("Gone", &ours))),
        ("Gone", decommissioned),
    ];
    for (name, record) in records {
        let id = world.deploy(name, 0).await;
        let claimed = world.claimed(id, 1).await;
        let end = Finish {
            event: WorkflowEvent::Succeed,
            error: None,
            result: None,
            plan: None,
            farm: Some(record),
        };
        world.commit(entry(&claimed, 2, WorkflowChange::Finish(end))).await;
    }
    let mut found = world.store.farms_of_group(&directory(), &ours).await.expect("an answer");
    found.sort_by_key(domain::FarmName::key);
    assert_eq!(found, [farm_name("One"), farm_name("Two")]);
}

pub async fn a_dry_run_ends_with_its_plan(world: World) {
    let id = world.check(0).await;
    let claimed = world.claimed(id, 1).await;
    let dn = Dn::parse("CN=G,DC=x").expect("a DN");
    let plan = Plan::new(vec![domain::Change::delete(dn, Vec::new())], vec![]);
    let end = Finish {
        event: WorkflowEvent::Succeed,
        error: None,
        result: Some(json!({ "warnings": [] })),
        plan: Some(plan.clone()),
        farm: None,
    };
    world.commit(entry(&claimed, 9, WorkflowChange::Finish(end))).await;
    let workflow = world.workflow(id).await;
    assert_eq!((workflow.plan, workflow.result), (Some(plan), Some(json!({ "warnings": [] }))));
    assert_eq!((workflow.state, workflow.finished_at), (WorkflowState::Succeeded, Some(at(9))));
}

pub async fn a_released_workflow_is_queued_with_its_event(world: World) {
    let (a, b) = (world.check(0).await, world.deploy("F", 0).await);
    let (first, second) = (world.claimed(a, 1).await, world.claimed(b, 1).await);
    world.events().await;
    let batch = [entry(&first, 2, WorkflowChange::Release), entry(&second, 2, WorkflowChange::Release)];
    world.store.commit(&batch).await.expect("committed");
    let mut events = world.events().await;
    events.sort_by_key(|(id, _)| *id);
    let mut expected = [(a, Cause::HandedOver), (b, Cause::HandedOver)];
    expected.sort_by_key(|(id, _)| *id);
    assert_eq!(events, expected);
    assert_eq!(world.claimed(b, 3).await.fencing_token, 2);
}

pub async fn an_unwinding_survives_the_worker(world: World) {
    let id = world.check(0).await;
    let claimed = world.claimed(id, 1).await;
    world.commit(with_steps(entry(&claimed, 2, begin(&["a"])), vec![wrote(0, "a")])).await;
    world.commit(entry(&claimed, 3, WorkflowChange::Unwind { error: problem("refused") })).await;
    world.store.release_expired_leases(at(500), 5).await.expect("released");
    let again = world.claimed(id, 501).await;
    assert_eq!(again.unwinding, Some(problem("refused")));
    assert_eq!(again.workflow.steps, [wrote(0, "a")]);
    let end = Finish {
        event: WorkflowEvent::Unwind,
        error: again.unwinding.clone(),
        result: None,
        plan: None,
        farm: None,
    };
    let undone = StepRecord { state: StepState::Undone, ..wrote(0, "a") };
    world.commit(with_steps(entry(&again, 502, WorkflowChange::Finish(end)), vec![undone])).await;
    let workflow = world.workflow(id).await;
    assert_eq!((workflow.state, workflow.error), (WorkflowState::Unwound, Some(problem("refused"))));
}

/// A person asks while the worker, who does not know yet, commits that it will wait.
pub async fn a_wish_that_meets_a_wait_is_not_slept_over(world: World) {
    let cases = [
        (Action::Pause, WorkflowState::Paused, None),
        (Action::Cancel, WorkflowState::Queued, Some(Control::Cancel)),
    ];
    for (action, state, left) in cases {
        for change in [WorkflowChange::Wait(wait(WaitReason::Approval, None)), WorkflowChange::Pause] {
            let id = world.check(0).await;
            let claimed = world.claimed(id, 1).await;
            world.store.act(id, action, "ann", at(2)).await.expect("asked");
            world.events().await;
            let answer = world.commit(entry(&claimed, 3, change)).await;
            assert!(matches!(answer, Committed::Yes { control: Some(_) }));
            let workflow = world.workflow(id).await;
            assert_eq!((workflow.state, workflow.waiting), (state, None), "{action:?}");
            if left.is_some() {
                assert_eq!(world.events().await, [(id, Cause::Operator)]);
                assert_eq!(world.claimed(id, 4).await.control, left);
            } else {
                assert!(world.events().await.is_empty());
            }
        }
    }
}
