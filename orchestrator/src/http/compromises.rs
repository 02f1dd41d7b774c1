//! `POST /compromises`: a host is cut off. `GET /compromises`: incidents with what came of them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use domain::{DirectoryName, Role, Workflow, WorkflowId, WorkflowKind, WorkflowState};
use serde::Deserialize;
use store::{Page, StoreError, WorkflowFilter};
use utoipa::IntoParams;

use super::auth::Caller;
use super::errors::ApiError;
use super::extract::{Body, InPath, Query};
use super::submit::{self, AskHeaders, AskQuery};
use super::{Api, page, schema};
use crate::incident::{Incident, incident};
use crate::requests::Request;
use crate::requests::bodies::CompromiseBody;

/// Cuts a compromised host off from every gMSA that it could read.
///
/// At once, on every writable domain controller; it waits for no approval and for no other work. With
/// `kdsRootKey` instead of `host`: every gMSA moves off an exposed KDS root key, over days.
/// Role: responder; for a root key admin.
#[utoipa::path(
    post, path = "/compromises", tag = "compromises",
    params(AskQuery, AskHeaders),
    request_body = CompromiseBody,
    responses((status = 202, description = "Accepted; `Location` names the workflow", body = schema::Workflow)),
)]
pub(crate) async fn contain(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Query(query): Query<AskQuery>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, ApiError> {
    caller.require(Role::Responder)?;
    let body: CompromiseBody = submit::json(&headers, &body)?;
    submit::submit(&api, &caller, &headers, query, &Request::Compromise(body)).await
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Only of this directory.
    #[param(value_type = Option<String>)]
    directory: Option<DirectoryName>,
    #[param(value_type = Option<schema::WorkflowState>)]
    state: Option<WorkflowState>,
    /// Only about this host, as it was named.
    host: Option<String>,
    /// Items on a page: 1 to 200.
    #[param(default = 50, minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// `next` of the previous page.
    cursor: Option<String>,
}

/// Lists containments, newest first.
#[utoipa::path(
    get, path = "/compromises", tag = "compromises", params(ListQuery),
    responses((status = 200, description = "A page of workflows", body = schema::WorkflowPage)),
)]
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Workflow>>, ApiError> {
    let ListQuery { directory, state, host, limit, cursor } = query;
    let limit = page::limit(limit)?;
    let kind = Some(WorkflowKind::COMPROMISE_REMOVAL);
    let filter = WorkflowFilter { kind, directory, state, host, ..WorkflowFilter::default() };
    Ok(Json(api.store.workflows(&filter, cursor.as_deref(), limit).await?))
}

/// Shows an incident: the containment, what the host may still know and until when, and what is
/// being done about it.
///
/// `endsInSeconds` counts down to 0; `rolled` is set when the known password was seen to work no more.
#[utoipa::path(
    get, path = "/compromises/{id}", tag = "compromises",
    params(("id" = String, Path, description = "The containment's id")),
    responses((status = 200, description = "The incident", body = schema::Incident)),
)]
pub(crate) async fn show(
    State(api): State<Arc<Api>>,
    InPath(id): InPath<WorkflowId>,
) -> Result<Json<Incident>, ApiError> {
    let workflow = find(&api, id).await?;
    let children = children(&api, id).await?;
    Ok(Json(incident(workflow, children, api.clock.now())))
}

pub(crate) async fn find(api: &Api, id: WorkflowId) -> Result<Workflow, ApiError> {
    let found = api.store.workflow(id).await?;
    found.filter(|workflow| workflow.kind == WorkflowKind::COMPROMISE_REMOVAL).ok_or_else(|| {
        ApiError::not_found(
            format!("there is no containment {id}"),
            "`farmhand incident list` (GET /api/v1/compromises) shows all; mind which server you ask",
        )
    })
}

