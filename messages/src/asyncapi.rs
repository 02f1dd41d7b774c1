//! The AsyncAPI 3.0 description of everything that goes over the broker.

mod events;

use domain::{Cause, Lane};
use serde_json::{Map, Value, json};

use crate::bus::Origin;
use crate::envelope::{CONTENT_TYPE, MAX_BYTES};
use crate::request::{self, KINDS, REPLY_TYPE, request_type};
use crate::topology::{DEAD_LETTER_ORIGIN, DEAD_LETTER_REASON, DELIVERY_LIMIT};
use crate::{Topology, WorkflowEvent};

/// The document for a topology; `farmhand asyncapi` prints it.
pub fn asyncapi(topology: &Topology) -> Value {
    let mut channels = Map::new();
    let mut operations = Map::new();
    for lane in Lane::ALL {
        channels.insert(lane.to_string(), lane_channel(topology, *lane));
        operations.insert(format!("emit-{lane}"), operation("send", lane.as_str(), "WorkflowEvent"));
        operations.insert(format!("work-{lane}"), operation("receive", lane.as_str(), "WorkflowEvent"));
    }
    channels.insert("dead".to_owned(), dead_channel(topology));
    operations.insert("bury".to_owned(), operation("send", "dead", "DeadLetter"));
    channels.insert("requests".to_owned(), requests_channel(topology));
    channels.insert("replies".to_owned(), replies_channel(topology));
    operations.insert("take-request".to_owned(), take_request());
    channels.insert("events".to_owned(), events::channel(topology));
    operations.extend(events::operations());
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Farmhand messages",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Hints between the processes of Farmhand, requests of other systems with their \
                replies, and announcements to them. A hint carries ids and a reason, never a decision: its receiver reloads \
                everything from the database.",
            "license": { "name": "Apache-2.0 OR MIT" },
        },
        "defaultContentType": CONTENT_TYPE,
        "channels": channels,
        "operations": operations,
        "components": {
            "messages": messages(),
            "schemas": schemas(),
        },
    })
}

fn messages() -> Map<String, Value> {
    let own = [
        ("WorkflowEvent", workflow_message()),
        ("DeadLetter", dead_message()),
        ("Request", request_message()),
        ("Reply", reply_message()),
    ];
    let own = own.into_iter().map(|(name, message)| (name.to_owned(), message));
    own.chain(events::messages()).collect()
}

fn schemas() -> Map<String, Value> {
    let own = [
        ("WorkflowEnvelope", envelope_schema()),
        ("WorkflowEvent", event_schema()),
        ("RequestEnvelope", request_schema()),
        ("ReplyEnvelope", reply_schema()),
    ];
    let own = own.into_iter().map(|(name, schema)| (name.to_owned(), schema));
    own.chain(events::schemas()).collect()
}

fn operation(action: &str, channel: &str, message: &str) -> Value {
    json!({
        "action": action,
        "channel": { "$ref": format!("#/channels/{channel}") },
        "messages": [{ "$ref": format!("#/channels/{channel}/messages/{message}") }],
    })
}

/// A lane is bound as its routing key on the exchange; the queue that takes it is named beside.
fn lane_channel(topology: &Topology, lane: Lane) -> Value {
    json!({
        "address": topology.routing_key(lane),
        "title": topology.queue(lane),
        "description": format!(
            "Published to the exchange {} and taken from the quorum queue {}. Given back more than \
             {DELIVERY_LIMIT} times, a message goes to {}.",
            topology.workflows_exchange(), topology.queue(lane), topology.dead_letters(),
        ),
        "messages": { "WorkflowEvent": { "$ref": "#/components/messages/WorkflowEvent" } },
        "bindings": { "amqp": {
            "is": "routingKey",
            "exchange": {
                "name": topology.workflows_exchange(), "type": "topic", "durable": true, "autoDelete": false,
            },
            "bindingVersion": "0.3.0",
        }},
        "x-queue": { "name": topology.queue(lane), "type": "quorum", "durable": true },
    })
}

fn dead_channel(topology: &Topology) -> Value {
    json!({
        "address": topology.dead_letters(),
        "title": topology.dead_letters(),
        "description": "What cannot be worked on, with the reason.",
        "messages": { "DeadLetter": { "$ref": "#/components/messages/DeadLetter" } },
        "bindings": { "amqp": {
            "is": "queue",
            "queue": { "name": topology.dead_letters(), "durable": true, "exclusive": false, "autoDelete": false },
            "bindingVersion": "0.3.0",
        }},
    })
}

