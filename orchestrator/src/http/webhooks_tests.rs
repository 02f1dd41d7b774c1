use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method};
use domain::Clock;
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use super::*;
use crate::http::testing::{Answer, World, call, request};

const JSON: &str = "application/json";
const PATH: &str = "/api/v1/webhooks";
const BODY: &str = r#"{ "name": "WEB-07" }"#;

async fn make(world: &World, body: Value) -> Answer {
    world.post_as("admin", PATH, JSON, &body.to_string(), &[]).await
}

async fn inbound(world: &World, name: &str, auth: &str) -> String {
    let made = make(world, json!({"name": name, "direction": "in", "auth": auth})).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    made.json["secret"].as_str().expect("a secret").to_owned()
}

fn mac(secret: &str, text: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
    mac.update(text);
    hex::encode(mac.finalize().into_bytes())
}

fn signed(secret: &str, timestamp: i64, body: &str) -> Vec<(&'static str, String)> {
    let signature = format!("v1={}", mac(secret, format!("{timestamp}.{body}").as_bytes()));
    vec![("x-farmhand-timestamp", timestamp.to_string()), ("x-farmhand-signature", signature)]
}

async fn send(world: &World, name: &str, headers: &[(&'static str, String)], body: &str) -> Answer {
    let mut request: Request = request(Method::POST, &format!("{PATH}/{name}"));
    request.headers_mut().insert("content-type", HeaderValue::from_static(JSON));
    for (key, value) in headers {
        let value = HeaderValue::from_str(value).expect("a header");
        request.headers_mut().insert(HeaderName::from_static(key), value);
    }
    *request.body_mut() = axum::body::Body::from(body.to_owned());
    call(&world.router, request).await
}

/// What was announced, out of the outbox.
async fn announced(world: &World) -> Vec<messages::CloudEvent> {
    let mut events = Vec::new();
    let publish = async |rows: Vec<store::AnnouncementRow>| {
        events.extend(rows.iter().map(|row| messages::CloudEvent::parse(&row.body).expect("an event")));
        rows.iter().map(|row| row.id).collect()
    };
    world.store.relay_announcements(100, publish).await.expect("relayed");
    events
}

#[tokio::test]
async fn a_webhook_is_made_listed_paused_and_deleted_and_its_secret_is_shown_once() {
    let world = World::new().await;
    let body = json!({
        "name": "siem", "direction": "out", "url": "https://siem.contoso.com/x", "events": ["farmhand.event.*"]
    });
    let made = make(&world, body.clone()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    assert_eq!(
        (made.header("cache-control"), made.header("location")),
        ("no-store".into(), format!("{PATH}/siem"))
    );
    let secret = made.json["secret"].as_str().expect("a secret").to_owned();
    assert_eq!(make(&world, body).await.code(), "already-exists");
    inbound(&world, "cmdb", "bearer").await;

    let path = format!("{PATH}/SIEM");
    let shown = world.get_as("admin", &path).await;
    let paused = world.post_as("admin", &format!("{path}/pause"), JSON, r#"{"reason": "r"}"#, &[]).await;
    assert_eq!(paused.json["state"], "paused", "{}", paused.text);
    let resumed = world.send_as("admin", Method::POST, &format!("{path}/resume")).await;
    let list = world.get_as("admin", &format!("{PATH}?direction=out")).await;
    assert_eq!(list.json["items"], json!([resumed.json]));
    assert_eq!(world.get_as("admin", PATH).await.json["items"].as_array().map(Vec::len), Some(2));
    for answer in [&shown, &paused, &resumed, &list] {
        assert!(!answer.text.contains(&secret) && !answer.text.contains("secret"), "{}", answer.text);
    }
    for who in ["viewer", "operator", "responder", "approver"] {
        assert_eq!(world.get_as(who, PATH).await.code(), "forbidden");
        assert_eq!(world.get_as(who, &path).await.code(), "forbidden");
    }
    assert_eq!(world.send_as("admin", Method::DELETE, &path).await.status, StatusCode::NO_CONTENT);
    assert_eq!(world.send_as("admin", Method::DELETE, &path).await.code(), "not-found");
    let id = shown.json["id"].as_str().expect("an id").parse().expect("an id");
    assert!(world.store.webhook_secret(id).await.expect("works").is_none(), "gone with it");
}

#[tokio::test]
async fn what_breaks_a_rule_is_named_and_no_refusal_repeats_the_secret() {
    let world = World::new().await;
    for (body, field) in [
        (json!({"name": "a", "direction": "out", "url": "http://siem/", "events": ["*"]}), "url"),
        (json!({"name": "a", "direction": "sideways"}), "direction"),
        (json!({"name": "a", "direction": "in", "secret": "hunter2"}), "secret"),
        (json!({"name": "a", "direction": "in", "hook": 1}), "hook"),
    ] {
        let answer = make(&world, body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text);
        assert_eq!(answer.json["errors"][0]["field"], field, "{}", answer.text);
        assert!(!answer.text.contains("hunter2"), "{}", answer.text);
    }
}

#[tokio::test]
async fn a_call_is_announced_once_by_who_knows_the_secret() {
    let world = World::new().await;
    let now = world.clock.now().timestamp();
    let (hmac, github) = (inbound(&world, "hmac", "hmac").await, inbound(&world, "github", "github").await);
    let bearer = inbound(&world, "bearer", "bearer").await;
    let like_github = vec![("x-hub-signature-256", format!("sha256={}", mac(&github, BODY.as_bytes())))];
    let as_bearer = vec![("authorization", format!("Bearer {bearer}"))];
    let mut ids = Vec::new();
    for (name, headers) in
        [("HMAC", signed(&hmac, now, BODY)), ("github", like_github), ("bearer", as_bearer)]
    {
        let answer = send(&world, name, &headers, BODY).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{name}: {}", answer.text);
        assert_eq!(answer.json["replayed"], false);
        ids.push(answer.json["event"].as_str().expect("an id").to_owned());
    }
    let mut events = announced(&world).await;
    events.sort_by_key(|event| ids.iter().position(|id| *id == event.id));
    assert_eq!(events.iter().map(|event| event.id.clone()).collect::<Vec<_>>(), ids);
    assert_eq!(events[0].kind, "farmhand.event.webhook-received.v1");
    assert_eq!(events[0].subject.as_deref(), Some("hmac"));
    assert_eq!(events[0].data, json!({"webhook": "hmac", "body": {"name": "WEB-07"}}));
}

#[tokio::test]
async fn unknown_and_wrong_are_answered_in_the_same_way() {
    let world = World::new().await;
    let now = world.clock.now().timestamp();
    let secret = inbound(&world, "cmdb", "hmac").await;
    make(&world, json!({"name": "siem", "direction": "out", "url": "https://siem/", "events": ["*"]})).await;
    let good = signed(&secret, now, BODY);
    let without = |answer: &Answer| {
        let mut json = answer.json.clone();
        json["instance"] = Value::Null;
        json["requestId"] = Value::Null;
        (answer.status, json)
    };
    let unknown = send(&world, "nobody", &good, BODY).await;
    assert_eq!((unknown.status, unknown.code()), (StatusCode::UNAUTHORIZED, "unauthenticated"));
    let admin = vec![("authorization", format!("Bearer {}", world.secret("admin").expose_secret()))];
    for (name, headers, body) in [
        ("cmdb", signed("another secret", now, BODY), BODY),
        ("cmdb", good.clone(), "{}"),
        ("cmdb", signed(&secret, now - 301, BODY), BODY),
        ("cmdb", signed(&secret, now + 301, BODY), BODY),
        ("cmdb", vec![("authorization", format!("Bearer {secret}"))], BODY),
        ("cmdb", Vec::new(), BODY),
        ("cmdb", admin, BODY),
        ("siem", good.clone(), BODY),
        ("no%20name", good.clone(), BODY),
    ] {
        let answer = send(&world, name, &headers, body).await;
        assert_eq!(without(&answer), without(&unknown), "{name} {headers:?}");
    }
    assert_eq!(announced(&world).await, []);
    for seconds in [-299, 299] {
        let answer = send(&world, "cmdb", &signed(&secret, now + seconds, BODY), BODY).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    }
}

#[tokio::test]
async fn a_call_that_is_sent_again_is_one_call() {
    let world = World::new().await;
    let now = world.clock.now().timestamp();
    let secret = inbound(&world, "cmdb", "hmac").await;
    let first = send(&world, "cmdb", &signed(&secret, now, BODY), BODY).await;
    let again = send(&world, "cmdb", &signed(&secret, now, BODY), BODY).await;
    assert_eq!((&again.json["event"], &again.json["replayed"]), (&first.json["event"], &json!(true)));
    // Who has seen a call cannot have it anew by another key, or by writing its digits in capitals.
    let mut forged = signed(&secret, now, BODY);
    forged[1].1 = forged[1].1.to_ascii_uppercase().replace("V1=", "v1=");
    forged.push(("idempotency-key", "other".to_owned()));
    assert_eq!(send(&world, "cmdb", &forged, BODY).await.json["replayed"], true);

    let with_key = |timestamp| {
        let mut headers = signed(&secret, timestamp, BODY);
        headers.push(("idempotency-key", "alert-4711".to_owned()));
        headers
    };
    let keyed = send(&world, "cmdb", &with_key(now + 1), BODY).await;
    assert_eq!(keyed.json["replayed"], false);
    let anew = send(&world, "cmdb", &with_key(now + 2), BODY).await;
    assert_eq!((&anew.json["event"], &anew.json["replayed"]), (&keyed.json["event"], &json!(true)));
    assert_eq!(announced(&world).await.len(), 2);
}

#[tokio::test]
async fn what_is_no_json_or_too_much_or_too_often_is_refused() {
    let world = World::with(|options| options.settings.webhook_calls_a_minute = 4).await;
    let secret = inbound(&world, "cmdb", "bearer").await;
    let bearer = vec![("authorization", format!("Bearer {secret}"))];
    let large = format!("\"{}\"", "x".repeat(64 * 1024));
    for name in ["cmdb", "nobody"] {
        assert_eq!(send(&world, name, &bearer, &large).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    }
    let just_too_large = format!("\"{}\"", "x".repeat(60 * 1024));
    for body in ["{", "", &just_too_large] {
        let answer = send(&world, "cmdb", &bearer, body).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, "invalid-request"));
    }
    assert_eq!(send(&world, "cmdb", &bearer, "[]").await.status, StatusCode::ACCEPTED);
    let often = send(&world, "cmdb", &bearer, "[]").await;
    assert_eq!((often.status, often.code()), (StatusCode::TOO_MANY_REQUESTS, "rate-limited"));
    assert_eq!(often.header("retry-after"), "60");
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(send(&world, "cmdb", &bearer, "[]").await.status, StatusCode::ACCEPTED);
    world.send_as("admin", Method::POST, &format!("{PATH}/cmdb/pause")).await;
    let paused = send(&world, "cmdb", &bearer, "[]").await;
    assert_eq!((paused.status, paused.code()), (StatusCode::SERVICE_UNAVAILABLE, "webhook-paused"));
    let wrong = vec![("authorization", "Bearer x".to_owned())];
    assert_eq!(
        send(&world, "cmdb", &wrong, "[]").await.code(),
        "unauthenticated",
        "not even that it is paused"
    );
}

#[tokio::test]
async fn the_largest_body_that_is_taken_becomes_an_event_that_can_be_read() {
    let world = World::new().await;
    let secret = inbound(&world, &"n".repeat(64), "bearer").await;
    let bearer = vec![("authorization", format!("Bearer {secret}"))];
    let body = format!("\"{}\"", "x".repeat(59 * 1024 - 2));
    let answer = send(&world, &"n".repeat(64), &bearer, &body).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    assert_eq!(announced(&world).await.len(), 1);
}

#[tokio::test]
async fn a_ping_and_a_redelivery_stand_in_the_log_of_a_webhook_that_is_told() {
    let world = World::new().await;
    make(&world, json!({"name": "siem", "direction": "out", "url": "https://siem/", "events": ["*"]})).await;
    inbound(&world, "cmdb", "hmac").await;
    let pinged = world.send_as("admin", Method::POST, &format!("{PATH}/siem/ping")).await;
    assert_eq!(pinged.status, StatusCode::ACCEPTED, "{}", pinged.text);
    let log = world.get_as("admin", &format!("{PATH}/siem/deliveries?state=pending")).await;
    let delivery = &log.json["items"][0];
    assert_eq!(
        (&delivery["id"], &delivery["event"]["type"]),
        (&pinged.json["delivery"], &json!("farmhand.ping.v1"))
    );
    assert_eq!((&delivery["attempts"], &delivery["state"]), (&json!([]), &json!("pending")));
    let id = delivery["id"].as_str().expect("an id");
    let again = world.send_as("admin", Method::POST, &format!("{PATH}/siem/deliveries/{id}/redeliver")).await;
    assert_eq!((again.status, &again.json["delivery"]), (StatusCode::ACCEPTED, &json!(id)));
    let none = "0199c0de-0000-7000-8000-000000000000";
    let unknown =
        world.send_as("admin", Method::POST, &format!("{PATH}/siem/deliveries/{none}/redeliver")).await;
    assert_eq!(unknown.code(), "not-found");
    for path in ["ping", &format!("deliveries/{id}/redeliver")] {
        let answer = world.send_as("admin", Method::POST, &format!("{PATH}/cmdb/{path}")).await;
        assert_eq!(answer.code(), "invalid-request", "{path}");
    }
}
