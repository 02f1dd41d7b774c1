//! `POST /farms/{name}/decommission`, `replace`, `import`: a farm's end, its new beginning, and one
//! that others began.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use domain::{FarmName, Role};

use super::auth::Caller;
use super::errors::ApiError;
use super::extract::{Body, InPath, Query};
use super::submit::{self, AskFarmQuery, AskHeaders};
use super::{Api, schema};
use crate::requests::bodies::{DecommissionBody, ImportBody, ReplaceBody};
use crate::requests::{FarmRef, Request};

/// Retires a farm.
///
/// After the approval of a second person: the account is uninstalled on its hosts, nobody may read
/// its password any more, it stays disabled for the cool-down, then account and group are deleted.
/// Role: operator.
#[utoipa::path(
    post, path = "/farms/{name}/decommission", tag = "farms",
    params(("name" = String, Path, description = "The farm's name, in any case"), AskFarmQuery, AskHeaders),
    request_body = Option<DecommissionBody>,
    responses((status = 202, description = "Accepted; `Location` names the workflow", body = schema::Workflow)),
)]
pub(crate) async fn decommission(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(name): InPath<FarmName>,
    Query(query): Query<AskFarmQuery>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, ApiError> {
    caller.require(Role::Operator)?;
    let farm = FarmRef::of(&name, query.directory.as_ref());
    let request = Request::Decommission(farm, submit::json(&headers, &body)?);
    submit::submit(&api, &caller, &headers, query, &request).await
}

/// Rebuilds a farm's gMSA with a new SID.
///
/// For another managed password interval, or after its password became known. SPNs, readers, group
/// memberships and delegation are carried over; a second person approves. Role: operator.
#[utoipa::path(
    post, path = "/farms/{name}/replace", tag = "farms",
    params(("name" = String, Path, description = "The farm's name, in any case"), AskFarmQuery, AskHeaders),
    request_body = Option<ReplaceBody>,
    responses((status = 202, description = "Accepted; `Location` names the workflow", body = schema::Workflow)),
)]
pub(crate) async fn replace(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(name): InPath<FarmName>,
    Query(query): Query<AskFarmQuery>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, ApiError> {
    caller.require(Role::Operator)?;
    let farm = FarmRef::of(&name, query.directory.as_ref());
    let request = Request::Replace(farm, submit::json(&headers, &body)?);
    submit::submit(&api, &caller, &headers, query, &request).await
}

/// Puts a gMSA that others made on record as a farm.
///
/// Reads the account, its readers and their hosts; writes nothing to the directory. Role: operator.
#[utoipa::path(
    post, path = "/farms/{name}/import", tag = "farms",
    params(("name" = String, Path, description = "The farm's name"), AskFarmQuery, AskHeaders),
    request_body = Option<ImportBody>,
    responses((status = 202, description = "Accepted; `Location` names the workflow", body = schema::Workflow)),
)]
pub(crate) async fn import(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(name): InPath<FarmName>,
    Query(query): Query<AskFarmQuery>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, ApiError> {
    caller.require(Role::Operator)?;
    let farm = FarmRef::of(&name, query.directory.as_ref());
    let request = Request::Import(farm, submit::json(&headers, &body)?);
    submit::submit(&api, &caller, &headers, query, &request).await
}

#[cfg(test)]
mod tests {
    use axum::http::{Method, StatusCode};

    use crate::http::submit::IDEMPOTENCY_KEY;
    use crate::http::testing::{MANIFEST, World};

    const JSON: &str = "application/json";

    #[tokio::test]
    async fn each_kind_is_asked_for_with_and_without_a_body() {
        let world = World::new().await;
        world.deployed("ITFarm1").await;
        for (noun, body) in [
            ("decommission", r#"{"coolDown": "12h"}"#),
            ("replace", r#"{"newAccount": "ITFarm2", "managedPasswordIntervalInDays": 7, "coolDown": "1d"}"#),
            ("import", r#"{"account": "ITFarm1$", "group": "CN=G,DC=contoso,DC=com"}"#),
        ] {
            for (media_type, body) in [(JSON, body), (JSON, ""), ("", "")] {
                let path = format!("/api/v1/farms/ITFarm1/{noun}?plan=true");
                let answer = world.post_as("operator", &path, media_type, body, &[]).await;
                assert_eq!(answer.status, StatusCode::ACCEPTED, "{noun}: {}", answer.text);
                assert_eq!(answer.json["kind"], noun);
                assert_eq!(answer.json["requestedBy"], "operator");
            }
        }
    }

    #[tokio::test]
    async fn what_breaks_a_rule_is_named_by_field() {
        let world = World::new().await;
        world.deployed("ITFarm1").await;
        for (noun, body, field, rule) in [
            ("decommission", r#"{"coolDown": "soon"}"#, "coolDown", "duration"),
            ("decommission", r#"{"coolDown": "366d"}"#, "coolDown", "range"),
            ("decommission", r#"{"cooldown": "1d"}"#, "cooldown", "unknown-key"),
            ("replace", r#"{"newAccount": "SixteenLettersXX"}"#, "newAccount", "length"),
            ("replace", r#"{"managedPasswordIntervalInDays": 0}"#, "managedPasswordIntervalInDays", "range"),
            ("import", r#"{"account": "S-1-banana"}"#, "account", "sid"),
            ("import", r#"{"group": "a/b"}"#, "group", "characters"),
        ] {
            let path = format!("/api/v1/farms/ITFarm1/{noun}");
            let answer = world.post_as("operator", &path, JSON, body, &[]).await;
            assert_eq!(
                (answer.status, answer.code()),
                (StatusCode::BAD_REQUEST, "invalid-request"),
                "{body}"
            );
            let error = &answer.json["errors"][0];
            assert_eq!((&error["field"], &error["rule"]), (&field.into(), &rule.into()), "{body}");
        }
        let path = "/api/v1/farms/ITFarm1/decommission";
        let answer = world.post_as("operator", path, "text/plain", "{}", &[]).await;
        assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }

    #[tokio::test]
    async fn only_a_deployed_farm_is_changed() {
        let world = World::new().await;
        world.deploy("operator", "", &MANIFEST.replace("name: ITFarm1", "name: asked")).await;
        world.decommissioned("gone").await;
        let hosts = r#"{"hosts": ["Host1"]}"#;
        for (farm, status) in [
            ("nobody", StatusCode::NOT_FOUND),
            ("asked", StatusCode::CONFLICT),
            ("gone", StatusCode::CONFLICT),
        ] {
            let manifest = MANIFEST.replace("name: ITFarm1", &format!("name: {farm}"));
            for (method, path, body) in [
                (Method::POST, "/hosts", (JSON, hosts)),
                (Method::POST, "/host-removals", (JSON, hosts)),
                (Method::DELETE, "/hosts/Host1", ("", "")),
                (Method::POST, "/decommission", ("", "")),
                (Method::POST, "/replace", ("", "")),
                (Method::PUT, "", ("application/yaml", manifest.as_str())),
            ] {
                let path = format!("/api/v1/farms/{farm}{path}");
                let answer = world.send_body("operator", method.clone(), &path, body, &[]).await;
                assert_eq!((answer.status, answer.code()), (status, "farm-not-deployed"), "{method} {path}");
            }
            let answer =
                world.post_as("operator", &format!("/api/v1/farms/{farm}/import"), "", "", &[]).await;
            assert_eq!(answer.status, StatusCode::ACCEPTED, "an import needs no farm: {}", answer.text);
        }
        let elsewhere =
            world.post_as("operator", "/api/v1/farms/x/import?directory=other", "", "", &[]).await;
        assert_eq!(
            (elsewhere.status, elsewhere.code()),
            (StatusCode::UNPROCESSABLE_ENTITY, "directory-unknown")
        );
    }

    #[tokio::test]
    async fn an_update_takes_the_manifest_of_the_same_farm() {
        let world = World::new().await;
        world.deployed("ITFarm1").await;
        let put = async |path: &str, manifest: &str| {
            world.send_body("operator", Method::PUT, path, ("application/yaml", manifest), &[]).await
        };
        let answer = put("/api/v1/farms/itfarm1?directory=DEFAULT&reason=r", MANIFEST).await;
        assert_eq!((answer.status, &answer.json["kind"]), (StatusCode::ACCEPTED, &"update".into()));
        let other = put("/api/v1/farms/ITFarm2", MANIFEST).await;
        assert_eq!((other.status, other.code()), (StatusCode::UNPROCESSABLE_ENTITY, "invalid-manifest"));
        assert_eq!(other.json["errors"][0]["field"], "metadata.name");
        let other = put("/api/v1/farms/ITFarm1?directory=lab", MANIFEST).await;
        assert_eq!(other.json["errors"][0]["field"], "spec.directory", "{}", other.text);
    }

    #[tokio::test]
    async fn a_repeated_decommission_with_its_key_is_the_same_one_even_when_the_farm_is_gone() {
        let world = World::new().await;
        let key = [(IDEMPOTENCY_KEY, "end")];
        world.deployed("ITFarm1").await;
        let ask = || world.post_as("operator", "/api/v1/farms/ITFarm1/decommission", "", "", &key);
        let first = ask().await;
        let farm = domain::FarmName::parse("ITFarm1").expect("a name");
        let record = store::FarmRecord::Decommissioned { directory: domain::DirectoryName::default(), farm };
        world.end(first.json["id"].as_str().expect("an id"), record).await;
        let again = ask().await;
        assert_eq!((again.status, &again.json["id"]), (StatusCode::ACCEPTED, &first.json["id"]));
        let other = world.post_as("operator", "/api/v1/farms/ITFarm1/replace", "", "", &key).await;
        assert_eq!((other.status, other.code()), (StatusCode::CONFLICT, "idempotency-conflict"));
    }
}
