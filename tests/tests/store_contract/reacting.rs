//! An event becomes what is recorded of it once for each rule, with rate and deduplication counted
//! in the same transaction; and once for each webhook.

use std::collections::BTreeSet;
use std::time::Duration;

use domain::rule::{Rate, RuleManifest};
use domain::webhook::WebhookManifest;
use domain::{
    Cause, DeliveryId, ErrorCode, FiringOutcome, Role, RuleId, RuleState, SystemRng, WebhookId, WebhookState,
    WorkflowId, WorkflowKind, ids::uuid_v7,
};
use futures::future::join_all;
use serde_json::json;
use store::{
    Decided, Firing, HeardEvent, NewDelivery, NewWorkflow, Paused, PlannedFiring, Reacted, Rule, Ruling,
    Store, Unfired, Webhook,
};

use crate::kit::*;

fn rule(name: &str) -> Rule {
    let manifest = json!({"name": name, "on": {"types": ["x"]}, "do": {"kind": "rotation-check"}});
    let manifest: RuleManifest = serde_json::from_value(manifest).expect("a manifest");
    Rule {
        id: RuleId::new(at(0), &SystemRng),
        spec: manifest.validate().expect("valid"),
        state: RuleState::Enabled,
        paused: None,
        last_fired_at: None,
        last_workflow: None,
        owner: "ann".to_owned(),
        owner_roles: [Role::Operator].into(),
        created_by: "ann".to_owned(),
        created_at: at(0),
        updated_at: at(0),
        revision: 1,
    }
}

async fn made(world: &World, name: &str) -> Rule {
    let rule = rule(name);
    assert!(world.store.create_rule(&rule).await.expect("written"));
    rule
}

pub fn event(id: &str) -> HeardEvent {
    HeardEvent {
        key: id.to_owned(),
        id: id.to_owned(),
        source: "/tests".to_owned(),
        kind: "com.example.x".to_owned(),
        subject: Some("a\u{0}b".to_owned()),
    }
}

fn planned(rule: &Rule, new: NewWorkflow) -> PlannedFiring {
    PlannedFiring {
        id: uuid_v7(new.now, &SystemRng),
        rule: rule.id,
        revision: rule.revision,
        owner: rule.owner.clone(),
        asked: Ok(Box::new(new)),
        dedupe: None,
        rate: Rate { most: 1_000, per: Duration::from_secs(3600) },
        dry_run: false,
    }
}

/// As the orchestrator plans it.
fn plan(rule: &Rule, seconds: i64) -> PlannedFiring {
    let requested_by = format!("rule:{}", rule.spec.name);
    planned(rule, NewWorkflow { requested_by, ..check(seconds) })
}

async fn react(store: &Store, id: &str, firing: PlannedFiring, seconds: i64) -> Option<FiringOutcome> {
    match store.react(&event(id), &[firing], &[], at(seconds)).await.expect("an answer") {
        Reacted::Recorded(recorded) => recorded.first().map(|(_, settled)| settled.outcome),
        Reacted::Stale => panic!("stale"),
    }
}

/// In the order of the events' ids.
async fn firings(world: &World, rule: &Rule) -> Vec<Firing> {
    let mut firings = world.store.rule_firings(rule.id, None, None, 500).await.expect("a page").items;
    firings.sort_by(|one, other| one.event.id.cmp(&other.event.id));
    firings
}

