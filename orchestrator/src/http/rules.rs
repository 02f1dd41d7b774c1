//! `/rules`: what is asked for when something was heard.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::rule::{RuleEvent, RuleManifest, RuleState};
use domain::{FiringOutcome, Role, RuleName};
use messages::CloudEvent;
use serde::Deserialize;
use serde_json::{Map, Value};
use store::{Firing, Page, Rule};
use utoipa::{IntoParams, ToSchema};

use super::auth::Caller;
use super::errors::ApiError;
use super::extract::{Body, InPath, Query};
use super::schedules::PauseBody;
use super::{Api, page, schema, submit};
use crate::reactions::RuleTest;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Only in this state: enabled or paused.
    #[param(value_type = Option<String>)]
    state: Option<RuleState>,
    /// Items on a page: 1 to 200.
    #[param(default = 50, minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// `next` of the previous page.
    cursor: Option<String>,
}

/// Lists rules, by name.
#[utoipa::path(
    get, path = "/rules", tag = "rules", params(ListQuery),
    responses((status = 200, description = "A page of rules", body = schema::RulePage)),
)]
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Rule>>, ApiError> {
    let limit = page::limit(query.limit)?;
    Ok(Json(api.store.rules(query.state, query.cursor.as_deref(), limit).await?))
}

/// Makes a rule.
///
/// Its condition and its templates are compiled, and what it asks for is judged as far as they let
/// see: one that could never work is refused. Its runs are asked for as `rule:NAME` with the caller's
/// roles. Role: operator, and what its kind needs.
#[utoipa::path(
    post, path = "/rules", tag = "rules", request_body = schema::RuleManifest,
    responses((status = 201, description = "Made; `Location` names it", body = schema::Rule)),
)]
pub(crate) async fn create(
    State(api): State<Arc<Api>>,
    caller: Caller,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, ApiError> {
    caller.require(Role::Operator)?;
    let manifest: RuleManifest = submit::json(&headers, &body)?;
    let rule = api.rules().create(&manifest, &caller.principal).await?;
    let location = format!("/api/v1/rules/{}", rule.spec.name);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(rule)).into_response())
}

/// Shows a rule.
#[utoipa::path(
    get, path = "/rules/{name}", tag = "rules",
    params(("name" = String, Path, description = "The rule's name, in any case")),
    responses((status = 200, description = "The rule", body = schema::Rule)),
)]
pub(crate) async fn show(
    State(api): State<Arc<Api>>,
    InPath(name): InPath<RuleName>,
) -> Result<Json<Rule>, ApiError> {
    Ok(Json(api.rules().find(&name).await?))
}

/// Puts another definition in a rule's place.
///
/// It is the caller's from then on; a pause goes on. Role: operator, and what its kind needs.
#[utoipa::path(
    put, path = "/rules/{name}", tag = "rules",
    params(("name" = String, Path, description = "The rule's name, in any case")),
    request_body = schema::RuleManifest,
    responses((status = 200, description = "As it is now", body = schema::Rule)),
)]
pub(crate) async fn replace(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(name): InPath<RuleName>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Json<Rule>, ApiError> {
    caller.require(Role::Operator)?;
    let manifest: RuleManifest = submit::json(&headers, &body)?;
    Ok(Json(api.rules().replace(&name, &manifest, &caller.principal).await?))
}

/// Deletes a rule; what it has asked for goes on. Role: operator.
#[utoipa::path(
    delete, path = "/rules/{name}", tag = "rules",
    params(("name" = String, Path, description = "The rule's name, in any case")),
    responses((status = 204, description = "Deleted")),
)]
pub(crate) async fn delete(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(name): InPath<RuleName>,
) -> Result<StatusCode, ApiError> {
    caller.require(Role::Operator)?;
    let rule = api.rules().find(&name).await?;
    api.store.delete_rule(rule.id).await?;
    tracing::info!(rule = %rule.spec.name, by = caller.principal.name, "a rule was deleted");
    Ok(StatusCode::NO_CONTENT)
}

