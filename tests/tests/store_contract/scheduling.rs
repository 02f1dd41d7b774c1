//! Each due time becomes one row and at most one workflow, whoever looks and however often.

use std::collections::{BTreeSet, HashSet};

use chrono::{DateTime, Duration, Utc};
use domain::schedule::{FireReason, Pause, ScheduleManifest, ScheduleState, Standing, Verdict};
use domain::{Cause, FireOutcome, Role, ScheduleId, SystemRng, WorkflowEvent, WorkflowId, WorkflowState};
use futures::future::join_all;
use serde_json::json;
use store::{
    DueSchedule, Fire, PlannedFire, PlannedRound, QueuedFire, Recorded, Schedule, Store, StoreError,
};

use crate::kit::*;

/// Due each minute.
fn schedule(name: &str) -> Schedule {
    let manifest = json!({"name": name, "kind": "rotation-check", "cron": "* * * * *", "overlap": "allow"});
    let manifest: ScheduleManifest = serde_json::from_value(manifest).expect("a manifest");
    let spec = manifest.validate(at(0)).expect("valid");
    let next = spec.timing.next_after(at(0));
    Schedule {
        id: ScheduleId::new(at(0), &SystemRng),
        spec,
        state: ScheduleState::Enabled,
        next_due: next,
        fire_at: next,
        ended_because: None,
        last_due: None,
        last_workflow: None,
        queued: 0,
        paused: None,
        last_pause: None,
        owner: "ann".to_owned(),
        owner_roles: [Role::Operator].into(),
        created_by: "ann".to_owned(),
        created_at: at(0),
        updated_at: at(0),
        revision: 1,
    }
}

async fn made(world: &World, name: &str) -> Schedule {
    let schedule = schedule(name);
    assert!(world.store.create_schedule(&schedule).await.expect("written"));
    schedule
}

fn fired(due: DateTime<Utc>, now: DateTime<Utc>) -> PlannedFire {
    let id = WorkflowId::new(now, &SystemRng);
    let workflow = store::NewWorkflow { id, now, requested_by: "schedule:s".to_owned(), ..check(0) };
    PlannedFire { due, outcome: FireOutcome::Fired, reason: None, detail: None, workflow: Some(workflow) }
}

/// As the orchestrator plans it, with a workflow for whatever runs.
fn plan(due: &[DueSchedule], now: DateTime<Utc>) -> Vec<PlannedRound> {
    let round = |due: &DueSchedule| {
        let schedule = &due.schedule;
        let standing = Standing { running: due.running, queued: schedule.queued, pause: schedule.last_pause };
        let next = schedule.next_due.expect("what is due has a due time");
        let round = schedule.spec.round(schedule.id, next, standing, now, 5);
        let planned = |due: &domain::schedule::Due| {
            let other = |outcome, reason| PlannedFire {
                outcome,
                reason: Some(reason),
                workflow: None,
                ..fired(due.at, now)
            };
            match due.verdict {
                Verdict::Run => fired(due.at, now),
                Verdict::Queue => {
                    PlannedFire { outcome: FireOutcome::Queued, workflow: None, ..fired(due.at, now) }
                }
                Verdict::Skip(reason) => other(FireOutcome::Skipped, reason),
                Verdict::Miss(reason) => other(FireOutcome::Missed, reason),
            }
        };
        PlannedRound {
            schedule: schedule.id,
            revision: schedule.revision,
            owner: schedule.owner.clone(),
            fires: round.due.iter().map(planned).collect(),
            next: round.next.map(|due| (due, schedule.spec.timing.moment(schedule.id, due))),
            ended_because: round.next.is_none().then(|| "over".to_owned()),
        }
    };
    due.iter().map(round).collect()
}

async fn fire(store: &Store, seconds: i64, limit: u32) -> Recorded {
    let planned = async |due: Vec<DueSchedule>| Ok::<_, StoreError>(plan(&due, at(seconds)));
    store.fire_due(at(seconds), limit, planned).await.expect("recorded")
}

async fn release(store: &Store, seconds: i64) -> Recorded {
    let planned = async |queued: Vec<QueuedFire>| {
        Ok::<_, StoreError>(queued.iter().map(|queued| fired(queued.due, at(seconds))).collect())
    };
    store.release_queued(at(seconds), 100, planned).await.expect("recorded")
}

