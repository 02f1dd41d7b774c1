//! `/webhooks`: whom we tell of events, and who tells us.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::webhook::{Direction, WebhookManifest};
use domain::{DeliveryId, DeliveryState, ErrorCode, Role, WebhookName};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use store::{Delivery, Page, Webhook};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::auth::Caller;
use super::errors::ApiError;
use super::extract::{Body, InPath, Query};
use super::schedules::PauseBody;
use super::submit::IDEMPOTENCY_KEY;
use super::{Api, page, schema, submit};
use crate::webhooks::receive::{MAX_BODY, Proof, ReceiveError};

const TIMESTAMP: &str = "x-farmhand-timestamp";
const SIGNATURE: &str = "x-farmhand-signature";
const GITHUB_SIGNATURE: &str = "x-hub-signature-256";

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Only of this direction: in or out.
    #[param(value_type = Option<String>)]
    direction: Option<Direction>,
    /// Items on a page: 1 to 200.
    #[param(default = 50, minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// `next` of the previous page.
    cursor: Option<String>,
}

/// Lists webhooks, by name, without their secrets. Role: admin.
#[utoipa::path(
    get, path = "/webhooks", tag = "webhooks", params(ListQuery),
    responses((status = 200, description = "A page of webhooks", body = schema::WebhookPage)),
)]
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Webhook>>, ApiError> {
    caller.require(Role::Admin)?;
    let limit = page::limit(query.limit)?;
    Ok(Json(api.store.webhooks(query.direction, query.cursor.as_deref(), limit).await?))
}

/// The answer to a creation, and the only place where a secret is ever shown.
#[derive(Serialize)]
struct CreatedWebhook<'a> {
    #[serde(flatten)]
    webhook: &'a Webhook,
    secret: &'a str,
}

/// Makes a webhook. The secret is shown in this answer and never again. Role: admin.
#[utoipa::path(
    post, path = "/webhooks", tag = "webhooks", request_body = schema::WebhookManifest,
    responses((status = 201, description = "The webhook with its secret", body = schema::CreatedWebhook)),
)]
pub(crate) async fn create(
    State(api): State<Arc<Api>>,
    caller: Caller,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, ApiError> {
    caller.require(Role::Admin)?;
    let manifest: WebhookManifest = submit::json(&headers, &body)?;
    let (webhook, secret) = api.webhooks().create(manifest, &caller.principal).await?;
    let location = format!("/api/v1/webhooks/{}", webhook.spec.name);
    let created = CreatedWebhook { webhook: &webhook, secret: secret.expose_secret() };
    let headers = [(header::CACHE_CONTROL, "no-store".to_owned()), (header::LOCATION, location)];
    Ok((StatusCode::CREATED, headers, Json(created)).into_response())
}

/// Shows a webhook, without its secret. Role: admin.
#[utoipa::path(
    get, path = "/webhooks/{name}", tag = "webhooks",
    params(("name" = String, Path, description = "The webhook's name, in any case")),
    responses((status = 200, description = "The webhook", body = schema::Webhook)),
)]
pub(crate) async fn show(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(name): InPath<WebhookName>,
) -> Result<Json<Webhook>, ApiError> {
    caller.require(Role::Admin)?;
    Ok(Json(api.webhooks().find(&name).await?))
}

/// Deletes a webhook, with its secret and everything that was to be sent. Role: admin.
#[utoipa::path(
    delete, path = "/webhooks/{name}", tag = "webhooks",
    params(("name" = String, Path, description = "The webhook's name, in any case")),
    responses((status = 204, description = "Deleted")),
)]
pub(crate) async fn delete(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(name): InPath<WebhookName>,
) -> Result<StatusCode, ApiError> {
    caller.require(Role::Admin)?;
    let webhook = api.webhooks().find(&name).await?;
    api.store.delete_webhook(webhook.id).await?;
    tracing::info!(webhook = %webhook.spec.name, by = caller.principal.name, "a webhook was deleted");
    Ok(StatusCode::NO_CONTENT)
}

