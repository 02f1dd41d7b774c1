//! Follows a workflow to its end over server-sent events, through restarts of the server.

use std::time::Duration;

use domain::{WaitReason, Workflow, WorkflowId, WorkflowState};
use eventsource_stream::Eventsource;
use futures::StreamExt;
use serde_json::Value;

use super::Client;
use crate::failure::{Exit, Failure};
use crate::output::progress::Progress;

/// How long a server may be away before we stop waiting for it to come back.
const PATIENCE: Duration = Duration::from_secs(300);
/// A stream without even a comment for this long is dead (the server sends one every few seconds).
const SILENCE: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// A workflow that has come to an end or to a person, as the server sent it.
pub struct Followed {
    pub workflow: Workflow,
    pub document: Value,
}

impl Followed {
    pub fn exit(&self) -> Exit {
        match self.workflow.state {
            WorkflowState::Succeeded => Exit::Done,
            WorkflowState::Failed | WorkflowState::Unwound | WorkflowState::Cancelled => Exit::Unsuccessful,
            _ => Exit::WaitingForPerson,
        }
    }

    /// Over, or nothing but a person moves it on.
    fn is_settled(&self) -> bool {
        let wait = self.workflow.waiting.as_ref().map(|wait| wait.reason);
        match self.workflow.state {
            WorkflowState::Waiting => {
                matches!(wait, Some(WaitReason::Approval | WaitReason::Operator | WaitReason::Host))
            }
            WorkflowState::Paused => true,
            state => state.is_finished(),
        }
    }
}

/// A workflow out of an answer.
pub fn parse(document: Value) -> Result<Followed, Failure> {
    let workflow = serde_json::from_value(document.clone())
        .map_err(|e| Failure::internal(format!("the server sent a workflow that cannot be read: {e}")))?;
    Ok(Followed { workflow, document })
}

struct Follower<'a> {
    client: &'a Client,
    id: WorkflowId,
    progress: &'a mut dyn Progress,
    last_event_id: Option<String>,
    /// Since the last sign of life.
    heard: tokio::time::Instant,
}

