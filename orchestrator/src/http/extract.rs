//! axum's extractors with our refusals.

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::{HeaderMap, StatusCode, header};
use domain::{ErrorCode, Problem, Violation};
use serde::de::DeserializeOwned;

use super::errors::ApiError;

#[derive(Debug, FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(ApiError))]
pub(crate) struct Query<T>(pub(crate) T);

#[derive(Debug, FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(ApiError))]
pub(crate) struct InPath<T>(pub(crate) T);

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
        Ok(Self(
            parse_json(&bytes)
                .map_err(|violation| malformed(ErrorCode::InvalidRequest, "body", violation))?,
        ))
    }
}

/// Reads JSON; what is wrong is named by its path in the document and its line.
pub(crate) fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Violation> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        form_violation(path, error.into_inner().to_string())
    })?;
    json.end().map_err(|error| form_violation(".".to_owned(), error.to_string()))?;
    Ok(value)
}

/// An unknown key is told apart, since it is what people mistype.
pub(crate) fn form_violation(path: String, message: String) -> Violation {
    let rule = if message.contains("unknown field") { "unknown-key" } else { "form" };
    let field = if path == "." { "(document)".to_owned() } else { path };
    Violation::new(field, rule, message)
}

pub(crate) fn malformed(code: ErrorCode, what: &str, violation: Violation) -> ApiError {
    let message = format!("the {what} is not understood at {}: {}", violation.field, violation.message);
    let hint = format!("correct the {what} and send it again; nothing was written");
    Problem::new(code, message, hint).with_violations(vec![violation]).into()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[expect(dead_code, reason = "only its form matters")]
        name: String,
    }

    #[test]
    fn what_is_wrong_is_named_by_path_and_line() {
        let wrong = parse_json::<Vec<Sample>>(b"[{\"name\": \"a\"},\n{\"name\": 3}]").expect_err("a number");
        assert_eq!((wrong.field.as_str(), wrong.rule.as_str()), ("[1].name", "form"));
        assert!(wrong.message.contains("line 2"), "{}", wrong.message);

        let wrong = parse_json::<Sample>(b"{\"nam\": \"a\"}").expect_err("a typo");
        assert_eq!((wrong.field.as_str(), wrong.rule.as_str()), ("nam", "unknown-key"));

        let wrong = parse_json::<Sample>(b"{\"name\": \"a\"} x").expect_err("more after the end");
        assert_eq!(wrong.field, "(document)");
    }
}