async fn fires(world: &World, schedule: &Schedule) -> Vec<Fire> {
    world.store.schedule_fires(schedule.id, None, None, 500).await.expect("a page").items
}

async fn read(world: &World, schedule: &Schedule) -> Schedule {
    world.store.schedule(&schedule.spec.name).await.expect("an answer").expect("is there")
}

pub async fn a_schedule_comes_back_as_it_was_made_and_its_name_is_taken(world: World) {
    let schedule = made(&world, "Nightly").await;
    assert_eq!(read(&world, &schedule).await, schedule);
    let again = Schedule { id: ScheduleId::new(at(1), &SystemRng), ..self::schedule("NIGHTLY") };
    assert!(!world.store.create_schedule(&again).await.expect("an answer"));
    assert_eq!(world.rows("schedules").await, 1);
    for name in ["alpha", "Beta", "gamma"] {
        made(&world, name).await;
    }
    let first = world.store.schedules(None, None, 3).await.expect("a page");
    let second = world.store.schedules(None, first.next.as_deref(), 3).await.expect("a page");
    let names: Vec<_> =
        first.items.iter().chain(&second.items).map(|schedule| schedule.spec.name.to_string()).collect();
    assert_eq!(
        (names, second.next),
        (["alpha", "Beta", "gamma", "Nightly"].map(String::from).to_vec(), None)
    );
}

pub async fn a_change_of_what_has_changed_meanwhile_is_refused(world: World) {
    let schedule = made(&world, "s").await;
    let mut one = read(&world, &schedule).await;
    let two = one.clone();
    one.state = ScheduleState::Paused;
    one.last_pause = Some(Pause { from: at(1), until: None });
    one.paused = Some(store::Paused { at: at(1), by: "ben".into(), reason: Some("why\u{0}".into()) });
    assert!(world.store.save_schedule(&one).await.expect("an answer"));
    assert!(!world.store.save_schedule(&two).await.expect("an answer"));
    let now = read(&world, &schedule).await;
    assert_eq!((now.revision, now.state), (2, ScheduleState::Paused));
    assert_eq!(now.paused.and_then(|paused| paused.reason), Some("why\u{fffd}".to_owned()));
}

pub async fn a_schedule_that_is_on_has_a_next_due_time_or_the_database_refuses_it(world: World) {
    let schedule = Schedule { next_due: None, fire_at: None, ..schedule("s") };
    assert!(matches!(world.store.create_schedule(&schedule).await, Err(StoreError::Statement(_))));
    made(&world, "t").await;
    for sql in
        ["update schedules set next_due = null, fire_at = null", "update schedules set state = 'ended'"]
    {
        assert!(world.store.execute_raw(sql).await.is_err(), "{sql}");
    }
    let stats = world.store.schedule_stats(at(0)).await.expect("counts");
    assert_eq!((stats.enabled, stats.without_next, stats.overdue_since), (1, 0, None));
}

pub async fn a_due_time_becomes_a_row_a_workflow_and_an_event_in_one(world: World) {
    let schedule = made(&world, "s").await;
    let due = schedule.next_due.expect("due");
    let seconds = (due - at(0)).num_seconds();
    assert_eq!(fire(&world.store, seconds - 1, 10).await, Recorded::default());
    let recorded = fire(&world.store, seconds, 10).await;
    assert_eq!(recorded, Recorded { schedules: 1, fires: vec![(FireOutcome::Fired, None)] });
    let row = fires(&world, &schedule).await.remove(0);
    let workflow = row.workflow.expect("a workflow");
    assert_eq!((row.due, row.outcome, row.recorded_at), (due, FireOutcome::Fired, at(seconds)));
    assert_eq!(world.state(workflow).await, WorkflowState::Queued);
    assert_eq!(world.events().await, [(workflow, Cause::Requested)]);
    let now = read(&world, &schedule).await;
    assert_eq!((now.last_due, now.last_workflow), (Some(due), Some(workflow)));
    assert_eq!((now.next_due, now.revision), (Some(due + Duration::minutes(1)), 2));
    assert_eq!(fire(&world.store, seconds, 10).await, Recorded::default());
}

