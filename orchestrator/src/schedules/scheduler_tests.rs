use std::collections::{BTreeMap, HashSet};

use super::*;
use crate::http::testing::{self, World, until};
use domain::schedule::{FireReason, ScheduleManifest};
use domain::{Principal, Role, WorkflowState};
use serde_json::{Value, json};
use store::{Fire, Schedule};

fn scheduler(world: &World) -> Arc<Scheduler> {
    over(world, world.store.clone())
}

/// As another process would run it, on the same database.
fn over(world: &World, store: Store) -> Arc<Scheduler> {
    let mut schedules = world.api.schedules();
    schedules.requests.store = store;
    Arc::new(Scheduler {
        schedules,
        clock: world.clock.clone(),
        rng: world.api.rng.clone(),
        settings: Settings { schedule_every: Duration::from_millis(5), ..Settings::default() },
    })
}

async fn tick(scheduler: &Scheduler) -> usize {
    scheduler.tick(&CancellationToken::new()).await.expect("works")
}

/// Looks at ITFarm1 by its cron expression, with what else is said.
async fn make(world: &World, name: &str, cron: &str, more: Value) -> Schedule {
    let mut document = json!({"name": name, "kind": "inspect", "cron": cron, "target": {"farm": "ITFarm1"}});
    let fields = document.as_object_mut().expect("an object");
    fields.extend(more.as_object().expect("an object").clone());
    let manifest: ScheduleManifest = serde_json::from_value(document).expect("a manifest");
    let by = Principal { name: "operator".to_owned(), roles: [Role::Operator].into() };
    world.api.schedules().create(&manifest, &by).await.expect("made")
}

/// Oldest first.
async fn fires(store: &Store, schedule: &Schedule) -> Vec<Fire> {
    let (mut all, mut cursor) = (Vec::new(), None);
    loop {
        let page = store.schedule_fires(schedule.id, None, cursor.as_deref(), 500).await.expect("works");
        all.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            all.reverse();
            return all;
        }
    }
}

async fn outcomes(world: &World, schedule: &Schedule) -> Vec<(FireOutcome, Option<FireReason>)> {
    fires(&world.store, schedule).await.into_iter().map(|fire| (fire.outcome, fire.reason)).collect()
}

fn count(outcomes: &[(FireOutcome, Option<FireReason>)], outcome: FireOutcome) -> usize {
    outcomes.iter().filter(|found| found.0 == outcome).count()
}

async fn finish(world: &World, fire: &Fire) {
    let id = fire.workflow.expect("a workflow").to_string();
    let claimed = world.claim(&id).await;
    let finish = store::Finish {
        event: domain::WorkflowEvent::Succeed,
        error: None,
        result: None,
        plan: None,
        farm: None,
    };
    world.write(&claimed, Vec::new(), store::WorkflowChange::Finish(finish)).await;
}

const FIRED: (FireOutcome, Option<FireReason>) = (FireOutcome::Fired, None);
const QUEUED: (FireOutcome, Option<FireReason>) = (FireOutcome::Queued, None);
const OVERLAP: (FireOutcome, Option<FireReason>) = (FireOutcome::Skipped, Some(FireReason::Overlap));
const REFUSED: (FireOutcome, Option<FireReason>) = (FireOutcome::Missed, Some(FireReason::Refused));

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

async fn world() -> World {
    let world = World::new().await;
    world.deployed("ITFarm1").await;
    // At 8:53:20 by its clock; from here on full hours are easier to talk of.
    world.clock.advance(Duration::from_secs(400));
    world
}

#[tokio::test]
async fn a_due_time_becomes_a_workflow_in_the_name_of_its_schedule() {
    let world = world().await;
    let schedule = make(&world, "Nightly", "* * * * *", json!({"reason": "ticket 7"})).await;
    let scheduler = scheduler(&world);
    assert_eq!(tick(&scheduler).await, 0, "not yet");
    world.clock.advance(MINUTE);
    assert_eq!((tick(&scheduler).await, tick(&scheduler).await), (1, 0));
    let fired = &fires(&world.store, &schedule).await[0];
    let workflow =
        world.store.workflow(fired.workflow.expect("one")).await.expect("works").expect("is there");
    assert_eq!((workflow.kind.as_str(), workflow.state), ("inspect", WorkflowState::Queued));
    assert_eq!(
        (workflow.requested_by.as_str(), workflow.reason.as_deref()),
        ("schedule:Nightly", Some("ticket 7"))
    );
    let due = schedule.next_due.expect("due");
    assert_eq!(fired.due, due);
    let now = world.store.schedule(&schedule.spec.name).await.expect("works").expect("is there");
    assert_eq!(
        (now.next_due, now.last_due),
        (Some(due + MINUTE), Some(due)),
        "from the schedule, not from the run"
    );
}

