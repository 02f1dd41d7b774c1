use chrono::{DateTime, Utc};
use domain::announcement::{Ending, ExposureEnd, LetIn, QuarantinedHost};
use domain::{
    Announcement, DirectoryName, Dn, ErrorCode, FarmName, Lane, Mode, Problem, RotationItem, ScheduleName,
    Sid, Wait, Workflow, WorkflowId, WorkflowKind,
};

use super::*;

/// As much of JSON Schema as the document uses. Beyond it, a field that the schema does not name is a
/// fault: whoever reads the document would never learn of it.
fn fits(schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let Value::Object(schema) = schema else { return Ok(()) };
    if let Some(expected) = schema.get("const")
        && expected != value
    {
        return Err(format!("{at} is {value}, not {expected}"));
    }
    if let Some(allowed) = schema.get("enum").and_then(Value::as_array)
        && !allowed.contains(value)
    {
        return Err(format!("{at} is {value}, none of {allowed:?}"));
    }
    let types: Vec<&str> = match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => vec![],
    };
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    if !types.is_empty() && !types.contains(&found) {
        return Err(format!("{at} is a {found}, not {types:?}"));
    }
    match (schema.get("format").and_then(Value::as_str), value.as_str()) {
        (Some("date-time"), Some(text)) if text.parse::<DateTime<Utc>>().is_err() => {
            return Err(format!("{at} is no time: {text}"));
        }
        (Some("uuid"), Some(text)) if text.parse::<uuid::Uuid>().is_err() => {
            return Err(format!("{at} is no UUID: {text}"));
        }
        _ => {}
    }
    for item in value.as_array().into_iter().flatten() {
        fits(schema.get("items").unwrap_or(&Value::Null), item, &format!("{at}[]"))?;
    }
    let (Some(properties), Some(fields)) = (schema.get("properties"), value.as_object()) else {
        return Ok(());
    };
    for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
        if !fields.contains_key(name.as_str().unwrap_or_default()) {
            return Err(format!("{at} lacks {name}"));
        }
    }
    for (name, field) in fields {
        let known = properties.get(name).ok_or_else(|| format!("{at}.{name} is not described"))?;
        fits(known, field, &format!("{at}.{name}"))?;
    }
    Ok(())
}

fn assert_fits(kind: Kind, data: &Value) {
    if let Err(fault) = fits(&data_schema(kind), data, "data") {
        panic!("{kind}: {fault}\n{data:#}");
    }
}

fn data_schema(kind: Kind) -> Value {
    schemas().remove(&format!("{}Data", name(kind))).expect("a schema")
}

fn at() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 123_000_000).expect("a valid time")
}
fn id() -> WorkflowId {
    WorkflowId(uuid::Uuid::from_u128(7))
}
fn sid() -> Sid {
    "S-1-5-21-1-2-3-1104".parse().expect("a SID")
}
fn farm() -> FarmName {
    FarmName::parse("ITFarm1").expect("a name")
}

fn workflow() -> Workflow {
    Workflow {
        id: id(),
        kind: WorkflowKind::ADD_HOST,
        directory: DirectoryName::default(),
        farm: Some(farm()),
        hosts: vec!["Host4".to_owned()],
        lane: Lane::Lifecycle,
        mode: Mode::Apply,
        state: WorkflowState::Failed,
        parent: None,
        preempted_by: None,
        requested_by: "ann".to_owned(),
        reason: Some("a new server".to_owned()),
        created_at: at(),
        started_at: Some(at()),
        finished_at: Some(at()),
        waiting: None,
        plan: None,
        steps: Vec::new(),
        error: Some(Problem::new(ErrorCode::StepFault, "it broke", "look at it")),
        result: None,
    }
}

fn item() -> RotationItem {
    RotationItem {
        directory: DirectoryName::default(),
        account: "ITFarm1$".to_owned(),
        sid: sid(),
        dn: Dn::parse("CN=ITFarm1,DC=contoso,DC=com").expect("a DN"),
        farm: Some(farm()),
        verdict: RotationVerdict::Idle,
        why: "nobody asked".to_owned(),
        key_id: None,
        interval_days: Some(30),
        rollover_hours: Some(720),
        slot_start: Some(at()),
        next_due: Some(at()),
        password_set: None,
        enabled: true,
        readers: Vec::new(),
        reader_count: 0,
        findings: Vec::new(),
        copies: Vec::new(),
    }
}

