//! `GET /workflows/{id}/events`: a workflow as it goes, as server-sent events.
//!
//! Each watcher looks at the row's revision, a single indexed number, about eight times a second;
//! so it sees what any process wrote, and a hundred watchers cost the database less than one list.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use domain::WorkflowId;
use futures::Stream;
use futures::stream::unfold;
use store::StoreError;
use tokio::time::Instant;

use super::auth::Caller;
use super::errors::ApiError;
use super::extract::InPath;
use super::{Api, schema, workflows};
use crate::outage::Outage;

/// Between two looks while the database does not answer.
const OUTAGE_PAUSE: Duration = Duration::from_secs(1);
/// Comments that keep proxies from closing a quiet connection.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Follows a workflow.
///
/// An event `workflow` with the whole workflow for every change; its id is the revision, so a
/// client that reconnects with `Last-Event-ID` gets only what is new. When the workflow is
/// finished, an event `end`, and the stream closes.
#[utoipa::path(
    get, path = "/workflows/{id}/events", tag = "workflows",
    params(
        ("id" = String, Path, description = "The workflow's id"),
        ("Last-Event-ID" = Option<String>, Header, description = "The revision that was seen last"),
    ),
    responses((status = 200, description = "The stream; `data` of each `workflow` event is a workflow",
        body = schema::Workflow, content_type = "text/event-stream")),
)]
pub(crate) async fn watch(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(id): InPath<WorkflowId>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    workflows::find(&api, id).await?;
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse().ok());
    let watch = Watch {
        api,
        id,
        caller,
        last,
        phase: Phase::Fresh,
        outage: Outage::new("watch"),
        checked: Instant::now(),
    };
    let stream = unfold(watch, |watch| async { watch.next().await });
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Fresh,
    Following,
    /// All is said but the `end`.
    Ending,
    Ended,
}

struct Watch {
    api: Arc<Api>,
    id: WorkflowId,
    caller: Caller,
    /// The revision that the client has.
    last: Option<i64>,
    phase: Phase,
    outage: Outage,
    checked: Instant,
}

impl Watch {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        loop {
            match self.phase {
                Phase::Ended => return None,
                Phase::Ending => {
                    self.phase = Phase::Ended;
                    return Some((Ok(Event::default().event("end").data("{}")), self));
                }
                Phase::Fresh => {}
                Phase::Following => {
                    if !self.may_go_on().await {
                        return None;
                    }
                }
            }
            match self.look().await {
                Ok(Some(event)) => return Some((Ok(event), self)),
                Ok(None) => {}
                Err(error) => {
                    self.outage.failed("database", &error);
                    self.phase = Phase::Following;
                }
            }
        }
    }

    /// The workflow, if it is not what the client has already.
    async fn look(&mut self) -> Result<Option<Event>, StoreError> {
        let first = self.phase == Phase::Fresh;
        // The revision is read before the workflow: a change in between shows up as one more event,
        // never as one too few.
        let revision = self.api.store.revision(self.id).await?;
        self.outage.over();
        self.phase = Phase::Following;
        if revision.is_some() && revision == self.last && !first {
            return Ok(None);
        }
        let Some((revision, workflow)) = revision.zip(self.api.store.workflow(self.id).await?) else {
            self.phase = Phase::Ended;
            return Ok(None);
        };
        if workflow.state.is_finished() {
            self.phase = Phase::Ending;
        }
        if self.last.replace(revision) == Some(revision) {
            return Ok(None);
        }
        let event = Event::default().event("workflow").id(revision.to_string()).json_data(&workflow);
        match event {
            Ok(event) => Ok(Some(event)),
            Err(error) => {
                tracing::error!(%error, workflow = %self.id, "a workflow could not be written as an event");
                self.phase = Phase::Ended;
                Ok(None)
            }
        }
    }

    /// Waits for the next look. `false` when the stream has to end: we stop, or the token is no
    /// longer valid.
    async fn may_go_on(&mut self) -> bool {
        let settings = &self.api.settings;
        // Jitter, so that watchers that came together do not ask together for ever.
        let usual = settings.watch_every.mul_f64(1.0 + self.api.rng.fraction() / 2.0);
        let pause = if self.outage.is_on() { OUTAGE_PAUSE } else { usual };
        tokio::select! {
            () = self.api.stop.cancelled() => return false,
            () = tokio::time::sleep(pause) => {}
        }
        if self.checked.elapsed() < settings.watch_recheck {
            return true;
        }
        self.checked = Instant::now();
        // Only a clear no ends the stream; a database that does not answer says nothing.
        !matches!(self.api.tokens.valid(&self.caller.token_hash).await, Ok(None))
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
