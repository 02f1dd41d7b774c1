//! `POST /farms/{name}/hosts` and what takes hosts away again.
//!
//! Many hosts leave in one call by `host-removals`: a DELETE has no body, and a route `hosts/remove`
//! would stand in the way of a host of that name.

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
use crate::requests::bodies::HostsBody;
use crate::requests::{FarmRef, Request};

/// Adds member hosts to a farm.
///
/// They join the farm's group, or its reader list, and may then fetch the password. Role: operator.
#[utoipa::path(
    post, path = "/farms/{name}/hosts", tag = "farms",
    params(("name" = String, Path, description = "The farm's name, in any case"), AskFarmQuery, AskHeaders),
    request_body = HostsBody,
    responses((status = 202, description = "Accepted; `Location` names the workflow", body = schema::Workflow)),
)]
pub(crate) async fn add(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(name): InPath<FarmName>,
    Query(query): Query<AskFarmQuery>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, ApiError> {
    caller.require(Role::Operator)?;
    let farm = FarmRef::of(&name, query.directory.as_ref());
    let request = Request::AddHost(farm, submit::json(&headers, &body)?);
    submit::submit(&api, &caller, &headers, query, &request).await
}

/// Removes member hosts from a farm.
///
/// The account is uninstalled on them and they lose the right to read its password. Role: operator.
#[utoipa::path(
    post, path = "/farms/{name}/host-removals", tag = "farms",
    params(("name" = String, Path, description = "The farm's name, in any case"), AskFarmQuery, AskHeaders),
    request_body = HostsBody,
    responses((status = 202, description = "Accepted; `Location` names the workflow", body = schema::Workflow)),
)]
pub(crate) async fn remove_many(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(name): InPath<FarmName>,
    Query(query): Query<AskFarmQuery>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, ApiError> {
    caller.require(Role::Operator)?;
    let farm = FarmRef::of(&name, query.directory.as_ref());
    let request = Request::RemoveHost(farm, submit::json(&headers, &body)?);
    submit::submit(&api, &caller, &headers, query, &request).await
}

/// Removes one member host from a farm.
///
/// As `host-removals` with this one host. Role: operator.
#[utoipa::path(
    delete, path = "/farms/{name}/hosts/{host}", tag = "farms",
    params(
        ("name" = String, Path, description = "The farm's name, in any case"),
        ("host" = String, Path, description = "`Host1`, `Host1$`, a DN or a SID, percent-encoded"),
        AskFarmQuery, AskHeaders,
    ),
    responses((status = 202, description = "Accepted; `Location` names the workflow", body = schema::Workflow)),
)]
pub(crate) async fn remove_one(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath((name, host)): InPath<(FarmName, String)>,
    Query(query): Query<AskFarmQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    caller.require(Role::Operator)?;
    let farm = FarmRef::of(&name, query.directory.as_ref());
    let request = Request::RemoveHost(farm, HostsBody { hosts: vec![host] });
    submit::submit(&api, &caller, &headers, query, &request).await
}

#[cfg(test)]
mod tests {
    use axum::http::{Method, StatusCode};

    use crate::http::submit::IDEMPOTENCY_KEY;
    use crate::http::testing::World;

    const JSON: &str = "application/json";

    #[tokio::test]
    async fn hosts_are_asked_in_and_out_in_every_form_of_their_name() {
        let world = World::new().await;
        world.deployed("ITFarm1").await;
        let hosts =
            r#"{"hosts": ["Host7", "Host8$", "CN=Host9,OU=Servers,DC=contoso,DC=com", "S-1-5-21-1-2-3-9"]}"#;
        for (path, kind) in [("hosts", "add-host"), ("host-removals", "remove-host")] {
            let path = format!("/api/v1/farms/itfarm1/{path}?reason=growth");
            let answer = world.post_as("operator", &path, JSON, hosts, &[]).await;
            assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
            let workflow = &answer.json;
            assert_eq!((workflow["kind"].as_str(), workflow["farm"].as_str()), (Some(kind), Some("ITFarm1")));
            assert_eq!(workflow["hosts"].as_array().map(Vec::len), Some(4));
            assert_eq!(workflow["reason"], "growth");
            assert_eq!(
                answer.header("location"),
                format!("/api/v1/workflows/{}", workflow["id"].as_str().expect("an id"))
            );
        }
        for (segment, host) in [
            ("Host1", "Host1"),
            ("Host1%24", "Host1"),
            ("CN%3DHost1%2COU%3DServers%2CDC%3Dcontoso%2CDC%3Dcom", "CN=Host1,OU=Servers,DC=contoso,DC=com"),
            ("S-1-5-21-1-2-3-1104", "S-1-5-21-1-2-3-1104"),
        ] {
            let path = format!("/api/v1/farms/ITFarm1/hosts/{segment}?plan=true");
            let answer = world.send_as("operator", Method::DELETE, &path).await;
            assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
            assert_eq!(
                (&answer.json["kind"], &answer.json["hosts"][0]),
                (&"remove-host".into(), &host.into())
            );
            assert_eq!(answer.json["mode"], "plan");
        }
    }

