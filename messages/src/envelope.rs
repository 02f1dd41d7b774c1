//! CloudEvents 1.0, structured JSON mode, with the `traceparent` extension (distributed tracing).
//!
//! What comes from the broker is foreign: [`Envelope::parse`] is total and says what is wrong in
//! words that become the reason of a dead letter.

use std::borrow::Cow;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::WorkflowEvent;

/// Media type of a structured-mode CloudEvent in JSON.
pub const CONTENT_TYPE: &str = "application/cloudevents+json";

/// The largest envelope that is read, in bytes (CloudEvents asks intermediaries for 64 KiB).
pub const MAX_BYTES: usize = 64 * 1024;

pub(crate) const SPEC_VERSION: &str = "1.0";
pub(crate) const DEFAULT_SOURCE: &str = "farmhand";

/// Why bytes are no envelope of ours. The text is shown to people as a dead letter's reason, so
/// what it quotes of the message is cut short and escaped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    #[error("the message has {bytes} bytes, more than the {limit} that are read")]
    TooLarge { bytes: usize, limit: usize },
    #[error("the message is no JSON object: {0}")]
    NotJson(String),
    #[error("CloudEvents specversion {0} is not read here, only 1.0")]
    SpecVersion(String),
    #[error("the CloudEvents attribute {0:?} is missing")]
    Missing(&'static str),
    #[error("the CloudEvents attribute {attribute:?} is wrong: {problem}")]
    Invalid { attribute: &'static str, problem: String },
    #[error("the event type {0} is not known here")]
    UnknownType(String),
    #[error("the data cannot be understood: {0}")]
    Data(String),
}

/// One event with what CloudEvents says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    id: Uuid,
    source: String,
    time: Option<DateTime<Utc>>,
    traceparent: Option<String>,
    event: WorkflowEvent,
}

impl Envelope {
    /// Wraps a workflow event. `id` is a UUIDv7 made by the caller; a `traceparent` that is not
    /// of W3C Trace Context form is left out.
    pub fn workflow_event(
        id: Uuid,
        time: DateTime<Utc>,
        event: &WorkflowEvent,
        traceparent: Option<&str>,
    ) -> Self {
        Self {
            id,
            source: DEFAULT_SOURCE.to_owned(),
            time: Some(time),
            traceparent: traceparent.filter(|text| is_traceparent(text)).map(str::to_owned),
            event: event.clone(),
        }
    }

    /// Names another `source` than `farmhand`: a non-empty URI reference (RFC 3986).
    #[must_use]
    pub fn with_source(self, source: impl Into<String>) -> Self {
        Self { source: source.into(), ..self }
    }

    pub fn id(&self) -> Uuid {
        self.id
    }

    pub fn source(&self) -> &str {
        &self.source
    }

    /// When the event was made; optional in CloudEvents, always there in ours.
    pub fn time(&self) -> Option<DateTime<Utc>> {
        self.time
    }

    pub fn event(&self) -> &WorkflowEvent {
        &self.event
    }

    /// The trace of the sender (W3C Trace Context).
    pub fn traceparent(&self) -> Option<&str> {
        self.traceparent.as_deref()
    }

    /// The JSON document, in one line.
    pub fn to_bytes(&self) -> Vec<u8> {
        let wire = Wire {
            specversion: SPEC_VERSION,
            id: self.id,
            source: &self.source,
            kind: WorkflowEvent::TYPE,
            subject: self.event.workflow_id.to_string(),
            time: self.time.map(|time| time.to_rfc3339_opts(SecondsFormat::Millis, true)),
            datacontenttype: "application/json",
            traceparent: self.traceparent.as_deref(),
            data: &self.event,
        };
        #[expect(clippy::expect_used, reason = "strings and ids: no map key and no value that JSON lacks")]
        serde_json::to_vec(&wire).expect("an envelope is always JSON")
    }

