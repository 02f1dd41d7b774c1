//! `POST /compromises/{id}/recovery`: what becomes of the farms that a compromised host could read.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::{Role, WorkflowId};
use serde::Deserialize;
use store::Page;
use utoipa::IntoParams;

use super::auth::Caller;
use super::errors::ApiError;
use super::extract::{Body, InPath, Query};
use super::{Api, compromises, schema, submit};
use crate::requests::bodies::RecoveryBody;
use crate::requests::recovery::RecoveryAsk;

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RecoveryQuery {
    /// A dry run: the workflows end with the exact directory changes and write nothing.
    #[serde(default)]
    plan: bool,
    /// Why, in words; kept with the workflows.
    reason: Option<String>,
}

/// Asks for each farm that its account is replaced, or that its password's roll is waited for.
///
/// A replacement waits for the approval of a second person, bound to its plan's hash. The same choice
/// for the same farm is the same workflow, however often and by whomever it is asked; one that came to
/// nothing is asked for anew. Role: responder.
#[utoipa::path(
    post, path = "/compromises/{id}/recovery", tag = "compromises",
    params(("id" = String, Path, description = "The containment's id"), RecoveryQuery),
    request_body = RecoveryBody,
    responses((
        status = 202, description = "The workflow of each farm; `Location` names the incident",
        body = schema::WorkflowPage,
    )),
)]
pub(crate) async fn recover(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(id): InPath<WorkflowId>,
    Query(RecoveryQuery { plan, reason }): Query<RecoveryQuery>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, ApiError> {
    caller.require(Role::Responder)?;
    let body: RecoveryBody = submit::json(&headers, &body)?;
    let compromise = compromises::find(&api, id).await?;
    let ask = RecoveryAsk { plan, reason };
    let items = api.requests.recover(&compromise, &body, ask, &caller.principal).await?;
    let mut response = (StatusCode::ACCEPTED, Json(Page { items, next: None })).into_response();
    if let Ok(value) = HeaderValue::from_str(&format!("/api/v1/compromises/{id}")) {
        response.headers_mut().insert(header::LOCATION, value);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use axum::http::{Method, StatusCode};
    use domain::Role;
    use serde_json::json;

    use crate::http::testing::{ACCOUNT_SID, Answer, World, containment};

    async fn choose(world: &World, by: &str, id: &str, query: &str, body: &str) -> Answer {
        let path = format!("/api/v1/compromises/{id}/recovery{query}");
        world.post_as(by, &path, "application/json", body, &[]).await
    }

    fn id(answer: &Answer) -> String {
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
        answer.json["items"][0]["id"].as_str().expect("an id").to_owned()
    }

    #[tokio::test]
    async fn a_choice_becomes_a_child_that_its_runbook_can_read() {
        let world = World::new().await;
        let compromise = world.contained().await;
        let wait = choose(&world, "responder", &compromise, "", r#"{"farms": {"itfarm1": "wait"}}"#).await;
        let child = &wait.json["items"][0];
        let found = (&child["kind"], &child["lane"], &child["farm"], &child["parent"]);
        assert_eq!(
            found,
            (&json!("await-roll"), &json!("checks"), &json!("ITFarm1"), &json!(compromise)),
            "{}",
            wait.text
        );
        let input = world.claim(&id(&wait)).await.input;
        let expected = json!({
            "accountSid": ACCOUNT_SID, "exposedKeyId": "AQAAAEtEU0s=", "compromise": compromise,
        });
        assert_eq!(input, expected);
        let body = r#"{"farms": {"ITFarm1": "replace"}}"#;
        let replace = choose(&world, "responder", &compromise, "?reason=stolen", body).await;
        let child = &replace.json["items"][0];
        assert_eq!((&child["kind"], &child["lane"]), (&json!("replace"), &json!("lifecycle")));
        assert_eq!((&child["requestedBy"], &child["reason"]), (&json!("responder"), &json!("stolen")));
        let input = world.claim(&id(&replace)).await.input;
        assert_eq!((&input["accountSid"], &input["newAccount"]), (&json!(ACCOUNT_SID), &json!(null)));
        let incident = world.get_as("viewer", &format!("/api/v1/compromises/{compromise}")).await;
        assert_eq!(incident.json["exposures"][0]["recovery"]["choice"], "replace");
        assert_eq!(incident.json["children"].as_array().map(Vec::len), Some(2));
    }

    #[tokio::test]
    async fn the_same_choice_is_one_workflow_whoever_asks_and_is_asked_anew_when_it_came_to_nothing() {
        let world = World::new().await;
        world.add_token("rita", &[Role::Responder], None).await;
        let compromise = world.contained().await;
        let body = r#"{"farms": {"ITFarm1": "replace"}}"#;
        let first = id(&choose(&world, "responder", &compromise, "", body).await);
        let dry = id(&choose(&world, "responder", &compromise, "?plan=true", body).await);
        assert_ne!(dry, first, "a dry run is no choice");
        assert_eq!(id(&choose(&world, "rita", &compromise, "", body).await), first);
        let cancelled =
            world.send_as("operator", Method::POST, &format!("/api/v1/workflows/{first}/cancel")).await;
        assert_eq!(cancelled.json["state"], "cancelled", "{}", cancelled.text);
        let second = id(&choose(&world, "rita", &compromise, "", body).await);
        assert_ne!(second, first);
        assert_eq!(id(&choose(&world, "responder", &compromise, "", body).await), second);
    }

    #[tokio::test]
    async fn what_cannot_be_chosen_is_named_by_farm_and_nothing_is_begun() {
        let world = World::new().await;
        let compromise = world.contained().await;
        for (body, field, rule) in [
            (r#"{"farms": {}}"#, "farms", "required"),
            (r#"{"farms": {"ITFarm1": "burn"}}"#, "farms.ITFarm1", "value"),
            (r#"{"farms": {"ITFarm1": "wait", "ITFarm9": "wait"}}"#, "farms.ITFarm9", "affected"),
            (r#"{"farms": {"ITFarm1": "wait", "itfarm1": "replace"}}"#, "farms.itfarm1", "duplicate"),
            (r#"{"farms": {"a b": "wait"}}"#, "farms.a b", "characters"),
            (r#"{"farm": {}}"#, "farm", "unknown-key"),
        ] {
            let answer = choose(&world, "responder", &compromise, "", body).await;
            let found = (answer.status, answer.code());
            assert_eq!(found, (StatusCode::BAD_REQUEST, "invalid-request"), "{body}: {}", answer.text);
            let error = &answer.json["errors"][0];
            assert_eq!((&error["field"], &error["rule"]), (&field.into(), &rule.into()), "{body}");
        }
        let children = world.get_as("viewer", &format!("/api/v1/workflows?parent={compromise}")).await;
        assert_eq!(children.json["items"], json!([]));
        let forbidden =
            choose(&world, "operator", &compromise, "", r#"{"farms": {"ITFarm1": "wait"}}"#).await;
        assert_eq!(forbidden.status, StatusCode::FORBIDDEN);
    }

    #[tokio::test]
    async fn there_is_nothing_to_recover_before_the_containment_is_done() {
        let world = World::new().await;
        let asked = world
            .post_as("responder", "/api/v1/compromises", "application/json", r#"{"host": "Host1"}"#, &[])
            .await;
        let running = asked.json["id"].as_str().expect("an id").to_owned();
        let body = r#"{"farms": {"ITFarm1": "wait"}}"#;
        let early = choose(&world, "responder", &running, "", body).await;
        assert_eq!((early.status, early.code()), (StatusCode::CONFLICT, "not-contained"), "{}", early.text);
        let missing = choose(&world, "responder", "01890000-0000-7000-8000-000000000000", "", body).await;
        assert_eq!(missing.status, StatusCode::NOT_FOUND);
    }

    #[tokio::test]
    async fn an_account_that_was_replaced_meanwhile_and_a_key_that_was_not_seen_are_told() {
        let world = World::new().await;
        world.deployed("ITFarm1").await;
        let contained = async |change: &dyn Fn(&mut serde_json::Value)| {
            let body = r#"{"host": "Host1"}"#;
            let asked =
                world.post_as("responder", "/api/v1/compromises", "application/json", body, &[]).await;
            let id = asked.json["id"].as_str().expect("an id").to_owned();
            let mut result = containment(domain::Clock::now(world.clock.as_ref()));
            change(&mut result["accounts"][0]);
            world.succeed(&id, result).await;
            id
        };
        let replaced = contained(&|account| account["sid"] = json!("S-1-5-21-1-2-3-999")).await;
        let untold = contained(&|account| account["exposure"]["exposedKeyId"] = json!(null)).await;
        for (id, choice, rule) in [(replaced, "replace", "replaced"), (untold, "wait", "key-unknown")] {
            let body = format!(r#"{{"farms": {{"ITFarm1": "{choice}"}}}}"#);
            let answer = choose(&world, "responder", &id, "", &body).await;
            let error = &answer.json["errors"][0];
            assert_eq!(
                (&error["field"], &error["rule"]),
                (&json!("farms.ITFarm1"), &json!(rule)),
                "{}",
                answer.text
            );
        }
    }
}