/// Pauses a webhook: nothing is sent, or nothing is taken, until it is resumed.
///
/// What was to be sent before waits; what happens meanwhile is not sent. Role: admin.
#[utoipa::path(
    post, path = "/webhooks/{name}/pause", tag = "webhooks",
    params(("name" = String, Path, description = "The webhook's name, in any case")),
    request_body = Option<PauseBody>,
    responses((status = 200, description = "As it is now", body = schema::Webhook)),
)]
pub(crate) async fn pause(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(name): InPath<WebhookName>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Json<Webhook>, ApiError> {
    caller.require(Role::Admin)?;
    let PauseBody { reason } = submit::json(&headers, &body)?;
    Ok(Json(api.webhooks().pause(&name, reason, &caller.principal).await?))
}

/// Resumes a webhook. Role: admin.
#[utoipa::path(
    post, path = "/webhooks/{name}/resume", tag = "webhooks",
    params(("name" = String, Path, description = "The webhook's name, in any case")),
    responses((status = 200, description = "As it is now", body = schema::Webhook)),
)]
pub(crate) async fn resume(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(name): InPath<WebhookName>,
) -> Result<Json<Webhook>, ApiError> {
    caller.require(Role::Admin)?;
    Ok(Json(api.webhooks().resume(&name).await?))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DeliveriesQuery {
    /// Only in this state: pending, delivered or given-up.
    #[param(value_type = Option<String>)]
    state: Option<DeliveryState>,
    /// Items on a page: 1 to 200.
    #[param(default = 50, minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// `next` of the previous page.
    cursor: Option<String>,
}

/// Shows what was sent to a webhook, with each attempt, the latest first. Role: admin.
#[utoipa::path(
    get, path = "/webhooks/{name}/deliveries", tag = "webhooks",
    params(("name" = String, Path, description = "The webhook's name, in any case"), DeliveriesQuery),
    responses((status = 200, description = "A page of deliveries", body = schema::DeliveryPage)),
)]
pub(crate) async fn deliveries(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(name): InPath<WebhookName>,
    Query(query): Query<DeliveriesQuery>,
) -> Result<Json<Page<Delivery>>, ApiError> {
    caller.require(Role::Admin)?;
    let limit = page::limit(query.limit)?;
    let webhook = api.webhooks().find_out(&name).await?;
    Ok(Json(api.store.deliveries(webhook.id, query.state, query.cursor.as_deref(), limit).await?))
}

/// What is sent.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Sending {
    #[schema(value_type = String)]
    delivery: DeliveryId,
}

/// Sends a delivery again, whatever became of it. Role: admin.
#[utoipa::path(
    post, path = "/webhooks/{name}/deliveries/{id}/redeliver", tag = "webhooks",
    params(
        ("name" = String, Path, description = "The webhook's name, in any case"),
        ("id" = String, Path, description = "The delivery's id"),
    ),
    responses((status = 202, description = "It is sent; the log shows how it goes", body = Sending)),
)]
pub(crate) async fn redeliver(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath((name, delivery)): InPath<(WebhookName, DeliveryId)>,
) -> Result<Response, ApiError> {
    caller.require(Role::Admin)?;
    api.webhooks().redeliver(&name, delivery).await?;
    Ok((StatusCode::ACCEPTED, Json(Sending { delivery })).into_response())
}

/// Sends an event of type `farmhand.ping.v1`, to see whether it arrives. Role: admin.
#[utoipa::path(
    post, path = "/webhooks/{name}/ping", tag = "webhooks",
    params(("name" = String, Path, description = "The webhook's name, in any case")),
    responses((status = 202, description = "It is sent; the log shows how it goes", body = Sending)),
)]
pub(crate) async fn ping(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(name): InPath<WebhookName>,
) -> Result<Response, ApiError> {
    caller.require(Role::Admin)?;
    let delivery = api.webhooks().ping(&name, &caller.principal).await?;
    Ok((StatusCode::ACCEPTED, Json(Sending { delivery })).into_response())
}