pub async fn a_plan_that_fails_leaves_the_due_time(world: World) {
    let schedule = made(&world, "s").await;
    let fails = async |_: Vec<DueSchedule>| Err::<Vec<PlannedRound>, _>(StoreError::InvalidCursor);
    world.store.fire_due(at(120), 10, fails).await.expect_err("as the plan said");
    assert_eq!((read(&world, &schedule).await.revision, world.rows("schedule_fires").await), (1, 0));
    assert_eq!(fire(&world.store, 120, 10).await.schedules, 1);
}

/// Eight that look at the same time, again and again, for twenty minutes.
pub async fn of_many_that_fire_at_once_each_due_time_is_fired_by_one(world: World) {
    for n in 0..20 {
        made(&world, &format!("s{n}")).await;
    }
    let stores = [world.another_store().await, world.another_store().await];
    for minute in 1..=20 {
        let looks = (0..8).map(|n| {
            let store = &stores[n % 2];
            async move {
                let planned = async |due: Vec<DueSchedule>| Ok(plan(&due, at(minute * 60)));
                store.fire_due::<_, _, StoreError>(at(minute * 60), 7, planned).await
            }
        });
        for look in join_all(looks).await {
            look.expect("recorded");
        }
        while fire(&world.store, minute * 60, 100).await.schedules > 0 {}
    }
    assert_eq!(world.rows("schedule_fires").await, 20 * 20);
    assert_eq!(world.rows("workflows").await, 20 * 20);
    assert_eq!(world.rows("outbox").await, 20 * 20);
}

pub async fn what_changed_while_it_was_planned_is_planned_again(world: World) {
    let schedule = made(&world, "s").await;
    let stale = DueSchedule { schedule: read(&world, &schedule).await, running: false };
    assert_eq!(fire(&world.store, 60, 10).await.fires.len(), 1);
    made(&world, "t").await;
    // Another planned from what it had read before: for the schedule that has moved on, nothing.
    let planned = async |_: Vec<DueSchedule>| Ok::<_, StoreError>(plan(&[stale], at(60)));
    let recorded = world.store.fire_due(at(60), 10, planned).await.expect("recorded");
    assert_eq!(
        (recorded.fires.len(), world.rows("schedule_fires").await, world.rows("workflows").await),
        (0, 1, 1)
    );
}

pub async fn a_due_time_on_record_is_not_fired_again_whatever_the_schedule_says(world: World) {
    let schedule = made(&world, "s").await;
    fire(&world.store, 60, 10).await;
    // As after a change by a clock that was set back.
    let mut back = read(&world, &schedule).await;
    (back.next_due, back.fire_at) = (schedule.next_due, schedule.fire_at);
    assert!(world.store.save_schedule(&back).await.expect("written"));
    let recorded = fire(&world.store, 60, 10).await;
    assert_eq!((recorded.schedules, recorded.fires.len()), (1, 0));
    assert_eq!((world.rows("schedule_fires").await, world.rows("workflows").await), (1, 1));
    assert_eq!(
        read(&world, &schedule).await.next_due,
        schedule.next_due.map(|due| due + Duration::minutes(1))
    );
}

pub async fn a_backlog_is_taken_in_bounded_parts_and_in_order(world: World) {
    let schedule = made(&world, "s").await;
    let first = fire(&world.store, 1200, 10).await;
    assert_eq!(first.fires.len(), 5);
    while fire(&world.store, 1200, 10).await.schedules > 0 {}
    let fires = fires(&world, &schedule).await;
    assert_eq!(fires.len(), 20);
    assert!(fires.windows(2).all(|pair| pair[0].due > pair[1].due), "the latest first");
    let page = world.store.schedule_fires(schedule.id, None, None, 15).await.expect("a page");
    let rest = world.store.schedule_fires(schedule.id, None, page.next.as_deref(), 15).await.expect("a page");
    assert_eq!([page.items, rest.items].concat(), fires);
    let missed = world.store.schedule_fires(schedule.id, Some(FireOutcome::Missed), None, 100).await;
    let missed = missed.expect("a page").items;
    assert!(missed.iter().all(|fire| fire.reason == Some(FireReason::Superseded)));
    assert_eq!(missed.len(), 14, "six are within the allowance of five minutes");
}

