use std::time::Duration;

use axum::body::BodyDataStream;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use domain::Clock;
use futures::StreamExt;
use tower::ServiceExt;

use crate::http::testing::{MANIFEST, World, call, request};

struct Stream {
    body: BodyDataStream,
    text: String,
}

impl Stream {
    async fn open(world: &World, id: &str, last: Option<&str>) -> Self {
        let response =
            world.router.clone().oneshot(watch_request(world, id, last)).await.expect("infallible");
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
        Self { body: response.into_body().into_data_stream(), text: String::new() }
    }

    /// The next event as (name, id, data); `None` when the stream is closed.
    async fn next(&mut self) -> Option<(String, String, serde_json::Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name: &str| {
                    let lines = event.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
                    lines.map(str::trim).collect::<String>()
                };
                if field("event").is_empty() {
                    continue;
                }
                let data = serde_json::from_str(&field("data")).expect("JSON");
                return Some((field("event"), field("id"), data));
            }
            let chunk =
                tokio::time::timeout(Duration::from_secs(20), self.body.next()).await.expect("in time");
            self.text.push_str(std::str::from_utf8(&chunk?.expect("a chunk")).expect("text"));
        }
    }
}

fn watch_request(world: &World, id: &str, last: Option<&str>) -> Request {
    let mut request =
        world.authorised("viewer", request(Method::GET, &format!("/api/v1/workflows/{id}/events")));
    if let Some(last) = last {
        request.headers_mut().insert("last-event-id", HeaderValue::from_str(last).expect("a header"));
    }
    request
}

async fn deployed(world: &World) -> String {
    world.deploy("operator", "", MANIFEST).await.json["id"].as_str().expect("an id").to_owned()
}

async fn act(world: &World, id: &str, action: &str) {
    let answer = world.send_as("operator", Method::POST, &format!("/api/v1/workflows/{id}/{action}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
}

#[tokio::test]
async fn every_change_is_seen_and_the_stream_ends_with_the_workflow() {
    let world = World::new().await;
    let id = deployed(&world).await;
    let mut stream = Stream::open(&world, &id, None).await;
    let (name, first, data) = stream.next().await.expect("an event");
    assert_eq!((name.as_str(), data["state"].as_str()), ("workflow", Some("queued")));
    assert_eq!(data, world.get_as("viewer", &format!("/api/v1/workflows/{id}")).await.json);

    for (action, state) in [("pause", "paused"), ("cancel", "cancelled")] {
        act(&world, &id, action).await;
        let (name, revision, data) = stream.next().await.expect("an event");
        assert_eq!((name.as_str(), data["state"].as_str()), ("workflow", Some(state)));
        assert_ne!(revision, first);
    }
    assert_eq!(stream.next().await.expect("an event").0, "end");
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn who_reconnects_gets_only_what_is_new() {
    let world = World::new().await;
    let id = deployed(&world).await;
    let (_, seen, _) = Stream::open(&world, &id, None).await.next().await.expect("an event");

    let mut again = Stream::open(&world, &id, Some(&seen)).await;
    act(&world, &id, "pause").await;
    let (_, paused, data) = again.next().await.expect("an event");
    assert_eq!(data["state"], "paused");

    act(&world, &id, "cancel").await;
    let mut late = Stream::open(&world, &id, Some(&paused)).await;
    let (_, last, data) = late.next().await.expect("an event");
    assert_eq!(data["state"], "cancelled");

    let mut knows_all = Stream::open(&world, &id, Some(&last)).await;
    assert_eq!(knows_all.next().await.expect("an event").0, "end");
    assert!(knows_all.next().await.is_none());
}

#[tokio::test]
async fn a_stream_ends_when_the_server_stops() {
    let world = World::new().await;
    let id = deployed(&world).await;
    let mut stream = Stream::open(&world, &id, None).await;
    stream.next().await.expect("an event");
    world.api.stop.cancel();
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn a_stream_ends_when_its_token_is_revoked() {
    let world = World::with(|options| {
        options.settings.watch_recheck = Duration::ZERO;
        options.settings.token_cache = Duration::ZERO;
    })
    .await;
    let id = deployed(&world).await;
    let mut stream = Stream::open(&world, &id, None).await;
    stream.next().await.expect("an event");
    let token = world.token_id("viewer").await;
    world.store.revoke_token(token, world.clock.now()).await.expect("works");
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn an_unknown_workflow_is_refused_before_the_stream_begins() {
    let world = World::new().await;
    let request = watch_request(&world, "01890000-0000-7000-8000-000000000000", None);
    let answer = call(&world.router, request).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::NOT_FOUND, "not-found"));
}
