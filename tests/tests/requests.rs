//! Requests over a real broker, to orchestrators as processes on a real database.

use std::io::Write as _;
use std::process::Command;
use std::time::Duration;

use messages::rabbitmq::DIRECT_REPLY_TO;
use messages::{
    Asker, Bus, BusError, DeadLetter, Origin, RabbitMqAsker, RabbitMqBus, RabbitMqOptions, Requests as _,
    Topology,
};
use serde_json::{Value, json};
use tests::cluster::{Cluster, Parts, manifest};
use tests::database::PostgresDatabase;
use tests::lab::Lab;
use tests::private::{PrivatePostgres, PrivateRabbit};
use tests::wait::eventually;

/// Generous: the machine may be busy with builds.
const PATIENCE: Duration = Duration::from_secs(90);
/// What docs/requests.md gives to a pipeline: write to the one exchange.
const RIGHTS: [&str; 3] = ["^$", r"^farmhand\.requests$", "^$"];
const CONFIGURATION: &str = "[intake.users]\npipeline = [\"operator\"]\nlooker = [\"viewer\"]\n";

/// Asks as one user.
struct Person {
    asker: RabbitMqAsker,
    name: &'static str,
}

impl Person {
    async fn connect(url: &str, name: &'static str) -> Self {
        let options = RabbitMqOptions::new(url.to_owned().into());
        let connecting = async || RabbitMqAsker::connect(&options).await.ok();
        Self { asker: eventually("the broker lets us in", PATIENCE, connecting).await, name }
    }

    fn properties(&self, mark: &str) -> Asker {
        Asker {
            user_id: Some(self.name.to_owned()),
            reply_to: Some(DIRECT_REPLY_TO.to_owned()),
            correlation_id: Some(mark.to_owned()),
            message_id: None,
        }
    }

    async fn send(&self, mark: &str, body: &[u8]) {
        self.asker.ask(&self.properties(mark), body).await.expect("the broker takes it");
    }

    /// The answer with that mark; `data` of it.
    async fn answer(&mut self, mark: &str) -> Value {
        let next = tokio::time::timeout(PATIENCE, self.asker.next_reply()).await;
        let reply = next.expect("an answer in time").expect("the connection lives");
        assert_eq!(reply.correlation_id.as_deref(), Some(mark));
        let event: Value = serde_json::from_slice(&reply.body).expect("JSON");
        event["data"].clone()
    }

    async fn asks(&mut self, mark: &str, body: &Value) -> Value {
        self.send(mark, body.to_string().as_bytes()).await;
        self.answer(mark).await
    }
}

fn deploy(id: &str, farm: &str) -> Value {
    json!({
        "specversion": "1.0", "type": "farmhand.request.deploy.v1", "source": "/tests", "id": id,
        "data": manifest(farm, &format!("{farm}Hosts"), &["Host1", "Host2"]),
    })
}

/// An orchestrator with an intake; no worker, since what becomes of workflows is others' matter.
async fn cluster(database_url: &str, broker: &PrivateRabbit) -> (Cluster, tempfile::NamedTempFile) {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(CONFIGURATION.as_bytes()).expect("written");
    let parts = Parts {
        database_url: database_url.to_owned(),
        amqp_url: broker.url.clone(),
        prefix: "farmhand".to_owned(),
        directory: Vec::new(),
    };
    let mut cluster = Cluster::of(parts).await;
    let path = file.path().display().to_string();
    cluster.server_env = vec![("FARMHAND_CONFIG".to_owned(), path)];
    (cluster.start(1, 0).await, file)
}

/// The broker as its administrator sees it.
fn witness(broker: &PrivateRabbit) -> RabbitMqBus {
    let mut options = RabbitMqOptions::new(broker.url.clone().into());
    options.topology = Topology::default();
    RabbitMqBus::start(&options).expect("options that work")
}

async fn dead(bus: &RabbitMqBus, count: usize) -> Vec<DeadLetter> {
    eventually(&format!("{count} dead letters"), PATIENCE, async || {
        bus.dead_letters(100).await.ok().filter(|letters| letters.len() == count)
    })
    .await
}