/// With the steps of replacements: they say when the old account was disabled.
async fn children(api: &Api, id: WorkflowId) -> Result<Vec<Workflow>, StoreError> {
    let mut children = api.store.children(id).await?;
    for child in children.iter_mut().filter(|child| child.kind == WorkflowKind::REPLACE) {
        if let Some(whole) = api.store.workflow(child.id).await? {
            *child = whole;
        }
    }
    Ok(children)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::http::StatusCode;
    use serde_json::json;

    use crate::http::submit::IDEMPOTENCY_KEY;
    use crate::http::testing::{Answer, World};

    const JSON: &str = "application/json";

    async fn ask(world: &World, role: &str, query: &str, body: &str) -> Answer {
        world.post_as(role, &format!("/api/v1/compromises{query}"), JSON, body, &[]).await
    }

    #[tokio::test]
    async fn a_responder_cuts_a_host_off_in_the_urgent_lane_and_nobody_need_approve() {
        let world = World::new().await;
        world.deployed("ITFarm1").await;
        let body = r#"{"host": "Host1$", "farms": ["itfarm1"], "keepComputerEnabled": true}"#;
        let answer = ask(&world, "responder", "?reason=beacon", body).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
        let workflow = &answer.json;
        assert_eq!((&workflow["kind"], &workflow["lane"]), (&json!("compromise-removal"), &json!("urgent")));
        assert_eq!((&workflow["hosts"], &workflow["farm"]), (&json!(["Host1"]), &json!(null)));
        assert_eq!((&workflow["state"], &workflow["reason"]), (&json!("queued"), &json!("beacon")));
        for role in ["viewer", "operator", "approver"] {
            assert_eq!(ask(&world, role, "", body).await.status, StatusCode::FORBIDDEN, "{role}");
        }
        let dry = ask(&world, "responder", "?plan=true", body).await;
        assert_eq!(dry.json["mode"], "plan", "{}", dry.text);
    }

    #[tokio::test]
    async fn a_root_key_is_the_matter_of_an_admin_and_not_of_the_urgent_lane() {
        let world = World::new().await;
        let body = r#"{"kdsRootKey": "7dc95c96-fa85-183a-dff5-f70696bf0b11", "coolDown": "1d"}"#;
        let answer = ask(&world, "admin", "", body).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
        let found = (&answer.json["kind"], &answer.json["lane"], &answer.json["farm"]);
        assert_eq!(found, (&json!("kds-root-key-recovery"), &json!("lifecycle"), &json!(null)));
        let claimed = world.claim(answer.json["id"].as_str().expect("an id")).await;
        let input = json!({"rootKey": "7dc95c96-fa85-183a-dff5-f70696bf0b11", "coolDownSeconds": 86_400});
        assert_eq!(claimed.input, input);
        assert_eq!(ask(&world, "responder", "", body).await.status, StatusCode::FORBIDDEN);
    }

    #[tokio::test]
    async fn what_breaks_a_rule_is_named_by_field() {
        let world = World::new().await;
        world.deployed("ITFarm1").await;
        for (body, field, rule) in [
            ("{}", "host", "required"),
            (r#"{"host": "a/b"}"#, "host", "characters"),
            (r#"{"host": "S-1-banana"}"#, "host", "sid"),
            (r#"{"host": "Host1", "hosts": []}"#, "hosts", "unknown-key"),
            (r#"{"host": "Host1", "farms": ["a b"]}"#, "farms[0]", "characters"),
            (r#"{"host": "Host1", "farms": ["ITFarm1", "itfarm1"]}"#, "farms[1]", "duplicate"),
            (r#"{"host": "Host1", "force": " "}"#, "force", "required"),
            (r#"{"host": "Host1", "coolDown": "1d"}"#, "coolDown", "exclusive"),
            (r#"{"host": "Host1", "kdsRootKey": "x"}"#, "kdsRootKey", "exclusive"),
            (r#"{"kdsRootKey": "banana"}"#, "kdsRootKey", "guid"),
            (
                r#"{"kdsRootKey": "7dc95c96-fa85-183a-dff5-f70696bf0b11", "farms": ["x"]}"#,
                "farms",
                "exclusive",
            ),
        ] {
            let answer = ask(&world, "admin", "", body).await;
            let found = (answer.status, answer.code());
            assert_eq!(found, (StatusCode::BAD_REQUEST, "invalid-request"), "{body}: {}", answer.text);
            let error = &answer.json["errors"][0];
            assert_eq!((&error["field"], &error["rule"]), (&field.into(), &rule.into()), "{body}");
        }
        for (body, status, code) in [
            (r#"{"host": "Host1", "farms": ["nobody"]}"#, StatusCode::NOT_FOUND, "farm-not-deployed"),
            (
                r#"{"host": "Host1", "directory": "lab"}"#,
                StatusCode::UNPROCESSABLE_ENTITY,
                "directory-unknown",
            ),
        ] {
            let answer = ask(&world, "responder", "", body).await;
            assert_eq!((answer.status, answer.code()), (status, code), "{body}");
        }
    }

    #[tokio::test]
    async fn the_same_key_is_the_same_containment_and_another_host_is_refused() {
        let world = World::new().await;
        let key = [(IDEMPOTENCY_KEY, "alert-7")];
        let ask = |body: &'static str| world.post_as("responder", "/api/v1/compromises", JSON, body, &key);
        let first = ask(r#"{"host": "Host1"}"#).await;
        assert_eq!(ask(r#"{"host": "Host1"}"#).await.json["id"], first.json["id"]);
        let other = ask(r#"{"host": "Host2"}"#).await;
        assert_eq!((other.status, other.code()), (StatusCode::CONFLICT, "idempotency-conflict"));
    }

    #[tokio::test]
    async fn an_incident_counts_down_from_what_is_on_record_and_nothing_else_is_one() {
        let world = World::new().await;
        let id = world.contained().await;
        let path = format!("/api/v1/compromises/{id}");
        let shown = world.get_as("viewer", &path).await;
        assert_eq!(shown.status, StatusCode::OK, "{}", shown.text);
        let exposure = &shown.json["exposures"][0];
        let found = (&exposure["farm"], &exposure["endsInSeconds"], &exposure["stands"]);
        assert_eq!(found, (&json!("ITFarm1"), &json!(3600), &json!("open")));
        assert_eq!(shown.json["containment"]["host"]["name"], "Host1");
        assert_eq!(shown.json["children"], json!([]));
        world.clock.advance(Duration::from_secs(3000));
        let shown = world.get_as("viewer", &path).await;
        assert_eq!(shown.json["exposures"][0]["endsInSeconds"], 600);
        let listed = world.get_as("viewer", "/api/v1/compromises?host=host1&state=succeeded").await;
        assert_eq!(listed.json["items"][0]["id"], id.as_str(), "{}", listed.text);
        assert_eq!(world.get_as("viewer", "/api/v1/compromises?host=Host2").await.json["items"], json!([]));
        let deploys = world.get_as("viewer", "/api/v1/workflows?kind=deploy").await;
        let deploy = deploys.json["items"][0]["id"].as_str().expect("an id");
        for other in [deploy, "01890000-0000-7000-8000-000000000000"] {
            let none = world.get_as("viewer", &format!("/api/v1/compromises/{other}")).await;
            assert_eq!((none.status, none.code()), (StatusCode::NOT_FOUND, "not-found"), "{other}");
        }
    }
}
