//! `/quarantine`: hosts that no workflow lets in. `POST /quarantine-checks`: can one read again?

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use domain::name::NameError;
use domain::{DirectoryName, PrincipalRef, Role};
use serde::{Deserialize, Serialize};
use store::{Denial, Page, QuarantineFilter, Quarantined};
use utoipa::IntoParams;

use super::auth::Caller;
use super::errors::ApiError;
use super::extract::{Body, InPath, OfDirectory, Query};
use super::submit::{self, AskFarmQuery, AskHeaders, AskQuery};
use super::{Api, page, schema};
use crate::requests::bodies::{QuarantineCheckBody, QuarantineReleaseBody, ReleaseBody};
use crate::requests::{Request, quarantine_of, require_any};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Only of this directory.
    #[param(value_type = Option<String>)]
    directory: Option<DirectoryName>,
    /// Also those that were released.
    #[serde(default)]
    released: bool,
    /// Items on a page: 1 to 200.
    #[param(default = 50, minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// `next` of the previous page.
    cursor: Option<String>,
}

/// Lists hosts under quarantine, newest first.
#[utoipa::path(
    get, path = "/quarantine", tag = "quarantine", params(ListQuery),
    responses((status = 200, description = "A page of hosts", body = schema::QuarantinePage)),
)]
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Quarantined>>, ApiError> {
    let ListQuery { directory, released, limit, cursor } = query;
    let limit = page::limit(limit)?;
    let filter = QuarantineFilter { directory, released };
    Ok(Json(api.store.quarantines(&filter, cursor.as_deref(), limit).await?))
}

/// A host under quarantine with the deny entries that were written for it.
#[derive(Debug, Serialize)]
pub(crate) struct Detail {
    quarantine: Quarantined,
    denials: Vec<Denial>,
}

/// Shows a host under quarantine, and what a release would take back.
#[utoipa::path(
    get, path = "/quarantine/{host}", tag = "quarantine",
    params(("host" = String, Path, description = "Its name, with or without `$`, or its SID"), OfDirectory),
    responses((status = 200, description = "The host", body = schema::QuarantineDetail)),
)]
pub(crate) async fn show(
    State(api): State<Arc<Api>>,
    InPath(host): InPath<String>,
    Query(OfDirectory { directory }): Query<OfDirectory>,
) -> Result<Json<Detail>, ApiError> {
    let host = PrincipalRef::parse(&host).map_err(|error| no_host(&error))?;
    let open = api.store.quarantined(&directory).await?;
    let quarantine = quarantine_of(open, &host, &directory)?;
    let denials = api.store.denials(&directory, &quarantine.host_sid).await?;
    Ok(Json(Detail { quarantine, denials }))
}

fn no_host(error: &NameError) -> ApiError {
    let hint = "name the host as `farmhand quarantine list` shows it: its name or its SID";
    ApiError::invalid(format!("the host in the path is no name of one: {error}"), hint)
}

