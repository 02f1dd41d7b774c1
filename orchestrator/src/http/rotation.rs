//! `POST /rotation-checks`, `GET /rotation`: how the passwords of gMSAs stand.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use domain::rotation::{FindingCode, RotationChange, RotationEntry};
use domain::{DirectoryName, FarmName, Role, RotationVerdict};
use serde::{Deserialize, Serialize};
use store::{Page, RotationFilter};
use utoipa::IntoParams;

use super::auth::Caller;
use super::errors::ApiError;
use super::extract::{Body, InPath, OfDirectory, Query};
use super::submit::{self, AskHeaders, AskQuery};
use super::{Api, page, schema};
use crate::requests::Request;
use crate::requests::bodies::RotationCheckBody;

/// Changes of one account that are shown with it.
const HISTORY: u32 = 200;

/// Reads and judges the password of every gMSA, or of one farm's.
///
/// What is found goes on the board (`GET /rotation`); the workflow's result is a summary. Where a farm
/// wants it, a host is asked to fetch a password that is due. Role: operator.
#[utoipa::path(
    post, path = "/rotation-checks", tag = "rotation",
    params(AskQuery, AskHeaders),
    request_body = Option<RotationCheckBody>,
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
    let request = Request::RotationCheck(submit::json(&headers, &body)?);
    submit::submit(&api, &caller, &headers, query, &request).await
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Only accounts of this directory.
    #[param(value_type = Option<String>)]
    directory: Option<DirectoryName>,
    #[param(value_type = Option<schema::RotationVerdict>)]
    verdict: Option<RotationVerdict>,
    /// Only this farm's account.
    #[param(value_type = Option<String>)]
    farm: Option<FarmName>,
    /// Only accounts that have this finding.
    #[param(value_type = Option<schema::FindingCode>)]
    finding: Option<FindingCode>,
    /// Those that are gone, instead of those that are there.
    #[serde(default)]
    gone: bool,
    /// Items on a page: 1 to 200.
    #[param(default = 50, minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// `next` of the previous page.
    cursor: Option<String>,
}

/// Lists how gMSAs' passwords stand, by account.
#[utoipa::path(
    get, path = "/rotation", tag = "rotation", params(ListQuery),
    responses((status = 200, description = "A page of accounts", body = schema::RotationPage)),
)]
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<RotationEntry>>, ApiError> {
    let ListQuery { directory, verdict, farm, finding, gone, limit, cursor } = query;
    let limit = page::limit(limit)?;
    let filter = RotationFilter { directory, verdict, farm, finding, gone };
    Ok(Json(api.store.rotation(&filter, cursor.as_deref(), limit).await?))
}

/// One account with its changes, newest first.
#[derive(Debug, Serialize)]
pub(crate) struct Detail {
    entry: RotationEntry,
    history: Vec<RotationChange>,
}

