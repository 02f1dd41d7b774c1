//! `/schedules`: what is asked for by itself.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, SecondsFormat, Utc};
use domain::schedule::{FireOutcome, ScheduleManifest, ScheduleState};
use domain::{Role, ScheduleName};
use serde::{Deserialize, Serialize};
use store::{Fire, Page, Schedule};
use utoipa::{IntoParams, ToSchema};

use super::auth::Caller;
use super::errors::ApiError;
use super::extract::{Body, InPath, Query};
use super::{Api, page, schema, submit};

const MAX_PREVIEW: usize = 200;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Only in this state: enabled, paused or ended.
    #[param(value_type = Option<String>)]
    state: Option<ScheduleState>,
    /// Items on a page: 1 to 200.
    #[param(default = 50, minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// `next` of the previous page.
    cursor: Option<String>,
}

/// Lists schedules, by name.
#[utoipa::path(
    get, path = "/schedules", tag = "schedules", params(ListQuery),
    responses((status = 200, description = "A page of schedules", body = schema::SchedulePage)),
)]
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Schedule>>, ApiError> {
    let limit = page::limit(query.limit)?;
    Ok(Json(api.store.schedules(query.state, query.cursor.as_deref(), limit).await?))
}

/// Makes a schedule.
///
/// What it asks for is judged as if it were asked for now: one that could never work is refused.
/// Its runs are asked for as `schedule:NAME` with the caller's roles. Role: operator, and what its
/// kind needs.
#[utoipa::path(
    post, path = "/schedules", tag = "schedules", request_body = schema::ScheduleManifest,
    responses((status = 201, description = "Made; `Location` names it", body = schema::Schedule)),
)]
pub(crate) async fn create(
    State(api): State<Arc<Api>>,
    caller: Caller,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, ApiError> {
    caller.require(Role::Operator)?;
    let manifest: ScheduleManifest = submit::json(&headers, &body)?;
    let schedule = api.schedules().create(&manifest, &caller.principal).await?;
    let location = format!("/api/v1/schedules/{}", schedule.spec.name);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(schedule)).into_response())
}

/// Shows a schedule.
#[utoipa::path(
    get, path = "/schedules/{name}", tag = "schedules",
    params(("name" = String, Path, description = "The schedule's name, in any case")),
    responses((status = 200, description = "The schedule", body = schema::Schedule)),
)]
pub(crate) async fn show(
    State(api): State<Arc<Api>>,
    InPath(name): InPath<ScheduleName>,
) -> Result<Json<Schedule>, ApiError> {
    Ok(Json(api.schedules().find(&name).await?))
}

/// Puts another definition in a schedule's place.
///
/// It is the caller's from then on. Where its times change, it is due by the new ones from now on; a
/// pause goes on. Role: operator, and what its kind needs.
#[utoipa::path(
    put, path = "/schedules/{name}", tag = "schedules",
    params(("name" = String, Path, description = "The schedule's name, in any case")),
    request_body = schema::ScheduleManifest,
    responses((status = 200, description = "As it is now", body = schema::Schedule)),
)]
pub(crate) async fn replace(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(name): InPath<ScheduleName>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Json<Schedule>, ApiError> {
    caller.require(Role::Operator)?;
    let manifest: ScheduleManifest = submit::json(&headers, &body)?;
    Ok(Json(api.schedules().replace(&name, &manifest, &caller.principal).await?))
}

/// Deletes a schedule; what it has asked for goes on. Role: operator.
#[utoipa::path(
    delete, path = "/schedules/{name}", tag = "schedules",
    params(("name" = String, Path, description = "The schedule's name, in any case")),
    responses((status = 204, description = "Deleted")),
)]
pub(crate) async fn delete(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(name): InPath<ScheduleName>,
) -> Result<StatusCode, ApiError> {
    caller.require(Role::Operator)?;
    let schedule = api.schedules().find(&name).await?;
    api.store.delete_schedule(schedule.id, api.clock.now()).await?;
    tracing::info!(schedule = %schedule.spec.name, by = caller.principal.name, "a schedule was deleted");
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PauseBody {
    /// Why, in words; shown beside what is paused, for a schedule also with each due time that is passed over.
    pub(crate) reason: Option<String>,
}

/// Pauses a schedule: its due times are recorded and passed over. Role: operator.
#[utoipa::path(
    post, path = "/schedules/{name}/pause", tag = "schedules",
    params(("name" = String, Path, description = "The schedule's name, in any case")),
    request_body = Option<PauseBody>,
    responses((status = 200, description = "As it is now", body = schema::Schedule)),
)]
pub(crate) async fn pause(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(name): InPath<ScheduleName>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Json<Schedule>, ApiError> {
    caller.require(Role::Operator)?;
    let PauseBody { reason } = submit::json(&headers, &body)?;
    Ok(Json(api.schedules().pause(&name, reason, &caller.principal).await?))
}

/// Resumes a schedule; due times of the pause are not made up for. Role: operator.
#[utoipa::path(
    post, path = "/schedules/{name}/resume", tag = "schedules",
    params(("name" = String, Path, description = "The schedule's name, in any case")),
    responses((status = 200, description = "As it is now", body = schema::Schedule)),
)]
pub(crate) async fn resume(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(name): InPath<ScheduleName>,
) -> Result<Json<Schedule>, ApiError> {
    caller.require(Role::Operator)?;
    Ok(Json(api.schedules().resume(&name).await?))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct PreviewQuery {
    /// How many: 1 to 200.
    #[param(default = 10, minimum = 1, maximum = 200)]
    count: Option<usize>,
    /// Due times after this moment (RFC 3339); left out: from now on.
    #[param(value_type = Option<String>)]
    from: Option<DateTime<Utc>>,
    /// With the next change of the zone's clocks in their middle.
    #[serde(default)]
    around_change: bool,
}

/// A due time to come.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Preview {
    due: DateTime<Utc>,
    /// As the clocks of the schedule's zone show it, with their offset from UTC.
    local: String,
    /// With its jitter.
    fire_at: DateTime<Utc>,
    /// What a change of the clocks does to it.
    remark: Option<&'static str>,
}

