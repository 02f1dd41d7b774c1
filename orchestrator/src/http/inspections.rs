//! `POST /inspections`: what does the directory hold?

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use domain::Role;

use super::auth::Caller;
use super::errors::ApiError;
use super::extract::{Body, Query};
use super::submit::{self, AskHeaders, AskQuery};
use super::{Api, schema};
use crate::requests::bodies::InspectBody;

/// Compares a farm on record with what the directory holds.
///
/// Read only; the workflow's result is the comparison. Role: viewer.
#[utoipa::path(
    post, path = "/inspections", tag = "inspections",
    params(AskQuery, AskHeaders),
    request_body = InspectBody,
    responses((status = 202, description = "Accepted; `Location` names the workflow", body = schema::Workflow)),
)]
pub(crate) async fn inspect(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Query(query): Query<AskQuery>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, ApiError> {
    caller.require(Role::Viewer)?;
    let body: InspectBody = submit::json(&headers, &body)?;
    submit::submit(&api, &caller, &headers, query, &body.into()).await
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use crate::http::testing::World;

    #[tokio::test]
    async fn a_viewer_may_look_and_goes_through_the_urgent_lane() {
        let world = World::new().await;
        world.deployed("ITFarm1").await;
        let ask = async |body: &str| {
            world.post_as("viewer", "/api/v1/inspections", "application/json", body, &[]).await
        };
        let answer = ask(r#"{"farm": "itfarm1"}"#).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
        let workflow = &answer.json;
        assert_eq!((&workflow["kind"], &workflow["lane"]), (&"inspect".into(), &"urgent".into()));
        assert_eq!(workflow["farm"], "ITFarm1", "as it is on record");
        let farm = world.get_as("viewer", "/api/v1/farms/ITFarm1").await;
        assert_ne!(farm.json["lastWorkflow"], workflow["id"], "a question leaves no trace on the farm");

        for (body, status, code) in [
            (r#"{"farm": "nobody"}"#, StatusCode::NOT_FOUND, "farm-not-deployed"),
            (r#"{"farm": "x", "directory": "lab"}"#, StatusCode::UNPROCESSABLE_ENTITY, "directory-unknown"),
            (r#"{"farm": "a/b"}"#, StatusCode::BAD_REQUEST, "invalid-request"),
            ("{}", StatusCode::BAD_REQUEST, "invalid-request"),
        ] {
            let answer = ask(body).await;
            assert_eq!((answer.status, answer.code()), (status, code), "{body}");
        }
    }
}