    #[tokio::test]
    async fn a_list_that_breaks_rules_is_refused_by_field_and_nothing_is_written() {
        let world = World::new().await;
        world.deployed("ITFarm1").await;
        let many: Vec<_> = (0..=10_000).map(|at| format!("h{at}")).collect();
        let many = serde_json::json!({ "hosts": many }).to_string();
        for (body, field, rule) in [
            (r#"{"hosts": []}"#, "hosts", "length"),
            (many.as_str(), "hosts", "length"),
            (r#"{"hosts": ["Host1", "a/b"]}"#, "hosts[1]", "characters"),
            (r#"{"hosts": ["Host1", "HOST1$"]}"#, "hosts[1]", "duplicate"),
            (r#"{"hosts": ["S-1-banana"]}"#, "hosts[0]", "sid"),
            (r#"{"host": ["Host1"]}"#, "host", "unknown-key"),
            (r#"{"hosts": "Host1"}"#, "hosts", "form"),
            ("", "(document)", "form"),
        ] {
            let answer = world.post_as("operator", "/api/v1/farms/ITFarm1/hosts", JSON, body, &[]).await;
            let shown = &body[..body.len().min(60)];
            assert_eq!(
                (answer.status, answer.code()),
                (StatusCode::BAD_REQUEST, "invalid-request"),
                "{shown}"
            );
            assert_eq!(
                (&answer.json["errors"][0]["field"], &answer.json["errors"][0]["rule"]),
                (&field.into(), &rule.into()),
                "{shown}"
            );
        }
        let answer = world.send_as("operator", Method::DELETE, "/api/v1/farms/ITFarm1/hosts/a%2Fb").await;
        assert_eq!(
            (answer.status, &answer.json["errors"][0]["field"]),
            (StatusCode::BAD_REQUEST, &"hosts[0]".into())
        );
        let asked = world.get_as("viewer", "/api/v1/workflows?kind=add-host").await;
        assert_eq!(asked.json["items"].as_array().map(Vec::len), Some(0));
    }

    #[tokio::test]
    async fn ten_thousand_hosts_are_one_request() {
        let world = World::new().await;
        world.deployed("ITFarm1").await;
        let hosts: Vec<_> = (0..10_000).map(|at| format!("h{at}")).collect();
        let body = serde_json::json!({ "hosts": hosts }).to_string();
        let answer = world.post_as("operator", "/api/v1/farms/ITFarm1/hosts", JSON, &body, &[]).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
        let named = world.get_as("viewer", "/api/v1/workflows?host=H9999$").await;
        assert_eq!(named.json["items"][0]["id"], answer.json["id"]);
    }

    #[tokio::test]
    async fn a_key_is_answered_with_its_workflow() {
        let world = World::new().await;
        world.deployed("ITFarm1").await;
        let key = [(IDEMPOTENCY_KEY, "k-1")];
        let ask = async |body: &str| {
            world.post_as("operator", "/api/v1/farms/ITFarm1/hosts", JSON, body, &key).await
        };
        let first = ask(r#"{"hosts": ["Host7"]}"#).await;
        let again = ask(r#"{ "hosts" : [ "Host7" ] }"#).await;
        assert_eq!(first.json["id"], again.json["id"]);
        assert_eq!(again.header("idempotency-replayed"), "true");
        let other = ask(r#"{"hosts": ["Host8"]}"#).await;
        assert_eq!((other.status, other.code()), (StatusCode::CONFLICT, "idempotency-conflict"));
    }
}
