//! What stands around every route: request id, span, problem documents, caught panics.

use std::any::Any;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::HeaderValue;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Router, http};
use domain::ids;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::trace::TraceLayer;
use tracing::Span;

use super::Api;
use super::errors::{self, ApiError};

const REQUEST_ID: &str = "x-request-id";
/// Set on every answer while the embedded directory is in use.
const EMBEDDED: &str = "farmhand-embedded-directory";

/// Names one request in answers and logs.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(pub(crate) String);

pub(crate) fn around(routes: Router, api: &Arc<Api>) -> Router {
    let trace = TraceLayer::new_for_http()
        .make_span_with(span)
        .on_request(())
        .on_response(|response: &Response, latency: std::time::Duration, span: &Span| {
            span.record("http.response.status_code", response.status().as_u16());
            tracing::debug!(status = response.status().as_u16(), ?latency, "answered");
        })
        // The problem layer logs failures with their cause.
        .on_failure(());
    routes
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn(errors::write))
        .layer(trace)
        .layer(middleware::from_fn_with_state(api.clone(), identify))
}

/// Method, route and status, linked to the caller's trace. Never headers: they hold the token. Never the path as sent: an
/// unmatched one is whatever somebody wrote.
fn span(request: &Request) -> Span {
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str);
    let id = request.extensions().get::<RequestId>().map_or("", |id| id.0.as_str());
    let span = tracing::info_span!(
        "http request",
        otel.name = format!("{} {route}", request.method()),
        otel.kind = "server",
        http.request.method = %request.method(),
        http.route = route,
        http.response.status_code = tracing::field::Empty,
        request_id = id,
    );
    // The one header that is looked at: the caller's own trace.
    if let Some(caller) = request.headers().get("traceparent").and_then(|value| value.to_str().ok()) {
        messages::trace::link(&span, caller);
    }
    span
}

/// Takes the caller's request id, where it can stand in a log, or makes one.
async fn identify(State(api): State<Arc<Api>>, mut request: Request, next: Next) -> Response {
    let given = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let id = match given.filter(|text| is_plain(text)) {
        Some(text) => text.to_owned(),
        None => ids::uuid_v7(api.clock.now(), api.rng.as_ref()).to_string(),
    };
    request.extensions_mut().insert(RequestId(id.clone()));
    let mut response = next.run(request).await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    if api.embedded {
        response.headers_mut().insert(EMBEDDED, HeaderValue::from_static("true"));
    }
    response
}

fn is_plain(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=128).contains(&text.len()) && text.bytes().all(plain)
}

fn panicked(panic: Box<dyn Any + Send + 'static>) -> http::Response<axum::body::Body> {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    ApiError::internal(format!("panic: {}", text.as_deref().unwrap_or("without a text"))).into_response()
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use axum::routing::get;

    use super::*;
    use crate::http::testing::{Answer, World, call, request};

    #[tokio::test]
    async fn a_panic_is_a_problem_document_without_its_text() {
        let world = World::new().await;
        #[expect(clippy::panic, reason = "what this test is about")]
        async fn boom() -> StatusCode {
            panic!("secret detail")
        }
        let router = around(Router::new().route("/boom", get(boom)), &world.api);
        let answer: Answer = call(&router, request(http::Method::GET, "/boom")).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::INTERNAL_SERVER_ERROR, "internal"));
        assert!(!answer.text.contains("secret detail"), "{}", answer.text);
        assert_eq!(answer.json["requestId"], answer.header(REQUEST_ID));
    }

    #[tokio::test]
    async fn a_callers_request_id_is_kept_only_where_it_can_stand_in_a_log() {
        let world = World::new().await;
        for (given, kept) in [("abc-1", true), ("a b", false), ("", false), (&*"x".repeat(129), false)] {
            let mut request = request(http::Method::GET, "/healthz");
            request.headers_mut().insert(REQUEST_ID, HeaderValue::from_str(given).expect("a header"));
            let answer = call(&world.router, request).await;
            assert_eq!(answer.header(REQUEST_ID) == given, kept, "{given}");
            assert!(!answer.header(REQUEST_ID).is_empty());
        }
    }

    #[tokio::test]
    async fn every_answer_says_when_the_embedded_directory_is_in_use() {
        let world = World::new().await;
        assert_eq!(world.get("/healthz").await.header(EMBEDDED), "true");
        assert_eq!(world.get("/nowhere").await.header(EMBEDDED), "true");
        let real = World::with(|options| options.embedded = false).await;
        assert_eq!(real.get("/healthz").await.header(EMBEDDED), "");
    }
}
