//! Requests past HTTP, as a message asks them.

use domain::{ErrorCode, Principal, Role, WorkflowKind};
use serde_json::{Value, json};

use super::*;
use crate::http::testing::{ACCOUNT_SID, MANIFEST, World};

const SOME_ID: &str = "01890000-0000-7000-8000-000000000000";

fn principal(roles: &[Role]) -> Principal {
    Principal { name: "itsm".to_owned(), roles: roles.iter().copied().collect() }
}

fn farm(name: &str) -> Option<FarmRef> {
    Some(FarmRef { name: name.to_owned(), directory: None })
}

/// Each kind with a farm and a body that are right.
fn samples() -> Vec<(&'static str, Value)> {
    let manifest: FarmManifest = serde_saphyr::from_str(MANIFEST).expect("valid");
    let manifest = serde_json::to_value(manifest).expect("serialises");
    vec![
        ("deploy", manifest.clone()),
        ("update", manifest),
        ("add-host", json!({"hosts": ["Host1$"]})),
        ("remove-host", json!({"hosts": ["Host1"]})),
        ("decommission", json!({})),
        ("replace", json!({"newAccount": "ITFarm9"})),
        ("import", json!({"account": "ITFarm1$"})),
        ("inspect", json!({})),
        ("rotation-check", json!({"everyDc": true})),
        ("drift-check", json!({"full": true})),
        ("compromise-removal", json!({"host": "Host1", "farms": ["itfarm1"]})),
        ("quarantine-release", json!({"host": "host7$", "reason": "cleaned"})),
        ("quarantine-check", json!({})),
    ]
}

async fn submit(world: &World, kind: &str, body: &Value, by: &Principal) -> Result<Workflow, RequestError> {
    let about = !matches!(kind, "compromise-removal" | "quarantine-release" | "quarantine-check");
    let request = Request::parse(kind, farm("ITFarm1").filter(|_| about), None, body.to_string().as_bytes())?;
    assert_eq!(request.kind(), WorkflowKind::parse(kind).expect("a kind"));
    Ok(world.api.requests.submit(&request, Ask::default(), by).await?.workflow)
}

fn refusal<T: std::fmt::Debug>(result: Result<T, RequestError>) -> Refusal {
    match result.expect_err("refused") {
        RequestError::Refused(refusal) => refusal,
        other => unreachable!("{other:?}"),
    }
}

#[tokio::test]
async fn every_kind_is_asked_by_its_role_and_no_lower_one() {
    let world = World::new().await;
    world.deployed("ITFarm1").await;
    world.quarantine("Host7", "S-1-5-21-1-2-3-7", SOME_ID).await;
    for (kind, body) in samples() {
        let needed: &[Role] = match kind {
            "inspect" => &[Role::Viewer],
            "compromise-removal" | "quarantine-release" => &[Role::Responder],
            "quarantine-check" => &[Role::Responder, Role::Operator],
            _ => &[Role::Operator],
        };
        for needed in needed {
            let asked = submit(&world, kind, &body, &principal(&[*needed])).await.expect(kind);
            assert_eq!((asked.kind.as_str(), asked.requested_by.as_str()), (kind, "itsm"));
        }
        let other: Vec<Role> = match kind {
            "inspect" => vec![],
            _ => Role::ALL.into_iter().filter(|r| *r != Role::Admin && !needed.contains(r)).collect(),
        };
        let other = other.as_slice();
        let refused = refusal(submit(&world, kind, &body, &principal(other)).await);
        assert_eq!((refused.kind, refused.problem.code), (RefusalKind::Forbidden, ErrorCode::Forbidden));
    }
}

