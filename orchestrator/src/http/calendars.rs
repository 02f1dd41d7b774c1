//! `/calendars`: freezes and maintenance windows.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::calendar::CalendarManifest;
use domain::{CalendarName, ErrorCode, Role};
use store::{CalendarRecord, Page};

use super::auth::Caller;
use super::errors::ApiError;
use super::extract::{Body, InPath};
use super::{Api, schema, submit};

/// Lists calendars.
#[utoipa::path(
    get, path = "/calendars", tag = "calendars",
    responses((status = 200, description = "All calendars, by name", body = schema::CalendarPage)),
)]
pub(crate) async fn list(State(api): State<Arc<Api>>) -> Result<Json<Page<CalendarRecord>>, ApiError> {
    Ok(Json(Page { items: api.store.calendars().await?, next: None }))
}

/// Makes a calendar.
///
/// From now on what it covers waits before it writes anything; what has begun to write goes on, and
/// containment is never held back. Role: admin.
#[utoipa::path(
    post, path = "/calendars", tag = "calendars", request_body = schema::CalendarManifest,
    responses((status = 201, description = "The calendar", body = schema::Calendar)),
)]
pub(crate) async fn create(
    State(api): State<Arc<Api>>,
    caller: Caller,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, ApiError> {
    caller.require(Role::Admin)?;
    let manifest: CalendarManifest = submit::json(&headers, &body)?;
    let now = api.clock.now();
    let calendar = manifest.validate(now)?;
    let record = CalendarRecord { calendar, created_by: caller.principal.name.clone(), created_at: now };
    if api.store.create_calendar(&record).await? {
        tracing::info!(calendar = %record.calendar.name, by = record.created_by, "a calendar was made");
        return Ok((StatusCode::CREATED, Json(record)).into_response());
    }
    let name = &record.calendar.name;
    Err(ApiError::new(
        ErrorCode::AlreadyExists,
        format!("there is a calendar {name} already"),
        format!("choose another name, or delete it first with `farmhand calendar delete {name}`"),
    ))
}

/// Deletes a calendar; what waits for it is judged again by the others. Role: admin.
#[utoipa::path(
    delete, path = "/calendars/{name}", tag = "calendars",
    params(("name" = String, Path, description = "The calendar's name, in any case")),
    responses((status = 204, description = "Deleted")),
)]
pub(crate) async fn delete(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(name): InPath<CalendarName>,
) -> Result<StatusCode, ApiError> {
    caller.require(Role::Admin)?;
    if api.store.delete_calendar(&name, api.clock.now()).await? {
        tracing::info!(calendar = %name, by = caller.principal.name, "a calendar was deleted");
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(ApiError::not_found(
        format!("there is no calendar {name}"),
        "`farmhand calendar list` (GET /api/v1/calendars) shows all",
    ))
}

#[cfg(test)]
mod tests {
    use axum::http::{Method, StatusCode};
    use domain::Clock;
    use serde_json::json;

    use crate::http::testing::World;

    const JSON: &str = "application/json";

    #[tokio::test]
    async fn a_calendar_is_made_listed_and_deleted() {
        let world = World::new().await;
        let body = json!({
            "name": "Saturdays", "effect": "window", "timezone": "Europe/Berlin",
            "periods": [{"cron": "0 22 * * SAT", "duration": "4h"}], "reason": "change board"
        })
        .to_string();
        let made = world.post_as("admin", "/api/v1/calendars", JSON, &body, &[]).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
        assert_eq!(made.json["kinds"], json!(["decommission", "replace", "remove-host"]));
        assert_eq!((&made.json["createdBy"], &made.json["effect"]), (&json!("admin"), &json!("window")));

        let again = world.post_as("admin", "/api/v1/calendars", JSON, &body, &[]).await;
        assert_eq!((again.status, again.code()), (StatusCode::CONFLICT, "already-exists"));
        let list = world.get_as("viewer", "/api/v1/calendars").await;
        assert_eq!(list.json, json!({"items": [made.json], "next": null}));

        let path = "/api/v1/calendars/saturdays";
        assert_eq!(world.send_as("admin", Method::DELETE, path).await.status, StatusCode::NO_CONTENT);
        assert_eq!(world.send_as("admin", Method::DELETE, path).await.code(), "not-found");
    }

    #[tokio::test]
    async fn what_breaks_a_rule_is_named_and_only_an_admin_makes_calendars() {
        let world = World::new().await;
        let answer =
            world.post_as("admin", "/api/v1/calendars", JSON, r#"{"name": "a", "effect": "x"}"#, &[]).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, "invalid-request"));
        let fields: Vec<_> =
            answer.json["errors"].as_array().expect("a list").iter().map(|e| &e["field"]).collect();
        assert_eq!(fields, ["effect", "periods"]);
        let answer = world.post_as("admin", "/api/v1/calendars", JSON, r#"{"names": "a"}"#, &[]).await;
        assert_eq!(answer.json["errors"][0]["rule"], "unknown-key", "{}", answer.text);
        let answer = world.post_as("operator", "/api/v1/calendars", JSON, "{}", &[]).await;
        assert_eq!(answer.code(), "forbidden");
    }

    #[tokio::test]
    async fn a_decommission_in_a_freeze_asks_for_its_approval_and_then_waits() {
        let world = World::new().await;
        let until = world.clock.now() + chrono::Duration::days(3);
        let from = world.clock.now() - chrono::Duration::days(3);
        let body = json!({
            "name": "freeze", "effect": "freeze",
            "periods": [{"from": from.to_rfc3339(), "until": until.to_rfc3339()}]
        });
        let made = world.post_as("admin", "/api/v1/calendars", JSON, &body.to_string(), &[]).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);

        // It is claimed, plans, and waits for a second person, freeze or not.
        let id = world.awaits_approval("ITFarm1").await;
        let path = format!("/api/v1/workflows/{id}");
        let approval = json!({"planHash": crate::http::testing::PLAN_HASH}).to_string();
        let approved = world.post_as("approver", &format!("{path}/approve"), JSON, &approval, &[]).await;
        assert_eq!(approved.status, StatusCode::OK, "{}", approved.text);

        let lessee = store::Lessee { worker: "w".to_owned(), lease: crate::http::testing::LEASE };
        let claim = world
            .store
            .claim(&[id.parse().expect("an id")], &lessee, world.clock.now())
            .await
            .expect("works");
        assert!(matches!(claim[0], store::Claim::NotClaimable(domain::WorkflowState::Waiting)), "{claim:?}");
        let shown = world.get_as("viewer", &path).await;
        assert_eq!(shown.json["waiting"]["for"], "calendar", "{}", shown.text);
        assert!(
            shown.json["waiting"]["detail"].as_str().is_some_and(|text| text.contains("freeze freeze is on"))
        );
        let resumed = world.send_as("operator", Method::POST, &format!("{path}/resume")).await;
        assert_eq!(resumed.code(), "illegal-transition", "a freeze is not a person's to skip");
    }
}
