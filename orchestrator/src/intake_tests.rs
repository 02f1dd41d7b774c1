use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use domain::{FarmManifest, Workflow};
use messages::request::REPLY_TYPE;
use messages::{Bus, DeadLetter, MemoryBus, Origin, Reply};
use serde_json::{Value, json};
use store::WorkflowFilter;

use super::*;
use crate::http::testing::{MANIFEST, World, until};

const QUEUE: &str = "farmhand.reply.pipeline";
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// An intake at work.
struct Desk {
    world: World,
    bus: Arc<MemoryBus>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

/// A bus whose broker goes away whenever a reply is sent, so many times.
#[derive(Debug)]
struct Flaky {
    bus: Arc<MemoryBus>,
    failures: AtomicU32,
    error: fn() -> BusError,
}

#[async_trait]
impl Port for Flaky {
    async fn consume_requests(&self, prefetch: u16) -> Result<Box<dyn RequestConsumer>, BusError> {
        self.bus.consume_requests(prefetch).await
    }
    async fn reply(&self, reply: &Reply) -> Result<(), BusError> {
        let left = self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        match left {
            Ok(_) => Err((self.error)()),
            Err(_) => self.bus.reply(reply).await,
        }
    }
    async fn requests_waiting(&self) -> Result<u64, BusError> {
        self.bus.requests_waiting().await
    }
    fn takes_replies(&self, queue: &str, user_id: &str) -> bool {
        self.bus.takes_replies(queue, user_id)
    }
}

impl Desk {
    async fn new() -> Self {
        Self::with(Duration::from_secs(600), |bus| bus).await
    }

    async fn with(hold: Duration, port: impl FnOnce(Arc<MemoryBus>) -> Arc<dyn Port>) -> Self {
        let (world, bus) = (World::new().await, Arc::new(MemoryBus::new()));
        let users = [("pipeline", Role::Operator), ("looker", Role::Viewer), ("siem", Role::Responder)];
        let users = users.map(|(name, role)| (name.to_owned(), BTreeSet::from([role])));
        let intake = Intake {
            options: IntakeOptions { requests: port(bus.clone()), users: users.into() },
            requests: world.api.requests.clone(),
            clock: world.clock.clone(),
            rng: Arc::new(domain::SystemRng),
            hold,
        };
        let stop = CancellationToken::new();
        let task = tokio::spawn(Arc::new(intake).run(stop.clone()));
        Self { world, bus, stop, task }
    }

    fn send(&self, user: Option<&str>, queue: Option<&str>, body: &[u8]) {
        let asker = Asker {
            user_id: user.map(str::to_owned),
            reply_to: queue.map(str::to_owned),
            correlation_id: Some("mark".to_owned()),
            message_id: None,
        };
        self.bus.ask(asker, body).expect("published");
    }

    fn ask(&self, event: &Value) {
        self.send(Some("pipeline"), Some(QUEUE), event.to_string().as_bytes());
    }

    async fn reply(&self) -> Value {
        self.reply_in(QUEUE).await
    }

    async fn reply_in(&self, queue: &str) -> Value {
        let heard = tokio::sync::Mutex::new(None);
        until("a reply", || async {
            *heard.lock().await = self.bus.take_reply(queue);
            heard.lock().await.is_some()
        })
        .await;
        let Reply { correlation_id, body, .. } = heard.into_inner().expect("a reply");
        assert_eq!(correlation_id.as_deref(), Some("mark"));
        let event: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!((&event["type"], &event["specversion"]), (&json!(REPLY_TYPE), &json!("1.0")));
        event["data"].clone()
    }

    /// Everything is settled.
    async fn idle(&self) {
        until("no request waits", || async { self.bus.requests_waiting().await.ok() == Some(0) }).await;
    }

    async fn dead(&self) -> Vec<DeadLetter> {
        self.bus.dead_letters(100).await.expect("works")
    }

    async fn workflows(&self) -> Vec<Workflow> {
        self.world.store.workflows(&WorkflowFilter::default(), None, 100).await.expect("works").items
    }