/// What a process can do to another: nothing. Three of them, each killed again and again in the
/// middle of its work, for an hour; no due time is missed or fired twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_schedulers_that_are_killed_for_an_hour_miss_nothing_and_double_nothing() {
    let world = world().await;
    let mut schedules = Vec::new();
    for (at, cron) in
        ["* * * * *", "*/2 * * * *", "*/5 * * * *", "30 * * * * *", "7,23,51 * * * *", "0 * * * *"]
            .iter()
            .cycle()
            .take(18)
            .enumerate()
    {
        let more = json!({"overlap": "allow", "jitter": format!("{}s", at % 3 * 20)});
        schedules.push(make(&world, &format!("s{at}"), cron, more).await);
    }
    let start = world.clock.now();
    let three = [world.another_store().await, world.another_store().await, world.another_store().await];
    let three = three.map(|store| over(&world, store));
    let (mut seed, mut killed) = (7_u64, 0);
    while world.clock.now() < start + HOUR {
        // Numerical Recipes' generator: the same story on every run.
        let mut random = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        world.clock.advance(Duration::from_secs(10 + random(80)));
        let tasks: Vec<_> = three
            .iter()
            .map(|scheduler| {
                let scheduler = scheduler.clone();
                (tokio::spawn(async move { scheduler.tick(&CancellationToken::new()).await }), random(3) > 0)
            })
            .collect();
        for _ in 0..random(400) {
            tokio::task::yield_now().await;
        }
        for (task, kill) in tasks {
            if kill {
                task.abort();
            }
            match task.await {
                Err(_) => killed += 1,
                // The database is one file: who waits for it too long is told to come again.
                Ok(done) => assert!(done.is_ok() || done.is_err_and(|error| error.is_passing())),
            }
        }
    }
    assert!(killed > 5, "{killed}");
    tick(&three[0]).await;
    let now = world.clock.now();
    let mut workflows = HashSet::new();
    for schedule in &schedules {
        let timing = &schedule.spec.timing;
        let expected: Vec<_> =
            timing.upcoming(start).take_while(|due| timing.moment(schedule.id, *due) <= now).collect();
        let fires = fires(&world.store, schedule).await;
        assert_eq!(fires.iter().map(|fire| fire.due).collect::<Vec<_>>(), expected, "{}", schedule.spec.name);
        assert!(fires.iter().all(|fire| fire.outcome == FireOutcome::Fired), "{}", schedule.spec.name);
        workflows.extend(fires.iter().map(|fire| fire.workflow.expect("one")));
    }
    let mut asked = 0;
    let mut cursor = None;
    loop {
        let filter =
            store::WorkflowFilter { kind: Some(domain::WorkflowKind::INSPECT), ..Default::default() };
        let page = world.store.workflows(&filter, cursor.as_deref(), 500).await.expect("works");
        assert!(
            page.items.iter().all(|workflow| workflows.contains(&workflow.id)),
            "one of a fire that is not on record"
        );
        asked += page.items.len();
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(asked, workflows.len());
}

#[tokio::test]
async fn a_clock_that_is_set_back_fires_nothing_twice() {
    let world = world().await;
    let schedule = make(&world, "s", "* * * * *", json!({"overlap": "allow"})).await;
    let scheduler = scheduler(&world);
    for _ in 0..10 {
        world.clock.advance(MINUTE);
        tick(&scheduler).await;
    }
    world.clock.set(world.clock.now() - chrono::Duration::minutes(8));
    assert_eq!(tick(&scheduler).await, 0);
    // Even where a change of the definition computes its next due time anew, by the clock as it is.
    let document = json!({
        "name": "s", "kind": "inspect", "cron": "*/1 * * * *", "target": {"farm": "ITFarm1"}, "overlap": "allow"
    });
    let manifest: ScheduleManifest = serde_json::from_value(document).expect("a manifest");
    let by = Principal { name: "operator".to_owned(), roles: [Role::Operator].into() };
    let changed = world.api.schedules().replace(&schedule.spec.name, &manifest, &by).await.expect("changed");
    assert!(changed.next_due < Some(schedule.next_due.expect("due") + 10 * MINUTE));
    for _ in 0..10 {
        world.clock.advance(MINUTE);
        tick(&scheduler).await;
    }
    let fires = fires(&world.store, &schedule).await;
    let due: HashSet<_> = fires.iter().map(|fire| fire.due).collect();
    assert_eq!((fires.len(), due.len()), (12, 12), "ten, and the two minutes after them");
    let workflows: HashSet<_> = fires.iter().filter_map(|fire| fire.workflow).collect();
    assert_eq!(workflows.len(), 12);
}