/// What a call of a webhook takes in its head.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "read by the IntoParams derive, never built")]
pub(crate) struct CallHeaders {
    /// For `auth: hmac`: `v1=` and the HMAC-SHA256 of `TIMESTAMP.BODY` in hexadecimal
    #[param(rename = "X-Farmhand-Signature")]
    signature: Option<String>,
    /// For `auth: hmac`: seconds since 1970, at most 5 minutes off
    #[param(rename = "X-Farmhand-Timestamp")]
    timestamp: Option<String>,
    /// For `auth: github`: `sha256=` and the HMAC-SHA256 of the body in hexadecimal
    #[param(rename = "X-Hub-Signature-256")]
    github_signature: Option<String>,
    /// The same key is the same call, however often it is sent
    #[param(rename = "Idempotency-Key")]
    idempotency_key: Option<String>,
}

/// A call that was taken.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Call {
    /// Id of the event that it is announced as.
    #[schema(value_type = String)]
    event: Uuid,
    /// It was taken before; nothing is announced again.
    replayed: bool,
}

/// Calls a webhook: its body is announced as an event of type `farmhand.event.webhook-received.v1`.
///
/// For other systems, who prove that they know the webhook's secret: `Authorization: Bearer SECRET`, or
/// a signature of the body. JSON of at most 64 KiB.
#[utoipa::path(
    post, path = "/webhooks/{name}", tag = "webhooks",
    params(("name" = String, Path, description = "The webhook's name, in any case"), CallHeaders),
    request_body(content = Object, description = "Any JSON", content_type = "application/json"),
    responses((status = 202, description = "Taken", body = Call)),
)]
pub(crate) async fn receive(
    State(api): State<Arc<Api>>,
    InPath(name): InPath<String>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, ApiError> {
    let taken = api.receiver().receive(&name, &proof(&headers), &body).await?;
    let call = Call { event: taken.event, replayed: taken.replayed };
    Ok((StatusCode::ACCEPTED, Json(call)).into_response())
}

fn proof(headers: &HeaderMap) -> Proof {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let bearer = text(header::AUTHORIZATION.as_str());
    let bearer = bearer.as_deref().and_then(|text| {
        let (scheme, secret) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| SecretString::from(secret.trim()))
    });
    Proof {
        bearer,
        signature: text(SIGNATURE).unwrap_or_default(),
        timestamp: text(TIMESTAMP).unwrap_or_default(),
        github_signature: text(GITHUB_SIGNATURE).unwrap_or_default(),
        // A value that is no text is no key of ours either: it is refused with the others.
        idempotency_key: headers
            .get(IDEMPOTENCY_KEY)
            .map(|value| value.to_str().unwrap_or_default().to_owned()),
    }
}

impl From<ReceiveError> for ApiError {
    fn from(error: ReceiveError) -> Self {
        match error {
            ReceiveError::TooLarge => Self::invalid(
                format!("the body is larger than {MAX_BODY} bytes"),
                "send what a rule needs, and where to find the rest",
            )
            .with_status(StatusCode::PAYLOAD_TOO_LARGE),
            // Unknown and wrong are not told apart.
            ReceiveError::Unauthenticated => Self::new(
                ErrorCode::Unauthenticated,
                "there is no such webhook, or the call does not prove that it knows the webhook's secret",
                "docs/webhooks.md says how to sign; a clock that is off by more than 5 minutes spoils a signature",
            ),
            ReceiveError::Refused(problem) => problem.into(),
            ReceiveError::Store(error) => error.into(),
        }
    }
}

#[cfg(test)]
#[path = "webhooks_tests.rs"]
mod tests;