pub async fn what_waits_in_line_runs_one_after_the_other(world: World) {
    let mut schedule = schedule("s");
    schedule.spec.overlap = domain::schedule::Overlap::Queue;
    assert!(world.store.create_schedule(&schedule).await.expect("written"));
    for minute in 1..=3 {
        fire(&world.store, minute * 60, 10).await;
    }
    let outcomes =
        async || fires(&world, &schedule).await.into_iter().map(|fire| fire.outcome).collect::<Vec<_>>();
    use FireOutcome::{Fired, Queued};
    assert_eq!(outcomes().await, [Queued, Queued, Fired]);
    assert_eq!(release(&world.store, 200).await, Recorded::default(), "the first one goes on");
    for left in [[Queued, Fired, Fired], [Fired, Fired, Fired]] {
        let last = read(&world, &schedule).await.last_workflow.expect("a workflow");
        let claimed = world.claimed(last, 210).await;
        world.commit(entry(&claimed, 210, finish(WorkflowEvent::Fail))).await;
        let stores = [world.another_store().await, world.another_store().await];
        let (one, two) = futures::join!(release(&stores[0], 220), release(&stores[1], 220));
        assert_eq!(one.fires.len() + two.fires.len(), 1, "one, whoever looks");
        assert_eq!(outcomes().await, left);
    }
    assert_eq!((read(&world, &schedule).await.queued, world.rows("workflows").await), (0, 3));
}

pub async fn a_deleted_schedule_leaves_what_it_did_and_runs_nothing_more(world: World) {
    let mut schedule = schedule("s");
    schedule.spec.overlap = domain::schedule::Overlap::Queue;
    assert!(world.store.create_schedule(&schedule).await.expect("written"));
    fire(&world.store, 60, 10).await;
    fire(&world.store, 120, 10).await;
    assert!(world.store.delete_schedule(schedule.id, at(130)).await.expect("an answer"));
    assert!(!world.store.delete_schedule(schedule.id, at(130)).await.expect("an answer"));
    let fires = fires(&world, &schedule).await;
    assert_eq!((fires[0].outcome, fires[0].reason), (FireOutcome::Skipped, Some(FireReason::Deleted)));
    assert_eq!(fires[1].outcome, FireOutcome::Fired);
    assert_eq!(fire(&world.store, 600, 10).await, Recorded::default());
}

pub async fn one_schedule_that_cannot_be_read_does_not_stop_the_others(world: World) {
    let (broken, well) = (made(&world, "broken").await, made(&world, "well").await);
    let sql = "update schedules set spec = '{\"newer\": true}' where name_key = 'broken'";
    world.store.execute_raw(sql).await.expect("written");
    let recorded = fire(&world.store, 60, 10).await;
    assert_eq!((recorded.schedules, recorded.fires.len()), (2, 1));
    assert_eq!(fires(&world, &well).await.len(), 1);
    assert_eq!(fire(&world.store, 61, 10).await, Recorded::default(), "it is left alone for a while");
    world.store.execute_raw("delete from schedules where name_key = 'well'").await.expect("deleted");
    let left = world.store.number("select count(*) from schedules where state = 'enabled'").await;
    assert_eq!((left.expect("a number"), fires(&world, &broken).await.len()), (1, 0), "and not lost");
}

pub async fn the_last_due_time_ends_the_schedule_and_says_why(world: World) {
    let mut schedule = schedule("s");
    schedule.spec.timing.end = Some(at(90));
    assert!(world.store.create_schedule(&schedule).await.expect("written"));
    fire(&world.store, 600, 10).await;
    let ended = read(&world, &schedule).await;
    assert_eq!((ended.state, ended.next_due, ended.fire_at), (ScheduleState::Ended, None, None));
    assert_eq!(ended.ended_because.as_deref(), Some("over"));
    let stats = world.store.schedule_stats(at(600)).await.expect("counts");
    assert_eq!((stats.enabled, stats.ended, stats.without_next, stats.overdue_since), (0, 1, 0, None));
}

pub async fn old_rows_go_and_those_of_workflows_that_go_on_stay(world: World) {
    let schedule = made(&world, "s").await;
    for minute in 1..=3 {
        fire(&world.store, minute * 60, 10).await;
    }
    let oldest = fires(&world, &schedule).await.pop().and_then(|fire| fire.workflow).expect("a workflow");
    let claimed = world.claimed(oldest, 200).await;
    world.finish(&claimed, 200).await;
    assert_eq!(world.store.prune_fires(at(61), 100).await.expect("a number"), 1);
    assert_eq!(world.store.prune_fires(at(10_000), 100).await.expect("a number"), 0);
    assert_eq!(fires(&world, &schedule).await.len(), 2);
}