    async fn stops(self) {
        self.stop.cancel();
        tokio::time::timeout(Duration::from_secs(20), self.task).await.expect("ends").expect("no panic");
    }
}

fn event(kind: &str, id: &str, data: Value) -> Value {
    json!({
        "specversion": "1.0", "type": format!("farmhand.request.{kind}.v1"), "source": "/pipelines/web",
        "id": id, "traceparent": TRACE, "data": data,
    })
}

fn deploy(id: &str, farm: &str) -> Value {
    let manifest = MANIFEST.replace("name: ITFarm1", &format!("name: {farm}"));
    let manifest: FarmManifest = serde_saphyr::from_str(&manifest).expect("valid");
    event("deploy", id, serde_json::to_value(manifest).expect("serialises"))
}

#[tokio::test]
async fn a_request_becomes_a_workflow_of_its_asker_who_hears_of_it() {
    let desk = Desk::new().await;
    let mut asked = deploy("1", "ITFarm1");
    asked["reason"] = json!("ticket 7");
    desk.ask(&asked);
    let reply = desk.reply().await;
    assert_eq!(reply["accepted"], true, "{reply}");
    let workflow = &reply["workflow"];
    assert_eq!((&workflow["kind"], &workflow["farm"]), (&json!("deploy"), &json!("ITFarm1")));
    assert_eq!(
        (&workflow["requestedBy"], &workflow["reason"]),
        (&json!("amqp:pipeline"), &json!("ticket 7"))
    );
    let id = workflow["id"].as_str().expect("an id");
    assert_eq!(reply["location"], format!("/api/v1/workflows/{id}"));
    let claimed = desk.world.claim(id).await;
    assert_eq!(claimed.traceparent.as_deref(), Some(TRACE));
    assert_eq!((desk.idle().await, desk.dead().await), ((), vec![]));
    desk.stops().await;
}

#[tokio::test]
async fn every_kind_is_asked_with_the_body_of_its_http_request() {
    let desk = Desk::new().await;
    desk.world.deployed("ITFarm1").await;
    for (kind, data) in [
        ("add-host", json!({"hosts": ["Host7"]})),
        ("remove-host", json!({"hosts": ["Host1"]})),
        ("decommission", json!({"coolDown": "1h"})),
        ("replace", Value::Null),
        ("import", json!({"account": "Other$"})),
        ("inspect", Value::Null),
    ] {
        let mut asked = event(kind, kind, data);
        asked["subject"] = json!("itfarm1");
        desk.ask(&asked);
        let reply = desk.reply().await;
        assert_eq!((&reply["accepted"], &reply["workflow"]["kind"]), (&json!(true), &json!(kind)), "{reply}");
    }
    let mut update = deploy("update", "ITFarm1");
    update["type"] = json!("farmhand.request.update.v1");
    update["plan"] = json!(true);
    desk.ask(&update);
    let reply = desk.reply().await;
    assert_eq!((&reply["workflow"]["kind"], &reply["workflow"]["mode"]), (&json!("update"), &json!("plan")));
}

#[tokio::test]
async fn a_refusal_is_answered_and_kept_with_its_reason() {
    let desk = Desk::new().await;
    let fine = deploy("1", "ITFarm1");
    let mut nowhere = event("add-host", "2", json!({"hosts": ["Host1"]}));
    nowhere["subject"] = json!("Nowhere");
    let mut broken = fine.clone();
    broken["data"]["spec"]["hosts"] = json!(["a/b"]);
    let large = vec![b' '; messages::request::MAX_BYTES + 1];
    for (user, body, code) in [
        (None, fine.to_string().into_bytes(), "unauthenticated"),
        (Some("stranger"), fine.to_string().into_bytes(), "forbidden"),
        (Some("looker"), fine.to_string().into_bytes(), "forbidden"),
        (Some("pipeline"), b"no JSON".to_vec(), "invalid-request"),
        (Some("pipeline"), large, "invalid-request"),
        (
            Some("pipeline"),
            event("add-host", "3", json!({"hosts": ["Host1"]})).to_string().into(),
            "invalid-request",
        ),
        (Some("pipeline"), nowhere.to_string().into_bytes(), "farm-not-deployed"),
        (Some("pipeline"), broken.to_string().into_bytes(), "invalid-manifest"),
    ] {
        let queue = user.map_or("amq.gen-1".to_owned(), |user| format!("farmhand.reply.{user}"));
        desk.send(user, Some(&queue), &body);
        let reply = desk.reply_in(&queue).await;
        assert_eq!(
            (&reply["accepted"], &reply["problem"]["code"]),
            (&json!(false), &json!(code)),
            "{user:?}"
        );
        assert!(reply["problem"]["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{reply}");
        until("it is kept", || async { !desk.dead().await.is_empty() }).await;
        let letter = desk.dead().await.pop().expect("a letter");
        assert_eq!(letter.origin, Some(Origin::Intake));
        until("the newest letter is this one", || async {
            desk.dead().await.last().is_some_and(|letter| letter.reason.starts_with(code))
        })
        .await;
    }
    assert_eq!(desk.workflows().await, []);
    desk.idle().await;
}

#[tokio::test]
async fn a_siem_cuts_a_host_off_in_the_directory_that_it_names_and_in_no_other() {
    let desk = Desk::new().await;
    desk.world.quarantine("Host7", "S-1-5-21-1-2-3-7", "01890000-0000-7000-8000-000000000000").await;
    let queue = "farmhand.reply.siem";
    let ask = async |asked: Value| {
        desk.send(Some("siem"), Some(queue), asked.to_string().as_bytes());
        desk.reply_in(queue).await
    };
    for (kind, data, lane) in [
        ("compromise-removal", json!({"host": "Host1"}), "urgent"),
        ("quarantine-release", json!({"host": "Host7"}), "lifecycle"),
        ("quarantine-check", Value::Null, "checks"),
    ] {
        let mut asked = event(kind, kind, data);
        asked["reason"] = json!("alert 7");
        let reply = ask(asked.clone()).await;
        let workflow = &reply["workflow"];
        assert_eq!((&workflow["kind"], &workflow["lane"]), (&json!(kind), &json!(lane)), "{reply}");
        assert_eq!((&workflow["reason"], &workflow["farm"]), (&json!("alert 7"), &json!(null)));
        asked["id"] = json!("elsewhere");
        asked["directory"] = json!("lab");
        let refused = ask(asked).await;
        assert_eq!(refused["problem"]["code"], "directory-unknown", "{refused}");
    }
}

#[tokio::test]
async fn a_missing_role_is_given_where_the_users_are_named() {
    let desk = Desk::new().await;
    desk.send(Some("looker"), Some("farmhand.reply.looker"), deploy("1", "ITFarm1").to_string().as_bytes());
    let hint = desk.reply_in("farmhand.reply.looker").await["problem"]["hint"].clone();
    assert!(hint.as_str().is_some_and(|hint| hint.contains("[intake.users]")), "{hint}");
}

#[tokio::test]
async fn nobody_makes_us_write_into_a_queue_that_is_not_theirs() {
    let desk = Desk::new().await;
    for queue in ["farmhand.urgent", "farmhand.reply.looker", "orders"] {
        desk.send(Some("pipeline"), Some(queue), deploy(queue, "ITFarm1").to_string().as_bytes());
    }
    until("all are kept", || async { desk.dead().await.len() == 3 }).await;
    assert!(desk.dead().await.iter().all(|letter| letter.reason.contains("do not go to the queue")));
    assert_eq!(desk.workflows().await, []);
    assert_eq!(desk.bus.take_reply("orders"), None);
}

#[tokio::test]
async fn source_and_id_make_a_request_one_however_often_it_is_sent() {
    let desk = Desk::new().await;
    desk.ask(&deploy("1", "ITFarm1"));
    let first = desk.reply().await;
    desk.ask(&deploy("1", "ITFarm1"));
    let again = desk.reply().await;
    assert_eq!(first["workflow"]["id"], again["workflow"]["id"]);
    assert_eq!((&first["replayed"], &again["replayed"]), (&Value::Null, &json!(true)));
    desk.ask(&deploy("1", "Other"));
    assert_eq!(desk.reply().await["problem"]["code"], "idempotency-conflict");
    desk.ask(&deploy("2", "Other"));
    assert_eq!(desk.reply().await["accepted"], true);
    assert_eq!(desk.workflows().await.len(), 2);
}

#[tokio::test]
async fn requests_are_taken_in_the_order_in_which_they_came() {
    let desk = Desk::new().await;
    let names: Vec<_> = (0..20).map(|at| format!("Farm{at:02}")).collect();
    names.iter().for_each(|name| desk.ask(&deploy(name, name)));
    for name in names {
        assert_eq!(desk.reply().await["workflow"]["farm"], name);
    }
}

#[tokio::test]
async fn nobody_has_to_wait_for_the_answer() {
    let desk = Desk::new().await;
    desk.send(Some("pipeline"), None, deploy("1", "ITFarm1").to_string().as_bytes());
    until("it is on record", || async { desk.workflows().await.len() == 1 }).await;
    desk.idle().await;
    desk.stops().await;
}

#[tokio::test]
async fn an_answer_that_cannot_be_sent_at_once_does_not_use_up_the_returns_of_its_request() {
    let flaky = |bus| -> Arc<dyn Port> {
        Arc::new(Flaky { bus, failures: AtomicU32::new(3), error: || BusError::Unreachable(None) })
    };
    let desk = Desk::with(Duration::from_secs(600), flaky).await;
    desk.ask(&deploy("1", "ITFarm1"));
    let reply = desk.reply().await;
    assert_eq!((&reply["accepted"], &reply["replayed"]), (&json!(true), &Value::Null), "taken once");
    assert_eq!(desk.workflows().await.len(), 1);
    desk.idle().await;
}

#[tokio::test]
async fn an_answer_that_cannot_be_sent_for_long_gives_its_request_back() {
    let flaky = |bus| -> Arc<dyn Port> {
        Arc::new(Flaky { bus, failures: AtomicU32::new(1), error: || BusError::Unreachable(None) })
    };
    let desk = Desk::with(Duration::ZERO, flaky).await;
    desk.ask(&deploy("1", "ITFarm1"));
    let reply = desk.reply().await;
    assert_eq!((&reply["accepted"], &reply["replayed"]), (&json!(true), &json!(true)), "taken again");
    assert_eq!(desk.workflows().await.len(), 1);
    desk.idle().await;
}

#[tokio::test]
async fn an_answer_that_we_may_not_send_does_not_hold_the_request_up() {
    let mute = |bus| -> Arc<dyn Port> {
        Arc::new(Flaky { bus, failures: AtomicU32::new(1), error: || BusError::Refused("no right".into()) })
    };
    let desk = Desk::with(Duration::from_secs(600), mute).await;
    desk.ask(&deploy("1", "ITFarm1"));
    desk.ask(&deploy("2", "Other"));
    assert_eq!(desk.reply().await["workflow"]["farm"], "Other");
    assert_eq!(desk.workflows().await.len(), 2);
}

#[tokio::test]
async fn without_a_database_a_request_is_held_and_the_stop_gives_it_back() {
    let desk = Desk::new().await;
    desk.world.store.close().await;
    desk.ask(&deploy("1", "ITFarm1"));
    desk.idle().await;
    let bus = desk.bus.clone();
    desk.stops().await;
    assert_eq!(bus.requests_waiting().await.expect("works"), 1, "given back");
    assert_eq!(bus.dead_letters(1).await.expect("works"), []);
}

#[tokio::test]
async fn when_the_outage_lasts_the_request_is_given_back_and_nothing_more_is_taken() {
    let desk = Desk::with(Duration::from_millis(1), |bus| bus).await;
    desk.world.store.close().await;
    for at in 0..3 {
        desk.ask(&deploy(&at.to_string(), "ITFarm1"));
    }
    until("all are back", || async { desk.bus.requests_waiting().await.ok() == Some(3) }).await;
    // Far more often than the delivery limit, were it taken again and again.
    let mut looks = 0;
    until("it stays there", || {
        looks += 1;
        let enough = looks > 50;
        async move { enough }
    })
    .await;
    assert_eq!(desk.bus.requests_waiting().await.expect("works"), 3);
    assert_eq!((desk.dead().await, desk.bus.take_reply(QUEUE)), (vec![], None));
    desk.stops().await;
}