/// One schedule of each misfire policy, hourly; what became of the due times of a standstill.
async fn after_a_standstill(world: &World) -> BTreeMap<&'static str, Vec<(FireOutcome, Option<FireReason>)>> {
    let mut made = Vec::new();
    for policy in ["run-once", "run-all", "skip"] {
        made.push((
            policy,
            make(world, policy, "0 * * * *", json!({"misfire": policy, "overlap": "allow"})).await,
        ));
    }
    world.clock.advance(24 * HOUR + 30 * MINUTE);
    tick(&scheduler(world)).await;
    let mut became = BTreeMap::new();
    for (policy, schedule) in made {
        became.insert(policy, outcomes(world, &schedule).await);
    }
    became
}

#[tokio::test]
async fn an_orchestrator_that_stood_still_for_a_day_makes_up_for_it_by_policy() {
    let world = world().await;
    let became = after_a_standstill(&world).await;
    for (policy, fired) in [("run-once", 1), ("run-all", 24), ("skip", 0)] {
        let outcomes = &became[policy];
        assert_eq!(outcomes.len(), 24, "each due time is on record: {policy}");
        assert_eq!(count(outcomes, FireOutcome::Fired), fired, "{policy}");
        assert_eq!(count(outcomes, FireOutcome::Missed), 24 - fired, "{policy}");
    }
    assert_eq!(became["run-once"][23], FIRED, "the last one");
}

#[tokio::test]
async fn a_database_that_was_away_for_an_hour_leaves_no_due_time_behind() {
    let world = world().await;
    let schedule = make(&world, "s", "*/10 * * * *", json!({"misfire": "run-all", "overlap": "allow"})).await;
    let lost = world.another_store().await;
    lost.close().await;
    let cut_off = over(&world, lost);
    for _ in 0..6 {
        world.clock.advance(10 * MINUTE);
        let error = cut_off.tick(&CancellationToken::new()).await.expect_err("away");
        assert!(error.is_passing(), "{error}");
    }
    assert_eq!(outcomes(&world, &schedule).await, []);
    tick(&scheduler(&world)).await;
    assert_eq!(outcomes(&world, &schedule).await, [FIRED; 6]);
}

#[tokio::test]
async fn while_a_run_goes_on_the_next_is_skipped_waits_in_line_or_runs_beside_it() {
    let world = world().await;
    let skip = make(&world, "skip", "* * * * *", json!({"overlap": "skip"})).await;
    let queue = make(&world, "queue", "* * * * *", json!({"overlap": "queue"})).await;
    let allow = make(&world, "allow", "* * * * *", json!({"overlap": "allow"})).await;
    let scheduler = scheduler(&world);
    for _ in 0..3 {
        world.clock.advance(MINUTE);
        tick(&scheduler).await;
    }
    assert_eq!(outcomes(&world, &skip).await, [FIRED, OVERLAP, OVERLAP]);
    assert_eq!(outcomes(&world, &queue).await, [FIRED, QUEUED, QUEUED]);
    assert_eq!(outcomes(&world, &allow).await, [FIRED, FIRED, FIRED]);
    for schedule in [&skip, &queue] {
        finish(&world, &fires(&world.store, schedule).await[0]).await;
    }
    assert_eq!(tick(&scheduler).await, 1, "the next in line, and only that one");
    assert_eq!(outcomes(&world, &queue).await, [FIRED, FIRED, QUEUED]);
    world.clock.advance(MINUTE);
    tick(&scheduler).await;
    assert_eq!(outcomes(&world, &skip).await[3], FIRED);
    assert_eq!(outcomes(&world, &queue).await[3], QUEUED, "not past the one in line");
}

#[tokio::test]
async fn a_pause_is_on_record_and_is_not_made_up_for() {
    let world = world().await;
    let schedule = make(&world, "s", "* * * * *", json!({"overlap": "allow", "misfire": "run-all"})).await;
    let by = Principal { name: "ben".to_owned(), roles: [Role::Operator].into() };
    let scheduler = scheduler(&world);
    let name = &schedule.spec.name;
    world.api.schedules().pause(name, Some("holidays".to_owned()), &by).await.expect("paused");
    world.clock.advance(2 * MINUTE);
    tick(&scheduler).await;
    // The third due time comes in the pause, and is looked at after it.
    world.clock.advance(MINUTE + Duration::from_secs(1));
    world.api.schedules().resume(name).await.expect("resumed");
    tick(&scheduler).await;
    world.clock.advance(MINUTE);
    tick(&scheduler).await;
    let paused = (FireOutcome::Skipped, Some(FireReason::Paused));
    assert_eq!(outcomes(&world, &schedule).await, [paused, paused, paused, FIRED]);
    let fires = fires(&world.store, &schedule).await;
    assert_eq!(fires[0].detail.as_deref(), Some("paused by ben: holidays"));
}