pub async fn a_rule_comes_back_as_it_was_made_and_its_name_is_taken(world: World) {
    let first = made(&world, "Web").await;
    assert_eq!(world.store.rule(&first.spec.name).await.expect("an answer"), Some(first.clone()));
    let again = Rule { id: RuleId::new(at(1), &SystemRng), ..rule("WEB") };
    assert!(!world.store.create_rule(&again).await.expect("an answer"));
    for name in ["alpha", "Beta", "gamma"] {
        made(&world, name).await;
    }
    let one = world.store.rules(None, None, 3).await.expect("a page");
    let two = world.store.rules(None, one.next.as_deref(), 3).await.expect("a page");
    let names: Vec<_> = one.items.iter().chain(&two.items).map(|rule| rule.spec.name.to_string()).collect();
    assert_eq!((names, two.next), (["alpha", "Beta", "gamma", "Web"].map(String::from).to_vec(), None));

    let mut paused = first.clone();
    paused.state = RuleState::Paused;
    paused.paused = Some(Paused { at: at(1), by: "ben".into(), reason: Some("why\u{0}".into()) });
    assert!(world.store.save_rule(&paused).await.expect("an answer"));
    assert!(!world.store.save_rule(&first).await.expect("an answer"), "it has changed meanwhile");
    let now = world.store.rule(&first.spec.name).await.expect("an answer").expect("is there");
    assert_eq!((now.revision, now.paused.and_then(|p| p.reason)), (2, Some("why\u{fffd}".to_owned())));
    assert_eq!(world.store.enabled_rules().await.expect("an answer").len(), 3);
    assert!(world.store.delete_rule(first.id).await.expect("an answer"));
    assert!(!world.store.delete_rule(first.id).await.expect("an answer"));
}

pub async fn an_event_becomes_a_row_a_workflow_and_an_event_in_one(world: World) {
    let rule = made(&world, "r").await;
    let firing = plan(&rule, 5);
    let id = firing.asked.as_ref().expect("asked").id;
    assert_eq!(react(&world.store, "1", firing, 5).await, Some(FiringOutcome::Fired));
    assert_eq!(world.events().await, [(id, Cause::Requested)]);
    assert_eq!(world.workflow(id).await.requested_by, "rule:r");
    let recorded = firings(&world, &rule).await;
    assert_eq!((recorded[0].workflow, recorded[0].recorded_at), (Some(id), at(5)));
    assert_eq!(recorded[0].event.subject.as_deref(), Some("a\u{fffd}b"));
    let shown = world.store.rule(&rule.spec.name).await.expect("an answer").expect("is there");
    assert_eq!((shown.last_fired_at, shown.last_workflow, shown.revision), (Some(at(5)), Some(id), 1));

    // The event comes again: nothing of it happens again.
    assert_eq!(react(&world.store, "1", plan(&rule, 6), 6).await, None);
    assert_eq!((world.events().await.len(), world.rows("workflows").await), (0, 1));
    // Another event and another rule are others.
    let other = made(&world, "other").await;
    assert_eq!(react(&world.store, "1", plan(&other, 6), 6).await, Some(FiringOutcome::Fired));
    assert_eq!(react(&world.store, "2", plan(&rule, 6), 6).await, Some(FiringOutcome::Fired));
}

