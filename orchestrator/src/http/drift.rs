//! `POST /drift-checks`, `GET /drift`: how farms stand to what was asked for.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use domain::drift::{DriftEntry, DriftState};
use domain::{DirectoryName, FarmName, Role};
use serde::Deserialize;
use store::{DriftFilter, Page};
use utoipa::IntoParams;

use super::auth::Caller;
use super::errors::ApiError;
use super::extract::{Body, InPath, OfDirectory, Query};
use super::submit::{self, AskHeaders, AskQuery};
use super::{Api, page, schema};
use crate::requests::Request;
use crate::requests::bodies::DriftCheckBody;

/// Compares what the directory holds of every deployed farm, or of one, with what was asked for.
///
/// Farms that nothing has changed about are not read again, unless `full` says so. What is found is
/// shown by `GET /drift`; the workflow's result is a summary. Where a farm wants it
/// (`spec.drift.onDrift: mend`), an update is asked for that a second person approves. Role: operator.
#[utoipa::path(
    post, path = "/drift-checks", tag = "drift",
    params(AskQuery, AskHeaders),
    request_body = Option<DriftCheckBody>,
    responses((status = 202, description = "Accepted; `Location` names the workflow", body = schema::Workflow)),
)]
pub(crate) async fn check(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Query(query): Query<AskQuery>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, ApiError> {
    caller.require(Role::Operator)?;
    let request = Request::DriftCheck(submit::json(&headers, &body)?);
    submit::submit(&api, &caller, &headers, query, &request).await
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Only farms of this directory.
    #[param(value_type = Option<String>)]
    directory: Option<DirectoryName>,
    #[param(value_type = Option<schema::DriftState>)]
    state: Option<DriftState>,
    /// Only this farm.
    #[param(value_type = Option<String>)]
    farm: Option<FarmName>,
    /// Items on a page: 1 to 200.
    #[param(default = 50, minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// `next` of the previous page.
    cursor: Option<String>,
}

/// Lists how farms stand, by name.
#[utoipa::path(
    get, path = "/drift", tag = "drift", params(ListQuery),
    responses((status = 200, description = "A page of farms", body = schema::DriftPage)),
)]
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<DriftEntry>>, ApiError> {
    let ListQuery { directory, state, farm, limit, cursor } = query;
    let limit = page::limit(limit)?;
    let filter = DriftFilter { directory, state, farm };
    Ok(Json(api.store.drift(&filter, cursor.as_deref(), limit).await?))
}

