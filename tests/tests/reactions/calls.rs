//! Another system calls, and what the samples say follows, on the embedded directory.

use domain::{Mode, WorkflowState};
use serde_json::json;
use tests::world::{World, farm};

use super::{Person, call};

#[tokio::test(flavor = "multi_thread")]
async fn a_new_computer_of_the_inventory_joins_the_farm_that_claims_its_name() {
    let world = World::new().await;
    let _worker = world.start_worker("one");
    let id = world.submit("deploy", Mode::Apply, farm("ITFarm1", "ITFarmHosts", &["Host1"])).await;
    assert_eq!(world.finishes(id).await.state, WorkflowState::Succeeded);
    let ann = Person::admin(&world).await;
    let secret = ann.inbound("cmdb").await;
    // The sample, with the names that the embedded directory has.
    let rule = ann.sample_rule("new-web-host").await;
    let mut changed = rule.clone();
    let when = rule["when"].as_str().expect("a condition").replace("WEB-*", "host?");
    changed["when"] = json!(when);
    let keys = ["name", "description", "on", "when", "do", "dedupe", "rate", "dryRun"];
    changed.as_object_mut().expect("an object").retain(|key, _| keys.contains(&key.as_str()));
    let (status, answer) = ann.send(reqwest::Method::PUT, "rules/new-web-host", &changed).await;
    assert_eq!(status, 200, "{answer}");

    let created = |name: &str| json!({"event": "computer-created", "name": name});
    let (status, answer) = call(&world.url, "cmdb", &secret, &created("Host7")).await;
    assert_eq!(status, 202, "{answer}");
    ann.firings("new-web-host", 1).await;
    for (name, body) in [
        ("host7", created("host7")),
        ("DB-1", created("DB-1")),
        ("Host8", json!({"event": "computer-retired", "name": "Host8"})),
    ] {
        let (status, answer) = call(&world.url, "cmdb", &secret, &body).await;
        assert_eq!(status, 202, "{name}: {answer}");
    }
    let (status, answer) = call(&world.url, "cmdb", "another secret", &created("Host9")).await;
    assert_eq!((status, &answer["code"]), (401, &json!("unauthenticated")));
    let firings = ann.firings("new-web-host", 2).await;
    let outcomes: Vec<_> =
        firings.iter().map(|firing| firing["outcome"].as_str().unwrap_or_default()).collect();
    assert_eq!(outcomes, ["deduplicated", "fired"], "latest first; those that it is not for leave nothing");
    let fired = firings[1]["workflow"].as_str().expect("a workflow").parse().expect("an id");
    let done = world.finishes(fired).await;
    assert_eq!(done.state, WorkflowState::Succeeded, "{:?}", done.error);
    assert_eq!((done.requested_by.as_str(), done.kind.as_str()), ("rule:new-web-host", "add-host"));
    assert_eq!(done.reason.as_deref(), Some("new computer Host7 (inventory)"));
    let shown = ann.get("farms/ITFarm1").await;
    let hosts = shown["recorded"]["spec"]["hosts"].as_array().cloned().unwrap_or_default();
    assert_eq!(hosts, [json!("Host1"), json!("Host7")], "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grave_alert_cuts_a_host_off_and_a_repeated_one_does_so_once() {
    let world = World::new().await;
    let _worker = world.start_worker("one");
    let id = world.submit("deploy", Mode::Apply, farm("ITFarm1", "ITFarmHosts", &["Host1", "Host2"])).await;
    assert_eq!(world.finishes(id).await.state, WorkflowState::Succeeded);
    let ann = Person::admin(&world).await;
    let secret = ann.inbound("siem").await;
    ann.sample_rule("siem-containment").await;
    let alert = |severity: u8, alert: &str| json!({"severity": severity, "category": "credential-theft", "host": "HOST1", "alert": alert});
    for (severity, number) in [(3, "1"), (9, "4711"), (9, "4712")] {
        let (status, answer) = call(&world.url, "siem", &secret, &alert(severity, number)).await;
        assert_eq!(status, 202, "{answer}");
    }
    let firings = ann.firings("siem-containment", 2).await;
    let mut outcomes: Vec<_> = firings.iter().map(|firing| firing["outcome"].clone()).collect();
    outcomes.sort_by_key(ToString::to_string);
    assert_eq!(outcomes, [json!("deduplicated"), json!("fired")]);
    let fired = firings.iter().find_map(|firing| firing["workflow"].as_str()).expect("a workflow");
    let done = world.finishes(fired.parse().expect("an id")).await;
    assert_eq!(done.state, WorkflowState::Succeeded, "{:?}", done.error);
    let result = done.result.expect("a result");
    assert_eq!(result["accounts"][0]["account"], "ITFarm1$", "{result}");
    let quarantine = ann.get("quarantine").await;
    assert_eq!(quarantine["items"][0]["hostName"], "Host1", "{quarantine}");
    assert_eq!(quarantine["items"][0]["placedBy"], "rule:siem-containment", "{quarantine}");
    // Tested with the next alert: the host is asked for within 15 minutes already.
    let event = json!({
        "type": "farmhand.event.webhook-received.v1", "subject": "siem", "data": {"body": alert(9, "4713")}
    });
    let test = ann.post("rules/siem-containment/test", &json!({ "event": event })).await;
    assert_eq!((&test["outcome"], &test["dedupeKey"]), (&json!("deduplicated"), &json!("HOST1")), "{test}");
}
