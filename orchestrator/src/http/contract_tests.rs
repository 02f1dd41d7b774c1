//! What holds for all routes at once.

use std::collections::BTreeSet;

use axum::http::{Method, StatusCode};
use chrono::DateTime;
use domain::{
    Approval, Cause, Change, Dn, ErrorCode, FarmManifest, HostTask, HostWork, Lane, MemberHost, Mode, Plan,
    Problem, Role, StepOutcome, StepRecord, TokenId, Verdict, Violation, Wait, WaitReason, Workflow,
    WorkflowId, WorkflowKind, WorkflowState, Write,
};
use serde_json::{Value, json};
use store::{Farm, FarmFacts, FarmState, Token};

use super::openapi;
use super::testing::{MANIFEST, World};

const SOME_ID: &str = "01890000-0000-7000-8000-000000000000";

fn document() -> Value {
    serde_json::to_value(openapi()).expect("serialises")
}

/// Every operation of `/api/v1`: method and a path that its route takes.
fn operations() -> Vec<(Method, String)> {
    let document = document();
    let paths = document["paths"].as_object().expect("paths");
    let mut found = Vec::new();
    for (path, item) in paths.iter().filter(|(path, _)| path.starts_with("/api/v1")) {
        for method in item.as_object().expect("an item").keys() {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).expect("a method");
            found.push((
                method,
                path.replace("{id}", SOME_ID)
                    .replace("{name}", "x")
                    .replace("{farm}", "f")
                    .replace("{host}", "h")
                    .replace("{index}", "0")
                    .replace("{account}", "a"),
            ));
        }
    }
    found
}

#[tokio::test]
async fn no_route_of_the_api_answers_without_a_token() {
    let world = World::new().await;
    let operations = operations();
    assert!(operations.len() >= 14, "{operations:?}");
    for (method, path) in operations {
        assert!(!path.contains('{'), "fill in the parameter of {path}");
        let answer = world.send(method.clone(), &path).await;
        assert_eq!(
            (answer.status, answer.code()),
            (StatusCode::UNAUTHORIZED, "unauthenticated"),
            "{method} {path}"
        );
        assert_eq!(answer.content_type(), "application/problem+json", "{method} {path}");
    }
    let answer = world.get("/api/v1/nowhere").await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "nor does it tell which routes there are");
    let answer = world.send(Method::PATCH, "/api/v1/farms").await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_viewer_changes_nothing() {
    let world = World::new().await;
    // A question is all that a viewer may ask for; what it takes is tested with it.
    // A webhook is called without a token: what proves that a caller may is tested with it.
    let changes = |(method, path): &(Method, String)| {
        method != Method::GET
            && path != "/api/v1/inspections"
            && !(method == Method::POST && path == "/api/v1/webhooks/x")
    };
    for (method, path) in operations().into_iter().filter(changes) {
        // Some bodies are read before the role is looked at; this one is well formed for all.
        let body = r#"{"principal": "x", "roles": ["viewer"]}"#;
        let answer = if method == Method::POST {
            world.post_as("viewer", &path, "application/json", body, &[]).await
        } else {
            world.send_as("viewer", method.clone(), &path).await
        };
        assert_eq!((answer.status, answer.code()), (StatusCode::FORBIDDEN, "forbidden"), "{method} {path}");
    }
}

