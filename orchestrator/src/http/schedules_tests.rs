use axum::http::Method;
use serde_json::{Value, json};

use super::*;
use crate::http::testing::{Answer, World};

const JSON: &str = "application/json";
const PATH: &str = "/api/v1/schedules";

fn nightly() -> Value {
    json!({
        "name": "Nightly", "kind": "add-host", "cron": "30 2 * * *", "timezone": "Europe/Berlin",
        "target": {"farm": "ITFarm1"}, "input": {"hosts": ["Host9"]}, "jitter": "10m", "reason": "growth",
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

#[tokio::test]
async fn a_schedule_is_made_shown_listed_replaced_and_deleted() {
    let world = world().await;
    let made = post(&world, "operator", &nightly()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    assert_eq!(made.header("location"), "/api/v1/schedules/Nightly");
    for (field, value) in [
        ("state", json!("enabled")),
        ("owner", json!("operator")),
        ("ownerRoles", json!(["operator"])),
        ("overlap", json!("skip")),
        ("misfire", json!("run-once")),
        ("lateness", json!("5m")),
        ("jitter", json!("10m")),
        ("paused", json!(null)),
    ] {
        assert_eq!(made.json[field], value, "{field}");
    }
    assert!(made.json["nextDue"].is_string() && made.json["fireAt"].is_string());
    let shown = world.get_as("viewer", "/api/v1/schedules/nightly").await;
    assert_eq!(shown.json, made.json);
    let again = post(&world, "operator", &nightly()).await;
    assert_eq!((again.status, again.code()), (StatusCode::CONFLICT, "already-exists"));

    let mut other = nightly();
    other["cron"] = json!("0 4 * * *");
    let put = async |path: &str, body: &Value| {
        world.send_body("operator", Method::PUT, path, (JSON, &body.to_string()), &[]).await
    };
    let replaced = put("/api/v1/schedules/NIGHTLY", &other).await;
    assert_eq!(replaced.status, StatusCode::OK, "{}", replaced.text);
    assert_eq!((&replaced.json["cron"], &replaced.json["id"]), (&json!("0 4 * * *"), &made.json["id"]));
    assert_ne!(replaced.json["nextDue"], made.json["nextDue"]);
    let misnamed = put("/api/v1/schedules/other", &other).await;
    assert_eq!(misnamed.json["errors"][0]["field"], "name", "{}", misnamed.text);

    let list = world.get_as("viewer", "/api/v1/schedules?state=enabled").await;
    assert_eq!(list.json, json!({"items": [replaced.json], "next": null}));
    assert_eq!(world.get_as("viewer", "/api/v1/schedules?state=paused").await.json["items"], json!([]));

    let path = "/api/v1/schedules/Nightly";
    assert_eq!(world.send_as("operator", Method::DELETE, path).await.status, StatusCode::NO_CONTENT);
    for gone in [world.send_as("operator", Method::DELETE, path).await, put(path, &other).await] {
        assert_eq!((gone.status, gone.code()), (StatusCode::NOT_FOUND, "not-found"));
    }
}

#[tokio::test]
async fn a_schedule_that_could_never_work_is_refused_with_its_place() {
    let world = world().await;
    for (change, status, field) in [
        (json!({"cron": "0 25 * * *"}), StatusCode::BAD_REQUEST, "cron"),
        (json!({"timezone": "Mars"}), StatusCode::BAD_REQUEST, "timezone"),
        (json!({"kind": "banana"}), StatusCode::BAD_REQUEST, "kind"),
        (json!({"input": {"hosts": ["a/b"]}}), StatusCode::BAD_REQUEST, "input.hosts[0]"),
        (json!({"input": {"host": ["a"]}}), StatusCode::BAD_REQUEST, "input.host"),
        (json!({"target": {}}), StatusCode::BAD_REQUEST, "target.farm"),
        (
            json!({"target": {"farm": "ITFarm1", "directory": "nowhere"}}),
            StatusCode::UNPROCESSABLE_ENTITY,
            "target.directory",
        ),
        (json!({"when": "now"}), StatusCode::BAD_REQUEST, "when"),
    ] {
        let mut body = nightly();
        let fields = body.as_object_mut().expect("an object");
        fields.extend(change.as_object().expect("an object").clone());
        let answer = post(&world, "operator", &body).await;
        assert_eq!(answer.status, status, "{change}: {}", answer.text);
        assert_eq!(answer.json["errors"][0]["field"], field, "{}", answer.text);
    }
    let mut body = nightly();
    body["target"] = json!({"farm": "nobody"});
    assert_eq!(post(&world, "operator", &body).await.code(), "farm-not-deployed");
    assert_eq!(world.get_as("viewer", PATH).await.json["items"], json!([]), "nothing was written");
}

#[tokio::test]
async fn only_who_may_ask_for_the_work_may_schedule_it() {
    let world = world().await;
    for who in ["viewer", "approver"] {
        assert_eq!(post(&world, who, &nightly()).await.code(), "forbidden");
    }
    assert_eq!(post(&world, "admin", &nightly()).await.status, StatusCode::CREATED);
    let path = "/api/v1/schedules/Nightly/pause";
    assert_eq!(world.send_as("viewer", Method::POST, path).await.code(), "forbidden");
}

#[tokio::test]
async fn a_pause_says_by_whom_and_why_and_a_resume_ends_it() {
    let world = world().await;
    post(&world, "operator", &nightly()).await;
    let path = "/api/v1/schedules/Nightly";
    let paused =
        world.post_as("admin", &format!("{path}/pause"), JSON, r#"{"reason": "holidays"}"#, &[]).await;
    assert_eq!(paused.json["state"], "paused", "{}", paused.text);
    assert_eq!(
        (&paused.json["paused"]["by"], &paused.json["paused"]["reason"]),
        (&json!("admin"), &json!("holidays"))
    );
    assert!(paused.json["nextDue"].is_string(), "its due times go on to be recorded");
    let again = world.post_as("operator", &format!("{path}/pause"), "", "", &[]).await;
    assert_eq!(again.json["paused"], paused.json["paused"], "who paused it first");
    // A new definition does not end a pause.
    let body = (JSON, &nightly().to_string()[..]);
    assert_eq!(world.send_body("operator", Method::PUT, path, body, &[]).await.json["state"], "paused");
    let resumed = world.send_as("operator", Method::POST, &format!("{path}/resume")).await;
    assert_eq!((&resumed.json["state"], &resumed.json["paused"]), (&json!("enabled"), &json!(null)));
}

#[tokio::test]
async fn a_preview_shows_the_due_times_around_the_change_of_the_clocks() {
    let world = world().await;
    post(&world, "operator", &nightly()).await;
    let path = "/api/v1/schedules/Nightly/preview";
    let shown = world.get_as("viewer", &format!("{path}?count=3&from=2027-03-27T00:00:00Z")).await;
    let local = |answer: &Answer| -> Vec<String> {
        let items = answer.json["items"].as_array().cloned().unwrap_or_default();
        items.iter().map(|item| item["local"].as_str().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(
        local(&shown),
        ["2027-03-27T02:30:00+01:00", "2027-03-28T03:00:00+02:00", "2027-03-29T02:30:00+02:00"]
    );
    assert!(shown.json["items"][1]["remark"].as_str().is_some_and(|text| text.contains("does not exist")));
    // The world's clock stands in September.
    let around = world.get_as("viewer", &format!("{path}?count=3&aroundChange=true")).await;
    assert_eq!(
        local(&around),
        ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00", "2026-10-27T02:30:00+01:00"]
    );
    assert!(around.json["items"][0]["remark"].as_str().is_some_and(|text| text.contains("twice")));
    assert_eq!(world.get_as("viewer", &format!("{path}?count=0")).await.code(), "invalid-request");
    assert_eq!(world.get_as("viewer", "/api/v1/schedules/none/preview").await.code(), "not-found");
}

#[tokio::test]
async fn a_kind_about_a_whole_directory_is_told_which() {
    let document = json!({
        "name": "s", "kind": "inspect", "cron": "0 2 * * *", "target": {"directory": "lab"}, "input": {"farm": "ITFarm1"}
    });
    let manifest: ScheduleManifest = serde_json::from_value(document).expect("a manifest");
    let spec = manifest.validate(DateTime::from_timestamp(1_790_000_000, 0).expect("a time")).expect("valid");
    let request = crate::schedules::request(&spec).expect("a request");
    let farm = crate::requests::FarmRef { name: "ITFarm1".to_owned(), directory: Some("lab".to_owned()) };
    assert_eq!(request, crate::requests::Request::Inspect(farm));
}

#[tokio::test]
async fn who_defined_a_schedule_cannot_approve_what_it_asks_for() {
    let world = world().await;
    world.add_token("eve", &[Role::Operator, Role::Approver], None).await;
    let body =
        json!({"name": "end", "kind": "decommission", "cron": "* * * * *", "target": {"farm": "ITFarm1"}});
    let made = post(&world, "eve", &body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    world.clock.advance(std::time::Duration::from_secs(60));
    let scheduler = crate::schedules::scheduler::Scheduler {
        schedules: world.api.schedules(),
        clock: world.clock.clone(),
        rng: world.api.rng.clone(),
        settings: world.api.settings.clone(),
    };
    scheduler.tick(&tokio_util::sync::CancellationToken::new()).await.expect("works");
    let fires = world.get_as("viewer", "/api/v1/schedules/end/fires?outcome=fired").await;
    let id = fires.json["items"][0]["workflow"].as_str().expect("a workflow").to_owned();
    world.shows_plan(&id).await;
    let approval = json!({"planHash": crate::http::testing::PLAN_HASH}).to_string();
    let path = format!("/api/v1/workflows/{id}/approve");
    let own = world.post_as("eve", &path, JSON, &approval, &[]).await;
    assert_eq!((own.status, own.code()), (StatusCode::FORBIDDEN, "approval-own"), "{}", own.text);
    let other = world.post_as("approver", &path, JSON, &approval, &[]).await;
    assert_eq!(other.status, StatusCode::OK, "{}", other.text);
}
