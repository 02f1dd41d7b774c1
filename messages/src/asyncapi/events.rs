//! The channel of announcements: one message for each kind, with what its data says.

use domain::{AnnouncementKind as Kind, FireOutcome, RotationVerdict, WaitReason, WorkflowState};
use serde_json::{Map, Value, json};

use super::texts;
use crate::cloud_event::MAX_BYTES;
use crate::envelope::CONTENT_TYPE;
use crate::topology::DELIVERY_LIMIT;
use crate::{CloudEvent, Topology};

/// The message that stands for whatever other systems announce.
pub const FOREIGN: &str = "ForeignEvent";

/// `workflow-finished`: its name among messages, and with `Data` behind it among schemas.
pub fn name(kind: Kind) -> String {
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    };
    kind.as_str().split('-').map(capital).collect()
}

pub fn channel(topology: &Topology) -> Value {
    let types: Vec<_> = Kind::ALL.iter().map(|kind| kind.event_type()).collect();
    let mut messages = Map::new();
    for name in Kind::ALL.iter().copied().map(name).chain([FOREIGN.to_owned()]) {
        let reference = json!({ "$ref": format!("#/components/messages/{name}") });
        messages.insert(name, reference);
    }
    json!({
        "address": "{type}",
        "title": topology.events_exchange(),
        "description": format!(
            "What Farmhand announces, with the CloudEvents type as routing key: other systems bind queues of \
             their own. Each event comes at least once; source and id name it. What other systems announce here, Farmhand hears through the \
             quorum queue {}; given back more than {DELIVERY_LIMIT} times, it goes to {}.",
            topology.reactions(), topology.dead_letters(),
        ),
        "parameters": { "type": { "description": "CloudEvents type.", "examples": types } },
        "messages": messages,
        "bindings": { "amqp": {
            "is": "routingKey",
            "exchange": {
                "name": topology.events_exchange(), "type": "topic", "durable": true, "autoDelete": false,
            },
            "bindingVersion": "0.3.0",
        }},
        "x-queue": { "name": topology.reactions(), "type": "quorum", "durable": true },
    })
}

pub fn operations() -> Map<String, Value> {
    let on_channel = |name: &str| json!({ "$ref": format!("#/channels/events/messages/{name}") });
    let ours: Vec<_> = Kind::ALL.iter().map(|kind| on_channel(&name(*kind))).collect();
    let channel = json!({ "$ref": "#/channels/events" });
    let heard: Vec<_> = ours.iter().cloned().chain([on_channel(FOREIGN)]).collect();
    Map::from_iter([
        ("announce".to_owned(), json!({ "action": "send", "channel": channel, "messages": ours })),
        ("hear".to_owned(), json!({ "action": "receive", "channel": channel, "messages": heard })),
    ])
}

pub fn messages() -> Map<String, Value> {
    let ours = Kind::ALL.iter().map(|kind| (name(*kind), message(*kind)));
    ours.chain([(FOREIGN.to_owned(), foreign())]).collect()
}

fn message(kind: Kind) -> Value {
    json!({
        "name": kind.event_type(),
        "title": title(kind),
        "contentType": CONTENT_TYPE,
        "headers": headers("Farmhand's own user, which the broker checks: nobody else can be it."),
        "payload": { "allOf": [
            { "$ref": "#/components/schemas/EventEnvelope" },
            {
                "required": ["subject", "time", "data"],
                "properties": {
                    "id": { "format": "uuid", "description": "UUIDv7 of the moment that it tells of." },
                    "source": { "const": CloudEvent::SOURCE },
                    "type": { "const": kind.event_type() },
                    "subject": { "description": subject(kind) },
                    "data": { "$ref": format!("#/components/schemas/{}Data", name(kind)) },
                },
            },
        ]},
    })
}

fn foreign() -> Value {
    json!({
        "name": "event",
        "title": "Whatever another system announces, under any type",
        "contentType": CONTENT_TYPE,
        "headers": headers("The broker's user who publishes; the broker checks it. Left out: from nobody who is known."),
        "payload": { "$ref": "#/components/schemas/EventEnvelope" },
    })
}