/// Shows the due times to come.
#[utoipa::path(
    get, path = "/schedules/{name}/preview", tag = "schedules",
    params(("name" = String, Path, description = "The schedule's name, in any case"), PreviewQuery),
    responses((status = 200, description = "Due times, in order", body = schema::PreviewPage)),
)]
pub(crate) async fn preview(
    State(api): State<Arc<Api>>,
    InPath(name): InPath<ScheduleName>,
    Query(query): Query<PreviewQuery>,
) -> Result<Json<Page<Preview>>, ApiError> {
    let count = query.count.unwrap_or(10);
    if !(1..=MAX_PREVIEW).contains(&count) {
        let message = format!("count is {count}, allowed is 1 to {MAX_PREVIEW}");
        return Err(ApiError::invalid(message, "ask for fewer, and go on with `from`"));
    }
    let schedule = api.schedules().find(&name).await?;
    let timing = &schedule.spec.timing;
    let from = query.from.unwrap_or_else(|| api.clock.now());
    let due = match query.around_change {
        true => timing.around_change(from, count),
        false => timing.upcoming(from).take(count).collect(),
    };
    let shown = |due: DateTime<Utc>| Preview {
        due,
        local: due.with_timezone(&timing.timezone).to_rfc3339_opts(SecondsFormat::Secs, false),
        fire_at: timing.moment(schedule.id, due),
        remark: timing.remark(due),
    };
    Ok(Json(Page { items: due.into_iter().map(shown).collect(), next: None }))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct FiresQuery {
    /// Only with this outcome: fired, queued, skipped or missed.
    #[param(value_type = Option<String>)]
    outcome: Option<FireOutcome>,
    /// Items on a page: 1 to 200.
    #[param(default = 50, minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// `next` of the previous page.
    cursor: Option<String>,
}

/// Shows what became of each due time, the latest first.
#[utoipa::path(
    get, path = "/schedules/{name}/fires", tag = "schedules",
    params(("name" = String, Path, description = "The schedule's name, in any case"), FiresQuery),
    responses((status = 200, description = "A page of due times", body = schema::FirePage)),
)]
pub(crate) async fn fires(
    State(api): State<Arc<Api>>,
    InPath(name): InPath<ScheduleName>,
    Query(query): Query<FiresQuery>,
) -> Result<Json<Page<Fire>>, ApiError> {
    let limit = page::limit(query.limit)?;
    let schedule = api.schedules().find(&name).await?;
    Ok(Json(api.store.schedule_fires(schedule.id, query.outcome, query.cursor.as_deref(), limit).await?))
}

#[cfg(test)]
#[path = "schedules_tests.rs"]
mod tests;