/// Shows how one gMSA's password stands, and how it came there.
#[utoipa::path(
    get, path = "/rotation/{account}", tag = "rotation",
    params(("account" = String, Path, description = "sAMAccountName, with or without its `$`, or a SID"), OfDirectory),
    responses((status = 200, description = "The account and its changes", body = schema::RotationDetail)),
)]
pub(crate) async fn show(
    State(api): State<Arc<Api>>,
    InPath(account): InPath<String>,
    Query(query): Query<OfDirectory>,
) -> Result<Json<Detail>, ApiError> {
    let directory = query.directory;
    let entry = api.store.rotation_of(&directory, &account).await?.ok_or_else(|| {
        ApiError::not_found(
            format!("no check has seen an account {account} in the directory {directory}"),
            "`farmhand rotation` (GET /api/v1/rotation) shows all; a new account is on it after the next \
             `farmhand rotation-check`",
        )
    })?;
    let history = api.store.rotation_changes(&directory, &entry.item.sid, HISTORY).await?;
    Ok(Json(Detail { entry, history }))
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use domain::rotation::{FindingCode, RotationFinding};
    use domain::{Clock, DirectoryName, Dn, RotationItem, RotationVerdict, SystemRng, WorkflowId};
    use serde_json::json;
    use store::RotationBatch;

    use crate::http::testing::World;

    fn item(name: &str, rid: u32, verdict: RotationVerdict) -> RotationItem {
        let finding = RotationFinding {
            code: FindingCode::Rc4Allowed,
            text: "RC4".to_owned(),
            subjects: Vec::new(),
            at: None,
        };
        RotationItem {
            directory: DirectoryName::default(),
            account: format!("{name}$"),
            sid: format!("S-1-5-21-1-2-3-{rid}").parse().expect("a SID"),
            dn: Dn::parse(&format!("CN={name},DC=contoso,DC=com")).expect("a DN"),
            farm: domain::FarmName::parse(name).ok(),
            verdict,
            why: "seen".to_owned(),
            key_id: None,
            interval_days: Some(30),
            rollover_hours: Some(720),
            slot_start: None,
            next_due: None,
            password_set: None,
            enabled: true,
            readers: Vec::new(),
            reader_count: 0,
            findings: (verdict == RotationVerdict::Due).then_some(finding).into_iter().collect(),
            copies: Vec::new(),
        }
    }

    async fn checked(world: &World, items: Vec<RotationItem>) {
        let (directory, now) = (DirectoryName::default(), world.clock.now());
        let batch = RotationBatch { directory, workflow: WorkflowId::new(now, &SystemRng), items, now };
        world.store.record_rotation(&batch).await.expect("recorded");
    }

    #[tokio::test]
    async fn a_check_is_asked_for_by_operators_and_goes_through_the_lane_of_checks() {
        let world = World::new().await;
        world.deployed("ITFarm1").await;
        let ask = async |role: &str, body: &str| {
            world.post_as(role, "/api/v1/rotation-checks", "application/json", body, &[]).await
        };
        let whole = ask("operator", "").await;
        assert_eq!(whole.status, StatusCode::ACCEPTED, "{}", whole.text);
        assert_eq!((&whole.json["kind"], &whole.json["lane"]), (&json!("rotation-check"), &json!("checks")));
        assert_eq!(whole.json["farm"], json!(null));
        let farm = ask("operator", r#"{"farm": "itfarm1", "everyDc": true}"#).await;
        assert_eq!(farm.json["farm"], "ITFarm1", "{}", farm.text);
        let shown = world.get_as("viewer", "/api/v1/farms/ITFarm1").await;
        assert_ne!(shown.json["lastWorkflow"], farm.json["id"], "a check leaves no trace on the farm");
        assert_eq!(ask("viewer", "").await.status, StatusCode::FORBIDDEN);
        for (body, status, code) in [
            (r#"{"farm": "nobody"}"#, StatusCode::NOT_FOUND, "farm-not-deployed"),
            (r#"{"directory": "lab"}"#, StatusCode::UNPROCESSABLE_ENTITY, "directory-unknown"),
            (r#"{"directory": "a/b"}"#, StatusCode::BAD_REQUEST, "invalid-request"),
            (r#"{"everyDC": true}"#, StatusCode::BAD_REQUEST, "invalid-request"),
        ] {
            let answer = ask("operator", body).await;
            assert_eq!((answer.status, answer.code()), (status, code), "{body}");
        }
    }

    #[tokio::test]
    async fn the_board_is_filtered_and_paged_and_an_account_shows_its_changes() {
        let world = World::new().await;
        let all = [
            item("alpha", 1, RotationVerdict::Due),
            item("Beta", 2, RotationVerdict::Current),
            item("gamma", 3, RotationVerdict::Due),
        ];
        checked(&world, all.to_vec()).await;
        for (query, expected) in [
            ("", vec!["alpha$", "Beta$", "gamma$"]),
            ("?verdict=due", vec!["alpha$", "gamma$"]),
            ("?farm=beta", vec!["Beta$"]),
            ("?finding=rc4-allowed", vec!["alpha$", "gamma$"]),
            ("?finding=old-root-key", vec![]),
            ("?directory=lab", vec![]),
            ("?gone=true", vec![]),
        ] {
            let answer = world.get_as("viewer", &format!("/api/v1/rotation{query}")).await;
            assert_eq!(answer.status, StatusCode::OK, "{query}: {}", answer.text);
            let items = answer.json["items"].as_array().expect("items");
            let names: Vec<_> = items.iter().filter_map(|item| item["account"].as_str()).collect();
            assert_eq!(names, expected, "{query}");
        }
        let page = world.get_as("viewer", "/api/v1/rotation?limit=2").await;
        let next = page.json["next"].as_str().expect("more");
        let rest = world.get_as("viewer", &format!("/api/v1/rotation?limit=2&cursor={next}")).await;
        assert_eq!((&rest.json["items"][0]["account"], &rest.json["next"]), (&json!("gamma$"), &json!(null)));

        world.clock.advance(std::time::Duration::from_secs(60));
        checked(&world, vec![item("alpha", 1, RotationVerdict::Current)]).await;
        for name in ["ALPHA", "alpha$", "S-1-5-21-1-2-3-1"] {
            let name = name.replace('$', "%24");
            let shown = world.get_as("viewer", &format!("/api/v1/rotation/{name}")).await;
            assert_eq!(shown.json["entry"]["verdict"], "current", "{name}: {}", shown.text);
            let history = shown.json["history"].as_array().expect("changes");
            let verdicts: Vec<_> = history.iter().filter_map(|change| change["verdict"].as_str()).collect();
            assert_eq!(verdicts, ["current", "due"]);
        }
        let missing = world.get_as("viewer", "/api/v1/rotation/nobody").await;
        assert_eq!((missing.status, missing.code()), (StatusCode::NOT_FOUND, "not-found"));
        for bad in ["?verdict=rolled", "?finding=x", "?cursor=zz", "?limit=0"] {
            let answer = world.get_as("viewer", &format!("/api/v1/rotation{bad}")).await;
            assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, "invalid-request"), "{bad}");
        }
    }
}
