//! Any CloudEvent 1.0 in structured JSON mode: what is announced, by us and by other systems.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::Value;

use crate::envelope::{
    self, DEFAULT_SOURCE, EnvelopeError, SPEC_VERSION, is_traceparent, optional, parsed, required,
};

/// The largest event that is read, in bytes.
pub const MAX_BYTES: usize = envelope::MAX_BYTES;

/// What an event says. Attributes that are not named here are passed over.
#[derive(Debug, Clone, PartialEq)]
pub struct CloudEvent {
    /// With `source`, names the event among all: the same twice is one event.
    pub id: String,
    pub source: String,
    /// `type`.
    pub kind: String,
    pub subject: Option<String>,
    pub time: Option<DateTime<Utc>>,
    pub traceparent: Option<String>,
    /// `null` where there is none.
    pub data: Value,
}

impl CloudEvent {
    /// `source` of everything that Farmhand announces.
    pub const SOURCE: &'static str = DEFAULT_SOURCE;

    /// Reads what came from the broker or a caller.
    pub fn parse(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let mut document = envelope::document(bytes, MAX_BYTES)?;
        let (id, source) = (required(&document, "id")?.to_owned(), required(&document, "source")?.to_owned());
        let kind = required(&document, "type")?.to_owned();
        let subject = optional(&document, "subject")?.map(str::to_owned);
        let time = optional(&document, "time")?.map(|text| parsed(text, "time")).transpose()?;
        if document.contains_key("data_base64") {
            return Err(EnvelopeError::Data("data_base64 is not read here, only data".to_owned()));
        }
        // A trace that cannot be continued starts anew (Trace Context, 3.2.2); no reason to refuse.
        let traceparent = optional(&document, "traceparent").unwrap_or(None);
        let traceparent = traceparent.filter(|text| is_traceparent(text)).map(str::to_owned);
        let data = document.remove("data").unwrap_or_default();
        Ok(Self { id, source, kind, subject, time, traceparent, data })
    }

    /// The JSON document, in one line.
    pub fn to_bytes(&self) -> Vec<u8> {
        let wire = Wire {
            specversion: SPEC_VERSION,
            id: &self.id,
            source: &self.source,
            kind: &self.kind,
            subject: self.subject.as_deref(),
            time: self.time.map(|time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
            datacontenttype: "application/json",
            traceparent: self.traceparent.as_deref().filter(|text| is_traceparent(text)),
            data: &self.data,
        };
        #[expect(clippy::expect_used, reason = "texts and JSON: no map key and no value that JSON lacks")]
        serde_json::to_vec(&wire).expect("an event is always JSON")
    }
}

#[derive(Serialize)]
struct Wire<'a> {
    specversion: &'a str,
    id: &'a str,
    source: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    datacontenttype: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    #[serde(skip_serializing_if = "Value::is_null")]
    data: &'a Value,
}

#[cfg(test)]
#[path = "cloud_event_tests.rs"]
mod tests;
