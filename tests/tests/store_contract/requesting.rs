//! Requests come in and are found again.

use std::collections::BTreeSet;

use chrono::Duration;
use domain::{Cause, DirectoryName, Mode, WorkflowId, WorkflowKind, WorkflowState};
use futures::future::join_all;
use serde_json::json;
use store::{FarmState, IdempotencyKey, NewWorkflow, StoreError, Submitted, WorkflowFilter};

use crate::kit::*;

fn key(text: &str, hash: &str) -> Option<IdempotencyKey> {
    Some(IdempotencyKey { principal: "ann".into(), key: text.into(), request_hash: hash.into() })
}

pub async fn a_request_comes_back_as_it_was_asked(world: World) {
    let new = NewWorkflow {
        hosts: vec!["Host1".into(), "HOST1$".into(), "Host2".into()],
        reason: Some("because: \u{0} \"quoted\" ü".into()),
        input: json!({ "nested": [1, 2.5, null, "zero \u{0}"] }),
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
        ..deploy("ITFarm1", 5)
    };
    let Submitted::New(workflow) = world.store.submit(new.clone(), None).await.expect("submitted") else {
        panic!("it is new");
    };
    assert_eq!(world.workflow(new.id).await, workflow);
    assert_eq!(workflow.state, WorkflowState::Queued);
    assert_eq!(workflow.hosts, new.hosts);
    assert_eq!(workflow.reason.as_deref(), Some("because: \u{fffd} \"quoted\" ü"));
    assert_eq!(workflow.farm.as_ref().map(|farm| farm.as_str()), Some("ITFarm1"));
    assert_eq!((workflow.created_at, workflow.started_at), (at(5), None));
    assert_eq!(world.claimed(new.id, 6).await.input, new.input);
    assert_eq!(world.events().await, [(new.id, Cause::Requested)]);
    let nobody = WorkflowId::new(at(5), &domain::SystemRng);
    assert_eq!(world.store.workflow(nobody).await.expect("an answer"), None);
    assert_eq!(world.store.revision(nobody).await.expect("an answer"), None);
}

pub async fn a_key_gives_the_same_workflow_and_a_reused_one_a_conflict(world: World) {
    let first = check(0);
    let submitted = world.store.submit(first.clone(), key("k", "hash")).await.expect("submitted");
    assert!(matches!(submitted, Submitted::New(_)));
    let replayed = world.store.submit(check(1), key("k", "hash")).await.expect("an answer");
    assert_eq!(replayed, Submitted::Replayed(world.workflow(first.id).await));
    let conflict = world.store.submit(check(1), key("k", "other")).await.expect("an answer");
    assert_eq!(conflict, Submitted::Conflict(first.id));
    let of_another =
        IdempotencyKey { principal: "bob".into(), key: "k".into(), request_hash: "other".into() };
    let theirs = world.store.submit(check(1), Some(of_another)).await.expect("an answer");
    assert!(matches!(theirs, Submitted::New(_)), "keys of two callers do not meet");
    assert_eq!((world.rows("workflows").await, world.events().await.len()), (2, 2));
}

pub async fn twenty_requests_with_one_key_make_one_workflow(world: World) {
    let submits = (0..20).map(|n| world.store.submit(check(n), key("k", "hash")));
    let answers = join_all(submits).await;
    let mut new = 0;
    let mut ids = BTreeSet::new();
    for answer in answers {
        match answer.expect("an answer") {
            Submitted::New(workflow) => {
                new += 1;
                ids.insert(workflow.id);
            }
            Submitted::Replayed(workflow) => drop(ids.insert(workflow.id)),
            Submitted::Conflict(id) => panic!("a conflict with {id}"),
        }
    }
    assert_eq!((new, ids.len(), world.rows("workflows").await), (1, 1, 1));
}

pub async fn a_request_that_fails_half_way_leaves_nothing(world: World) {
    let (first, second) = (deploy("A", 0), deploy("B", 0));
    let twice = NewWorkflow { id: first.id, ..second.clone() };
    let refused = world.store.submit_many(vec![first.clone(), second, twice.clone()]).await;
    assert!(matches!(refused, Err(StoreError::Statement(_))), "{refused:?}");
    world.submit(first).await;
    let refused = world.store.submit(twice, key("k", "hash")).await;
    assert!(refused.is_err());
    for (table, rows) in [("workflows", 1), ("farms", 1), ("outbox", 1), ("idempotency_keys", 0)] {
        assert_eq!(world.rows(table).await, rows, "{table}");
    }
}

