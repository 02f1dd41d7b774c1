//! What a caller is told when something does not work: RFC 9457 problem documents.
//!
//! A handler returns an [`ApiError`]; [`write`] turns it into the document, where the request's
//! path and id are known. Causes go to the log only.

use std::error::Error;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use domain::{ErrorCode, Problem, Violation};
use serde::Serialize;
use store::StoreError;
use utoipa::ToSchema;

use super::layers::RequestId;
use super::schema;
use crate::outage::chain;
use crate::requests::{Refusal, RefusalKind, RequestError};

pub(crate) const MEDIA_TYPE: &str = "application/problem+json";

#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    problem: Problem,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

/// A problem document (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProblemDocument {
    /// Where the code is explained, relative to this server.
    #[serde(rename = "type")]
    #[schema(example = "/errors/invalid-manifest")]
    kind: String,
    title: String,
    status: u16,
    /// What happened.
    detail: String,
    /// Stable, for programs.
    #[schema(example = "invalid-manifest")]
    code: &'static str,
    /// What to do about it.
    hint: String,
    /// One item for each broken rule.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<schema::Violation>)]
    errors: Vec<Violation>,
    /// The path that was asked for.
    instance: String,
    /// Also in the `x-request-id` header and in our log.
    request_id: String,
}

impl ApiError {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Problem::new(code, message, hint).into()
    }

    pub(crate) fn invalid(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidRequest, message, hint)
    }

    pub(crate) fn not_found(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(ErrorCode::NotFound, what, hint)
    }

    /// Our own fault; the cause is for the log.
    pub(crate) fn internal(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let error = Self::new(
            ErrorCode::Internal,
            "something went wrong in Farmhand itself",
            "look for the requestId in the orchestrator's log; if it happens again, report it with that entry",
        );
        error.because(cause)
    }

    /// HTTP has a more exact status for some invalid requests.
    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    pub(crate) fn because(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    #[cfg(test)]
    pub(crate) fn violations(&self) -> &[Violation] {
        &self.problem.violations
    }

    fn document(&self, path: &str, request_id: &str) -> ProblemDocument {
        let code = self.problem.code;
        ProblemDocument {
            kind: format!("/errors/{code}"),
            title: title(code),
            status: self.status.as_u16(),
            detail: self.problem.message.clone(),
            code: code.as_str(),
            hint: self.problem.hint.clone(),
            errors: self.problem.violations.clone(),
            instance: path.to_owned(),
            request_id: request_id.to_owned(),
        }
    }

    fn log(&self, request_id: &str) {
        let code = self.problem.code.as_str();
        match &self.cause {
            Some(cause) => {
                let cause = chain(cause.as_ref());
                tracing::error!(code, request_id, cause, "{}", self.problem.message);
            }
            None => tracing::debug!(code, request_id, "refused: {}", self.problem.message),
        }
    }
}

/// `no-kds-root-key` as people write it.
fn title(code: ErrorCode) -> String {
    let text = code.as_str().replace('-', " ");
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// One code, one status; only [`ApiError::with_status`] refines it.
fn status(code: ErrorCode) -> StatusCode {
    use ErrorCode as C;
    match code {
        C::InvalidRequest => StatusCode::BAD_REQUEST,
        C::InvalidManifest | C::DirectoryUnknown => StatusCode::UNPROCESSABLE_ENTITY,
        C::Unauthenticated => StatusCode::UNAUTHORIZED,
        C::Forbidden | C::ApprovalOwn => StatusCode::FORBIDDEN,
        C::NotFound => StatusCode::NOT_FOUND,
        C::IllegalTransition | C::Preempted | C::ApprovalVoid | C::ApprovalExpired | C::AlreadyExists => {
            StatusCode::CONFLICT
        }
        C::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        C::StoreUnavailable | C::WebhookPaused | C::AnnouncementsOff => StatusCode::SERVICE_UNAVAILABLE,
        // The rest is found by workers and shown inside a workflow; none answers a request.
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        Self { status: status(problem.code), problem, cause: None }
    }
}

impl From<Refusal> for ApiError {
    fn from(Refusal { problem, kind }: Refusal) -> Self {
        let status = match kind {
            RefusalKind::Malformed => StatusCode::BAD_REQUEST,
            RefusalKind::Unprocessable => StatusCode::UNPROCESSABLE_ENTITY,
            RefusalKind::Forbidden => StatusCode::FORBIDDEN,
            RefusalKind::NotFound => StatusCode::NOT_FOUND,
            RefusalKind::Conflict => StatusCode::CONFLICT,
        };
        Self { status, problem, cause: None }
    }
}

impl From<RequestError> for ApiError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Refused(refusal) => refusal.into(),
            RequestError::Store(error) => error.into(),
            RequestError::Fault(error) => Self::internal(error),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => Self::new(
                ErrorCode::StoreUnavailable,
                "the database does not answer",
                "try again in some seconds; /readyz and the orchestrator's log say what is wrong",
            )
            .because(error),
            StoreError::Schema { hint, .. } => {
                Self::new(ErrorCode::StoreUnavailable, error.to_string(), hint).because(error)
            }
            StoreError::InvalidCursor => Self::invalid(
                "the cursor is none of this list",
                "pass the `next` of the previous page unchanged and with the same filters, or leave it out",
            ),
            StoreError::IllegalTransition(illegal) => Self::new(
                ErrorCode::IllegalTransition,
                format!("a workflow that is {} does not allow this", illegal.from),
                "look at the workflow as it stands now; /errors/illegal-transition has the table of what is allowed",
            ),
            other => Self::internal(other),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        let headers = response.headers_mut();
        match self.status {
            StatusCode::UNAUTHORIZED => {
                headers
                    .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"farmhand\""));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
            }
            StatusCode::TOO_MANY_REQUESTS => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
            }
            _ => {}
        }
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