pub async fn of_many_that_hear_an_event_at_once_one_fires_it(world: World) {
    let (one, two) = (made(&world, "one").await, made(&world, "two").await);
    let mut stores = Vec::new();
    for _ in 0..3 {
        stores.push(world.another_store().await);
    }
    let tries = (0..60).map(|at| {
        let (store, id) = (&stores[at % 3], (at / 6).to_string());
        // In either order: who locks otherwise than the others would wait for ever.
        let mut both = vec![plan(&one, 1), plan(&two, 1)];
        if at % 2 == 0 {
            both.reverse();
        }
        async move {
            loop {
                match store.react(&event(&id), &both, &[], crate::kit::at(1)).await {
                    Ok(Reacted::Recorded(recorded)) => return recorded.len(),
                    Ok(Reacted::Stale) => panic!("stale"),
                    Err(error) if error.is_passing() => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
        }
    });
    let fired: usize = join_all(tries).await.into_iter().sum();
    assert_eq!((fired, world.rows("workflows").await, world.rows("rule_firings").await), (20, 20, 20));
}

pub async fn a_rate_is_kept_by_many_at_once_and_looks_back_no_further_than_it_says(world: World) {
    let rule = made(&world, "r").await;
    let rate = Rate { most: 3, per: Duration::from_secs(60) };
    let other = world.another_store().await;
    let tries = (0..12).map(|at| {
        let store = if at % 2 == 0 { &world.store } else { &other };
        let firing = PlannedFiring { rate, ..plan(&rule, 10) };
        async move { react(store, &at.to_string(), firing, 10).await }
    });
    let outcomes = join_all(tries).await;
    let fired = outcomes.iter().filter(|outcome| **outcome == Some(FiringOutcome::Fired)).count();
    let limited = outcomes.iter().filter(|outcome| **outcome == Some(FiringOutcome::RateLimited)).count();
    assert_eq!((fired, limited, world.rows("workflows").await), (3, 9, 3));
    let firing = || PlannedFiring { rate, ..plan(&rule, 70) };
    let outlook = world.store.outlook(&firing(), at(69)).await.expect("an answer");
    assert_eq!(outlook.outcome, FiringOutcome::RateLimited);
    assert_eq!(outlook.detail.as_deref(), Some("3 within 1m, the most is 3"));
    assert_eq!(react(&world.store, "later", firing(), 70).await, Some(FiringOutcome::Fired));
}

pub async fn the_same_key_fires_once_within_its_time(world: World) {
    let rule = made(&world, "r").await;
    let with = |key: &str, seconds| PlannedFiring {
        dedupe: Some((key.to_owned(), Duration::from_secs(100))),
        ..plan(&rule, seconds)
    };
    use FiringOutcome::{Deduplicated, DryRun, Fired};
    assert_eq!(react(&world.store, "1", with("a", 0), 0).await, Some(Fired));
    assert_eq!(react(&world.store, "2", with("a", 99), 99).await, Some(Deduplicated));
    assert_eq!(react(&world.store, "3", with("b\u{0}", 99), 99).await, Some(Fired));
    assert_eq!(react(&world.store, "4", with("b\u{0}", 99), 99).await, Some(Deduplicated));
    // What was not asked for keeps nothing from being asked for.
    assert_eq!(react(&world.store, "5", with("a", 100), 100).await, Some(Fired));
    let dry = PlannedFiring { dry_run: true, ..with("c", 100) };
    assert_eq!(react(&world.store, "6", dry, 100).await, Some(DryRun));
    assert_eq!(react(&world.store, "7", with("c", 100), 100).await, Some(Deduplicated));
    let unfired =
        Unfired { outcome: FiringOutcome::Refused, code: Some(ErrorCode::Forbidden), detail: "no".into() };
    let refused = PlannedFiring { asked: Err(unfired), ..with("d", 100) };
    assert_eq!(react(&world.store, "8", refused, 100).await, Some(FiringOutcome::Refused));
    assert_eq!(react(&world.store, "9", with("d", 100), 100).await, Some(Fired));
    let recorded = firings(&world, &rule).await;
    assert_eq!((recorded[7].code, recorded[7].detail.as_deref()), (Some(ErrorCode::Forbidden), Some("no")));
    let page = world.store.rule_firings(rule.id, Some(Deduplicated), None, 2).await.expect("a page");
    let rest =
        world.store.rule_firings(rule.id, Some(Deduplicated), page.next.as_deref(), 2).await.expect("a page");
    assert_eq!((page.items.len(), rest.items.len(), rest.next), (2, 1, None));
}

pub async fn a_rule_that_has_changed_since_it_was_read_records_nothing(world: World) {
    let rule = made(&world, "r").await;
    let mut changed = rule.clone();
    changed.state = RuleState::Paused;
    changed.paused = Some(Paused { at: at(1), by: "ben".into(), reason: None });
    assert!(world.store.save_rule(&changed).await.expect("an answer"));
    let stale = world.store.react(&event("1"), &[plan(&rule, 1)], &[], at(1)).await.expect("an answer");
    assert_eq!(stale, Reacted::Stale);
    assert!(world.store.delete_rule(rule.id).await.expect("an answer"));
    let gone = world.store.react(&event("1"), &[plan(&rule, 1)], &[], at(1)).await.expect("an answer");
    assert_eq!(gone, Reacted::Stale);
    assert_eq!((world.rows("workflows").await, world.rows("rule_firings").await), (0, 0));
}

pub async fn a_containment_is_not_asked_for_again_while_the_same_goes_on(world: World) {
    let rule = made(&world, "r").await;
    let containment = |host: &str, farms: &[&str], seconds| {
        let new = NewWorkflow {
            kind: WorkflowKind::COMPROMISE_REMOVAL,
            input: json!({ "host": host, "farms": farms }),
            ..check(seconds)
        };
        planned(&rule, new)
    };
    use FiringOutcome::{Deduplicated, Fired};
    let first = containment("Host1", &[], 1);
    let id = first.asked.as_ref().expect("asked").id;
    assert_eq!(react(&world.store, "1", first, 1).await, Some(Fired));
    assert_eq!(react(&world.store, "2", containment("Host1", &[], 2), 2).await, Some(Deduplicated));
    assert_eq!(
        react(&world.store, "3", containment("Host1", &["f"], 2), 2).await,
        Some(Fired),
        "it asks for other work"
    );
    assert_eq!(react(&world.store, "4", containment("Host2", &[], 2), 2).await, Some(Fired));
    let claimed = world.claimed(id, 3).await;
    assert_eq!(react(&world.store, "5", containment("Host1", &[], 3), 3).await, Some(Deduplicated));
    world.finish(&claimed, 4).await;
    assert_eq!(react(&world.store, "6", containment("Host1", &[], 5), 5).await, Some(Fired));
}

pub async fn work_that_comes_of_a_rule_is_known_as_its_own(world: World) {
    let (one, two) = (made(&world, "one").await, made(&world, "two").await);
    let firing = plan(&one, 1);
    let parent = firing.asked.as_ref().expect("asked").id;
    react(&world.store, "1", firing, 1).await;
    let child = world.submit(NewWorkflow { parent: Some(parent), ..check(2) }).await;
    let grandchild = world.submit(NewWorkflow { parent: Some(child), ..check(3) }).await;
    let other = world.check(4).await;
    for (workflow, own) in [(parent, true), (child, true), (grandchild, true), (other, false)] {
        assert_eq!(world.store.asked_by_rule(one.id, workflow).await.expect("an answer"), own);
        assert!(!world.store.asked_by_rule(two.id, workflow).await.expect("an answer"));
    }
    let unknown = WorkflowId::new(at(9), &SystemRng);
    assert!(!world.store.asked_by_rule(one.id, unknown).await.expect("an answer"));
}

pub async fn who_defined_a_rule_cannot_approve_what_it_asks_for(world: World) {
    let rule = made(&world, "r").await;
    let firing = plan(&rule, 1);
    let id = firing.asked.as_ref().expect("asked").id;
    react(&world.store, "1", firing, 1).await;
    let claimed = world.claimed(id, 2).await;
    crate::deciding::shows_plan(&world, &claimed, Vec::new()).await;
    let ruling = |by: &str| Ruling {
        approve: true,
        plan_hash: crate::deciding::HASH.to_owned(),
        by: by.to_owned(),
        reason: None,
    };
    let own = world.store.decide(id, ruling("ANN"), at(3)).await.expect("an answer");
    assert!(matches!(own, Decided::Own), "{own:?}");
    let other = world.store.decide(id, ruling("ben"), at(3)).await.expect("an answer");
    assert!(matches!(other, Decided::Done(_)), "{other:?}");
}

pub async fn old_firings_go_and_those_of_workflows_that_go_on_stay(world: World) {
    let rule = made(&world, "r").await;
    let mut ids = Vec::new();
    for (at, id) in ["1", "2", "3"].into_iter().enumerate() {
        let seconds = i64::try_from(at).expect("few");
        let firing = plan(&rule, seconds);
        ids.push(firing.asked.as_ref().expect("asked").id);
        react(&world.store, id, firing, seconds).await;
    }
    let claimed = world.claimed(ids[0], 5).await;
    world.finish(&claimed, 5).await;
    assert_eq!(world.store.prune_firings(at(2), 100).await.expect("pruned"), 1);
    let left: BTreeSet<_> = firings(&world, &rule).await.into_iter().map(|firing| firing.event.id).collect();
    assert_eq!(left, BTreeSet::from(["2".to_owned(), "3".to_owned()]));
}

pub async fn one_rule_that_cannot_be_read_does_not_stop_the_others(world: World) {
    made(&world, "good").await;
    let bad = made(&world, "bad").await;
    world.store.execute_raw("update rules set spec = '{}' where name = 'bad'").await.expect("written");
    let names: Vec<_> = world
        .store
        .enabled_rules()
        .await
        .expect("an answer")
        .iter()
        .map(|r| r.spec.name.to_string())
        .collect();
    assert_eq!(names, ["good"]);
    assert!(world.store.delete_rule(bad.id).await.expect("an answer"));
}

fn webhook(name: &str) -> Webhook {
    let manifest = json!({"name": name, "direction": "out", "url": "https://x/", "events": ["*"]});
    let manifest: WebhookManifest = serde_json::from_value(manifest).expect("a manifest");
    Webhook {
        id: WebhookId::new(at(0), &SystemRng),
        spec: manifest.validate().expect("valid"),
        state: WebhookState::Enabled,
        paused: None,
        created_by: "ann".to_owned(),
        created_at: at(0),
        updated_at: at(0),
        revision: 1,
    }
}

pub async fn webhook_made(world: &World, name: &str) -> Webhook {
    let webhook = webhook(name);
    assert!(world.store.create_webhook(&webhook, &"a secret".into()).await.expect("written"));
    webhook
}

pub fn delivery(webhook: &Webhook, seconds: i64) -> NewDelivery {
    NewDelivery {
        id: DeliveryId::new(at(seconds), &SystemRng),
        webhook: webhook.id,
        body: b"{\"a\":1}".to_vec(),
    }
}

pub async fn an_event_is_to_be_sent_once_to_each_webhook_that_is_there_and_on(world: World) {
    let (one, two) = (webhook_made(&world, "one").await, webhook_made(&world, "two").await);
    let (mut paused, gone) = (webhook_made(&world, "paused").await, webhook("gone"));
    paused.state = WebhookState::Paused;
    paused.paused = Some(Paused { at: at(1), by: "ben".into(), reason: None });
    assert!(world.store.save_webhook(&paused).await.expect("written"));
    let rule = made(&world, "r").await;
    let all = [&one, &two, &paused, &gone];
    for seconds in [1, 2] {
        let deliveries: Vec<_> = all.iter().map(|webhook| delivery(webhook, seconds)).collect();
        let reacted = world.store.react(&event("1"), &[plan(&rule, seconds)], &deliveries, at(seconds)).await;
        assert!(matches!(reacted, Ok(Reacted::Recorded(_))), "{reacted:?}");
    }
    for (webhook, count) in [(&one, 1), (&two, 1), (&paused, 0), (&gone, 0)] {
        let log = world.store.deliveries(webhook.id, None, None, 10).await.expect("a page").items;
        assert_eq!(log.len(), count, "{}", webhook.spec.name);
    }
    let stale = PlannedFiring { revision: 7, ..plan(&rule, 3) };
    let reacted =
        world.store.react(&event("2"), &[stale], &[delivery(&one, 3)], at(3)).await.expect("an answer");
    assert_eq!((reacted, world.rows("webhook_deliveries").await), (Reacted::Stale, 2), "all or nothing");
}
