//! What all requests for work share: the idempotency key and the answer.

use std::sync::Arc;

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::{ErrorCode, Workflow, WorkflowId};
use sha2::{Digest, Sha256};
use store::{IdempotencyKey, NewWorkflow, Submitted};

use super::Api;
use super::auth::Caller;
use super::errors::ApiError;

pub(crate) const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Set when the answer is that of an earlier request with the same key.
const REPLAYED: &str = "idempotency-replayed";
const MAX_KEY: usize = 255;
const MAX_REASON: usize = 1024;

/// The caller's key for this request, if one was sent. `request` is what is asked, in a form that
/// does not depend on how it was written down.
pub(crate) fn idempotency_key(
    headers: &HeaderMap,
    caller: &Caller,
    request: &impl serde::Serialize,
) -> Result<Option<IdempotencyKey>, ApiError> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let visible = |text: &&str| text.bytes().all(|byte| byte.is_ascii_graphic());
    let key = value.to_str().ok().filter(visible).filter(|text| (1..=MAX_KEY).contains(&text.len()));
    let key = key.ok_or_else(|| {
        ApiError::invalid(
            format!("the Idempotency-Key is not 1 to {MAX_KEY} visible ASCII characters"),
            "use a fresh UUID for each new request, and the same one when you repeat it",
        )
    })?;
    let request = serde_json::to_vec(request).map_err(ApiError::internal)?;
    Ok(Some(IdempotencyKey {
        principal: caller.principal.name.clone(),
        key: key.to_owned(),
        request_hash: hex::encode(Sha256::digest(request)),
    }))
}

/// A reason is shown beside the workflow for ever; keep it a sentence.
pub(crate) fn reason(given: Option<String>) -> Result<Option<String>, ApiError> {
    let length = given.as_ref().map_or(0, |text| text.chars().count());
    if length > MAX_REASON {
        let message = format!("the reason has {length} characters, at most {MAX_REASON} are kept");
        return Err(ApiError::invalid(message, "shorten it, or link to a ticket"));
    }
    Ok(given.filter(|text| !text.trim().is_empty()))
}

/// Records the workflow with its event and answers 202.
pub(crate) async fn submit(
    api: &Arc<Api>,
    new: NewWorkflow,
    key: Option<IdempotencyKey>,
) -> Result<Response, ApiError> {
    match api.store.submit(new, key).await? {
        Submitted::New(workflow) => Ok(accepted(&workflow)),
        Submitted::Replayed(workflow) => {
            let mut response = accepted(&workflow);
            response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
            Ok(response)
        }
        Submitted::Conflict(id) => Err(ApiError::new(
            ErrorCode::IdempotencyConflict,
            format!("the Idempotency-Key was used before, for another request, which became workflow {id}"),
            "use a new key for a new request; to repeat the earlier one send exactly what was sent then",
        )),
    }
}

/// 202 with the workflow and where to find it.
pub(crate) fn accepted(workflow: &Workflow) -> Response {
    let mut response = (StatusCode::ACCEPTED, Json(workflow)).into_response();
    if let Ok(value) = HeaderValue::from_str(&location(workflow.id)) {
        response.headers_mut().insert(header::LOCATION, value);
    }
    response
}

fn location(id: WorkflowId) -> String {
    format!("/api/v1/workflows/{id}")
}