pub async fn overdue_schedules_are_seen_without_the_scheduler(world: World) {
    let schedule = made(&world, "s").await;
    let due = schedule.next_due.expect("due");
    let stats = world.store.schedule_stats(due + Duration::hours(1)).await.expect("counts");
    assert_eq!(stats.overdue_since, Some(due));
    assert_eq!(world.store.next_fire().await.expect("an answer"), Some(due));
}

/// Many schedules at one moment. `FARMHAND_TEST_SCHEDULES` says how many; `docs/benchmarks.md` has
/// the figures of 100,000.
pub async fn many_schedules_that_are_due_at_once_are_fired_page_by_page(world: World) {
    let many: usize =
        std::env::var("FARMHAND_TEST_SCHEDULES").ok().map_or(600, |text| text.parse().expect("a number"));
    for n in 0..many {
        made(&world, &format!("s{n}")).await;
    }
    let before = resident();
    let began = std::time::Instant::now();
    let mut recorded = 0;
    let mut most = 0;
    loop {
        let done = fire(&world.store, 60, 200).await;
        assert!(done.schedules <= 200);
        recorded += done.fires.len();
        most = most.max(resident());
        if done.schedules == 0 {
            break;
        }
    }
    let (took, grown) = (began.elapsed(), most.saturating_sub(before));
    println!("{many} schedules in {took:?}; memory {before} KiB before, at most {grown} KiB more");
    assert_eq!(recorded, many);
    let rows = i64::try_from(many).expect("fits");
    assert_eq!((world.rows("schedule_fires").await, world.rows("workflows").await), (rows, rows));
    let due = "select count(*) from (select distinct schedule_id, due_at from schedule_fires) as each_once";
    assert_eq!(world.store.number(due).await.expect("a number"), rows);
}

/// KiB of this process that are in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

pub async fn the_roles_of_a_principal_are_those_of_its_tokens_that_were_not_revoked(world: World) {
    let token = |principal: &str, role, expires_at| store::Token {
        id: domain::TokenId::new(at(0), &SystemRng),
        principal: principal.to_owned(),
        roles: BTreeSet::from([role]),
        created_at: at(0),
        expires_at,
        revoked_at: None,
        last_used_at: None,
    };
    let (one, two) = (token("ann", Role::Operator, None), token("ann", Role::Approver, Some(at(10))));
    world.store.create_token(&one, "h1").await.expect("written");
    world.store.create_token(&two, "h2").await.expect("written");
    let roles = async |name: &str| world.store.roles_of(name).await.expect("an answer");
    assert_eq!(roles("ann").await, Some([Role::Operator, Role::Approver].into()));
    assert_eq!(roles("amqp:ann").await, None);
    world.store.revoke_token(one.id, at(20)).await.expect("revoked");
    assert_eq!(roles("ann").await, Some([Role::Approver].into()));
    world.store.revoke_token(two.id, at(20)).await.expect("revoked");
    assert_eq!(roles("ann").await, Some(BTreeSet::new()));
    let ids: HashSet<_> =
        world.store.tokens().await.expect("a list").into_iter().map(|token| token.id).collect();
    assert_eq!(ids.len(), 2);
}

pub async fn a_due_time_that_is_missed_is_announced(world: World) {
    let schedule = made(&world, "nightly").await;
    // Two days late: the runs of the meantime are superseded or too late.
    let recorded = fire(&world.store, 2 * 24 * 3600, 10).await;
    let missed = recorded.fires.iter().filter(|(outcome, _)| *outcome == FireOutcome::Missed).count();
    assert!(missed > 0, "{recorded:?}");
    let announced = world.announced().await;
    assert_eq!(announced.len(), missed);
    let on_record: BTreeSet<_> = fires(&world, &schedule).await.into_iter().map(|fire| fire.due).collect();
    for one in announced {
        assert_eq!((one.kind, one.subject.as_str()), (domain::AnnouncementKind::FireMissed, "nightly"));
        assert_eq!(one.data["outcome"], "missed");
        let due: DateTime<Utc> = serde_json::from_value(one.data["dueAt"].clone()).expect("a time");
        assert!(on_record.contains(&due), "{due}");
        let reason: FireReason = serde_json::from_value(one.data["reason"].clone()).expect("a reason");
        assert!([FireReason::Late, FireReason::Superseded].contains(&reason));
    }
}