/// Asks that a host leave the quarantine.
///
/// A second person approves; then it waits until every ticket from before the host's removal must be
/// dead, unless `force` says why not. Exactly the deny entries that were written for it are lifted, and
/// its computer account is enabled where we had disabled it. Role: responder.
#[utoipa::path(
    post, path = "/quarantine/{host}/release", tag = "quarantine",
    params(
        ("host" = String, Path, description = "Its name, with or without `$`, or its SID"),
        AskFarmQuery, AskHeaders,
    ),
    request_body = ReleaseBody,
    responses((status = 202, description = "Accepted; `Location` names the workflow", body = schema::Workflow)),
)]
pub(crate) async fn release(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(host): InPath<String>,
    Query(query): Query<AskFarmQuery>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, ApiError> {
    caller.require(Role::Responder)?;
    let ReleaseBody { reason, force } = submit::json(&headers, &body)?;
    let directory = query.directory.as_ref().map(ToString::to_string);
    let request = Request::QuarantineRelease(QuarantineReleaseBody { host, reason, force, directory });
    submit::submit(&api, &caller, &headers, query, &request).await
}

/// Asks whether a host under quarantine can read anything again; what can is contained anew.
///
/// It is also asked for regularly (`quarantine.check_every`). Role: responder or operator.
#[utoipa::path(
    post, path = "/quarantine-checks", tag = "quarantine",
    params(AskQuery, AskHeaders),
    request_body = Option<QuarantineCheckBody>,
    responses((status = 202, description = "Accepted; `Location` names the workflow", body = schema::Workflow)),
)]
pub(crate) async fn check(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Query(query): Query<AskQuery>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, ApiError> {
    require_any(&caller.principal, &[Role::Responder, Role::Operator])?;
    let body: QuarantineCheckBody = submit::json(&headers, &body)?;
    submit::submit(&api, &caller, &headers, query, &Request::QuarantineCheck(body)).await
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use domain::{Clock, DirectoryName, Dn, WorkflowId};
    use serde_json::json;
    use store::Release;

    use crate::http::submit::IDEMPOTENCY_KEY;
    use crate::http::testing::{ACCOUNT_SID, Answer, World};

    const BY: &str = "01890000-0000-7000-8000-000000000000";
    const SID: &str = "S-1-5-21-1-2-3-1601";

    async fn ask(world: &World, role: &str, path: &str, body: &str) -> Answer {
        world.post_as(role, &format!("/api/v1{path}"), "application/json", body, &[]).await
    }

    async fn released(world: &World, sid: &str) {
        let workflow: WorkflowId = BY.parse().expect("an id");
        let at = world.clock.now();
        let release = Release { at, by: "rita".to_owned(), workflow, reason: Some("clean".to_owned()) };
        let sid = sid.parse().expect("a SID");
        assert!(
            world.store.release_quarantine(&DirectoryName::default(), &sid, &release).await.expect("works")
        );
    }

    #[tokio::test]
    async fn hosts_are_listed_and_those_that_were_released_on_request() {
        let world = World::new().await;
        world.quarantine("Host1", SID, BY).await;
        world.quarantine("Host2", "S-1-5-21-1-2-3-1602", BY).await;
        released(&world, SID).await;
        for (query, expected) in
            [("", vec!["Host2"]), ("?released=true", vec!["Host2", "Host1"]), ("?directory=lab", vec![])]
        {
            let answer = world.get_as("viewer", &format!("/api/v1/quarantine{query}")).await;
            assert_eq!(answer.status, StatusCode::OK, "{query}: {}", answer.text);
            let items = answer.json["items"].as_array().expect("items");
            let mut names: Vec<_> = items.iter().filter_map(|item| item["hostName"].as_str()).collect();
            names.sort_unstable_by(|a, b| b.cmp(a));
            assert_eq!(names, expected, "{query}");
        }
        let page = world.get_as("viewer", "/api/v1/quarantine?released=true&limit=1").await;
        let next = page.json["next"].as_str().expect("more");
        let rest = world.get_as("viewer", &format!("/api/v1/quarantine?released=true&cursor={next}")).await;
        assert_eq!(rest.json["items"].as_array().map(Vec::len), Some(1), "{}", rest.text);
        for bad in ["?limit=0", "?cursor=zz", "?state=open"] {
            let answer = world.get_as("viewer", &format!("/api/v1/quarantine{bad}")).await;
            assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, "invalid-request"), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_host_is_shown_with_the_deny_entries_that_a_release_takes_back() {
        let world = World::new().await;
        let placed = world.quarantine("Host1", SID, BY).await;
        let dn = Dn::parse("CN=ITFarm1,DC=contoso,DC=com").expect("a DN");
        let accounts = [(ACCOUNT_SID.parse().expect("a SID"), dn)];
        let (directory, now) = (DirectoryName::default(), world.clock.now());
        let noted =
            world.store.note_denials(&directory, &placed.host_sid, &accounts, placed.workflow, now).await;
        noted.expect("works");
        for host in ["host1", "HOST1$", SID] {
            let path = format!("/api/v1/quarantine/{}", host.replace('$', "%24"));
            let shown = world.get_as("viewer", &path).await;
            assert_eq!(shown.json["quarantine"]["hostSid"], SID, "{host}: {}", shown.text);
            assert_eq!(shown.json["denials"][0]["accountSid"], ACCOUNT_SID);
        }
        let none = world.get_as("viewer", "/api/v1/quarantine/Host9").await;
        assert_eq!((none.status, none.code()), (StatusCode::NOT_FOUND, "not-quarantined"));
        let bad = world.get_as("viewer", "/api/v1/quarantine/S-1-x").await;
        assert_eq!((bad.status, bad.code()), (StatusCode::BAD_REQUEST, "invalid-request"));
    }

    #[tokio::test]
    async fn a_release_wants_a_reason_and_a_host_that_is_under_quarantine() {
        let world = World::new().await;
        world.quarantine("Host1", SID, BY).await;
        let path = "/quarantine/host1/release";
        let answer = ask(&world, "responder", path, r#"{"reason": "reinstalled"}"#).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
        let found = (&answer.json["kind"], &answer.json["lane"], &answer.json["reason"]);
        assert_eq!(found, (&json!("quarantine-release"), &json!("lifecycle"), &json!("reinstalled")));
        assert_eq!(answer.json["hosts"], json!(["Host1"]));
        let beside = ask(&world, "responder", &format!("{path}?reason=clean&plan=true"), "").await;
        assert_eq!((&beside.json["reason"], &beside.json["mode"]), (&json!("clean"), &json!("plan")));
        for (body, field, rule) in [
            ("", "reason", "required"),
            (r#"{"reason": "  "}"#, "reason", "required"),
            (r#"{"reason": "x", "force": ""}"#, "force", "required"),
            (r#"{"reason": "x", "forced": true}"#, "forced", "unknown-key"),
        ] {
            let answer = ask(&world, "responder", path, body).await;
            let error = &answer.json["errors"][0];
            assert_eq!(
                (&error["field"], &error["rule"]),
                (&field.into(), &rule.into()),
                "{body}: {}",
                answer.text
            );
        }
        let none = ask(&world, "responder", "/quarantine/Host9/release", r#"{"reason": "x"}"#).await;
        assert_eq!((none.status, none.code()), (StatusCode::NOT_FOUND, "not-quarantined"));
        for role in ["viewer", "operator", "approver"] {
            assert_eq!(
                ask(&world, role, path, r#"{"reason": "x"}"#).await.status,
                StatusCode::FORBIDDEN,
                "{role}"
            );
        }
    }

    #[tokio::test]
    async fn a_repeated_release_with_its_key_is_the_same_one_even_when_the_host_is_out() {
        let world = World::new().await;
        world.quarantine("Host1", SID, BY).await;
        let key = [(IDEMPOTENCY_KEY, "out")];
        let path = "/api/v1/quarantine/Host1/release";
        let body = r#"{"reason": "clean"}"#;
        let ask = || world.post_as("responder", path, "application/json", body, &key);
        let first = ask().await;
        released(&world, SID).await;
        let again = ask().await;
        assert_eq!((again.status, &again.json["id"]), (StatusCode::ACCEPTED, &first.json["id"]));
    }

    #[tokio::test]
    async fn a_check_is_asked_for_by_responders_and_operators() {
        let world = World::new().await;
        for role in ["responder", "operator"] {
            let answer = ask(&world, role, "/quarantine-checks", "").await;
            assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
            assert_eq!(
                (&answer.json["kind"], &answer.json["lane"]),
                (&json!("quarantine-check"), &json!("checks"))
            );
        }
        assert_eq!(ask(&world, "approver", "/quarantine-checks", "").await.status, StatusCode::FORBIDDEN);
        let other = ask(&world, "operator", "/quarantine-checks", r#"{"directory": "lab"}"#).await;
        assert_eq!((other.status, other.code()), (StatusCode::UNPROCESSABLE_ENTITY, "directory-unknown"));
    }
}
