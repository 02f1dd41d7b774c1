//! What other systems ask, and what they are answered: CloudEvents 1.0 in structured JSON mode.
//!
//! A request's `type` says what is asked, its `data` is the body that the HTTP API takes for the
//! same, its `subject` names the farm where the body does not, and extension attributes say the
//! rest. Source and id name the request: sent twice, it is one.

use chrono::{DateTime, SecondsFormat, Utc};
use domain::{Problem, Workflow, WorkflowId, WorkflowKind};
use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::envelope::{
    self, DEFAULT_SOURCE, EnvelopeError, SPEC_VERSION, clip, invalid, is_traceparent, optional, parsed,
    quote, required,
};

/// The largest request that is read, in bytes: as the HTTP API, room for ten thousand hosts.
pub const MAX_BYTES: usize = 1024 * 1024;
/// Source, `#` and id together are the idempotency key, which has at most 255 characters.
const LONGEST_KEY: usize = 255;
/// CloudEvents `type` of every answer.
pub const REPLY_TYPE: &str = "farmhand.reply.v1";

/// What can be asked for.
pub const KINDS: [WorkflowKind; 11] = [
    WorkflowKind::DEPLOY,
    WorkflowKind::UPDATE,
    WorkflowKind::ADD_HOST,
    WorkflowKind::REMOVE_HOST,
    WorkflowKind::DECOMMISSION,
    WorkflowKind::REPLACE,
    WorkflowKind::IMPORT,
    WorkflowKind::INSPECT,
    WorkflowKind::COMPROMISE_REMOVAL,
    WorkflowKind::QUARANTINE_RELEASE,
    WorkflowKind::QUARANTINE_CHECK,
];

/// CloudEvents `type` of a request.
pub fn request_type(kind: &WorkflowKind) -> String {
    format!("farmhand.request.{kind}.v1")
}

/// A request as it was written; nothing in it has been judged but its form.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestEvent {
    pub id: String,
    pub source: String,
    pub kind: WorkflowKind,
    /// `subject`: the farm that it is about.
    pub farm: Option<String>,
    /// Extension `directory`: the directory of that farm, or of the host that it is about.
    pub directory: Option<String>,
    /// Extension `plan`: a dry run.
    pub plan: bool,
    /// Extension `reason`: why, in words.
    pub reason: Option<String>,
    /// Extension `traceparent`: the asker's trace.
    pub traceparent: Option<String>,
    /// `null` where there is none.
    pub data: Value,
}

impl RequestEvent {
    /// Names the request among all of one asker.
    pub fn key(&self) -> String {
        format!("{}#{}", self.source, self.id)
    }

    /// Reads what came from the broker. Unknown attributes are passed over, as CloudEvents asks.
    pub fn parse(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let mut document = envelope::document(bytes, MAX_BYTES)?;
        let (id, source) = (word(&document, "id")?, word(&document, "source")?);
        if source.len() + 1 + id.len() > LONGEST_KEY {
            let problem = format!("source and id have more than {} characters together", LONGEST_KEY - 1);
            return Err(EnvelopeError::Invalid { attribute: "id", problem });
        }
        let kind = kind(required(&document, "type")?)?;
        if let Some(time) = optional(&document, "time")? {
            let _: DateTime<Utc> = parsed(time, "time")?;
        }
        if let Some(form) = optional(&document, "datacontenttype")?
            && !form.eq_ignore_ascii_case("application/json")
        {
            return Err(invalid("datacontenttype", format!("{} is not application/json", quote(form))));
        }
        if document.contains_key("data_base64") {
            return Err(EnvelopeError::Data("data_base64 is not read here, only data".to_owned()));
        }
        let text = |name| Ok(optional(&document, name)?.map(str::to_owned));
        let (farm, directory, reason) = (text("subject")?, text("directory")?, text("reason")?);
        let plan = match document.get("plan") {
            None | Some(Value::Null) => false,
            Some(Value::Bool(plan)) => *plan,
            Some(_) => return Err(invalid("plan", "it is neither true nor false".to_owned())),
        };
        let traceparent = optional(&document, "traceparent").unwrap_or(None);
        let traceparent = traceparent.filter(|text| is_traceparent(text)).map(str::to_owned);
        let data = document.remove("data").unwrap_or_default();
        Ok(Self { id, source, kind, farm, directory, plan, reason, traceparent, data })
    }
}

/// An attribute that becomes part of a key: visible ASCII.
fn word(document: &Map<String, Value>, name: &'static str) -> Result<String, EnvelopeError> {
    let text = required(document, name)?;
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(invalid(name, format!("{} is not all visible ASCII characters", quote(text))));
    }
    Ok(text.to_owned())
}

fn kind(text: &str) -> Result<WorkflowKind, EnvelopeError> {
    let found = KINDS.into_iter().find(|kind| request_type(kind) == text);
    found.ok_or_else(|| EnvelopeError::UnknownType(quote(text)))
}

/// What a reply answers, as far as the request could be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answered {
    pub source: Option<String>,
    pub id: Option<String>,
}

impl Answered {
    /// Also of a request that is not understood, so that its asker knows which one is meant.
    pub fn peek(bytes: &[u8]) -> Self {
        let readable = if bytes.len() > MAX_BYTES { &[] } else { bytes };
        let document: Map<String, Value> = serde_json::from_slice(readable).unwrap_or_default();
        let text = |name| Some(clip(document.get(name)?.as_str()?));
        Self { source: text("source"), id: text("id") }
    }
}

/// `data` of a reply.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplyData<'a> {
    /// Whether the workflow is on record. What becomes of it, its own state says.
    pub accepted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow: Option<&'a Workflow>,
    /// Path of the workflow below the HTTP API's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// It is the workflow of an earlier request with this source and id.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub replayed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<&'a Problem>,
}

impl<'a> ReplyData<'a> {
    pub fn accepted(workflow: &'a Workflow, replayed: bool) -> Self {
        let location = Some(format!("/api/v1/workflows/{}", workflow.id));
        Self { accepted: true, workflow: Some(workflow), location, replayed, problem: None }
    }

    pub fn refused(problem: &'a Problem) -> Self {
        Self { accepted: false, workflow: None, location: None, replayed: false, problem: Some(problem) }
    }

    fn subject(&self) -> Option<WorkflowId> {
        self.workflow.map(|workflow| workflow.id)
    }

    /// The whole event. `answered` goes into the extensions `requestsource` and `requestid`.
    pub fn to_bytes(
        &self,
        id: Uuid,
        time: DateTime<Utc>,
        answered: &Answered,
    ) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(&ReplyWire {
            specversion: SPEC_VERSION,
            id,
            source: DEFAULT_SOURCE,
            kind: REPLY_TYPE,
            subject: self.subject().map(|id| id.to_string()),
            time: time.to_rfc3339_opts(SecondsFormat::Millis, true),
            datacontenttype: "application/json",
            requestsource: answered.source.as_deref(),
            requestid: answered.id.as_deref(),
            data: self,
        })
    }
}

#[derive(Serialize)]
struct ReplyWire<'a> {
    specversion: &'a str,
    id: Uuid,
    source: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    time: String,
    datacontenttype: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    requestsource: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requestid: Option<&'a str>,
    data: &'a ReplyData<'a>,
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