/// Until the workflow is over or waits for a person.
pub async fn follow(
    client: &Client,
    id: WorkflowId,
    progress: &mut dyn Progress,
) -> Result<Followed, Failure> {
    let heard = tokio::time::Instant::now();
    let mut follower = Follower { client, id, progress, last_event_id: None, heard };
    let mut pause = FIRST_PAUSE;
    loop {
        let before = follower.heard;
        match follower.one_stream().await {
            Ok(Some(followed)) => return Ok(followed),
            Ok(None) => {}
            Err(failure) if failure.exit != Exit::Unreachable => return Err(failure),
            Err(failure) if follower.heard.elapsed() > PATIENCE => {
                let hint =
                    format!("the workflow goes on without us; follow it with: farmhand workflow watch {id}");
                return Err(Failure { hint, ..failure });
            }
            Err(_) => follower.progress.notice("the server is away; waiting for it to come back"),
        }
        if follower.heard > before {
            pause = FIRST_PAUSE;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

impl Follower<'_> {
    /// `None`: the connection broke or the server stopped; the events go on where they were.
    async fn one_stream(&mut self) -> Result<Option<Followed>, Failure> {
        let path = format!("/api/v1/workflows/{}/events", self.id);
        let response = self.client.stream(&path, self.last_event_id.as_deref()).await?;
        let mut events = response.bytes_stream().eventsource();
        while let Ok(Some(Ok(event))) = tokio::time::timeout(SILENCE, events.next()).await {
            self.heard = tokio::time::Instant::now();
            if !event.id.is_empty() {
                self.last_event_id = Some(event.id);
            }
            let Ok(document) = serde_json::from_str(&event.data) else { continue };
            let followed = parse(document)?;
            self.progress.update(&followed.workflow);
            if followed.is_settled() {
                return Ok(Some(followed));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::http::{HeaderMap, StatusCode, header};
    use axum::response::IntoResponse;
    use axum::routing::get;
    use domain::Workflow;
    use serde_json::json;
    use tokio::net::TcpListener;
    use tokio::task::JoinHandle;

    use super::*;
    use crate::config::{Settings, client};
    use crate::output::workflow::tests::sample;

    #[derive(Default)]
    struct Seen {
        states: Vec<String>,
        notices: usize,
    }

    impl Progress for Seen {
        fn update(&mut self, workflow: &Workflow) {
            self.states.push(workflow.state.to_string());
        }
        fn notice(&mut self, _: &str) {
            self.notices += 1;
        }
    }

    fn client_of(address: SocketAddr) -> Client {
        // As main does; another test may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let url = Some(format!("http://{address}").parse().expect("a URL"));
        // A folder that is not there: no token of this machine gets into a test.
        let settings = Settings {
            data_dir: "/nowhere".into(),
            client: client::Client { url, ..client::Client::default() },
            ..Settings::default()
        };
        Client::new(&settings).expect("a client")
    }

    fn event(id: u32, state: &str) -> String {
        let document = serde_json::to_string(&sample(state, json!([]))).expect("serialises");
        format!("event: workflow\nid: {id}\ndata: {document}\n\n")
    }

    type Asked = Arc<Mutex<Vec<Option<String>>>>;

    /// Answers every watcher with `body`, and remembers which event it had last.
    fn serve(listener: TcpListener, body: String, asked: Asked) -> JoinHandle<()> {
        let answer = move |headers: HeaderMap| async move {
            let last = headers.get("last-event-id").and_then(|value| value.to_str().ok()).map(str::to_owned);
            asked.lock().expect("not poisoned").push(last);
            // As after a restart: no old connection that could be used again.
            ([(header::CONTENT_TYPE, "text/event-stream"), (header::CONNECTION, "close")], body)
                .into_response()
        };
        let routes = Router::new().route("/api/v1/workflows/{id}/events", get(answer));
        tokio::spawn(async move { axum::serve(listener, routes).await.expect("serves") })
    }

    fn id() -> WorkflowId {
        sample("running", json!([])).id
    }

    #[tokio::test]
    async fn it_goes_on_after_the_last_event_when_the_server_comes_back() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let asked = Asked::default();
        let first = serve(listener, event(7, "running"), asked.clone());
        let second = Mutex::new(None);
        let restart = async {
            while asked.lock().expect("not poisoned").is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            first.abort();
            let _ = first.await;
            tokio::time::sleep(Duration::from_millis(300)).await;
            let listener = TcpListener::bind(address).await.expect("the same port");
            *second.lock().expect("not poisoned") =
                Some(serve(listener, event(9, "succeeded"), asked.clone()));
        };
        let (client, mut seen) = (client_of(address), Seen::default());
        let (followed, ()) = tokio::join!(follow(&client, id(), &mut seen), restart);
        let followed = followed.unwrap_or_else(|e| panic!("{e}"));
        second.lock().expect("not poisoned").take().expect("started").abort();
        assert_eq!(followed.exit(), Exit::Done);
        assert_eq!(seen.states.last().map(String::as_str), Some("succeeded"));
        assert!(seen.notices > 0, "a person is told that the server is away");
        assert_eq!(asked.lock().expect("not poisoned").last(), Some(&Some("7".to_owned())));
    }

    #[tokio::test]
    async fn a_refusal_ends_it_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let refuse = || async { (StatusCode::NOT_FOUND, axum::Json(json!({ "code": "not-found" }))) };
        let routes = Router::new().fallback(refuse);
        let server = tokio::spawn(async move { axum::serve(listener, routes).await });
        let failure = follow(&client_of(address), id(), &mut Seen::default()).await.err().expect("refused");
        server.abort();
        assert_eq!((failure.exit, failure.code.as_str()), (Exit::Refused, "not-found"));
    }

    #[tokio::test]
    async fn what_waits_for_a_person_is_5_and_what_waits_for_time_goes_on() {
        let mut waiting = sample("waiting", json!([]));
        let settled = |workflow: &Workflow| {
            let document = serde_json::to_value(workflow).expect("serialises");
            let followed = parse(document).unwrap_or_else(|e| panic!("{e}"));
            followed.is_settled().then(|| followed.exit())
        };
        for (reason, exit) in [
            (WaitReason::Approval, Some(Exit::WaitingForPerson)),
            (WaitReason::Operator, Some(Exit::WaitingForPerson)),
            (WaitReason::Retry, None),
            (WaitReason::Timer, None),
            (WaitReason::Lock, None),
            (WaitReason::Host, Some(Exit::WaitingForPerson)),
        ] {
            waiting.waiting = Some(domain::Wait { reason, until: None, detail: String::new() });
            assert_eq!(settled(&waiting), exit, "{reason}");
        }
        for (state, exit) in
            [("failed", 1), ("unwound", 1), ("cancelled", 1), ("succeeded", 0), ("paused", 5)]
        {
            assert_eq!(settled(&sample(state, json!([]))).map(|exit| exit as u8), Some(exit), "{state}");
        }
    }
}