fn workflows(cluster: &Cluster) -> Vec<String> {
    let rows = cluster.query("select farm, count(*) from workflows group by farm order by farm");
    rows.into_iter().map(|row| row.join(" ")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_is_the_brokers_word_and_a_request_is_one_however_often_it_is_sent() {
    let lab = Lab::from_env();
    let (broker, database) = (PrivateRabbit::start(&lab).await, PostgresDatabase::create(&lab));
    let pipeline = broker.add_user("pipeline", RIGHTS).await;
    let stranger = broker.add_user("stranger", RIGHTS).await;
    let (cluster, _file) = cluster(&database.url, &broker).await;
    let bus = witness(&broker);
    let mut person = Person::connect(&pipeline, "pipeline").await;

    let first = person.asks("first", &deploy("1", "AmqpOne")).await;
    assert_eq!(first["accepted"], true, "{first}");
    assert_eq!(first["workflow"]["requestedBy"], "amqp:pipeline");
    let id = first["workflow"]["id"].as_str().expect("an id");
    let shown = cluster.workflow(id).await.expect("the API shows it");
    assert_eq!(shown.requested_by, "amqp:pipeline");
    let again = person.asks("again", &deploy("1", "AmqpOne")).await;
    assert_eq!((&again["workflow"]["id"], &again["replayed"]), (&json!(id), &json!(true)));
    let other = person.asks("other", &deploy("1", "AmqpTwo")).await;
    assert_eq!(other["problem"]["code"], "idempotency-conflict");
    dead(&bus, 1).await;

    let forged = Person::connect(&pipeline, "guest").await;
    let body = deploy("2", "Forged").to_string();
    let refused = forged.asker.ask(&forged.properties("forged"), body.as_bytes()).await;
    assert!(matches!(&refused, Err(BusError::Rejected(text)) if text.contains("user_id")), "{refused:?}");

    let mut unknown = Person::connect(&stranger, "stranger").await;
    let refused = unknown.asks("unknown", &deploy("3", "Stranger")).await;
    assert_eq!(refused["problem"]["code"], "forbidden", "{refused}");
    person.send("malformed", b"{\"specversion\": \"1.0\"").await;
    assert_eq!(person.answer("malformed").await["problem"]["code"], "invalid-request");
    person.send("oversized", &vec![b' '; messages::request::MAX_BYTES + 1]).await;
    assert_eq!(person.answer("oversized").await["problem"]["code"], "invalid-request");
    let letters = dead(&bus, 4).await;
    assert!(letters.iter().all(|letter| letter.origin == Some(Origin::Intake)));
    for reason in ["stranger", "no JSON object", "1048577 bytes"] {
        assert!(letters.iter().any(|letter| letter.reason.contains(reason)), "{reason}: {letters:#?}");
    }
    assert_eq!(workflows(&cluster), ["AmqpOne 1"]);

    // The user may do what the documentation gives it, and no more.
    let mut wrong = RabbitMqOptions::new(pipeline.into());
    wrong.topology = Topology::new("elsewhere");
    let elsewhere = RabbitMqAsker::connect(&wrong).await.expect("connected");
    let refused = elsewhere.ask(&person.properties("x"), b"x").await;
    assert!(refused.is_err(), "{refused:?}");
    bus.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_dies_in_the_middle_loses_no_request_and_doubles_none() {
    let lab = Lab::from_env();
    let (broker, database) = (PrivateRabbit::start(&lab).await, PostgresDatabase::create(&lab));
    let pipeline = broker.add_user("pipeline", RIGHTS).await;
    let (cluster, _file) = cluster(&database.url, &broker).await;
    // RabbitMQ 3.10 killed within a second of a quorum queue's declaration may never bring the queue
    // back; only a clean stop tells that it has it on disk.
    let bus = witness(&broker);
    eventually("the queues are declared", PATIENCE, async || bus.requests_waiting().await.ok()).await;
    broker.stop().await;
    broker.resume().await;
    let person = Person::connect(&pipeline, "pipeline").await;
    let names: Vec<_> = (0..20).map(|at| format!("AmqpKill{at:02}")).collect();
    for name in &names {
        person.send(name, deploy(name, name).to_string().as_bytes()).await;
    }
    broker.kill().await;
    broker.resume().await;
    // As a pipeline does that has heard nothing: everything once more.
    let mut person = Person::connect(&pipeline, "pipeline").await;
    for name in &names {
        let answer = person.asks(name, &deploy(name, name)).await;
        assert_eq!(
            (&answer["accepted"], &answer["workflow"]["farm"]),
            (&json!(true), &json!(name)),
            "{answer}"
        );
    }
    let expected: Vec<_> = names.iter().map(|name| format!("{name} 1")).collect();
    assert_eq!(workflows(&cluster), expected);
    eventually("nothing waits", PATIENCE, async || (bus.requests_waiting().await.ok()? == 0).then_some(()))
        .await;
    assert_eq!(bus.dead_letters(10).await.expect("a look"), []);
    bus.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_waits_while_the_database_is_away_and_is_answered_when_it_is_back() {
    let lab = Lab::from_env();
    let (broker, database) = tokio::join!(PrivateRabbit::start(&lab), PrivatePostgres::start(&lab));
    let pipeline = broker.add_user("pipeline", RIGHTS).await;
    let (cluster, _file) = cluster(&database.url, &broker).await;
    let mut person = Person::connect(&pipeline, "pipeline").await;
    database.stop().await;
    person.send("away", deploy("1", "AmqpAway").to_string().as_bytes()).await;
    let bus = witness(&broker);
    eventually("it is in the intake's hands", PATIENCE, async || {
        (bus.requests_waiting().await.ok()? == 0).then_some(())
    })
    .await;
    assert_eq!(bus.dead_letters(10).await.expect("a look"), []);
    database.resume().await;
    let answer = person.answer("away").await;
    assert_eq!((&answer["accepted"], &answer["replayed"]), (&json!(true), &Value::Null), "{answer}");
    assert_eq!(workflows(&cluster), ["AmqpAway 1"]);
    bus.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sample_pipeline_commissions_ten_farms_and_again_asks_for_the_same() {
    let lab = Lab::from_env();
    let (broker, database) = (PrivateRabbit::start(&lab).await, PostgresDatabase::create(&lab));
    let pipeline = broker.add_user("pipeline", RIGHTS).await;
    let (cluster, _file) = cluster(&database.url, &broker).await;
    let first = commission(&pipeline, "build-1").await;
    assert_eq!(first.0, 0, "{}", first.1);
    assert_eq!(first.1.lines().filter(|line| line.contains(": workflow ")).count(), 10, "{}", first.1);
    assert_eq!(workflows(&cluster).len(), 10);
    let again = commission(&pipeline, "build-1").await;
    assert_eq!(again, (0, first.1.replace('\n', " (asked before)\n")));
    assert_eq!(workflows(&cluster).len(), 10);
    let looker = broker.add_user("looker", RIGHTS).await;
    let refused = commission(&looker, "build-2").await;
    assert_eq!(refused.0, 1, "{}", refused.1);
    assert_eq!(refused.1.matches("refused, forbidden").count(), 10, "{}", refused.1);
}

/// Runs the sample; its exit status and what it printed.
async fn commission(url: &str, batch: &str) -> (i32, String) {
    let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/samples");
    // Debian's own Python, for which deploy/lab/install brings pika.
    let mut command = Command::new("/usr/bin/python3");
    command.arg(format!("{samples}/commission-farms.py")).args(["--batch", batch]);
    command.arg(format!("{samples}/farms.csv")).env("FARMHAND_AMQP_URL", url);
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic");
    let output = output.expect("python3 is there; deploy/lab/install brings what the tests need");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stdout).into_owned())
}
