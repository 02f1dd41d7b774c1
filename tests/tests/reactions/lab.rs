//! The same on the lab: two orchestrators as processes on PostgreSQL and RabbitMQ, a real DC, and other
//! systems with users of their own on the broker.

use std::time::Duration;

use domain::WorkflowState;
use messages::Topology;
use serde_json::{Value, json};
use tests::cluster::{Cluster, Parts, manifest};
use tests::database::PostgresDatabase;
use tests::lab::{Cleanup, Lab};
use tests::objects::group_dn;
use tests::private::PrivateRabbit;
use tests::wait::eventually;

use super::receiver::{Manner, Receiver};
use super::{Person, call, run};

const LIMIT: Duration = Duration::from_secs(90);

/// Publishes as that user of the broker, with another client than ours.
fn publish(lab_url: &str, exchange: &str, user: Option<&str>, event: &Value) {
    let program = "import sys, pika\n\
        url, exchange, user, key = sys.argv[1:5]\n\
        channel = pika.BlockingConnection(pika.URLParameters(url)).channel()\n\
        channel.confirm_delivery()\n\
        properties = pika.BasicProperties(content_type='application/cloudevents+json', user_id=user or None)\n\
        channel.basic_publish(exchange, key, sys.stdin.buffer.read(), properties)\n";
    let key = event["type"].as_str().expect("a type");
    let arguments = ["-c", program, lab_url, exchange, user.unwrap_or_default(), key];
    run("/usr/bin/python3", &arguments, event.to_string().as_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_webhooks_and_of_a_named_publisher_have_hosts_join_once_on_a_real_dc() {
    let lab = Lab::from_env();
    let mut names = Cleanup::new(&lab);
    let (farm, group) = (names.name("rea"), names.name("reag"));
    let (broker, database) = (PrivateRabbit::start(&lab).await, PostgresDatabase::create(&lab));
    let rights = ["^$", r"^farmhand\.events$", "^$"];
    let cmdb = broker.add_user("cmdb", rights).await;
    let stranger = broker.add_user("stranger", rights).await;
    let parts = Parts {
        database_url: database.url.clone(),
        amqp_url: broker.url.clone(),
        prefix: "farmhand".to_owned(),
        directory: lab.directory_env(&lab.service),
    };
    let mut cluster = Cluster::of(parts).await;
    cluster.server_env = vec![("FARMHAND_LOG".to_owned(), "debug".to_owned())];
    let cluster = cluster.start(2, 1).await;
    let deployed = cluster.submit(&manifest(&farm, &group, &["Host1"])).await;
    assert_eq!(cluster.finishes(&deployed, LIMIT).await.state, WorkflowState::Succeeded);

    let ann = Person::new(cluster.orchestrators[0].url(), cluster.token.clone());
    let rule = json!({
        "name": "join", "on": {"types": ["com.example.*", "farmhand.event.webhook-received.v1"], "publishers": ["cmdb"]},
        "when": "(event.data.body.name if event.own else event.data.name) is like('host*')",
        "do": {
            "kind": "add-host", "target": {"farm": farm},
            "input": {"hosts": ["{{ event.data.body.name if event.own else event.data.name }}"]},
        },
        "dedupe": {"key": "{{ event.id }}", "within": "1m"},
    });
    let file = cluster.write(&rule);
    let made = cluster.cli(&["rule", "create", "-f", &file.path().display().to_string(), "-o", "json"]).await;
    assert_eq!(made.status, 0, "{made:#?}");
    let receiver = Receiver::start(Manner::FailsFirst(1)).await;
    let told = [
        "webhook",
        "create",
        "siem",
        "--to",
        &receiver.url,
        "--events",
        "farmhand.event.workflow-finished.v1",
    ];
    let told = cluster.cli(&told).await;
    assert_eq!(told.status, 0, "{told:#?}");
    let (out_secret, in_secret) = (told.stdout.trim().to_owned(), ann.inbound("cmdb").await);

    // By a webhook, to the one orchestrator; and to the other by the broker, twice.
    let (status, answer) =
        call(&cluster.orchestrators[1].url(), "cmdb", &in_secret, &json!({"name": "Host2"})).await;
    assert_eq!(status, 202, "{answer}");
    let events = Topology::new("farmhand").events_exchange();
    let event = |id: &str, name: &str| {
        json!({
            "specversion": "1.0", "type": "com.example.computer-created", "source": "/cmdb", "id": id,
            "data": {"name": name},
        })
    };
    publish(&stranger, &events, Some("stranger"), &event("1", "Host4"));
    publish(&cmdb, &events, None, &event("2", "Host4"));
    for _ in 0..2 {
        publish(&cmdb, &events, Some("cmdb"), &event("3", "Host3"));
    }
    let firings = ann.firings("join", 2).await;
    for firing in &firings {
        assert_eq!(firing["outcome"], "fired", "{firing}");
        let id = firing["workflow"].as_str().expect("a workflow");
        let done = cluster.finishes(id, LIMIT).await;
        assert_eq!(
            (done.state, done.requested_by.as_str()),
            (WorkflowState::Succeeded, "rule:join"),
            "{done:#?}"
        );
    }
    let witness = lab.as_admin();
    let read = witness.read(&group_dn(&group), &["member"]).expect("the DC answers").expect("the group");
    let mut members = read.texts("member");
    members.sort();
    assert_eq!(members.len(), 3, "Host4 was named by nobody who may: {members:?}");
    assert!(
        ["Host1", "Host2", "Host3"].iter().zip(&members).all(|(host, dn)| dn.contains(host)),
        "{members:?}"
    );

    // The ends of the two workflows are told, although the first call failed.
    let ends = eventually("both ends", LIMIT, async || {
        let heard = receiver.heard();
        let mut ids: Vec<_> = heard.iter().map(|call| call.event()["data"]["workflowId"].clone()).collect();
        ids.sort_by_key(ToString::to_string);
        ids.dedup();
        (ids.len() >= 2).then_some(heard)
    })
    .await;
    assert!(ends.iter().all(|call| call.is_signed_with(&out_secret)));
    for orchestrator in &cluster.orchestrators {
        let log = orchestrator.log();
        for secret in [&out_secret, &in_secret, &"confidential".to_owned()] {
            assert!(!log.contains(secret.as_str()), "a secret, or an address that may be one, is in the log");
        }
    }
}