/// Any routing key leads to the one queue.
fn requests_channel(topology: &Topology) -> Value {
    json!({
        "address": "request",
        "title": topology.intake(),
        "description": format!(
            "Published to the exchange {} with any routing key and taken from the quorum queue {}. A \
             request that is refused goes to {} with the reason.",
            topology.requests_exchange(), topology.intake(), topology.dead_letters(),
        ),
        "messages": { "Request": { "$ref": "#/components/messages/Request" } },
        "bindings": { "amqp": {
            "is": "routingKey",
            "exchange": {
                "name": topology.requests_exchange(), "type": "topic", "durable": true, "autoDelete": false,
            },
            "bindingVersion": "0.3.0",
        }},
        "x-queue": { "name": topology.intake(), "type": "quorum", "durable": true },
    })
}

fn replies_channel(topology: &Topology) -> Value {
    json!({
        "address": null,
        "title": "The queue that the asker names",
        "description": format!(
            "amq.rabbitmq.reply-to (direct reply-to), a queue whose name the broker made up (amq.gen-...), \
             or {}.",
            topology.reply_queue("USER"),
        ),
        "messages": { "Reply": { "$ref": "#/components/messages/Reply" } },
    })
}

fn take_request() -> Value {
    let mut taking = operation("receive", "requests", "Request");
    taking["reply"] = json!({
        "address": { "location": "$message.header#/reply_to" },
        "channel": { "$ref": "#/channels/replies" },
        "messages": [{ "$ref": "#/channels/replies/messages/Reply" }],
    });
    taking
}

fn request_message() -> Value {
    json!({
        "name": "farmhand.request",
        "title": "Work is asked for",
        "contentType": CONTENT_TYPE,
        "correlationId": { "location": "$message.header#/correlation_id" },
        "headers": {
            "type": "object",
            "description": "AMQP properties of the message.",
            "required": ["user_id"],
            "properties": {
                "user_id": { "type": "string", "description": "The broker's user; the broker checks it." },
                "reply_to": { "type": "string", "description": "Left out: nobody waits for an answer." },
                "correlation_id": { "type": "string", "description": "Echoed in the reply." },
            },
        },
        "payload": { "$ref": "#/components/schemas/RequestEnvelope" },
    })
}

fn reply_message() -> Value {
    json!({
        "name": REPLY_TYPE,
        "title": "The workflow that a request became, or why it was refused",
        "contentType": CONTENT_TYPE,
        "correlationId": { "location": "$message.header#/correlation_id" },
        "payload": { "$ref": "#/components/schemas/ReplyEnvelope" },
    })
}

fn workflow_message() -> Value {
    json!({
        "name": WorkflowEvent::TYPE,
        "title": "Look at this workflow",
        "contentType": CONTENT_TYPE,
        "headers": {
            "type": "object",
            "properties": { "traceparent": { "type": "string", "description": "W3C Trace Context" } },
        },
        "payload": { "$ref": "#/components/schemas/WorkflowEnvelope" },
    })
}

fn dead_message() -> Value {
    json!({
        "name": "farmhand.dead",
        "title": "A message that could not be worked on, as it came",
        "headers": {
            "type": "object",
            "properties": {
                DEAD_LETTER_REASON: { "type": "string" },
                DEAD_LETTER_ORIGIN: { "type": "string", "enum": Origin::all().map(Origin::as_str).collect::<Vec<_>>() },
            },
        },
        // Whatever bytes they were.
        "payload": true,
    })
}

fn envelope_schema() -> Value {
    json!({
        "type": "object",
        "description": format!("CloudEvents 1.0 in structured JSON mode, at most {MAX_BYTES} bytes."),
        "required": ["specversion", "id", "source", "type", "data"],
        "properties": {
            "specversion": { "const": "1.0" },
            "id": { "type": "string", "format": "uuid" },
            "source": { "type": "string", "minLength": 1 },
            "type": { "const": WorkflowEvent::TYPE },
            "subject": { "type": "string", "format": "uuid", "description": "The workflow's id." },
            "time": { "type": "string", "format": "date-time" },
            "datacontenttype": { "const": "application/json" },
            "traceparent": { "type": "string" },
            "data": { "$ref": "#/components/schemas/WorkflowEvent" },
        },
    })
}

