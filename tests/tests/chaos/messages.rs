//! Messages that come twice, are no messages of ours, or lie.

use std::time::Duration;

use domain::{Cause, Clock, Lane, SystemClock, SystemRng, WorkflowId, WorkflowKind, WorkflowState};
use messages::{Bus, DeadLetter, Envelope, Origin, RabbitMqBus, RabbitMqOptions, WorkflowEvent};
use secrecy::SecretString;
use tests::cluster::{Cluster, deployed, manifest, whole};
use tests::lab::{Cleanup, Lab};
use tests::wait::eventually;

use super::succeeds;

const HOSTS: [&str; 2] = ["Host3", "Host4"];

fn event(id: WorkflowId, kind: &str) -> Vec<u8> {
    let event = WorkflowEvent {
        workflow_id: id,
        kind: WorkflowKind::parse(kind).expect("a kind"),
        lane: Lane::Lifecycle,
        cause: Cause::Requested,
    };
    let now = SystemClock.now();
    Envelope::workflow_event(domain::ids::uuid_v7(now, &SystemRng), now, &event, None).to_bytes()
}

fn parse(id: &str) -> WorkflowId {
    id.parse().expect("an id")
}

/// A second look at the broker, with a connection of its own.
fn bus(cluster: &Cluster) -> RabbitMqBus {
    let mut options = RabbitMqOptions::new(SecretString::from(cluster.parts.amqp_url.clone()));
    options.topology = cluster.topology();
    RabbitMqBus::start(&options).expect("valid options")
}

async fn dead_letters(bus: &RabbitMqBus, count: usize) -> Vec<DeadLetter> {
    eventually(&format!("{count} dead letters"), Duration::from_secs(30), async || {
        bus.dead_letters(50).await.ok().filter(|letters| letters.len() >= count)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_two_workers_get_several_times_is_worked_on_once() {
    let lab = Lab::from_env();
    let mut names = Cleanup::new(&lab);
    let cluster = Cluster::on_lab(&lab, lab.directory_env(&lab.service)).await.start(1, 2).await;
    let farms: Vec<_> = (0..3).map(|_| (names.name("twi"), names.name("twig"))).collect();
    let mut ids = Vec::new();
    for (name, group) in &farms {
        let id = cluster.submit(&manifest(name, group, &HOSTS)).await;
        (0..2).for_each(|_| cluster.publish(&event(parse(&id), "deploy")));
        ids.push(id);
    }
    for (id, (name, group)) in ids.iter().zip(&farms) {
        let done = succeeds(&cluster, id).await;
        // A late one, too; and one whose kind is a lie: the database knows better.
        cluster.publish(&event(parse(id), "deploy"));
        cluster.publish(&event(parse(id), "decommission"));
        assert!(done.steps.iter().all(|step| step.attempts == 1), "{done:#?}");
        assert_eq!(deployed(&lab.as_admin(), name, group), whole(&HOSTS));
    }
    let bus = bus(&cluster);
    eventually("every event is taken", Duration::from_secs(20), async || {
        bus.depth(Lane::Lifecycle).await.ok().filter(|depth| *depth == 0)
    })
    .await;
    for id in &ids {
        let after = cluster.workflow(id).await.expect("an answer");
        assert_eq!((after.state, cluster.claims(id).as_str()), (WorkflowState::Succeeded, "1"));
    }
    assert_eq!(bus.dead_letters(10).await.expect("an answer"), []);
    assert_eq!(names.found().expect("the DC answers").len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_and_forged_messages_are_dead_lettered_with_a_reason_and_change_nothing() {
    let lab = Lab::from_env();
    let mut names = Cleanup::new(&lab);
    let (name, group) = (names.name("fgd"), names.name("fgdg"));
    let cluster = Cluster::on_lab(&lab, lab.directory_env(&lab.service)).await.start(1, 1).await;
    let id = cluster.submit(&manifest(&name, &group, &HOSTS)).await;
    succeeds(&cluster, &id).await;
    let dump = "select id, state, revision, fencing_token from workflows";
    let before = (cluster.query(dump), names.found().expect("the DC answers"));

    let nobody = WorkflowId::new(SystemClock.now(), &SystemRng);
    let text = |body: &str| body.as_bytes().to_vec();
    let valid = String::from_utf8(event(parse(&id), "deploy")).expect("text");
    let forged = [
        (text("{\"specversion\":"), "no JSON object"),
        (vec![0xff, 0x00, 0xfe], "no JSON object"),
        (text("[]"), "no JSON object"),
        (text("{}"), "specversion"),
        (text(&valid.replace("\"1.0\"", "\"9.9\"")), "specversion"),
        (text(&valid.replace(&id, "'; drop table workflows; --")), "the data cannot be understood"),
        (vec![b' '; 70_000], "more than"),
        (event(nobody, "deploy"), "no workflow"),
    ];
    forged.iter().for_each(|(body, _)| cluster.publish(body));
    let bus = bus(&cluster);
    let letters = dead_letters(&bus, forged.len()).await;
    assert_eq!(letters.len(), forged.len());
    for (body, reason) in &forged {
        let letter = letters.iter().find(|letter| letter.body == *body).expect("the body as it came");
        assert!(letter.reason.contains(reason), "{reason}: {}", letter.reason);
        assert_eq!(letter.origin, Some(Origin::Lane(Lane::Lifecycle)));
    }
    assert!(letters.iter().any(|letter| letter.reason.contains(&nobody.to_string())), "{letters:?}");
    assert_eq!((cluster.query(dump), names.found().expect("the DC answers")), before);
    // The lane goes on.
    let (name, group) = (names.name("fgd"), names.name("fgdg"));
    let id = cluster.submit(&manifest(&name, &group, &HOSTS)).await;
    succeeds(&cluster, &id).await;
}