fn headers(user: &str) -> Value {
    json!({
        "type": "object",
        "description": "AMQP properties, and the header traceparent (W3C Trace Context).",
        "properties": {
            "user_id": { "type": "string", "description": user },
            "message_id": { "type": "string", "description": "The event's id." },
            "traceparent": { "type": "string" },
        },
    })
}

pub fn schemas() -> Map<String, Value> {
    let ours = Kind::ALL.iter().map(|kind| (format!("{}Data", name(*kind)), data(*kind)));
    ours.chain([("EventEnvelope".to_owned(), envelope())]).collect()
}

fn envelope() -> Value {
    json!({
        "type": "object",
        "description": format!("CloudEvents 1.0 in structured JSON mode, at most {MAX_BYTES} bytes."),
        "required": ["specversion", "id", "source", "type"],
        "properties": {
            "specversion": { "const": "1.0" },
            "id": { "type": "string", "minLength": 1 },
            "source": { "type": "string", "minLength": 1 },
            "type": { "type": "string", "minLength": 1 },
            "subject": { "type": "string", "minLength": 1 },
            "time": { "type": "string", "format": "date-time" },
            "datacontenttype": { "const": "application/json" },
            "traceparent": { "type": "string" },
            "data": true,
        },
    })
}

fn title(kind: Kind) -> &'static str {
    match kind {
        Kind::WorkflowFinished => "A workflow came to its end",
        Kind::WorkflowWaiting => "A workflow waits for a person",
        Kind::VerdictChanged => "A check judges an account otherwise than the check before",
        Kind::ExposureEnded => "A password that a compromised host knew was seen to work no more",
        Kind::QuarantineAdded => "A host is under quarantine",
        Kind::QuarantineReleased => "A host has left the quarantine",
        Kind::QuarantinedHostCanRead => "A host under quarantine got back in",
        Kind::DriftFound => "The directory holds something else of a farm than was asked for",
        Kind::DriftMended => "The directory holds what was asked for again",
        Kind::FireMissed => "A due time of a schedule passed without its workflow",
        Kind::WebhookReceived => "Another system called a webhook",
    }
}

fn subject(kind: Kind) -> &'static str {
    match kind {
        Kind::WorkflowFinished | Kind::WorkflowWaiting => "The workflow's id.",
        Kind::VerdictChanged | Kind::ExposureEnded => "The account, with its $.",
        Kind::QuarantineAdded | Kind::QuarantineReleased | Kind::QuarantinedHostCanRead => "The host.",
        Kind::DriftFound | Kind::DriftMended => "The farm.",
        Kind::FireMissed => "The schedule.",
        Kind::WebhookReceived => "The webhook's name.",
    }
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn id(what: &str) -> Value {
    json!({ "type": "string", "format": "uuid", "description": what })
}

fn time(what: &str) -> Value {
    json!({ "type": "string", "format": "date-time", "description": what })
}

fn said(what: &str) -> Value {
    json!({ "type": "string", "description": what })
}

fn names(what: &str) -> Value {
    json!({ "type": "array", "items": { "type": "string" }, "description": what })
}

/// Which fields `data` has: those that are always there, and those that may be.
fn data(kind: Kind) -> Value {
    let (always, sometimes) = match kind {
        Kind::WorkflowFinished => workflow_finished(),
        Kind::WorkflowWaiting => workflow_waiting(),
        Kind::VerdictChanged => verdict_changed(),
        Kind::ExposureEnded => exposure_ended(),
        Kind::QuarantineAdded | Kind::QuarantineReleased => quarantine(),
        Kind::QuarantinedHostCanRead => can_read(),
        Kind::DriftFound | Kind::DriftMended => drift(),
        Kind::FireMissed => fire_missed(),
        Kind::WebhookReceived => (vec![("webhook", text()), ("body", json!(true))], vec![]),
    };
    let required: Vec<_> = always.iter().map(|(name, _)| *name).collect();
    let properties: Map<_, _> =
        always.iter().chain(&sometimes).map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    json!({ "type": "object", "required": required, "properties": properties })
}