#[test]
fn every_operation_is_described_secured_and_can_refuse() {
    let document = document();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("an item") {
            let what = format!("{method} {path}");
            assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{what}");
            if path.starts_with("/api/v1") {
                assert_eq!(operation["security"], json!([{"bearer": []}]), "{what}");
                assert!(
                    operation["responses"]["default"]["content"]["application/problem+json"].is_object(),
                    "{what}"
                );
            }
        }
    }
    assert_eq!(document["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
}

#[test]
fn every_reference_of_the_document_leads_somewhere() {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
                map.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let document = document();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 10, "{found:?}");
    for reference in found {
        let pointer = reference.strip_prefix('#').expect("inside the document");
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

/// Every key that is written is described, and every key that is described as required is written.
fn assert_described(schema: &str, written: &Value) {
    let document = document();
    let schema_value = &document["components"]["schemas"][schema];
    let described =
        schema_value["properties"].as_object().unwrap_or_else(|| unreachable!("no schema {schema}"));
    let written = written.as_object().expect("an object");
    for key in written.keys() {
        assert!(described.contains_key(key), "{schema} does not describe {key}");
    }
    for key in schema_value["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        assert!(written.contains_key(key), "{schema} promises {key}");
    }
    // These are filled in whole by the tests below, so nothing may be described that is not there.
    for key in described.keys() {
        let other_form = matches!(schema, "AttributeChange" | "CalendarPeriod");
        assert!(other_form || written.contains_key(key), "{schema} describes {key}, which is never written");
    }
}

fn sample_work() -> HostWork {
    let host = MemberHost {
        name: "Host1".to_owned(),
        sid: "S-1-5-21-1-2-3-1104".parse().expect("a SID"),
        dns_host_name: Some(domain::DnsHostName::parse("host1.contoso.com").expect("a name")),
    };
    let account = domain::AccountName::parse("ITFarm1").expect("a name");
    HostWork { host, account, actions: vec![domain::HostActionKind::Uninstall] }
}

fn sample_workflow() -> Workflow {
    let now = DateTime::from_timestamp(1_700_000_000, 0).expect("a valid time");
    let dn = Dn::parse("CN=ITFarm1,DC=contoso,DC=com").expect("valid");
    let change = Change::rename(dn, "04030201-0605-0807-090a-0b0c0d0e0f10", "ITFarm1-old").at("dc1");
    let problem =
        Problem::new(ErrorCode::SpnConflict, "m", "h").with_violations(vec![Violation::new("f", "r", "m")]);
    let write =
        Write { dc: "dc1".to_owned(), change: change.clone(), usn: Some(1), object_guid: None, at: now };
    let mut step = StepRecord::pending(0, "group");
    step.error = Some(problem.clone());
    step.intent = Some(domain::step::Intent { dc: "dc1".to_owned(), changes: vec![change.clone()], at: now });
    let mut approval = Approval::asked("5f1e".to_owned(), now, now).renewed("beef".to_owned(), now, now);
    let reason = Some("seen".to_owned());
    approval.decision = Some(Verdict { approved: true, by: "ben".to_owned(), at: now, reason });
    let task = HostTask {
        detail: Some("done".to_owned()),
        by: Some("ben".to_owned()),
        at: Some(now),
        ..HostTask::pending(sample_work())
    };
    step.outcome = Some(StepOutcome {
        output: json!({}),
        writes: vec![write],
        hosts: vec![task],
        approval: Some(approval),
        memo: json!({ "since": now }),
    });
    Workflow {
        id: SOME_ID.parse().expect("an id"),
        kind: WorkflowKind::DEPLOY,
        directory: domain::DirectoryName::default(),
        farm: None,
        hosts: Vec::new(),
        lane: Lane::Lifecycle,
        mode: Mode::Apply,
        state: WorkflowState::Waiting,
        parent: Some(SOME_ID.parse().expect("an id")),
        preempted_by: Some(SOME_ID.parse().expect("an id")),
        requested_by: "anna".to_owned(),
        reason: None,
        created_at: now,
        started_at: None,
        finished_at: None,
        waiting: Some(Wait { reason: WaitReason::Retry, until: None, detail: String::new() }),
        plan: Some(Plan::new(vec![change], vec![sample_work()])),
        steps: vec![step],
        error: Some(problem),
        result: None,
    }
}

#[test]
fn workflows_look_as_the_document_says() {
    let workflow = serde_json::to_value(sample_workflow()).expect("serialises");
    assert_described("Workflow", &workflow);
    for (schema, pointer) in [
        ("Wait", "/waiting"),
        ("Plan", "/plan"),
        ("Change", "/plan/changes/0"),
        ("AttributeChange", "/plan/changes/0/attributes/0"),
        ("Step", "/steps/0"),
        ("Problem", "/error"),
        ("Violation", "/error/violations/0"),
        ("Intent", "/steps/0/intent"),
        ("HostWork", "/plan/hostActions/0"),
        ("MemberHost", "/plan/hostActions/0/host"),
        ("HostTask", "/steps/0/outcome/hosts/0"),
        ("Approval", "/steps/0/outcome/approval"),
        ("Verdict", "/steps/0/outcome/approval/decision"),
        ("StepOutcome", "/steps/0/outcome"),
        ("Write", "/steps/0/outcome/writes/0"),
    ] {
        assert_described(schema, workflow.pointer(pointer).expect("is there"));
    }
}

#[test]
fn farms_and_tokens_look_as_the_document_says() {
    let now = DateTime::from_timestamp(1_700_000_000, 0).expect("a valid time");
    let manifest: FarmManifest = serde_saphyr::from_str(MANIFEST).expect("valid");
    let mut spec = manifest.validate().expect("valid");
    spec.host_actions.wave = Some(10);
    spec.rotation.nudge = true;
    spec.drift.on_drift = domain::farm::OnDrift::Mend;
    let account = &mut spec.account;
    (account.home_page, account.account_expiration_date) = (Some("https://it".to_owned()), Some(now));
    account.allowed_to_delegate_to = Some(account.service_principal_names.clone());
    for option in [
        &mut account.enabled,
        &mut account.account_not_delegated,
        &mut account.trusted_for_delegation,
        &mut account.trusted_to_auth_for_delegation,
        &mut account.compound_identity_supported,
    ] {
        *option = Some(false);
    }
    let foreign = domain::farm::ForeignReader {
        sid: "S-1-5-21-1-2-3-500".parse().expect("valid"),
        denied: false,
        name: Some("Administrator".to_owned()),
    };
    let facts = FarmFacts {
        spec: spec.clone(),
        account_dn: Dn::parse("CN=a,DC=x").expect("valid"),
        account_sid: "S-1-5-21-1-2-3-1000".parse().expect("valid"),
        group_dn: None,
        group_sid: None,
        group_made: false,
        foreign_readers: vec![foreign],
    };
    let farm = Farm {
        name: spec.name.clone(),
        directory: spec.directory.clone(),
        state: FarmState::Deployed,
        spec,
        recorded: Some(facts),
        last_workflow: None,
        created_at: now,
        updated_at: now,
    };
    let farm = serde_json::to_value(farm).expect("serialises");
    assert_described("Farm", &farm);
    assert_described("FarmSpec", &farm["spec"]);
    assert_described("AccountSpec", &farm["spec"]["account"]);
    assert_described("HostActionsManifest", &farm["spec"]["hostActions"]);
    assert_described("MembershipSpec", &farm["spec"]["membership"]);
    assert_described("RotationManifest", &farm["spec"]["rotation"]);
    assert_described("DriftManifest", &farm["spec"]["drift"]);
    assert_described("FarmFacts", &farm["recorded"]);
    assert_described("ForeignReader", &farm["recorded"]["foreignReaders"][0]);
    assert_described("FarmPage", &json!({"items": [], "next": null}));

    let token = Token {
        id: TokenId::new(now, &domain::SystemRng),
        principal: "ci".to_owned(),
        roles: Role::ALL.into(),
        created_at: now,
        expires_at: None,
        revoked_at: None,
        last_used_at: None,
    };
    let mut token = serde_json::to_value(token).expect("serialises");
    assert_described("Token", &token);
    token["secret"] = json!("fh_");
    assert_described("CreatedToken", &token);
}

#[test]
fn drift_looks_as_the_document_says() {
    let now = DateTime::from_timestamp(1_700_000_000, 0).expect("a valid time");
    let item = domain::DriftItem {
        kind: domain::DriftKind::Missing,
        subject: "ITFarm1$".to_owned(),
        attribute: "description".to_owned(),
        asked: Some("web".to_owned()),
        recorded: None,
        found: None,
        mendable: false,
        blocks_update: true,
        hint: "by hand".to_owned(),
    };
    let entry = domain::drift::DriftEntry {
        directory: domain::DirectoryName::default(),
        farm: domain::FarmName::parse("ITFarm1").expect("a name"),
        state: domain::DriftState::Drifted,
        why: None,
        items: vec![item],
        item_count: 1,
        domain_controller: "dc1".to_owned(),
        checked_at: now,
        compared_at: now,
        changed_at: now,
        mended_by: None,
    };
    let entry = serde_json::to_value(entry).expect("serialises");
    assert_described("DriftEntry", &entry);
    assert_described("DriftItem", &entry["items"][0]);
    assert_described("DriftPage", &json!({"items": [], "next": null}));
}

#[test]
fn the_board_of_rotation_looks_as_the_document_says() {
    use domain::rotation::{
        FindingCode, RotationChange, RotationCopy, RotationEntry, RotationFinding, RotationReader,
    };
    let now = DateTime::from_timestamp(1_700_000_000, 0).expect("a valid time");
    let key = || domain::containment::KeyId::of_slot(370_520, uuid::Uuid::from_u128(1));
    let item = domain::RotationItem {
        directory: domain::DirectoryName::default(),
        account: "ITFarm1$".to_owned(),
        sid: "S-1-5-21-1-2-3-1000".parse().expect("valid"),
        dn: Dn::parse("CN=a,DC=x").expect("valid"),
        farm: None,
        verdict: domain::RotationVerdict::Due,
        why: "due".to_owned(),
        key_id: key(),
        interval_days: Some(30),
        rollover_hours: Some(720),
        slot_start: Some(now),
        next_due: Some(now),
        password_set: None,
        enabled: true,
        readers: vec![RotationReader {
            sid: "S-1-1-0".parse().expect("valid"),
            name: Some("Everyone".to_owned()),
            denied: true,
        }],
        reader_count: 1,
        findings: vec![RotationFinding {
            code: FindingCode::BroadReader,
            text: "t".to_owned(),
            subjects: vec!["Everyone".to_owned()],
            at: Some(now),
        }],
        copies: vec![RotationCopy { dc: "dc1".to_owned(), key_id: key() }],
    };
    let entry = RotationEntry { item, checked_at: now, changed_at: now, gone_at: None };
    let entry = serde_json::to_value(entry).expect("serialises");
    for (schema, pointer) in [
        ("RotationEntry", ""),
        ("KeyId", "/keyId"),
        ("RotationReader", "/readers/0"),
        ("RotationFinding", "/findings/0"),
        ("RotationCopy", "/copies/0"),
    ] {
        assert_described(schema, entry.pointer(pointer).expect("is there"));
    }
    let change = RotationChange {
        at: now,
        verdict: domain::RotationVerdict::Due,
        why: "due".to_owned(),
        key_id: key(),
        gone: true,
        workflow: SOME_ID.parse().expect("an id"),
    };
    assert_described("RotationChange", &serde_json::to_value(change).expect("serialises"));
    assert_described("RotationDetail", &json!({"entry": {}, "history": []}));
    assert_described("RotationPage", &json!({"items": [], "next": null}));
}

#[test]
fn schedules_look_as_the_document_says() {
    let now = DateTime::from_timestamp(1_790_000_000, 0).expect("a valid time");
    let manifest = json!({
        "name": "s", "description": "d", "kind": "inspect", "target": {"farm": "x", "directory": "y"}, "input": {},
        "plan": true, "reason": "r", "cron": "@daily", "timezone": "UTC", "start": "2030-01-01T00:00:00Z",
        "end": "2031-01-01T00:00:00Z", "jitter": "1m", "overlap": "skip", "misfire": "skip", "lateness": "1m"
    });
    assert_described("ScheduleManifest", &manifest);
    assert_described("ScheduleTarget", &manifest["target"]);
    let manifest: domain::schedule::ScheduleManifest = serde_json::from_value(manifest).expect("a manifest");
    let schedule = store::Schedule {
        id: domain::ScheduleId::new(now, &domain::SystemRng),
        spec: manifest.validate(now).expect("valid"),
        state: domain::schedule::ScheduleState::Paused,
        next_due: Some(now),
        fire_at: Some(now),
        ended_because: None,
        last_due: None,
        last_workflow: None,
        queued: 0,
        paused: Some(store::Paused { at: now, by: "ben".to_owned(), reason: None }),
        last_pause: None,
        owner: "ann".to_owned(),
        owner_roles: Role::ALL.into(),
        created_by: "ann".to_owned(),
        created_at: now,
        updated_at: now,
        revision: 1,
    };
    let schedule = serde_json::to_value(schedule).expect("serialises");
    assert_described("Schedule", &schedule);
    assert_described("SchedulePaused", &schedule["paused"]);
    let fire = store::Fire {
        due: now,
        outcome: domain::FireOutcome::Fired,
        reason: None,
        detail: None,
        workflow: None,
        recorded_at: now,
    };
    assert_described("Fire", &serde_json::to_value(fire).expect("serialises"));
    for page in ["SchedulePage", "FirePage", "PreviewPage", "CalendarPage"] {
        assert_described(page, &json!({"items": [], "next": null}));
    }
}

#[test]
fn incidents_and_the_quarantine_look_as_the_document_says() {
    use domain::containment::{Containment, KnownPassword};
    let now = DateTime::from_timestamp(1_700_000_000, 0).expect("a valid time");
    let found = super::testing::containment(now);
    let read: Containment = serde_json::from_value(found.clone()).expect("a containment");
    assert_eq!(serde_json::to_value(&read).expect("serialises"), found);
    let compromise = Workflow { result: Some(found), farm: None, ..sample_workflow() };
    let child = Workflow {
        kind: WorkflowKind::REPLACE,
        state: WorkflowState::Succeeded,
        farm: read.accounts[0].farm.clone(),
        finished_at: Some(now),
        ..sample_workflow()
    };
    let incident = crate::incident::incident(compromise, vec![child], now);
    let incident = serde_json::to_value(incident).expect("serialises");
    for (schema, pointer) in [
        ("Incident", ""),
        ("Containment", "/containment"),
        ("ContainedHost", "/containment/host"),
        ("ContainedAccount", "/containment/accounts/0"),
        ("Exposure", "/containment/accounts/0/exposure"),
        ("ContainedDc", "/containment/domainControllers/0"),
        ("AccountExposure", "/exposures/0"),
        ("ExposureOver", "/exposures/0/rolled"),
        ("RecoveryChild", "/exposures/0/recovery"),
    ] {
        assert_described(schema, incident.pointer(pointer).expect("is there"));
    }
    let known = serde_json::to_value([KnownPassword::Previous, KnownPassword::Current, KnownPassword::Next]);
    assert_eq!(document()["components"]["schemas"]["KnownPassword"]["enum"], known.expect("serialises"));
    let release = store::Release {
        at: now,
        by: "ben".to_owned(),
        workflow: SOME_ID.parse().expect("an id"),
        reason: None,
    };
    let quarantined = store::Quarantined {
        id: uuid::Uuid::nil(),
        directory: domain::DirectoryName::default(),
        host_sid: "S-1-5-21-1-2-3-1601".parse().expect("valid"),
        host_name: "Host1".to_owned(),
        computer_dn: Dn::parse("CN=Host1,DC=x").expect("valid"),
        workflow: release.workflow,
        placed_by: "rita".to_owned(),
        reason: None,
        placed_at: now,
        computer_disabled: true,
        released: Some(release),
    };
    let quarantined = serde_json::to_value(quarantined).expect("serialises");
    assert_described("Quarantined", &quarantined);
    assert_described("QuarantineRelease", &quarantined["released"]);
    let denial = store::Denial {
        account_sid: "S-1-5-21-1-2-3-1000".parse().expect("valid"),
        account_dn: Dn::parse("CN=a,DC=x").expect("valid"),
        workflow: SOME_ID.parse().expect("an id"),
        written_at: now,
    };
    assert_described("Denial", &serde_json::to_value(denial).expect("serialises"));
    assert_described("QuarantineDetail", &json!({"quarantine": {}, "denials": []}));
    assert_described("QuarantinePage", &json!({"items": [], "next": null}));
}

#[test]
fn reports_look_as_the_document_says() {
    let workflow = sample_workflow();
    let children = [sample_workflow()];
    let report = crate::report::report(&workflow, &children, workflow.created_at, true);
    let mut report = serde_json::to_value(report).expect("serialises");
    // Of an event each of these is left out where it has no meaning; no event has all three.
    let events = report["timeline"].as_array_mut().expect("events");
    let whole = events.iter_mut().find(|event| event["dc"].is_string()).expect("a write");
    whole["by"] = json!("x");
    let whole = whole.clone();
    assert_described("ReportEvent", &whole);
    for (schema, pointer) in [
        ("Report", ""),
        ("ReportSubject", "/workflow"),
        ("ReportStep", "/steps/0"),
        ("ReportWrite", "/writes/0"),
        ("ReportAttribute", "/writes/0/attributes/0"),
        ("ReportValue", "/writes/0/attributes/0/after/0"),
        ("ReportApproval", "/approvals/0"),
        ("ReportHost", "/hostActions/0"),
        ("ReportChild", "/children/0"),
    ] {
        assert_described(schema, report.pointer(pointer).expect("is there"));
    }
}

#[test]
fn calendars_look_as_the_document_says() {
    let now = DateTime::from_timestamp(1_790_000_000, 0).expect("a valid time");
    let manifest = json!({
        "name": "c", "effect": "freeze", "kinds": ["replace"], "directory": "d", "farm": "f", "timezone": "UTC",
        "periods": [{"cron": "@daily", "duration": "1h"}], "reason": "r"
    });
    assert_described("CalendarManifest", &manifest);
    assert_described("CalendarPeriod", &manifest["periods"][0]);
    let manifest: domain::calendar::CalendarManifest = serde_json::from_value(manifest).expect("a manifest");
    let calendar = manifest.validate(now).expect("valid");
    let record = store::CalendarRecord { calendar, created_by: "ann".to_owned(), created_at: now };
    let record = serde_json::to_value(record).expect("serialises");
    assert_described("Calendar", &record);
    assert_described("CalendarPeriod", &record["periods"][0]);
}

#[test]
fn rules_look_as_the_document_says() {
    let now = DateTime::from_timestamp(1_790_000_000, 0).expect("a valid time");
    let manifest = json!({
        "name": "r", "description": "d", "on": {"types": ["x"], "source": "/s", "publishers": ["p"]}, "when": "true",
        "do": {"kind": "inspect", "target": {"farm": "f", "directory": "d"}, "input": {}, "reason": "r"},
        "dedupe": {"key": "k", "within": "1h"}, "rate": {"most": 1, "per": "1h"}, "dryRun": true
    });
    assert_described("RuleManifest", &manifest);
    for (schema, key) in
        [("RuleTrigger", "on"), ("RuleAction", "do"), ("RuleDedupe", "dedupe"), ("RuleRate", "rate")]
    {
        assert_described(schema, &manifest[key]);
    }
    let manifest: domain::rule::RuleManifest = serde_json::from_value(manifest).expect("a manifest");
    let rule = store::Rule {
        id: domain::RuleId::new(now, &domain::SystemRng),
        spec: manifest.validate().expect("valid"),
        state: domain::RuleState::Paused,
        paused: Some(store::Paused { at: now, by: "ann".to_owned(), reason: None }),
        last_fired_at: Some(now),
        last_workflow: None,
        owner: "ann".to_owned(),
        owner_roles: Role::ALL.into(),
        created_by: "ann".to_owned(),
        created_at: now,
        updated_at: now,
        revision: 1,
    };
    assert_described("Rule", &serde_json::to_value(rule).expect("serialises"));
    let event = store::FiringEvent { id: "1".into(), source: "s".into(), kind: "k".into(), subject: None };
    let firing = store::Firing {
        id: uuid::Uuid::nil(),
        outcome: domain::FiringOutcome::Refused,
        code: Some(ErrorCode::Forbidden),
        detail: None,
        dedupe_key: None,
        workflow: None,
        event,
        recorded_at: now,
    };
    let firing = serde_json::to_value(firing).expect("serialises");
    assert_described("Firing", &firing);
    assert_described("FiringEvent", &firing["event"]);
}

#[test]
fn webhooks_look_as_the_document_says() {
    let now = DateTime::from_timestamp(1_790_000_000, 0).expect("a valid time");
    let mut seen = json!({"auth": null, "url": null, "events": null});
    for manifest in [
        json!({"name": "w", "direction": "in", "auth": "hmac"}),
        json!({"name": "w", "direction": "out", "url": "https://x/", "events": ["*"]}),
    ] {
        let manifest: domain::webhook::WebhookManifest =
            serde_json::from_value(manifest).expect("a manifest");
        let webhook = store::Webhook {
            id: domain::WebhookId::new(now, &domain::SystemRng),
            spec: manifest.validate().expect("valid"),
            state: domain::WebhookState::Enabled,
            paused: None,
            created_by: "ann".to_owned(),
            created_at: now,
            updated_at: now,
            revision: 1,
        };
        let written = serde_json::to_value(webhook).expect("serialises");
        seen.as_object_mut().expect("an object").extend(written.as_object().expect("an object").clone());
    }
    assert_described("Webhook", &seen);
    seen["secret"] = json!("fhwh_");
    assert_described("CreatedWebhook", &seen);
    let attempt = |status, error| store::Attempt { at: now, status, error, millis: 1 };
    let delivery = store::Delivery {
        id: domain::DeliveryId::new(now, &domain::SystemRng),
        state: domain::DeliveryState::Pending,
        event: store::FiringEvent { id: "1".into(), source: "s".into(), kind: "k".into(), subject: None },
        attempts: vec![attempt(Some(200), Some("timeout".to_owned()))],
        next_attempt: None,
        created_at: now,
        finished_at: None,
    };
    let delivery = serde_json::to_value(delivery).expect("serialises");
    assert_described("Delivery", &delivery);
    assert_described("DeliveryAttempt", &delivery["attempts"][0]);
}

#[test]
fn every_value_of_an_enumeration_is_in_the_document() {
    fn texts<T: serde::Serialize>(all: &[T]) -> Value {
        serde_json::to_value(all).expect("serialises")
    }
    let document = document();
    for (schema, values) in [
        ("WorkflowState", texts(WorkflowState::ALL)),
        ("StepState", texts(&domain::StepState::ALL)),
        ("Lane", texts(Lane::ALL)),
        ("Mode", texts(Mode::ALL)),
        ("Role", texts(&Role::ALL)),
        ("FarmState", texts(&[FarmState::Requested, FarmState::Deployed, FarmState::Decommissioned])),
        ("ScheduleState", texts(domain::schedule::ScheduleState::ALL)),
        ("Overlap", texts(domain::schedule::Overlap::ALL)),
        ("Misfire", texts(domain::schedule::Misfire::ALL)),
        ("FireOutcome", texts(domain::FireOutcome::ALL)),
        ("RuleState", texts(domain::RuleState::ALL)),
        ("RuleState", texts(domain::WebhookState::ALL)),
        ("FiringOutcome", texts(domain::FiringOutcome::ALL)),
        ("WebhookDirection", texts(domain::webhook::Direction::ALL)),
        ("DeliveryState", texts(domain::DeliveryState::ALL)),
        ("CalendarEffect", texts(domain::calendar::CalendarEffect::ALL)),
        ("AckOutcome", texts(&domain::host::AckOutcome::ALL)),
        ("RotationVerdict", texts(domain::RotationVerdict::ALL)),
        ("FindingCode", texts(domain::rotation::FindingCode::ALL)),
        ("DriftState", texts(domain::DriftState::ALL)),
        ("DriftKind", texts(domain::DriftKind::ALL)),
    ] {
        assert_eq!(document["components"]["schemas"][schema]["enum"], values, "{schema}");
    }
}

#[tokio::test]
async fn an_event_is_emitted_for_what_was_asked_over_http() {
    let world = World::new().await;
    let answer = world.deploy("operator", "", MANIFEST).await;
    let id: WorkflowId = answer.json["id"].as_str().expect("an id").parse().expect("an id");
    let seen = std::sync::Mutex::new(Vec::new());
    let taken = world.store.relay(10, |rows| async {
        let ids = rows.iter().map(|row| row.id).collect();
        seen.lock().expect("no panic").extend(rows);
        ids
    });
    assert_eq!(taken.await.expect("works"), 1);
    let rows = seen.into_inner().expect("no panic");
    let envelope = messages::Envelope::parse(&rows[0].body).expect("an envelope");
    assert_eq!((envelope.event().workflow_id, envelope.event().cause), (id, Cause::Requested));
    assert_eq!(rows[0].lane, Lane::Lifecycle);
}
