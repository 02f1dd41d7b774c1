//! What all routes that ask for work share: how it is asked, and the answer.

use axum::Json;
use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::{DirectoryName, Workflow, WorkflowId};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use super::Api;
use super::auth::Caller;
use super::errors::ApiError;
use super::extract;
use crate::requests::{self, Ask, Request};

pub(crate) const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Set when the answer is that of an earlier request with the same key.
const REPLAYED: &str = "idempotency-replayed";

/// For routes whose body says which directory is meant.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AskQuery {
    /// A dry run: the workflow ends with the exact directory changes and writes nothing.
    #[serde(default)]
    plan: bool,
    /// Why, in words; kept with the workflow.
    reason: Option<String>,
}

/// For routes whose path names a farm.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AskFarmQuery {
    /// The farm's directory; left out: `default`.
    #[param(value_type = Option<String>)]
    pub(crate) directory: Option<DirectoryName>,
    /// A dry run: the workflow ends with the exact directory changes and writes nothing.
    #[serde(default)]
    plan: bool,
    /// Why, in words; kept with the workflow.
    reason: Option<String>,
}

/// What every route that asks for work takes in its head.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "read by the IntoParams derive, never built")]
pub(crate) struct AskHeaders {
    /// The same key with the same request gives the same workflow, however often it is sent
    #[param(rename = "Idempotency-Key")]
    idempotency_key: Option<String>,
}

impl From<AskFarmQuery> for AskQuery {
    fn from(AskFarmQuery { plan, reason, .. }: AskFarmQuery) -> Self {
        Self { plan, reason }
    }
}

/// Records what is asked and answers 202 with the workflow.
pub(crate) async fn submit(
    api: &Api,
    caller: &Caller,
    headers: &HeaderMap,
    query: impl Into<AskQuery>,
    request: &Request,
) -> Result<Response, ApiError> {
    let AskQuery { plan, reason } = query.into();
    // A value that is no text is no key of ours either: it is refused with the others.
    let key = headers.get(IDEMPOTENCY_KEY).map(|value| value.to_str().unwrap_or_default().to_owned());
    let ask = Ask { plan, reason, idempotency_key: key, traceparent: None };
    let taken = api.requests.submit(request, ask, &caller.principal).await?;
    let mut response = accepted(&taken.workflow);
    if taken.replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// A JSON body that is read after the caller's role was looked at; none at all is an empty one.
pub(crate) fn json<T: DeserializeOwned>(headers: &HeaderMap, body: &Bytes) -> Result<T, ApiError> {
    let found = extract::media_type(headers);
    if found != "application/json" && !(found.is_empty() && body.is_empty()) {
        return Err(extract::unsupported_media_type(&found, "application/json"));
    }
    Ok(requests::body(body)?)
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