type Fields = Vec<(&'static str, Value)>;

fn about_workflow() -> (Fields, Fields) {
    let always = vec![
        ("workflowId", id("GET /api/v1/workflows/{id} has all of it.")),
        ("kind", text()),
        ("directory", text()),
        ("requestedBy", text()),
    ];
    let sometimes = vec![
        ("farm", text()),
        ("hosts", names("The first 20.")),
        ("hostCount", json!({ "type": "integer", "description": "How many there are in all." })),
        ("reason", said("Why it was asked for.")),
    ];
    (always, sometimes)
}

fn workflow_finished() -> (Fields, Fields) {
    let (mut always, mut sometimes) = about_workflow();
    let ends: Vec<_> = WorkflowState::ALL.iter().filter(|state| state.is_finished()).copied().collect();
    always.extend([
        ("state", json!({ "type": "string", "enum": texts(&ends) })),
        (
            "needsOperator",
            json!({ "type": "boolean", "description": "What it had changed could not be undone." }),
        ),
        ("finishedAt", time("When it ended.")),
    ]);
    sometimes.push((
        "error",
        json!({
            "type": "object", "required": ["code", "message"],
            "properties": { "code": text(), "message": text() },
        }),
    ));
    (always, sometimes)
}

fn workflow_waiting() -> (Fields, Fields) {
    let (mut always, mut sometimes) = about_workflow();
    let persons = [WaitReason::Approval, WaitReason::Host, WaitReason::Operator];
    always.extend([
        ("waitingFor", json!({ "type": "string", "enum": texts(&persons) })),
        ("toDo", said("What a person must do.")),
    ]);
    sometimes.push(("until", time("When it goes on, or gives up, by itself.")));
    (always, sometimes)
}

fn verdict_changed() -> (Fields, Fields) {
    let verdicts: Vec<_> =
        texts(RotationVerdict::ALL).into_iter().chain(["gone".to_owned()]).map(Value::from).collect();
    let before: Vec<_> = verdicts.iter().cloned().chain([Value::Null]).collect();
    let always = vec![
        ("directory", text()),
        ("account", text()),
        ("sid", text()),
        ("before", json!({ "enum": before, "description": "null: the account was not known." })),
        ("after", json!({ "enum": verdicts })),
        ("why", said("What the verdict rests on.")),
        ("workflowId", id("The check.")),
    ];
    let due = time("From then on the first authorised read makes a DC roll the password.");
    (always, vec![("farm", text()), ("nextDue", due)])
}

fn exposure_ended() -> (Fields, Fields) {
    let always = vec![
        ("directory", text()),
        ("host", said("The compromised host.")),
        ("account", text()),
        ("sid", said("The account's.")),
        ("at", time("When it was seen.")),
        ("evidence", said("What was seen.")),
        ("workflowId", id("The workflow that saw it.")),
        ("compromise", id("The containment.")),
    ];
    (always, vec![("farm", text())])
}

fn about_host() -> Fields {
    vec![
        ("directory", text()),
        ("host", said("sAMAccountName without its $.")),
        ("sid", said("The computer account's.")),
    ]
}

fn quarantine() -> (Fields, Fields) {
    let mut always = about_host();
    always.extend([("workflowId", id("The workflow that did it.")), ("by", said("Who asked for it."))]);
    (always, vec![("reason", text())])
}

fn can_read() -> (Fields, Fields) {
    let account = json!({
        "type": "object",
        "required": ["account", "domainControllers", "paths"],
        "properties": {
            "account": said("DN of the gMSA."),
            "domainControllers": names("Those that let it in."),
            "paths": names("How, in words."),
        },
    });
    let mut always = about_host();
    always.extend([
        ("accounts", json!({ "type": "array", "items": account, "description": "The first 20." })),
        ("accountCount", json!({ "type": "integer" })),
        ("computerEnabledOn", names("DCs on which somebody has enabled its account again.")),
        ("workflowId", id("The check.")),
    ]);
    (always, vec![("containedBy", id("The containment that was asked for because of it."))])
}

fn drift() -> (Fields, Fields) {
    (vec![("directory", text()), ("farm", text()), ("workflowId", id("The check."))], vec![])
}

fn fire_missed() -> (Fields, Fields) {
    let nullable = |what: &str| json!({ "type": ["string", "null"], "description": what });
    let always = vec![
        ("schedule", text()),
        ("dueAt", time("The due time.")),
        ("outcome", json!({ "const": FireOutcome::Missed.as_str() })),
        ("reason", nullable("A stable word.")),
        ("detail", nullable("The same in a sentence.")),
    ];
    (always, vec![])
}

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;