    /// Reads what came from the broker. Unknown attributes are passed over, as CloudEvents asks.
    pub fn parse(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let mut document = document(bytes, MAX_BYTES)?;
        match required(&document, "type")? {
            WorkflowEvent::TYPE => {}
            other => return Err(EnvelopeError::UnknownType(quote(other))),
        }
        let id = parsed(required(&document, "id")?, "id")?;
        let source = required(&document, "source")?.to_owned();
        let time = optional(&document, "time")?.map(|text| parsed(text, "time")).transpose()?;
        // A trace that cannot be continued starts anew (Trace Context, 3.2.2); no reason to refuse.
        let traceparent = optional(&document, "traceparent").unwrap_or(None);
        let traceparent = traceparent.filter(|text| is_traceparent(text)).map(str::to_owned);
        let event = match document.remove("data") {
            None | Some(Value::Null) => return Err(EnvelopeError::Missing("data")),
            Some(data) => workflow_event(data)?,
        };
        Ok(Self { id, source, time, traceparent, event })
    }
}

/// The attributes of an event of the one version that is read.
pub(crate) fn document(bytes: &[u8], limit: usize) -> Result<Map<String, Value>, EnvelopeError> {
    if bytes.len() > limit {
        return Err(EnvelopeError::TooLarge { bytes: bytes.len(), limit });
    }
    let document: Map<String, Value> =
        serde_json::from_slice(bytes).map_err(|error| EnvelopeError::NotJson(clip(&error.to_string())))?;
    match required(&document, "specversion")? {
        SPEC_VERSION => Ok(document),
        other => Err(EnvelopeError::SpecVersion(quote(other))),
    }
}

/// The trace context of a serialised envelope, for a transport header; `None` for anything else.
pub(crate) fn traceparent_of(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Peek<'a> {
        #[serde(borrow)]
        traceparent: Option<Cow<'a, str>>,
    }
    let peek: Peek<'_> = serde_json::from_slice(body).ok()?;
    peek.traceparent.filter(|text| is_traceparent(text)).map(Cow::into_owned)
}

#[derive(Serialize)]
struct Wire<'a> {
    specversion: &'a str,
    id: Uuid,
    source: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    subject: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    datacontenttype: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    data: &'a WorkflowEvent,
}

fn workflow_event(data: Value) -> Result<WorkflowEvent, EnvelopeError> {
    // serde would also take an array for a struct.
    if !data.is_object() {
        return Err(EnvelopeError::Data("it is no JSON object".to_owned()));
    }
    serde_json::from_value(data).map_err(|error| EnvelopeError::Data(clip(&error.to_string())))
}

pub(crate) fn invalid(attribute: &'static str, problem: String) -> EnvelopeError {
    EnvelopeError::Invalid { attribute, problem }
}

pub(crate) fn optional<'a>(
    document: &'a Map<String, Value>,
    name: &'static str,
) -> Result<Option<&'a str>, EnvelopeError> {
    match document.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
        Some(_) => Err(invalid(name, "it is no non-empty string".to_owned())),
    }
}

pub(crate) fn required<'a>(
    document: &'a Map<String, Value>,
    name: &'static str,
) -> Result<&'a str, EnvelopeError> {
    optional(document, name)?.ok_or(EnvelopeError::Missing(name))
}

pub(crate) fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
    text: &str,
    attribute: &'static str,
) -> Result<T, EnvelopeError> {
    text.parse()
        .map_err(|error: T::Err| invalid(attribute, format!("{}: {}", quote(text), clip(&error.to_string()))))
}

/// `version-traceid-parentid-flags`, lower-case hex, neither id all zeros (Trace Context, 3.2.2).
pub(crate) fn is_traceparent(text: &str) -> bool {
    let hex = |part: &str, len: usize| {
        part.len() == len && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let parts: Vec<&str> = text.split('-').collect();
    let [version, trace, parent, flags] = parts.as_slice() else { return false };
    let zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    hex(version, 2)
        && *version != "ff"
        && hex(trace, 32)
        && !zero(trace)
        && hex(parent, 16)
        && !zero(parent)
        && hex(flags, 2)
}

/// The beginning of a foreign text, without characters that could fool a terminal or a log.
pub(crate) fn clip(text: &str) -> String {
    const LONGEST: usize = 200;
    let mut clipped: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST).is_some() {
        clipped.push_str("...");
    }
    clipped
}

pub(crate) fn quote(text: &str) -> String {
    format!("\"{}\"", clip(text))
}

#[cfg(test)]
#[path = "envelope_tests.rs"]
mod tests;