/// Shows how one farm stands: asked, recorded and found, attribute by attribute and reader by reader.
#[utoipa::path(
    get, path = "/drift/{farm}", tag = "drift",
    params(("farm" = String, Path, description = "The farm's name"), OfDirectory),
    responses((status = 200, description = "The farm", body = schema::DriftEntry)),
)]
pub(crate) async fn show(
    State(api): State<Arc<Api>>,
    InPath(farm): InPath<FarmName>,
    Query(query): Query<OfDirectory>,
) -> Result<Json<DriftEntry>, ApiError> {
    let directory = query.directory;
    let found = api.store.drift_of(&directory, &farm).await?;
    found.map(Json).ok_or_else(|| {
        ApiError::not_found(
            format!("no check has compared a farm {farm} in the directory {directory}"),
            "`farmhand drift list` (GET /api/v1/drift) shows all; a new farm is among them after the next \
             `farmhand drift-check`",
        )
    })
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use domain::drift::{DriftItem, DriftKind, DriftState};
    use domain::{Clock, DirectoryName, FarmName};
    use serde_json::json;
    use store::{Compared, DriftBatch};

    use crate::http::testing::World;

    fn item() -> DriftItem {
        DriftItem {
            kind: DriftKind::Changed,
            subject: "beta$".to_owned(),
            attribute: "description".to_owned(),
            asked: Some("web tier".to_owned()),
            recorded: Some("web tier".to_owned()),
            found: None,
            mendable: true,
            blocks_update: false,
            hint: "farmhand update".to_owned(),
        }
    }

    async fn compared(world: &World, farms: &[(&str, DriftState)]) {
        let now = world.clock.now();
        let farm = |(name, state): &(&str, DriftState)| Compared {
            farm: FarmName::parse(name).expect("a name"),
            state: *state,
            why: None,
            items: (*state != DriftState::InLine).then(item).into_iter().collect(),
            rests_on: Vec::new(),
            settled: true,
            farm_updated_at: now,
            newest: None,
            mend: None,
        };
        let batch = DriftBatch {
            directory: DirectoryName::default(),
            workflow: domain::WorkflowId(uuid::Uuid::nil()),
            dc: "dc1.contoso.com".to_owned(),
            invocation: "one".to_owned(),
            usn: 1,
            farms: farms.iter().map(farm).collect(),
            now,
        };
        world.store.record_drift(&batch).await.expect("recorded");
    }

    #[tokio::test]
    async fn a_check_is_asked_for_by_operators_and_goes_through_the_lane_of_checks() {
        let world = World::new().await;
        world.deployed("ITFarm1").await;
        let ask = async |role: &str, body: &str| {
            world.post_as(role, "/api/v1/drift-checks", "application/json", body, &[]).await
        };
        let whole = ask("operator", "").await;
        assert_eq!(whole.status, StatusCode::ACCEPTED, "{}", whole.text);
        assert_eq!((&whole.json["kind"], &whole.json["lane"]), (&json!("drift-check"), &json!("checks")));
        assert_eq!(whole.json["farm"], json!(null));
        let farm = ask("operator", r#"{"farm": "itfarm1", "full": true}"#).await;
        assert_eq!(farm.json["farm"], "ITFarm1", "{}", farm.text);
        assert_eq!(ask("viewer", "").await.status, StatusCode::FORBIDDEN);
        for (body, status, code) in [
            (r#"{"farm": "nobody"}"#, StatusCode::NOT_FOUND, "farm-not-deployed"),
            (r#"{"directory": "lab"}"#, StatusCode::UNPROCESSABLE_ENTITY, "directory-unknown"),
            (r#"{"fully": true}"#, StatusCode::BAD_REQUEST, "invalid-request"),
        ] {
            let answer = ask("operator", body).await;
            assert_eq!((answer.status, answer.code()), (status, code), "{body}");
        }
    }

    #[tokio::test]
    async fn farms_are_listed_by_how_they_stand_and_one_is_shown_with_its_items() {
        let world = World::new().await;
        let farms =
            [("alpha", DriftState::InLine), ("Beta", DriftState::Drifted), ("gamma", DriftState::CannotTell)];
        compared(&world, &farms).await;
        for (query, expected) in [
            ("", vec!["alpha", "Beta", "gamma"]),
            ("?state=drifted", vec!["Beta"]),
            ("?state=in-line", vec!["alpha"]),
            ("?farm=BETA", vec!["Beta"]),
            ("?directory=lab", vec![]),
        ] {
            let answer = world.get_as("viewer", &format!("/api/v1/drift{query}")).await;
            assert_eq!(answer.status, StatusCode::OK, "{query}: {}", answer.text);
            let items = answer.json["items"].as_array().expect("items");
            let names: Vec<_> = items.iter().filter_map(|item| item["farm"].as_str()).collect();
            assert_eq!(names, expected, "{query}");
        }
        let page = world.get_as("viewer", "/api/v1/drift?limit=2").await;
        let next = page.json["next"].as_str().expect("more");
        let rest = world.get_as("viewer", &format!("/api/v1/drift?limit=2&cursor={next}")).await;
        assert_eq!((&rest.json["items"][0]["farm"], &rest.json["next"]), (&json!("gamma"), &json!(null)));
        let shown = world.get_as("viewer", "/api/v1/drift/beta").await;
        assert_eq!(
            (&shown.json["items"][0]["asked"], &shown.json["itemCount"]),
            (&json!("web tier"), &json!(1))
        );
        let missing = world.get_as("viewer", "/api/v1/drift/nobody").await;
        assert_eq!((missing.status, missing.code()), (StatusCode::NOT_FOUND, "not-found"));
        for bad in ["?state=odd", "?cursor=zz", "?limit=0"] {
            let answer = world.get_as("viewer", &format!("/api/v1/drift{bad}")).await;
            assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, "invalid-request"), "{bad}");
        }
    }
}