fn request_schema() -> Value {
    let types: Vec<String> = KINDS.iter().map(request_type).collect();
    json!({
        "type": "object",
        "description": format!(
            "CloudEvents 1.0 in structured JSON mode, at most {} bytes. Source and id together name the \
             request: sent twice, it is one.",
            request::MAX_BYTES,
        ),
        "required": ["specversion", "id", "source", "type"],
        "properties": {
            "specversion": { "const": "1.0" },
            "id": { "type": "string", "pattern": "^[!-~]+$" },
            "source": { "type": "string", "pattern": "^[!-~]+$" },
            "type": { "type": "string", "enum": types },
            "subject": { "type": "string", "description": "The farm, where data does not name it." },
            "directory": { "type": "string", "description": "The directory of the farm or host; left out: default." },
            "plan": { "type": "boolean", "description": "A dry run." },
            "reason": { "type": "string", "maxLength": 1024 },
            "time": { "type": "string", "format": "date-time" },
            "datacontenttype": { "const": "application/json" },
            "traceparent": { "type": "string" },
            "data": { "type": "object", "description": "The body that the HTTP API takes for the same." },
        },
    })
}

fn reply_schema() -> Value {
    json!({
        "type": "object",
        "required": ["specversion", "id", "source", "type", "time", "data"],
        "properties": {
            "specversion": { "const": "1.0" },
            "id": { "type": "string", "format": "uuid" },
            "source": { "const": "farmhand" },
            "type": { "const": REPLY_TYPE },
            "subject": { "type": "string", "format": "uuid", "description": "The workflow's id." },
            "time": { "type": "string", "format": "date-time" },
            "datacontenttype": { "const": "application/json" },
            "requestsource": { "type": "string", "description": "The request's source." },
            "requestid": { "type": "string", "description": "The request's id." },
            "data": {
                "type": "object",
                "required": ["accepted"],
                "properties": {
                    "accepted": { "type": "boolean" },
                    "workflow": { "type": "object", "description": "As GET /api/v1/workflows/{id} gives it." },
                    "location": { "type": "string", "description": "The workflow's path in the HTTP API." },
                    "replayed": { "type": "boolean", "description": "It is that of an earlier request." },
                    "problem": {
                        "type": "object",
                        "required": ["code", "message", "hint"],
                        "properties": {
                            "code": { "type": "string" },
                            "message": { "type": "string" },
                            "hint": { "type": "string" },
                            "violations": { "type": "array", "items": { "type": "object" } },
                        },
                    },
                },
            },
        },
    })
}

fn event_schema() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["workflowId", "kind", "lane", "cause"],
        "properties": {
            "workflowId": { "type": "string", "format": "uuid" },
            "kind": { "type": "string", "pattern": "^[a-z0-9-]{1,40}$" },
            "lane": { "type": "string", "enum": texts(Lane::ALL) },
            "cause": { "type": "string", "enum": texts(Cause::ALL) },
        },
    })
}

fn texts<T: ToString>(values: &[T]) -> Vec<String> {
    values.iter().map(T::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
                map.values().for_each(|value| references(value, found));
            }
            Value::Array(list) => list.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn the_document_names_every_queue_and_exchange() {
        let topology = Topology::new("site-b");
        let text = asyncapi(&topology).to_string();
        for lane in Lane::ALL {
            assert!(text.contains(&topology.queue(*lane)), "{lane} is missing");
        }
        for name in [
            "site-b.workflows",
            "site-b.dead",
            "site-b.requests",
            "site-b.intake",
            "site-b.reply.USER",
            "site-b.events",
            "site-b.reactions",
        ] {
            assert!(text.contains(name), "{name} is missing");
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = asyncapi(&Topology::default());
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 10);
        for reference in found {
            let pointer = reference.strip_prefix('#').expect("a local reference");
            assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
        }
    }

    #[test]
    fn the_schema_describes_what_is_sent() {
        let document = asyncapi(&Topology::default());
        let required = document.pointer("/components/schemas/WorkflowEvent/required").expect("a list");
        let event = WorkflowEvent {
            workflow_id: domain::WorkflowId(uuid::Uuid::nil()),
            kind: domain::WorkflowKind::DEPLOY,
            lane: Lane::Checks,
            cause: Cause::Due,
        };
        let sent = serde_json::to_value(&event).expect("JSON");
        let names: Vec<&str> = sent.as_object().expect("an object").keys().map(String::as_str).collect();
        let mut required: Vec<&str> =
            required.as_array().expect("a list").iter().filter_map(Value::as_str).collect();
        required.sort_unstable();
        assert_eq!(names, required);
    }
}
