use domain::{AnnouncementKind, Role};
use messages::{Bus, MemoryBus};
use serde_json::{Value, json};
use store::{Firing, Rule};

use super::*;
use crate::http::testing::{World, until};

/// Reactors at work on one queue.
struct Ears {
    world: World,
    bus: Arc<MemoryBus>,
    stop: CancellationToken,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Ears {
    async fn new(reactors: usize) -> Self {
        let (world, bus) = (World::new().await, Arc::new(MemoryBus::new()));
        world.deployed("ITFarm1").await;
        world.add_token("both", &[Role::Operator, Role::Responder], None).await;
        let stop = CancellationToken::new();
        let mut tasks = Vec::new();
        for _ in 0..reactors {
            let (clock, rng) = (world.clock.clone(), world.api.rng.clone());
            let mut rules = world.api.rules();
            // As another process: with a memory of its own.
            rules.requests.store = world.another_store().await;
            let reactor = Reactor::new(rules, bus.clone(), clock, rng, Settings::default());
            tasks.push(tokio::spawn(Arc::new(reactor).run(stop.clone())));
        }
        // From the first listener on nothing is lost, whether or not the others are there yet.
        drop(bus.listen(1).await.expect("a listener"));
        Self { world, bus, stop, tasks }
    }

    async fn rule(&self, document: Value) -> Rule {
        let manifest = serde_json::from_value(document).expect("a manifest");
        let roles = [Role::Operator, Role::Responder].into();
        let by = domain::Principal { name: "both".to_owned(), roles };
        self.world.api.rules().create(&manifest, &by).await.expect("a rule")
    }

    fn say(&self, publisher: Option<&str>, event: &Value) {
        self.bus.announce_as(publisher, event.to_string().as_bytes()).expect("announced");
    }

    /// Waits until everything that was said is settled.
    async fn quiet(&self) {
        until("everything is settled", async || {
            self.bus.reactions_waiting().await.is_ok_and(|waiting| waiting == 0) && self.bus.unsettled() == 0
        })
        .await;
    }

    /// In the order of the events' ids.
    async fn firings(&self, rule: &Rule) -> Vec<Firing> {
        self.quiet().await;
        let mut firings =
            self.world.store.rule_firings(rule.id, None, None, 500).await.expect("a page").items;
        firings.sort_by(|one, other| one.event.id.cmp(&other.event.id));
        firings
    }

    async fn outcomes(&self, rule: &Rule) -> Vec<FiringOutcome> {
        self.firings(rule).await.iter().map(|firing| firing.outcome).collect()
    }

    async fn workflows(&self, kind: &str) -> Vec<Value> {
        let path = format!("/api/v1/workflows?kind={kind}");
        self.world.get_as("viewer", &path).await.json["items"].as_array().cloned().unwrap_or_default()
    }

    async fn ended(self) {
        self.stop.cancel();
        for task in self.tasks {
            task.await.expect("no panic");
        }
    }
}

fn event(id: &str, data: &Value) -> Value {
    json!({"specversion": "1.0", "type": "com.example.new", "source": "/cmdb", "id": id, "data": data})
}

fn rule(extra: Value) -> Value {
    let mut document = json!({
        "name": "web", "on": {"types": ["com.example.*"]},
        "do": {"kind": "add-host", "target": {"farm": "ITFarm1"}, "input": {"hosts": ["{{ event.data.name }}"]}},
    });
    document.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
    document
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_fires_once_however_often_it_comes_and_however_many_hear_it() {
    let ears = Ears::new(3).await;
    let rule = ears.rule(rule(json!({"rate": {"most": 100, "per": "1h"}}))).await;
    for round in 0..3 {
        for at in 0..10 {
            ears.say(
                Some("farmhand"),
                &event(&at.to_string(), &json!({"name": format!("web-{at}"), "round": round})),
            );
        }
    }
    assert_eq!(ears.outcomes(&rule).await, [FiringOutcome::Fired; 10]);
    let workflows = ears.workflows("add-host").await;
    assert_eq!(workflows.len(), 10);
    assert!(workflows.iter().all(|workflow| workflow["requestedBy"] == "rule:web"), "{workflows:#?}");
    let shown = ears.world.get_as("viewer", "/api/v1/rules/web").await;
    assert!(shown.json["lastWorkflow"].is_string() && shown.json["lastFiredAt"].is_string());
    ears.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_and_more_than_the_rate_fire_nothing_until_their_time_is_over() {
    let ears = Ears::new(2).await;
    let rule = ears
        .rule(rule(json!({
            "dedupe": {"key": "{{ event.data.name | upper }}", "within": "1h"}, "rate": {"most": 2, "per": "10m"}
        })))
        .await;
    // One after the other: which of two at once is the first, nobody can say.
    for (id, name) in [("1", "web-1"), ("2", "WEB-1"), ("3", "web-2"), ("4", "web-3")] {
        ears.say(Some("farmhand"), &event(id, &json!({ "name": name })));
        ears.quiet().await;
    }
    use FiringOutcome::{Deduplicated, Fired, RateLimited};
    assert_eq!(ears.outcomes(&rule).await, [Fired, Deduplicated, Fired, RateLimited]);
    ears.world.clock.advance(Duration::from_secs(601));
    for (id, name) in [("5", "web-3"), ("6", "web-2")] {
        ears.say(Some("farmhand"), &event(id, &json!({ "name": name })));
        ears.quiet().await;
    }
    assert_eq!(ears.outcomes(&rule).await[4..], [Fired, Deduplicated]);
    ears.world.clock.advance(Duration::from_secs(3601));
    ears.say(Some("farmhand"), &event("7", &json!({ "name": "web-1" })));
    assert_eq!(ears.outcomes(&rule).await[6..], [Fired]);
    ears.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn others_events_count_only_for_a_rule_that_names_their_publisher() {
    let ears = Ears::new(1).await;
    let own = ears.rule(rule(json!({}))).await;
    let named = ears
        .rule(rule(json!({"name": "named", "on": {"types": ["com.example.*"], "publishers": ["cmdb"]}})))
        .await;
    ears.say(Some("stranger"), &event("1", &json!({"name": "web-1"})));
    ears.say(None, &event("2", &json!({"name": "web-2"})));
    ears.say(Some("cmdb"), &event("3", &json!({"name": "web-3"})));
    assert_eq!(ears.outcomes(&own).await, []);
    assert_eq!(ears.outcomes(&named).await, [FiringOutcome::Fired]);
    // A stranger's event of the same name does not keep another's from being heard.
    ears.say(Some("stranger"), &event("4", &json!({"name": "web-4"})));
    ears.say(Some("cmdb"), &event("4", &json!({"name": "web-4"})));
    assert_eq!(ears.outcomes(&named).await, [FiringOutcome::Fired; 2]);
    ears.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_asks_for_a_plan_and_what_cannot_be_is_recorded_with_its_reason() {
    let ears = Ears::new(1).await;
    let dry = ears.rule(rule(json!({"dryRun": true}))).await;
    ears.say(Some("farmhand"), &event("1", &json!({"name": "web-1"})));
    ears.say(Some("farmhand"), &event("2", &json!({"name": "a/b"})));
    ears.say(Some("farmhand"), &event("3", &json!({"host": "web-1"})));
    let firings = ears.firings(&dry).await;
    use FiringOutcome::{DryRun, Failed, Refused};
    assert_eq!(firings.iter().map(|firing| firing.outcome).collect::<Vec<_>>(), [DryRun, Refused, Failed]);
    assert_eq!(firings[1].code, Some(domain::ErrorCode::InvalidRequest));
    let detail = firings[2].detail.as_deref().unwrap_or_default();
    assert!(detail.contains("do.input.hosts[0]") && detail.contains("name"), "{detail}");
    let workflows = ears.workflows("add-host").await;
    assert_eq!((workflows.len(), &workflows[0]["mode"]), (1, &json!("plan")));
    ears.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_does_not_hear_of_its_own_work_and_another_does() {
    let ears = Ears::new(1).await;
    let on = json!({"types": ["farmhand.event.workflow-finished.v1", "com.example.*"]});
    let ask = json!({"kind": "rotation-check", "input": {}});
    let first = ears.rule(rule(json!({"name": "first", "on": on, "do": ask}))).await;
    ears.say(Some("farmhand"), &event("1", &json!({})));
    let fired = ears.firings(&first).await;
    let workflow = fired[0].workflow.expect("a workflow");
    let second = ears.rule(rule(json!({"name": "second", "on": on, "do": ask}))).await;
    let finished = |id: &str| {
        json!({
            "specversion": "1.0", "source": "farmhand", "id": id,
            "type": AnnouncementKind::WorkflowFinished.event_type(), "data": {"workflowId": workflow},
        })
    };
    // Another process knows of a new rule within a second.
    until("the second rule is known", async || {
        let id = format!("f-{}", domain::ids::uuid_v7(ears.world.clock.now(), &domain::SystemRng));
        ears.say(Some("farmhand"), &finished(&id));
        !ears.firings(&second).await.is_empty()
    })
    .await;
    assert_eq!(ears.firings(&first).await.len(), 1, "of its own work it hears nothing");
    ears.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_from_its_owner_is_taken_from_a_rule() {
    let ears = Ears::new(1).await;
    let rule = ears.rule(rule(json!({}))).await;
    let token = ears.world.token_id("both").await;
    ears.world.store.revoke_token(token, ears.world.clock.now()).await.expect("revoked");
    ears.say(Some("farmhand"), &event("1", &json!({"name": "web-1"})));
    let firings = ears.firings(&rule).await;
    assert_eq!(
        (firings[0].outcome, firings[0].code),
        (FiringOutcome::Refused, Some(domain::ErrorCode::Forbidden))
    );
    assert_eq!(ears.workflows("add-host").await, Vec::<Value>::new());
    ears.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_containment_is_asked_for_once_while_it_goes_on_and_is_urgent() {
    let ears = Ears::new(2).await;
    let ask = json!({"kind": "compromise-removal", "input": {"host": "{{ event.data.name }}"}});
    let rule = ears.rule(rule(json!({"do": ask}))).await;
    for (id, name) in [("1", "Host1"), ("2", "Host1"), ("3", "Host2")] {
        ears.say(Some("farmhand"), &event(id, &json!({ "name": name })));
        ears.quiet().await;
    }
    use FiringOutcome::{Deduplicated, Fired};
    assert_eq!(ears.outcomes(&rule).await, [Fired, Deduplicated, Fired]);
    let workflows = ears.workflows("compromise-removal").await;
    assert_eq!(workflows.len(), 2);
    assert!(workflows.iter().all(|workflow| workflow["lane"] == "urgent"));
    let first = ears.firings(&rule).await[0].workflow.expect("a workflow");
    ears.world.succeed(&first.to_string(), json!({})).await;
    ears.say(Some("farmhand"), &event("4", &json!({"name": "Host1"})));
    assert_eq!(ears.outcomes(&rule).await[3..], [Fired], "the one before is over");
    ears.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_was_paused_fires_nothing_more_however_lately_it_was_read() {
    let ears = Ears::new(1).await;
    let rule = ears.rule(rule(json!({}))).await;
    ears.say(Some("farmhand"), &event("1", &json!({"name": "web-1"})));
    assert_eq!(ears.outcomes(&rule).await, [FiringOutcome::Fired]);
    // The reactor has it in mind as it was a moment ago.
    let by = domain::Principal { name: "both".to_owned(), roles: [Role::Operator].into() };
    ears.world.api.rules().pause(&rule.spec.name, None, &by).await.expect("paused");
    ears.say(Some("farmhand"), &event("2", &json!({"name": "web-2"})));
    assert_eq!(ears.outcomes(&rule).await, [FiringOutcome::Fired]);
    ears.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_event_is_buried_and_what_nobody_is_for_is_gone() {
    let ears = Ears::new(1).await;
    let rule = ears.rule(rule(json!({}))).await;
    ears.bus.announce_as(Some("stranger"), b"{\"specversion\": \"1.0\"").expect("announced");
    ears.say(Some("farmhand"), &json!({"specversion": "1.0", "type": "x", "source": "/t", "id": "1"}));
    assert_eq!(ears.outcomes(&rule).await, []);
    let dead = ears.bus.dead_letters(10).await.expect("a look");
    assert_eq!(dead.len(), 1, "{dead:?}");
    assert_eq!(dead[0].origin, Some(messages::Origin::Reactions));
    ears.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_our_own_events_are_sent_to_webhooks_each_once() {
    let ears = Ears::new(2).await;
    let manifest =
        json!({"name": "siem", "direction": "out", "url": "https://siem/", "events": ["com.example.*"]});
    let by = domain::Principal { name: "ann".to_owned(), roles: [Role::Admin].into() };
    let manifest = serde_json::from_value(manifest).expect("a manifest");
    let (webhook, _) = ears.world.api.webhooks().create(manifest, &by).await.expect("a webhook");
    let rule = ears.rule(rule(json!({}))).await;
    for _ in 0..2 {
        ears.say(Some("farmhand"), &event("1", &json!({"name": "web-1"})));
    }
    ears.say(Some("cmdb"), &event("2", &json!({"name": "web-2"})));
    assert_eq!(ears.outcomes(&rule).await, [FiringOutcome::Fired]);
    let log = ears.world.store.deliveries(webhook.id, None, None, 10).await.expect("a page").items;
    assert_eq!(log.iter().map(|delivery| delivery.event.id.as_str()).collect::<Vec<_>>(), ["1"]);
    ears.ended().await;
}
