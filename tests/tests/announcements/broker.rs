//! Another system on a real broker, and Farmhand as processes on a real database.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use domain::{Clock as _, SystemClock, WorkflowState};
use messages::{CloudEvent, Overheard, RabbitMqAdmin, RabbitMqOptions, RabbitMqPeer};
use serde_json::{Value, json};
use tests::clock::AheadClock;
use tests::cluster::{Cluster, FaultyDirectory, manifest};
use tests::lab::Lab;
use tests::wait::eventually;

const PATIENCE: Duration = Duration::from_secs(90);
/// Long enough to see that something does not come.
const QUIET: Duration = Duration::from_secs(2);
const FINISHED: &str = "farmhand.event.workflow-finished.v1";
const VERDICT: &str = "farmhand.event.verdict-changed.v1";

/// A system with a queue of its own.
struct Siem {
    peer: RabbitMqPeer,
    admin: RabbitMqAdmin,
    queue: String,
    user: String,
}

impl Siem {
    async fn bound(cluster: &Cluster, keys: &[&str]) -> Self {
        let mut options = RabbitMqOptions::new(cluster.parts.amqp_url.clone().into());
        options.topology = cluster.topology();
        let queue = format!("{}.siem", cluster.parts.prefix);
        let connecting = async || {
            let mut peer = RabbitMqPeer::connect(&options).await.ok()?;
            // The exchange is there when an orchestrator has declared it.
            peer.listen(&queue, keys).await.ok()?;
            Some(peer)
        };
        let peer = eventually("the queue is bound", PATIENCE, connecting).await;
        let admin = RabbitMqAdmin::new(&options).expect("options that work");
        let url = url::Url::parse(&cluster.parts.amqp_url).expect("a URL");
        Self { peer, admin, queue, user: url.username().to_owned() }
    }

    async fn next(&mut self) -> (Overheard, CloudEvent) {
        let next = tokio::time::timeout(PATIENCE, self.peer.next()).await.expect("an event in time");
        let heard = next.expect("the connection lives");
        assert_eq!(heard.user_id.as_deref(), Some(self.user.as_str()), "it is Farmhand's own");
        let event = CloudEvent::parse(&heard.body).expect("an event");
        assert_eq!((&heard.routing_key, heard.message_id.as_ref()), (&event.kind, Some(&event.id)));
        (heard, event)
    }

    async fn is_quiet(&mut self) {
        let next = tokio::time::timeout(QUIET, self.peer.next()).await;
        assert!(next.is_err(), "nothing should have come, but {next:?}");
    }

    async fn leaves(self) {
        self.peer.close().await;
        self.admin.delete_queue(&self.queue).await.expect("deleted");
    }
}

async fn check(cluster: &Cluster) -> String {
    let id = cluster.ask("rotation-checks", &json!({})).await;
    let done = cluster.finishes(&id, PATIENCE).await;
    assert_eq!(done.state, WorkflowState::Succeeded, "{:#?}", done.error);
    id
}

fn daily(name: &str) -> Value {
    let mut farm = manifest(name, &format!("{name}g"), &["Host1", "Host2"]);
    farm["spec"]["account"]["managedPasswordIntervalInDays"] = json!(1);
    farm
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_queue_gets_the_event_of_a_deploy_and_that_of_a_verdict_and_no_other() {
    let lab = Lab::from_env();
    let clock = Arc::new(AheadClock::default());
    let directory = FaultyDirectory::at(clock.clone()).await;
    let cluster = Cluster::on_lab(&lab, directory.env()).await.start(1, 1).await;
    let mut siem = Siem::bound(&cluster, &[FINISHED, VERDICT]).await;

    let farm = daily("Heard1");
    let planned = cluster.deploy(&farm, &["--plan", "--wait", "-o", "json"]).await;
    assert_eq!(planned.status, 0, "{planned:#?}");
    let deployed = cluster.deploy(&farm, &["--wait", "--reason", "ticket 7", "-o", "json"]).await;
    assert_eq!(deployed.status, 0, "{deployed:#?}");
    let done = deployed.workflow();
    let (heard, event) = siem.next().await;
    assert_eq!((heard.routing_key.as_str(), &event.subject), (FINISHED, &Some(done.id.to_string())));
    assert_eq!(heard.content_type.as_deref(), Some("application/cloudevents+json"));
    for (field, value) in [
        ("state", json!("succeeded")),
        ("farm", json!("Heard1")),
        ("kind", json!("deploy")),
        ("requestedBy", json!(done.requested_by)),
        ("reason", json!("ticket 7")),
        ("finishedAt", json!(done.finished_at)),
    ] {
        assert_eq!(event.data[field], value, "{field}");
    }

    let first = check(&cluster).await;
    let (_, event) = siem.next().await;
    assert_eq!(event.data["workflowId"], json!(first), "a first look at what is well is no news");
    clock.set(SystemClock.now() + TimeDelta::hours(21));
    let second = check(&cluster).await;
    let (mut verdicts, mut ends) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        let (_, event) = siem.next().await;
        if event.kind == VERDICT { verdicts.push(event) } else { ends.push(event) }
    }
    assert_eq!((verdicts.len(), ends.len()), (1, 1));
    assert_eq!(ends[0].data["workflowId"], json!(second));
    let told = &verdicts[0].data;
    assert_eq!((&told["account"], &told["farm"]), (&json!("Heard1$"), &json!("Heard1")));
    assert_eq!((&told["before"], &told["after"]), (&json!("current"), &json!("due")), "{told:#}");
    assert_eq!(told["workflowId"], json!(second));
    siem.is_quiet().await;
    siem.leaves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_is_announced_nothing_is_written_for_it() {
    let lab = Lab::from_env();
    let directory = FaultyDirectory::start().await;
    let mut cluster = Cluster::on_lab(&lab, directory.env()).await;
    cluster.server_env = vec![("FARMHAND_ANNOUNCEMENTS_ENABLED".to_owned(), "false".to_owned())];
    let cluster = cluster.start(1, 1).await;
    let mut siem = Siem::bound(&cluster, &["#"]).await;
    let deployed = cluster.deploy(&daily("Quiet1"), &["--wait", "-o", "json"]).await;
    assert_eq!(deployed.status, 0, "{deployed:#?}");
    siem.is_quiet().await;
    assert_eq!(cluster.query("select count(*) from outbox where topic is not null"), [["0"]]);
    siem.leaves().await;
}