/// Pauses a rule: it hears nothing until it is resumed. Role: operator.
#[utoipa::path(
    post, path = "/rules/{name}/pause", tag = "rules",
    params(("name" = String, Path, description = "The rule's name, in any case")),
    request_body = Option<PauseBody>,
    responses((status = 200, description = "As it is now", body = schema::Rule)),
)]
pub(crate) async fn pause(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(name): InPath<RuleName>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Json<Rule>, ApiError> {
    caller.require(Role::Operator)?;
    let PauseBody { reason } = submit::json(&headers, &body)?;
    Ok(Json(api.rules().pause(&name, reason, &caller.principal).await?))
}

/// Resumes a rule; events of the pause are not made up for. Role: operator.
#[utoipa::path(
    post, path = "/rules/{name}/resume", tag = "rules",
    params(("name" = String, Path, description = "The rule's name, in any case")),
    responses((status = 200, description = "As it is now", body = schema::Rule)),
)]
pub(crate) async fn resume(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(name): InPath<RuleName>,
) -> Result<Json<Rule>, ApiError> {
    caller.require(Role::Operator)?;
    Ok(Json(api.rules().resume(&name).await?))
}

/// An event, to see what a rule makes of it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TestBody {
    /// A CloudEvent; `specversion`, `id` and `source` can be left out.
    #[schema(value_type = Object)]
    event: Map<String, Value>,
    /// The broker's user who published it; left out: Farmhand itself.
    #[serde(default)]
    publisher: Option<String>,
}

/// Tests a rule with an event: what would be asked for, and what would be recorded. Nothing is.
/// Role: operator.
#[utoipa::path(
    post, path = "/rules/{name}/test", tag = "rules",
    params(("name" = String, Path, description = "The rule's name, in any case")),
    request_body = TestBody,
    responses((status = 200, description = "What would become of the event", body = RuleTest)),
)]
pub(crate) async fn test(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(name): InPath<RuleName>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Json<RuleTest>, ApiError> {
    caller.require(Role::Operator)?;
    let TestBody { mut event, publisher } = submit::json(&headers, &body)?;
    for (attribute, value) in [("specversion", "1.0"), ("id", "test"), ("source", "/test")] {
        event.entry(attribute).or_insert_with(|| Value::from(value));
    }
    let bytes = serde_json::to_vec(&event).map_err(ApiError::internal)?;
    let event = CloudEvent::parse(&bytes).map_err(|error| {
        ApiError::invalid(
            format!("event is no CloudEvent: {error}"),
            "give at least its type, and its data; docs/rules.md has examples",
        )
    })?;
    let CloudEvent { id, source, kind, subject, time, data, .. } = event;
    let own = publisher.is_none();
    let event = RuleEvent { id, source, kind, subject, time, own, publisher, data };
    Ok(Json(api.rules().test(&name, &event).await?))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct FiringsQuery {
    /// Only with this outcome: fired, dry-run, deduplicated, rate-limited, refused or failed.
    #[param(value_type = Option<String>)]
    outcome: Option<FiringOutcome>,
    /// Items on a page: 1 to 200.
    #[param(default = 50, minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// `next` of the previous page.
    cursor: Option<String>,
}

/// Shows what became of each event that the rule was for, the latest first.
#[utoipa::path(
    get, path = "/rules/{name}/firings", tag = "rules",
    params(("name" = String, Path, description = "The rule's name, in any case"), FiringsQuery),
    responses((status = 200, description = "A page of events", body = schema::FiringPage)),
)]
pub(crate) async fn firings(
    State(api): State<Arc<Api>>,
    InPath(name): InPath<RuleName>,
    Query(query): Query<FiringsQuery>,
) -> Result<Json<Page<Firing>>, ApiError> {
    let limit = page::limit(query.limit)?;
    let rule = api.rules().find(&name).await?;
    Ok(Json(api.store.rule_firings(rule.id, query.outcome, query.cursor.as_deref(), limit).await?))
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
