//! `POST /farms` and `PUT /farms/{name}`: a farm is asked for, or is to be as its manifest says.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use domain::{FarmName, Role};

use super::auth::Caller;
use super::errors::ApiError;
use super::extract::{Body, InPath, Query};
use super::submit::{self, AskFarmQuery, AskHeaders, AskQuery};
use super::{Api, manifest, schema};
use crate::requests::{FarmRef, Request};

/// Deploys a farm.
///
/// Makes the security group, its members and the gMSA as the manifest says, and verifies them on
/// every writable domain controller. What is there already and fits is kept. Role: operator.
#[utoipa::path(
    post, path = "/farms", tag = "farms",
    params(AskQuery, AskHeaders),
    request_body(content(
        (schema::FarmManifest = "application/yaml"),
        (schema::FarmManifest = "application/json"),
    )),
    responses((status = 202, description = "Accepted; `Location` names the workflow", body = schema::Workflow)),
)]
pub(crate) async fn deploy(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Query(query): Query<AskQuery>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, ApiError> {
    caller.require(Role::Operator)?;
    let request = Request::Deploy(manifest::parse(&headers, &body)?);
    submit::submit(&api, &caller, &headers, query, &request).await
}

/// Updates a deployed farm.
///
/// What differs between the manifest and the directory is changed, as Set-ADServiceAccount does. The
/// manifest names the same farm (and the same directory, where `directory` is given). Role: operator.
#[utoipa::path(
    put, path = "/farms/{name}", tag = "farms",
    params(("name" = String, Path, description = "The farm's name, in any case"), AskFarmQuery, AskHeaders),
    request_body(content(
        (schema::FarmManifest = "application/yaml"),
        (schema::FarmManifest = "application/json"),
    )),
    responses((status = 202, description = "Accepted; `Location` names the workflow", body = schema::Workflow)),
)]
pub(crate) async fn update(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(name): InPath<FarmName>,
    Query(query): Query<AskFarmQuery>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, ApiError> {
    caller.require(Role::Operator)?;
    let farm = FarmRef::of(&name, query.directory.as_ref());
    let request = Request::Update(Some(farm), manifest::parse(&headers, &body)?);
    submit::submit(&api, &caller, &headers, query, &request).await
}

#[cfg(test)]
mod tests {
    use axum::http::{Method, StatusCode};

    use super::*;
    use crate::http::testing::{MANIFEST, World};

    const YAML: &str = "application/yaml";

    #[tokio::test]
    async fn a_manifest_becomes_a_workflow_and_a_farm_on_record() {
        let world = World::new().await;
        let answer = world.deploy("operator", "?reason=new%20farm", MANIFEST).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
        let workflow = &answer.json;
        assert_eq!(workflow["kind"], "deploy");
        assert_eq!(workflow["lane"], "lifecycle");
        assert_eq!(workflow["mode"], "apply");
        assert_eq!(workflow["state"], "queued");
        assert_eq!(workflow["farm"], "ITFarm1");
        assert_eq!(workflow["requestedBy"], "operator");
        assert_eq!(workflow["reason"], "new farm");
        assert_eq!(workflow["hosts"].as_array().map(Vec::len), Some(2));
        let location = answer.header("location");
        assert_eq!(location, format!("/api/v1/workflows/{}", workflow["id"].as_str().expect("an id")));
        assert_eq!(world.get_as("viewer", &location).await.json["id"], workflow["id"]);
        assert_eq!(world.get_as("viewer", "/api/v1/farms/itfarm1").await.json["state"], "requested");
        assert_eq!(world.store.outbox_depth().await.expect("works").rows, 1);
    }

    #[tokio::test]
    async fn a_dry_run_puts_no_farm_on_record() {
        let world = World::new().await;
        let answer = world.deploy("operator", "?plan=true", MANIFEST).await;
        assert_eq!((answer.status, answer.json["mode"].as_str()), (StatusCode::ACCEPTED, Some("plan")));
        assert_eq!(world.get_as("viewer", "/api/v1/farms/ITFarm1").await.status, StatusCode::NOT_FOUND);
    }

    #[tokio::test]
    async fn json_is_taken_as_well_as_yaml_and_nothing_else() {
        let world = World::new().await;
        let manifest: domain::FarmManifest = serde_saphyr::from_str(MANIFEST).expect("valid");
        let json = serde_json::to_string(&manifest).expect("serialises");
        let answer = world.post_as("operator", "/api/v1/farms", "application/json", &json, &[]).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
        for other in ["application/x-www-form-urlencoded", ""] {
            let answer = world.post_as("operator", "/api/v1/farms", other, MANIFEST, &[]).await;
            assert_eq!(
                (answer.status, answer.code()),
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid-request")
            );
        }
    }

    #[tokio::test]
    async fn the_same_key_gives_the_same_workflow_and_another_request_a_conflict() {
        let world = World::new().await;
        let key = [(submit::IDEMPOTENCY_KEY, "k-1")];
        let first = world.post_as("operator", "/api/v1/farms", YAML, MANIFEST, &key).await;
        // The same manifest in another spelling is the same request.
        let respelt = format!("# a comment\n{MANIFEST}");
        let again = world.post_as("operator", "/api/v1/farms", YAML, &respelt, &key).await;
        assert_eq!((again.status, &again.json["id"]), (StatusCode::ACCEPTED, &first.json["id"]));
        assert_eq!(
            (first.header("idempotency-replayed"), again.header("idempotency-replayed").as_str()),
            (String::new(), "true")
        );
        assert_eq!(again.header("location"), first.header("location"));

        let plan = world.post_as("operator", "/api/v1/farms?plan=true", YAML, MANIFEST, &key).await;
        assert_eq!((plan.status, plan.code()), (StatusCode::CONFLICT, "idempotency-conflict"));
        let id = first.json["id"].as_str().expect("an id");
        assert!(plan.json["detail"].as_str().is_some_and(|text| text.contains(id)));

        let other = world.post_as("admin", "/api/v1/farms", YAML, MANIFEST, &key).await;
        assert_eq!(other.status, StatusCode::ACCEPTED);
        assert_ne!(other.json["id"], first.json["id"], "keys of two callers do not meet");

        for bad in ["", "a b", &*"x".repeat(256)] {
            let key = [(submit::IDEMPOTENCY_KEY, bad)];
            let answer = world.post_as("operator", "/api/v1/farms", YAML, MANIFEST, &key).await;
            assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, "invalid-request"), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_manifest_that_breaks_a_rule_is_refused_with_field_and_rule_and_nothing_is_written() {
        let world = World::new().await;
        let cases = [
            ("name: ITFarm1", "name: SixteenLettersXX", "spec.account.samAccountName", "length"),
            ("http/ITFarm1]", "http]", "spec.account.servicePrincipalNames[1]", "spn-form"),
            (
                "http/ITFarm1]",
                "HTTP/itfarm1.CONTOSO.com]",
                "spec.account.servicePrincipalNames[1]",
                "duplicate",
            ),
            ("account:", "acount:", "spec.acount", "unknown-key"),
            ("    dnsHostName: ITFarm1.contoso.com\n", "", "spec.account.dnsHostName", "required"),
            (
                "    dnsHostName:",
                "    managedPasswordIntervalInDays: 0\n    dnsHostName:",
                "spec.account.managedPasswordIntervalInDays",
                "range",
            ),
        ];
        for (from, to, field, rule) in cases {
            let answer = world.deploy("operator", "", &MANIFEST.replace(from, to)).await;
            assert_eq!(
                (answer.status, answer.code()),
                (StatusCode::UNPROCESSABLE_ENTITY, "invalid-manifest")
            );
            let errors = answer.json["errors"].as_array().expect("violations");
            assert!(errors.iter().any(|e| e["field"] == field && e["rule"] == rule), "{to}: {errors:?}");
        }
        let elsewhere = MANIFEST.replace("spec:\n", "spec:\n  directory: other\n");
        let answer = world.deploy("operator", "", &elsewhere).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::UNPROCESSABLE_ENTITY, "directory-unknown"));
        assert_eq!(answer.json["errors"][0]["field"], "spec.directory");
        assert!(answer.json["hint"].as_str().is_some_and(|hint| hint.contains("default")));

        assert_eq!(
            world.get_as("viewer", "/api/v1/workflows").await.json["items"].as_array().map(Vec::len),
            Some(0)
        );
        assert_eq!(world.store.outbox_depth().await.expect("works").rows, 0);
    }

    #[tokio::test]
    async fn bad_queries_and_large_bodies_are_refused() {
        let world = World::new().await;
        for query in ["?plan=maybe", "?plam=true", &format!("?reason={}", "x".repeat(1025))] {
            let answer = world.deploy("operator", query, MANIFEST).await;
            assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, "invalid-request"));
        }
        let large = format!("{MANIFEST}# {}", "x".repeat(1024 * 1024));
        let answer = world.deploy("operator", "", &large).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::PAYLOAD_TOO_LARGE, "invalid-request"));
    }

    #[tokio::test]
    async fn a_dry_run_needs_the_operator_too() {
        let world = World::new().await;
        for query in ["", "?plan=true"] {
            let answer = world.deploy("viewer", query, MANIFEST).await;
            assert_eq!((answer.status, answer.code()), (StatusCode::FORBIDDEN, "forbidden"));
            assert!(answer.json["detail"].as_str().is_some_and(|text| text.contains("operator")));
        }
        assert_eq!(world.send(Method::POST, "/api/v1/farms").await.status, StatusCode::UNAUTHORIZED);
    }
}