/// The layer that gives every refusal its document and logs its cause, once.
pub(crate) async fn write(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let request_id = request.extensions().get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default();
    let mut response = next.run(request).await;
    let Some(error) = response.extensions_mut().remove::<Arc<ApiError>>() else { return response };
    error.log(&request_id);
    // A struct of texts and numbers always serialises; an empty body would still carry the status.
    let body = serde_json::to_vec(&error.document(&path, &request_id)).unwrap_or_default();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    headers.insert(header::CONTENT_LENGTH, body.len().into());
    *response.body_mut() = Body::from(body);
    response
}

pub(crate) async fn no_such_route(uri: Uri) -> ApiError {
    ApiError::not_found(
        format!("there is nothing at {}", uri.path()),
        "/openapi.json lists all routes, /docs shows them for people",
    )
}

pub(crate) async fn no_such_method(method: Method, uri: Uri) -> ApiError {
    ApiError::invalid(
        format!("{} does not take {method}", uri.path()),
        "/openapi.json lists the methods of each route, /docs shows them for people",
    )
    .with_status(StatusCode::METHOD_NOT_ALLOWED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::testing::World;

    #[tokio::test]
    async fn an_unknown_route_or_method_is_a_problem_document() {
        let world = World::new().await;
        let answer = world.get("/nowhere").await;
        assert_eq!((answer.status, answer.code()), (StatusCode::NOT_FOUND, "not-found"));
        assert_eq!(answer.content_type(), MEDIA_TYPE);
        assert_eq!(answer.json["instance"], "/nowhere");
        assert_eq!(answer.json["type"], "/errors/not-found");
        assert_eq!(answer.json["requestId"], answer.header("x-request-id"));

        let answer = world.get_as("viewer", "/api/v1/nowhere").await;
        assert_eq!((answer.status, answer.code()), (StatusCode::NOT_FOUND, "not-found"));
        let answer = world.send_as("viewer", Method::PUT, "/api/v1/whoami").await;
        assert_eq!((answer.status, answer.code()), (StatusCode::METHOD_NOT_ALLOWED, "invalid-request"));
        let answer = world.send(Method::DELETE, "/healthz").await;
        assert_eq!((answer.status, answer.code()), (StatusCode::METHOD_NOT_ALLOWED, "invalid-request"));
    }

    #[tokio::test]
    async fn a_cause_goes_to_the_log_and_never_to_the_caller() {
        let world = World::new().await;
        world.store.close().await;
        let answer = world.get_as("viewer", "/api/v1/workflows").await;
        assert_eq!((answer.status, answer.code()), (StatusCode::SERVICE_UNAVAILABLE, "store-unavailable"));
        assert_eq!(answer.header("retry-after"), "2");
        assert_eq!(answer.json["detail"], "the database does not answer");
        let internal = ApiError::internal("password=hunter2").document("/x", "id");
        assert!(!serde_json::to_string(&internal).expect("serialises").contains("hunter2"));
    }

    #[test]
    fn titles_read_like_sentences() {
        assert_eq!(title(ErrorCode::NoKdsRootKey), "No kds root key");
    }
}
