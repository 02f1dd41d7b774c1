//! Other systems are told, until they have heard it.

use chrono::TimeDelta;
use domain::{Announcement, AnnouncementKind, Clock};
use serde_json::{Value, json};
use tests::wait::eventually;
use tests::world::World;

use super::receiver::{Manner, Receiver};
use super::{PATIENCE, Person};

/// A webhook to the receiver, which both know the secret of.
async fn tell(ann: &Person, name: &str, receiver: &Receiver, secret: &str) {
    let body = json!({
        "name": name, "direction": "out", "url": receiver.url, "events": ["farmhand.event.*"], "secret": secret
    });
    ann.post("webhooks", &body).await;
}

async fn announce(world: &World, host: &str) {
    let data = json!({ "host": host });
    let data = data.as_object().cloned().expect("an object");
    let announcement = Announcement::new(AnnouncementKind::QuarantineAdded, host, data);
    world.store.announce(&[announcement], world.clock.now()).await.expect("announced");
}

/// The log of a webhook, once it looks like that.
async fn log(ann: &Person, name: &str, what: &str, is: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let path = format!("webhooks/{name}/deliveries");
    eventually(what, PATIENCE, async || {
        let items = ann.get(&path).await["items"].as_array().cloned().unwrap_or_default();
        is(&items).then_some(items)
    })
    .await
}

fn all(state: &'static str) -> impl Fn(&[Value]) -> bool {
    move |items| !items.is_empty() && items.iter().all(|item| item["state"] == state)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_three_times_arrives_at_last_signed_and_whole() {
    let world = World::new().await;
    let ann = Person::admin(&world).await;
    let receiver = Receiver::start(Manner::FailsFirst(3)).await;
    let secret = "correct-horse-battery-staple";
    tell(&ann, "siem", &receiver, secret).await;
    announce(&world, "Host1").await;
    let heard = receiver.called(4).await;
    let items = log(&ann, "siem", "delivered", all("delivered")).await;
    assert_eq!((heard.len(), receiver.heard().len(), items.len()), (4, 4, 1));
    let attempts = items[0]["attempts"].as_array().expect("attempts");
    let statuses: Vec<_> = attempts.iter().map(|attempt| attempt["status"].clone()).collect();
    assert_eq!(statuses, [json!(503), json!(503), json!(503), json!(204)]);
    for call in &heard {
        assert!(call.is_signed_with(secret));
        assert!(!call.is_signed_with("another secret"));
        assert_eq!(call.header("x-farmhand-delivery"), items[0]["id"]);
        assert_eq!(call.header("x-farmhand-event"), "farmhand.event.quarantine-added.v1");
        assert_eq!(call.header("content-type"), "application/cloudevents+json");
        let event = call.event();
        assert_eq!(
            (&event["type"], &event["data"]),
            (&json!("farmhand.event.quarantine-added.v1"), &json!({"host": "Host1"}))
        );
        assert_eq!(event["id"], items[0]["event"]["id"]);
    }
    let id = items[0]["id"].as_str().expect("an id");
    ann.post(&format!("webhooks/siem/deliveries/{id}/redeliver"), &json!({})).await;
    assert_eq!(receiver.called(5).await[4].body, heard[0].body, "by hand the same again");
    let everything = format!("{} {}", ann.get("webhooks").await, ann.get("webhooks/siem").await);
    assert!(!everything.contains(secret), "{everything}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_hangs_holds_up_no_other() {
    let world = World::new().await;
    let ann = Person::admin(&world).await;
    let (hangs, takes) = (Receiver::start(Manner::Hangs).await, Receiver::start(Manner::FailsFirst(0)).await);
    tell(&ann, "hangs", &hangs, "correct-horse-battery-staple").await;
    tell(&ann, "takes", &takes, "correct-horse-battery-staple").await;
    for host in 0..20 {
        announce(&world, &format!("Host{host}")).await;
    }
    takes.called(20).await;
    // None of those that hang has come to its end: all places there are taken, and nobody waited.
    let items =
        log(&ann, "takes", "all delivered", |items| items.len() == 20 && all("delivered")(items)).await;
    assert!(items.iter().all(|item| item["attempts"].as_array().map(Vec::len) == Some(1)));
    let items = log(&ann, "hangs", "a timeout", |items| {
        items.iter().any(|item| item["attempts"][0]["error"] == "timeout")
    })
    .await;
    assert!(items.iter().all(|item| item["state"] == "pending"), "{items:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_not_followed_and_gone_pauses_the_webhook() {
    let world = World::new().await;
    let ann = Person::admin(&world).await;
    let (moved, gone) = (Receiver::start(Manner::Redirects).await, Receiver::start(Manner::Gone).await);
    tell(&ann, "moved", &moved, "correct-horse-battery-staple").await;
    tell(&ann, "gone", &gone, "correct-horse-battery-staple").await;
    announce(&world, "Host1").await;
    let items =
        log(&ann, "moved", "an attempt", |items| items.iter().any(|item| item["attempts"][1].is_object()))
            .await;
    assert_eq!(items[0]["attempts"][0]["status"], 302, "{items:?}");
    let items = log(&ann, "gone", "given up", all("given-up")).await;
    assert_eq!(items[0]["attempts"][0]["status"], 410, "{items:?}");
    let webhook = ann.get("webhooks/gone").await;
    assert_eq!((&webhook["state"], &webhook["paused"]["by"]), (&json!("paused"), &json!("farmhand")));
    announce(&world, "Host2").await;
    log(&ann, "moved", "the next event", |items| items.len() == 2).await;
    assert_eq!(ann.get("webhooks/gone/deliveries").await["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_arrives_is_given_up_after_a_day() {
    let world = World::new().await;
    let ann = Person::admin(&world).await;
    let receiver = Receiver::start(Manner::FailsFirst(usize::MAX)).await;
    tell(&ann, "down", &receiver, "correct-horse-battery-staple").await;
    announce(&world, "Host1").await;
    receiver.called(2).await;
    world.clock.set(world.clock.now() + TimeDelta::minutes(24 * 60 - 10));
    log(&ann, "down", "tried again", |items| items[0]["attempts"].as_array().is_some_and(|a| a.len() >= 3))
        .await;
    assert_eq!(ann.get("webhooks/down/deliveries").await["items"][0]["state"], "pending");
    world.clock.set(world.clock.now() + TimeDelta::minutes(10));
    let items = log(&ann, "down", "given up", all("given-up")).await;
    assert!(items[0]["finishedAt"].is_string() && items[0]["nextAttempt"].is_null(), "{items:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_in_by_a_webhook_goes_out_only_where_it_is_named() {
    let world = World::new().await;
    let ann = Person::admin(&world).await;
    let (all_of_it, named) =
        (Receiver::start(Manner::FailsFirst(0)).await, Receiver::start(Manner::FailsFirst(0)).await);
    tell(&ann, "all", &all_of_it, "correct-horse-battery-staple").await;
    let received = AnnouncementKind::WebhookReceived.event_type();
    let body = json!({"name": "named", "direction": "out", "url": named.url, "events": [received]});
    ann.post("webhooks", &body).await;
    let secret = ann.inbound("cmdb").await;
    let (status, answer) = super::call(&world.url, "cmdb", &secret, &json!({"password": "hunter2"})).await;
    assert_eq!(status, 202, "{answer}");
    let heard = named.called(1).await;
    assert_eq!(heard[0].event()["data"]["body"], json!({"password": "hunter2"}));
    announce(&world, "Host1").await;
    let heard = all_of_it.called(1).await;
    assert_eq!(heard[0].event()["data"], json!({"host": "Host1"}), "of the other it heard nothing");
}
