use axum::http::Method;
use serde_json::{Value, json};

use super::*;
use crate::http::testing::{Answer, World};

const JSON: &str = "application/json";
const PATH: &str = "/api/v1/rules";

fn web() -> Value {
    json!({
        "name": "Web", "on": {"types": ["farmhand.event.webhook-received.v1"]},
        "when": "event.data.body.name is like('WEB-*')",
        "do": {
            "kind": "add-host", "target": {"farm": "ITFarm1"}, "input": {"hosts": ["{{ event.data.body.name }}"]}
        },
    })
}

async fn world() -> World {
    let world = World::new().await;
    world.deployed("ITFarm1").await;
    world
}

async fn post(world: &World, who: &str, body: &Value) -> Answer {
    world.post_as(who, PATH, JSON, &body.to_string(), &[]).await
}

async fn try_out(world: &World, body: Value) -> Answer {
    world.post_as("operator", "/api/v1/rules/web/test", JSON, &body.to_string(), &[]).await
}

fn event(name: &Value) -> Value {
    json!({"type": "farmhand.event.webhook-received.v1", "data": {"webhook": "cmdb", "body": {"name": name}}})
}

#[tokio::test]
async fn a_rule_is_made_shown_listed_replaced_and_deleted() {
    let world = world().await;
    let made = post(&world, "operator", &web()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    assert_eq!(made.header("location"), "/api/v1/rules/Web");
    for (field, value) in [
        ("state", json!("enabled")),
        ("owner", json!("operator")),
        ("ownerRoles", json!(["operator"])),
        ("rate", json!({"most": 30, "per": "1h"})),
        ("dryRun", json!(false)),
        ("paused", json!(null)),
        ("lastFiredAt", json!(null)),
    ] {
        assert_eq!(made.json[field], value, "{field}");
    }
    assert_eq!(world.get_as("viewer", "/api/v1/rules/WEB").await.json, made.json);
    assert_eq!(post(&world, "operator", &web()).await.code(), "already-exists");

    let mut other = web();
    other["dryRun"] = json!(true);
    let put = async |path: &str, body: &Value| {
        world.send_body("admin", Method::PUT, path, (JSON, &body.to_string()), &[]).await
    };
    let replaced = put("/api/v1/rules/web", &other).await;
    assert_eq!(replaced.status, StatusCode::OK, "{}", replaced.text);
    assert_eq!((&replaced.json["dryRun"], &replaced.json["id"]), (&json!(true), &made.json["id"]));
    assert_eq!((&replaced.json["owner"], &replaced.json["createdBy"]), (&json!("admin"), &json!("operator")));
    assert_eq!(put("/api/v1/rules/other", &other).await.json["errors"][0]["field"], "name");

    let list = world.get_as("viewer", "/api/v1/rules?state=enabled").await;
    assert_eq!(list.json, json!({"items": [replaced.json], "next": null}));
    assert_eq!(world.get_as("viewer", "/api/v1/rules?state=paused").await.json["items"], json!([]));
    let firings = world.get_as("viewer", "/api/v1/rules/web/firings").await;
    assert_eq!(firings.json, json!({"items": [], "next": null}));

    let path = "/api/v1/rules/Web";
    assert_eq!(world.send_as("operator", Method::DELETE, path).await.status, StatusCode::NO_CONTENT);
    for gone in [world.send_as("operator", Method::DELETE, path).await, put(path, &other).await] {
        assert_eq!((gone.status, gone.code()), (StatusCode::NOT_FOUND, "not-found"));
    }
}

#[tokio::test]
async fn a_rule_that_could_never_work_is_refused_with_its_place() {
    let world = world().await;
    for (pointer, value, field) in [
        ("/when", json!("event.data.("), "when"),
        ("/do/kind", json!("banana"), "do.kind"),
        ("/do/input", json!({"hosts": ["a/b"]}), "do.input.hosts[0]"),
        ("/do/input", json!({"host": ["{{ event.id }}"]}), "do.input.host"),
        ("/do/input", json!({"hosts": ["{{ event.id "]}), "do.input.hosts[0]"),
        ("/do/target", json!({}), "do.target.farm"),
        ("/on/types", json!([]), "on.types"),
    ] {
        let mut body = web();
        *body.pointer_mut(pointer).expect("is there") = value.clone();
        let answer = post(&world, "operator", &body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{pointer} {value}: {}", answer.text);
        assert_eq!(answer.json["errors"][0]["field"], field, "{}", answer.text);
    }
    let mut body = web();
    body["do"]["input"] = json!({"hosts": ["Host9"]});
    body["do"]["target"] = json!({"farm": "nobody"});
    assert_eq!(
        post(&world, "operator", &body).await.code(),
        "farm-not-deployed",
        "nothing is left to an event"
    );
    let root_key = json!({"kdsRootKey": "7dc95c96-fa85-183a-dff5-f70696bf0b11"});
    body["do"] = json!({"kind": "compromise-removal", "input": root_key});
    assert_eq!(post(&world, "admin", &body).await.json["errors"][0]["field"], "do.input.kdsRootKey");
    assert_eq!(world.get_as("viewer", PATH).await.json["items"], json!([]), "nothing was written");
}

#[tokio::test]
async fn only_who_may_ask_for_the_work_may_have_a_rule_for_it() {
    let world = world().await;
    for who in ["viewer", "approver", "responder"] {
        assert_eq!(post(&world, who, &web()).await.code(), "forbidden");
    }
    let mut containment = web();
    containment["do"] =
        json!({"kind": "compromise-removal", "input": {"host": "{{ event.data.body.name }}"}});
    assert_eq!(
        post(&world, "operator", &containment).await.code(),
        "forbidden",
        "it takes a responder as well"
    );
    // What cannot be read before there is an event: a list in a template.
    containment["do"]["input"]["farms"] = json!("{{ event.data.body.farms }}");
    assert_eq!(post(&world, "operator", &containment).await.code(), "forbidden");
    world.add_token("both", &[Role::Operator, Role::Responder], None).await;
    assert_eq!(post(&world, "both", &containment).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_pause_says_by_whom_and_why_and_a_resume_ends_it() {
    let world = world().await;
    post(&world, "operator", &web()).await;
    let path = "/api/v1/rules/Web";
    let paused =
        world.post_as("admin", &format!("{path}/pause"), JSON, r#"{"reason": "holidays"}"#, &[]).await;
    assert_eq!(paused.json["state"], "paused", "{}", paused.text);
    assert_eq!(
        (&paused.json["paused"]["by"], &paused.json["paused"]["reason"]),
        (&json!("admin"), &json!("holidays"))
    );
    let again = world.post_as("operator", &format!("{path}/pause"), "", "", &[]).await;
    assert_eq!(again.json["paused"], paused.json["paused"], "who paused it first");
    let body = (JSON, &web().to_string()[..]);
    let replaced = world.send_body("operator", Method::PUT, path, body, &[]).await;
    assert_eq!(replaced.json["state"], "paused", "a new definition does not end a pause");
    let resumed = world.send_as("operator", Method::POST, &format!("{path}/resume")).await;
    assert_eq!((&resumed.json["state"], &resumed.json["paused"]), (&json!("enabled"), &json!(null)));
}

#[tokio::test]
async fn a_test_shows_what_would_become_of_an_event_and_does_nothing() {
    let world = world().await;
    post(&world, "operator", &web()).await;
    let workflows = async || world.get_as("viewer", "/api/v1/workflows").await.json["items"].clone();
    let before = workflows().await;
    let fired = try_out(&world, json!({"event": event(&json!("web-07"))})).await;
    assert_eq!(fired.status, StatusCode::OK, "{}", fired.text);
    assert_eq!((&fired.json["matched"], &fired.json["outcome"]), (&json!(true), &json!("fired")));
    assert_eq!(fired.json["asks"]["input"], json!({"hosts": ["web-07"]}));
    assert_eq!(fired.json["asks"]["target"]["farm"], "ITFarm1");

    let refused = try_out(&world, json!({"event": event(&json!("WEB-07/x"))})).await;
    assert_eq!(
        (&refused.json["outcome"], &refused.json["code"]),
        (&json!("refused"), &json!("invalid-request")),
        "{}",
        refused.text
    );
    let failed = try_out(&world, json!({"event": event(&json!(["a", "list"]))})).await;
    assert_eq!(failed.json["outcome"], "failed", "{}", failed.text);
    for (body, why) in [
        (json!({"event": event(&json!("DB-1"))}), "condition"),
        (json!({"event": {"type": "x"}}), "trigger"),
        (json!({"event": event(&json!("WEB-1")), "publisher": "cmdb"}), "trigger"),
    ] {
        let answer = try_out(&world, body).await;
        assert_eq!(answer.json["matched"], false, "{}", answer.text);
        assert!(answer.json["why"].as_str().is_some_and(|text| text.contains(why)), "{}", answer.text);
    }
    assert_eq!(try_out(&world, json!({"event": {}})).await.code(), "invalid-request");
    assert_eq!(try_out(&world, json!({"events": 1})).await.json["errors"][0]["rule"], "unknown-key");
    assert_eq!(workflows().await, before);
    let firings = world.get_as("viewer", "/api/v1/rules/web/firings").await;
    assert_eq!(firings.json["items"], json!([]));
}