pub async fn a_farm_on_record_keeps_its_specification(world: World) {
    let first = world.deploy("ITFarm1", 0).await;
    let farm =
        world.store.farm(&directory(), &farm_name("itfarm1")).await.expect("an answer").expect("a farm");
    assert_eq!((farm.state, farm.last_workflow), (FarmState::Requested, Some(first)));
    assert_eq!((&farm.spec, farm.recorded, farm.created_at), (&farm_spec("ITFarm1"), None, at(0)));
    let mut again = deploy("ITFARM1", 9);
    again.farm_spec = again.farm_spec.map(|mut spec| {
        spec.hosts.clear();
        spec
    });
    let second = world.submit(again).await;
    let kept =
        world.store.farm(&directory(), &farm_name("ITFarm1")).await.expect("an answer").expect("a farm");
    assert_eq!((kept.spec, kept.last_workflow), (farm.spec, Some(second)));
    assert_eq!(world.rows("farms").await, 1);
}

pub async fn a_dry_run_leaves_no_farm(world: World) {
    world.submit(NewWorkflow { mode: Mode::Plan, ..deploy("ITFarm1", 0) }).await;
    assert_eq!(world.store.farm(&directory(), &farm_name("ITFarm1")).await.expect("an answer"), None);
}

async fn pages(world: &World, filter: &WorkflowFilter, limit: u32) -> Vec<WorkflowId> {
    let (mut ids, mut cursor) = (Vec::new(), None);
    loop {
        let page = world.store.workflows(filter, cursor.as_deref(), limit).await.expect("a page");
        assert!(page.items.len() <= limit as usize);
        ids.extend(page.items.iter().map(|workflow| workflow.id));
        // New ones come in while the reader turns the page.
        world.check(1000).await;
        match page.next {
            Some(next) => cursor = Some(next),
            None => return ids,
        }
    }
}

pub async fn pages_do_not_shift_while_requests_come_in(world: World) {
    let mut asked = Vec::new();
    for n in 0..25 {
        // Several in one moment, too.
        asked.push(world.check(n / 3).await);
    }
    asked.sort();
    asked.reverse();
    assert_eq!(pages(&world, &WorkflowFilter::default(), 4).await, asked);
    let none = world.store.workflows(&WorkflowFilter::default(), Some("banana"), 4).await;
    assert!(matches!(none, Err(StoreError::InvalidCursor)));
}

pub async fn filters_find_what_they_name(world: World) {
    let elsewhere = DirectoryName::parse("Other").expect("a name");
    let plain = world.check(0).await;
    let farm = world.submit(NewWorkflow { hosts: vec!["Host7$".into()], ..deploy("ITFarm1", 100) }).await;
    let far = world.submit(NewWorkflow { directory: elsewhere.clone(), ..deploy("ITFarm1", 200) }).await;
    let failed = world.in_state(WorkflowState::Failed).await;
    let done = world.in_state(WorkflowState::Succeeded).await;
    let find = async |filter: WorkflowFilter| {
        let page = world.store.workflows(&filter, None, 100).await.expect("a page");
        page.items.iter().map(|workflow| workflow.id).collect::<BTreeSet<_>>()
    };
    let all = WorkflowFilter::default;
    let cases = [
        (WorkflowFilter { kind: Some(WorkflowKind::DEPLOY), ..all() }, vec![farm, far]),
        (WorkflowFilter { state: Some(WorkflowState::Queued), ..all() }, vec![plain, farm, far]),
        (WorkflowFilter { state: Some(WorkflowState::Failed), ..all() }, vec![failed]),
        (WorkflowFilter { state: Some(WorkflowState::Succeeded), ..all() }, vec![done]),
        (WorkflowFilter { state: Some(WorkflowState::Paused), ..all() }, vec![]),
        (WorkflowFilter { farm: Some(farm_name("ITFARM1")), ..all() }, vec![farm, far]),
        (WorkflowFilter { directory: Some(elsewhere.clone()), ..all() }, vec![far]),
        (WorkflowFilter { host: Some("HOST7".into()), ..all() }, vec![farm]),
        (WorkflowFilter { host: Some("HOST7".into()), since: Some(at(100)), ..all() }, vec![farm]),
        (WorkflowFilter { host: Some("HOST7".into()), since: Some(at(101)), ..all() }, vec![]),
        (WorkflowFilter { host: Some("HOST7".into()), until: Some(at(100)), ..all() }, vec![]),
        (WorkflowFilter { host: Some("HOST7".into()), until: Some(at(101)), ..all() }, vec![farm]),
        (WorkflowFilter { since: Some(at(100)), ..all() }, vec![farm, far]),
        (WorkflowFilter { until: Some(at(200)), since: Some(at(1)), ..all() }, vec![farm]),
        (WorkflowFilter { since: Some(at(101)), kind: Some(WorkflowKind::DEPLOY), ..all() }, vec![far]),
    ];
    for (filter, expected) in cases {
        assert_eq!(find(filter.clone()).await, expected.into_iter().collect(), "{filter:?}");
    }
}