#[tokio::test]
async fn the_input_is_what_the_runbook_reads() {
    let world = World::new().await;
    world.deployed("ITFarm1").await;
    let input = async |kind: &str, body: Value| {
        let asked = submit(&world, kind, &body, &principal(&[Role::Operator])).await.expect(kind);
        // An end gives the farm's lock to the next.
        let claimed = world.claim(&asked.id.to_string()).await;
        world.store.act(asked.id, store::Action::Cancel, "test", world.clock.now()).await.expect("works");
        let finish = store::Finish {
            event: domain::WorkflowEvent::Cancel,
            error: None,
            result: None,
            plan: None,
            farm: None,
        };
        world.write(&claimed, Vec::new(), store::WorkflowChange::Finish(finish)).await;
        claimed.input
    };
    let week = 7 * 24 * 60 * 60;
    assert_eq!(input("add-host", json!({"hosts": ["Host1$"]})).await, json!({"hosts": ["Host1"]}));
    assert_eq!(input("decommission", json!({})).await, json!({"coolDownSeconds": week}));
    assert_eq!(input("decommission", json!({"coolDown": "0s"})).await, json!({"coolDownSeconds": 0}));
    assert_eq!(
        input("replace", json!({"managedPasswordIntervalInDays": 7, "coolDown": "1h 30m"})).await,
        json!({
            "accountSid": ACCOUNT_SID, "newAccount": null, "managedPasswordIntervalInDays": 7,
            "coolDownSeconds": 5400
        })
    );
    assert_eq!(
        input("rotation-check", json!({"everyDc": true})).await,
        json!({"everyDc": true, "maxIntervalDays": 30, "keepDays": 400})
    );
    let day = 24 * 60 * 60;
    assert_eq!(input("drift-check", json!({})).await, json!({"full": false, "fullEverySeconds": day}));
    assert_eq!(
        input("import", json!({"account": "S-1-5-21-1-2-3-9"})).await,
        json!({"account": "S-1-5-21-1-2-3-9", "group": null})
    );
}

#[tokio::test]
async fn what_is_no_request_is_refused_with_its_place() {
    for (kind, farm_of, body, field, rule) in [
        ("banana", farm("x"), json!({}), "kind", "value"),
        ("add-host", None, json!({"hosts": ["Host1"]}), "farm", "required"),
        ("inspect", None, json!({}), "(document)", "form"),
        ("decommission", farm("x"), json!({"when": "now"}), "when", "unknown-key"),
        ("deploy", None, json!({"kind": "Farm"}), "(document)", "form"),
        ("quarantine-release", None, json!({}), "(document)", "form"),
        ("compromise-removal", None, json!({"kdsRootKey": SOME_ID}), "kdsRootKey", "http"),
    ] {
        let refused = Request::parse(kind, farm_of, None, body.to_string().as_bytes()).expect_err(kind);
        let violation = &refused.problem.violations[0];
        assert_eq!((violation.field.as_str(), violation.rule.as_str()), (field, rule), "{kind}: {refused:?}");
    }
}

#[tokio::test]
async fn of_many_broken_rules_the_first_are_told() {
    let world = World::new().await;
    world.deployed("ITFarm1").await;
    let hosts: Vec<_> = (0..500).map(|at| format!("a/{at}")).collect();
    let asked = submit(&world, "add-host", &json!({ "hosts": hosts }), &principal(&[Role::Operator])).await;
    let problem = refusal(asked).problem;
    assert_eq!(problem.violations.len(), 100);
    assert!(problem.message.contains("breaks 500 rule(s)") && problem.message.ends_with("and 495 more"));
    assert!(problem.message.len() < 1000, "{}", problem.message);
}

#[tokio::test]
async fn the_same_key_of_two_principals_or_for_a_dry_run_is_not_the_same_request() {
    let world = World::new().await;
    world.deployed("ITFarm1").await;
    let request = Request::parse("decommission", farm("itfarm1"), None, b"").expect("valid");
    let ask = |plan, by: &str| {
        let by = Principal { name: by.to_owned(), ..principal(&[Role::Operator]) };
        let ask = Ask { plan, idempotency_key: Some("k".to_owned()), ..Ask::default() };
        let requests = world.api.requests.clone();
        let request = request.clone();
        async move { requests.submit(&request, ask, &by).await }
    };
    let first = ask(false, "ann").await.expect("taken");
    let again = ask(false, "ann").await.expect("taken");
    assert_eq!((again.workflow.id, first.replayed, again.replayed), (first.workflow.id, false, true));
    assert_ne!(ask(false, "bob").await.expect("taken").workflow.id, first.workflow.id);
    let refused = refusal(ask(true, "ann").await);
    assert_eq!((refused.kind, refused.problem.code), (RefusalKind::Conflict, ErrorCode::IdempotencyConflict));
}

