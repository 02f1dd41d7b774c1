//! Another system that is told of events: as it behaves, and what it heard.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::{PATIENCE, hmac};

/// What it answers.
#[derive(Debug, Clone, Copy)]
pub enum Manner {
    /// 503 so many times, then 204.
    FailsFirst(usize),
    /// It takes what is sent and never answers.
    Hangs,
    /// 302 to itself.
    Redirects,
    Gone,
}

#[derive(Debug, Clone)]
pub struct Heard {
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Heard {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub fn event(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// Whether it is signed with that secret, by the receiver's own arithmetic.
    pub fn is_signed_with(&self, secret: &str) -> bool {
        let mut signed = format!("{}.", self.header("x-farmhand-timestamp")).into_bytes();
        signed.extend(&self.body);
        self.header("x-farmhand-signature") == format!("v1={}", hmac(secret, &signed))
    }
}

pub struct Receiver {
    pub url: String,
    desk: Arc<Desk>,
    _task: AbortOnDropHandle<()>,
}

struct Desk {
    manner: Manner,
    calls: AtomicUsize,
    heard: Mutex<Vec<Heard>>,
    never: CancellationToken,
}

impl Receiver {
    pub async fn start(manner: Manner) -> Self {
        let desk = Desk {
            manner,
            calls: AtomicUsize::new(0),
            heard: Mutex::default(),
            never: CancellationToken::new(),
        };
        let desk = Arc::new(desk);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/farmhand?key=confidential", listener.local_addr().expect("an address"));
        let router = Router::new().fallback(answer).with_state(desk.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { url, desk, _task: AbortOnDropHandle::new(task) }
    }

    pub fn heard(&self) -> Vec<Heard> {
        self.desk.heard.lock().expect("no panic").clone()
    }

    /// Once it was called so often.
    pub async fn called(&self, count: usize) -> Vec<Heard> {
        tests::wait::eventually(&format!("{count} calls"), PATIENCE, async || {
            Some(self.heard()).filter(|heard| heard.len() >= count)
        })
        .await
    }
}

async fn answer(State(desk): State<Arc<Desk>>, headers: HeaderMap, body: Bytes) -> Response {
    desk.heard.lock().expect("no panic").push(Heard { headers, body: body.to_vec() });
    let call = desk.calls.fetch_add(1, Ordering::SeqCst);
    match desk.manner {
        Manner::FailsFirst(count) if call < count => {
            (StatusCode::SERVICE_UNAVAILABLE, "x".repeat(1024 * 1024)).into_response()
        }
        Manner::FailsFirst(_) => StatusCode::NO_CONTENT.into_response(),
        Manner::Hangs => {
            desk.never.cancelled().await;
            StatusCode::OK.into_response()
        }
        Manner::Redirects => (StatusCode::FOUND, [(header::LOCATION, "/elsewhere")]).into_response(),
        Manner::Gone => StatusCode::GONE.into_response(),
    }
}