pub async fn farms_are_listed_by_name_a_page_at_a_time(world: World) {
    for name in ["delta", "Alpha", "charlie", "Bravo"] {
        world.deploy(name, 0).await;
    }
    world.submit(NewWorkflow { ..deploy("echo", 0) }).await;
    let first = world.store.farms(Some(&directory()), None, 2).await.expect("a page");
    let second = world.store.farms(None, first.next.as_deref(), 3).await.expect("a page");
    let names = |page: &store::Page<store::Farm>| {
        page.items.iter().map(|farm| farm.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(
        (names(&first), names(&second)),
        (vec!["Alpha".into(), "Bravo".into()], vec!["charlie".to_owned(), "delta".into(), "echo".into()])
    );
    assert_eq!(second.next, None);
    let elsewhere = DirectoryName::parse("other").expect("a name");
    assert!(world.store.farms(Some(&elsewhere), None, 5).await.expect("a page").items.is_empty());
    assert!(matches!(world.store.farms(None, Some("zz"), 5).await, Err(StoreError::InvalidCursor)));
}

/// SQLite keeps times as text: `12:00:00`, `12:00:00.5` and `12:00:00.500001` must sort as such.
pub async fn times_sort_as_times_whatever_their_fraction(world: World) {
    let fractions = [0, 1, 999, 1_000, 250_000, 500_000, 500_001, 999_999, 1_000_000, 1_000_001];
    for micros in fractions.into_iter().rev() {
        let now = at(0) + Duration::microseconds(micros);
        world.submit(NewWorkflow { now, ..check(0) }).await;
    }
    for (n, micros) in (0..).zip(fractions) {
        let until = at(0) + Duration::microseconds(micros);
        let filter = WorkflowFilter { until: Some(until), ..WorkflowFilter::default() };
        let page = world.store.workflows(&filter, None, 100).await.expect("a page");
        assert_eq!(page.items.len(), n, "before {micros} microseconds");
    }
}

pub async fn only_unfinished_workflows_are_counted(world: World) {
    for state in WorkflowState::ALL {
        world.in_state(*state).await;
    }
    world.deploy("A", 0).await;
    let kind = WorkflowKind::known("rotation-check");
    let expected = [
        (WorkflowKind::DEPLOY, WorkflowState::Queued, 1),
        (kind.clone(), WorkflowState::Paused, 1),
        (kind.clone(), WorkflowState::Queued, 1),
        (kind.clone(), WorkflowState::Running, 1),
        (kind, WorkflowState::Waiting, 1),
    ];
    assert_eq!(world.store.count_by_state().await.expect("counts"), expected);
}

pub async fn what_no_version_wrote_is_named(world: World) {
    let id = world.check(0).await;
    world.store.execute_raw("update workflows set state = 'banana'").await.expect("broken");
    let error = world.store.workflow(id).await.expect_err("it cannot be read");
    assert!(!error.is_passing());
    assert_eq!(error.to_string(), format!("workflows.state of {id} cannot be read"));
    world.store.execute_raw("update workflows set state = 'queued', error = '{'").await.expect("broken");
    let error = world.store.workflow(id).await.expect_err("it cannot be read");
    assert_eq!(error.to_string(), format!("workflows.error of {id} cannot be read"));
}