#[tokio::test]
async fn what_is_not_possible_any_more_is_missed_and_says_why() {
    let world = world().await;
    world.deployed("ITFarm2").await;
    let more = json!({"kind": "add-host", "target": {"farm": "ITFarm2"}, "input": {"hosts": ["Host9"]}});
    let schedule = make(&world, "s", "* * * * *", more).await;
    world.decommissioned("ITFarm2").await;
    world.clock.advance(MINUTE);
    tick(&scheduler(&world)).await;
    assert_eq!(outcomes(&world, &schedule).await, [REFUSED]);
    let detail = fires(&world.store, &schedule).await[0].detail.clone().expect("a reason");
    assert!(detail.starts_with("farm-not-deployed: ") && detail.contains("decommissioned"), "{detail}");
}

#[tokio::test]
async fn what_was_taken_from_its_owner_is_taken_from_the_schedule() {
    let world = world().await;
    let schedule = make(&world, "s", "* * * * *", json!({"overlap": "allow"})).await;
    let other =
        make(&world, "t", "* * * * *", json!({"kind": "add-host", "input": {"hosts": ["Host9"]}})).await;
    world.store.revoke_token(world.token_id("operator").await, world.clock.now()).await.expect("works");
    // Another role of the same principal goes on.
    world.add_token("operator", &[Role::Viewer], None).await;
    world.clock.advance(MINUTE);
    tick(&scheduler(&world)).await;
    assert_eq!(outcomes(&world, &other).await, [REFUSED]);
    assert_eq!(outcomes(&world, &schedule).await, [FIRED], "a look needs no more than a viewer");
    let detail = fires(&world.store, &other).await[0].detail.clone().expect("a reason");
    assert!(detail.starts_with("forbidden: operator has the role viewer"), "{detail}");
}

#[tokio::test]
async fn a_schedule_whose_end_has_come_says_so() {
    let world = world().await;
    let end = world.clock.now() + 2 * MINUTE;
    let schedule = make(&world, "s", "* * * * *", json!({"end": end.to_rfc3339()})).await;
    world.clock.advance(5 * MINUTE);
    tick(&scheduler(&world)).await;
    let ended = world.store.schedule(&schedule.spec.name).await.expect("works").expect("is there");
    assert_eq!((ended.state.as_str(), ended.next_due, ended.fire_at), ("ended", None, None));
    assert!(ended.ended_because.expect("why").contains("before its end"));
    assert_eq!(tick(&scheduler(&world)).await, 0);
}

#[tokio::test]
async fn it_is_woken_by_a_new_schedule_and_by_time_and_stops_when_told() {
    let world = world().await;
    let slow = Settings { schedule_every: Duration::from_millis(5), ..Settings::default() };
    let scheduler = Arc::new(Scheduler {
        schedules: world.api.schedules(),
        clock: world.clock.clone(),
        rng: world.api.rng.clone(),
        settings: slow,
    });
    let stop = CancellationToken::new();
    let task = tokio::spawn(scheduler.run(stop.clone()));
    let schedule = make(&world, "s", "* * * * *", json!({})).await;
    world.clock.advance(MINUTE);
    until("fired", || async { !fires(&world.store, &schedule).await.is_empty() }).await;
    stop.cancel();
    task.await.expect("no panic");
}

#[tokio::test]
async fn an_outage_is_outlived_and_does_not_hold_up_a_stop() {
    let world = testing::World::new().await;
    world.store.close().await;
    let scheduler = scheduler(&world);
    let stop = CancellationToken::new();
    let task = tokio::spawn(scheduler.run(stop.clone()));
    tokio::task::yield_now().await;
    assert!(!task.is_finished());
    stop.cancel();
    task.await.expect("no panic");
}

#[tokio::test]
async fn old_fires_are_forgotten_and_those_whose_workflow_goes_on_are_not() {
    let world = world().await;
    let schedule = make(&world, "s", "0 * * * *", json!({"overlap": "allow"})).await;
    let scheduler = scheduler(&world);
    for _ in 0..3 {
        world.clock.advance(HOUR);
        tick(&scheduler).await;
    }
    finish(&world, &fires(&world.store, &schedule).await[0]).await;
    world.clock.advance(scheduler.settings.keep_fires + HOUR / 2);
    scheduler.prune(&CancellationToken::new()).await.expect("works");
    let left = fires(&world.store, &schedule).await;
    assert_eq!(left.len(), 2, "the first is old and done, the others go on");
}
