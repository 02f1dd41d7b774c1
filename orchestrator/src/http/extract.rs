//! axum's extractors with our refusals.

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::{HeaderMap, StatusCode, header};
use domain::{DirectoryName, ErrorCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use super::errors::ApiError;
use crate::requests::{self, form};

#[derive(Debug, FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(ApiError))]
pub(crate) struct Query<T>(pub(crate) T);

#[derive(Debug, FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(ApiError))]
pub(crate) struct InPath<T>(pub(crate) T);

/// Which directory the thing in the path belongs to.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct OfDirectory {
    /// Its directory.
    #[serde(default)]
    #[param(value_type = Option<String>, default = "default")]
    pub(crate) directory: DirectoryName,
}

/// The body, at most [`super::MAX_BODY`] bytes.
#[derive(Debug)]
pub(crate) struct Body(pub(crate) Bytes);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        Ok(Self(Bytes::from_request(request, state).await?))
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::invalid(
            format!("the query is not understood: {}", said(&rejection)),
            "/openapi.json lists the parameters of each route",
        )
    }
}

impl From<PathRejection> for ApiError {
    fn from(rejection: PathRejection) -> Self {
        Self::invalid(
            format!("the path is not understood: {}", said(&rejection)),
            "an id is a UUID as it stands in a list; a name is written as in its manifest",
        )
    }
}

impl From<BytesRejection> for ApiError {
    fn from(rejection: BytesRejection) -> Self {
        let status = rejection.status();
        let hint = match status {
            StatusCode::PAYLOAD_TOO_LARGE => "a body has at most 1 MiB",
            _ => "the connection broke while the body was sent: send it again",
        };
        Self::invalid("the body could not be read", hint).with_status(status)
    }
}

/// The innermost text of a rejection: the outer ones only say that deserialising failed.
fn said(rejection: &(dyn std::error::Error + 'static)) -> String {
    let mut error = rejection;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// The media type of the body, without parameters, in lower case; empty when none was sent.
pub(crate) fn media_type(headers: &HeaderMap) -> String {
    let text = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

pub(crate) fn unsupported_media_type(found: &str, wanted: &str) -> ApiError {
    let found = if found.is_empty() { "no content-type" } else { found };
    ApiError::invalid(
        format!("the body is sent with {found}, this route takes {wanted}"),
        format!("set the Content-Type header to {wanted}"),
    )
    .with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE)
}

/// A JSON body.
#[derive(Debug)]
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let found = media_type(request.headers());
        if found != "application/json" {
            return Err(unsupported_media_type(&found, "application/json"));
        }
        let Body(bytes) = Body::from_request(request, state).await?;
        let parsed = form::parse_json(&bytes);
        Ok(Self(
            parsed.map_err(|violation| requests::malformed(ErrorCode::InvalidRequest, "body", violation))?,
        ))
    }
}