#[tokio::test]
async fn a_message_about_a_host_means_the_directory_that_it_names_wherever_it_names_it() {
    let parse = |kind: &str, about: Option<FarmRef>, directory: Option<&str>, body: Value| {
        Request::parse(kind, about, directory, body.to_string().as_bytes())
    };
    let in_lab = |request: Request| match request {
        Request::Compromise(body) => (body.directory, body.farms),
        Request::QuarantineRelease(body) => (body.directory, vec![]),
        Request::QuarantineCheck(body) => (body.directory, vec![]),
        other => unreachable!("{other:?}"),
    };
    let lab = Some("lab".to_owned());
    let release = json!({"host": "Host1", "reason": "clean", "directory": "lab"});
    for (kind, directory, body) in [
        ("compromise-removal", Some("lab"), json!({"host": "Host1"})),
        ("compromise-removal", None, json!({"host": "Host1", "directory": "lab"})),
        ("quarantine-release", Some("LAB"), release),
        ("quarantine-check", Some("lab"), Value::Null),
    ] {
        let body = if body.is_null() { json!({}) } else { body };
        assert_eq!(in_lab(parse(kind, None, directory, body).expect(kind)).0, lab, "{kind}");
    }
    let about = FarmRef { name: "ITFarm1".to_owned(), directory: lab.clone() };
    let request = parse("compromise-removal", Some(about), Some("lab"), json!({"host": "Host1"}));
    assert_eq!(in_lab(request.expect("valid")), (lab, vec!["ITFarm1".to_owned()]));
    let other = json!({"host": "Host1", "directory": "default"});
    let refused = parse("compromise-removal", None, Some("lab"), other).expect_err("two directories");
    assert_eq!(refused.problem.violations[0].rule, "same");
}

#[tokio::test]
async fn what_is_asked_about_a_host_reaches_its_runbook_as_it_was_judged() {
    let world = World::new().await;
    world.deployed("ITFarm1").await;
    world.quarantine("Host7", "S-1-5-21-1-2-3-7", SOME_ID).await;
    let input = async |kind: &str, body: Value| {
        let asked = submit(&world, kind, &body, &principal(&[Role::Responder])).await.expect(kind);
        assert_eq!(asked.farm, None, "{kind}");
        let claimed = world.claim(&asked.id.to_string()).await;
        (claimed.workflow, claimed.input)
    };
    let (contains, asked) =
        input("compromise-removal", json!({"host": "Host1$", "farms": ["itfarm1"]})).await;
    assert_eq!((contains.lane, contains.hosts), (Lane::Urgent, vec!["Host1".to_owned()]));
    assert_eq!(
        asked,
        json!({"host": "Host1", "farms": ["ITFarm1"], "keepComputerEnabled": false, "force": null})
    );
    let body = json!({"host": "HOST7", "reason": "reinstalled", "force": "never was on"});
    let (release, asked) = input("quarantine-release", body).await;
    assert_eq!((release.lane, release.hosts), (Lane::Lifecycle, vec!["Host7".to_owned()]));
    assert_eq!(release.reason.as_deref(), Some("reinstalled"));
    assert_eq!(asked, json!({"hostSid": "S-1-5-21-1-2-3-7", "force": "never was on"}));
    let (check, asked) = input("quarantine-check", json!({})).await;
    assert_eq!((check.lane, asked), (Lane::Checks, json!({})));
}