/// As the store and the workers make them, full and bare.
fn made() -> Vec<Announcement> {
    let (workflow, item, sid, directory) = (workflow(), item(), sid(), DirectoryName::default());
    let bare = Workflow { farm: None, hosts: vec![], reason: None, error: None, ..workflow.clone() };
    let unknown = RotationItem { farm: None, next_due: None, ..item.clone() };
    let mut made = Vec::new();
    for workflow in [&workflow, &bare] {
        made.extend(Announcement::workflow_finished(workflow, &Ending::of(workflow, at())));
        for (reason, until) in [(WaitReason::Approval, Some(at())), (WaitReason::Operator, None)] {
            let wait = Wait { reason, until, detail: "do it".to_owned() };
            made.extend(Announcement::workflow_waiting(workflow, &wait));
        }
    }
    made.push(Announcement::verdict_changed(&item, Some("current"), "idle", "nobody asked", id()));
    made.push(Announcement::verdict_changed(&item, Some("idle"), "gone", "it is not there", id()));
    made.push(Announcement::verdict_changed(&unknown, None, "never", "nobody may", id()));
    let host = QuarantinedHost { directory: &directory, host: "Host1", sid: &sid };
    made.push(Announcement::quarantine_added(&host, id(), "ann", Some("malware")));
    made.push(Announcement::quarantine_released(&host, id(), "bob", None));
    let (servers, paths) = (vec!["dc1.contoso.com".to_owned()], vec!["as a member".to_owned()]);
    let let_in = LetIn { account: &item.dn, domain_controllers: &servers, paths: &paths };
    made.push(Announcement::quarantined_host_can_read(&host, id(), &[let_in], &servers, Some(id())));
    made.push(Announcement::quarantined_host_can_read(&host, id(), &[], &[], None));
    let farm = farm();
    for farm in [Some(&farm), None] {
        made.push(Announcement::exposure_ended(&ExposureEnd {
            directory: &directory,
            host: "Host1",
            account: "ITFarm1$",
            sid: &sid,
            farm,
            at: at(),
            evidence: "every DC made another",
            workflow: id(),
            compromise: id(),
        }));
    }
    let nightly = ScheduleName::parse("nightly").expect("a name");
    made.push(Announcement::fire_missed(&nightly, at(), Some("late"), Some("an hour late")));
    made.push(Announcement::fire_missed(&nightly, at(), None, None));
    made
}

#[test]
fn every_kind_is_described_and_what_is_announced_fits() {
    let (messages, schemas) = (messages(), schemas());
    for kind in Kind::ALL {
        let message = messages.get(&name(*kind)).expect("a message");
        assert_eq!(message["name"], kind.event_type());
        assert!(schemas.contains_key(&format!("{}Data", name(*kind))), "{kind}");
    }
    let made = made();
    for announcement in &made {
        assert_fits(announcement.kind, &Value::Object(announcement.data.clone()));
    }
    let elsewhere = [Kind::DriftFound, Kind::DriftMended, Kind::WebhookReceived];
    for kind in Kind::ALL.iter().filter(|kind| !elsewhere.contains(kind)) {
        assert!(made.iter().any(|one| one.kind == *kind), "none of {kind} was tried");
    }
}

#[test]
fn what_does_not_fit_is_noticed() {
    let data = Value::Object(made().swap_remove(0).data);
    for (name, value) in [
        ("state", json!("running")),
        ("finishedAt", json!("soon")),
        ("needsOperator", json!("no")),
        ("surprise", json!(1)),
        ("workflowId", json!("seven")),
    ] {
        let mut wrong = data.clone();
        wrong[name] = value;
        assert!(fits(&data_schema(Kind::WorkflowFinished), &wrong, "data").is_err(), "{name}");
    }
    assert!(fits(&data_schema(Kind::WorkflowFinished), &json!({}), "data").is_err());
}

/// `docs/announcements.md` shows each kind as it is.
#[test]
fn every_example_of_the_documentation_is_an_event_that_fits() {
    let page = include_str!("../../../docs/announcements.md");
    let blocks = page.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next());
    let events: Vec<_> = blocks
        .map(|block| CloudEvent::parse(block.as_bytes()).unwrap_or_else(|e| panic!("{e}: {block}")))
        .collect();
    for event in &events {
        let kind = Kind::of_event_type(&event.kind).expect("a type of ours");
        assert_eq!((event.source.as_str(), event.subject.is_some()), (CloudEvent::SOURCE, true));
        assert!(event.time.is_some() && event.id.parse::<uuid::Uuid>().is_ok(), "{kind}");
        assert_fits(kind, &event.data);
    }
    for kind in Kind::ALL {
        assert!(events.iter().any(|event| event.kind == kind.event_type()), "no example of {kind}");
    }
}
