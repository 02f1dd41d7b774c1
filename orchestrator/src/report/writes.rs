//! Every write that was acknowledged, or found in effect after a crash.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, Utc};
use domain::{AttributeOp, AttributeValue, ChangeKind, Dn, StepState, Workflow};
use serde::Serialize;

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReportedWrite {
    /// From 1, in the order of time.
    pub number: usize,
    pub at: DateTime<Utc>,
    /// Since the request.
    pub after_ms: i64,
    pub step: String,
    /// The domain controller that took it.
    pub dc: String,
    pub kind: ChangeKind,
    pub dn: Dn,
    /// uSNChanged of the object on that DC afterwards.
    pub usn: Option<i64>,
    pub object_guid: Option<String>,
    pub attributes: Vec<ReportedAttribute>,
    /// The step was taken back afterwards.
    pub undone: bool,
}

/// `op` is `set` (the whole attribute, from `before` to `after`) or `values` (single ones: `before`
/// went, `after` came, the others stayed).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ReportedAttribute {
    pub attribute: String,
    pub op: &'static str,
    pub before: Vec<ReportedValue>,
    pub after: Vec<ReportedValue>,
}

/// A value in words, and as it stands in the directory: base64 where it is no text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ReportedValue {
    pub words: String,
    pub raw: String,
    pub encoding: &'static str,
}

impl From<&AttributeValue> for ReportedValue {
    fn from(value: &AttributeValue) -> Self {
        let (raw, encoding) = match value {
            AttributeValue::Text(text) => (text.clone(), "text"),
            AttributeValue::Bytes { base64, .. } => (BASE64.encode(base64), "base64"),
            AttributeValue::Pending { .. } => (String::new(), "pending"),
        };
        Self { words: value.to_string(), raw, encoding }
    }
}

pub(super) fn writes(workflow: &Workflow) -> Vec<ReportedWrite> {
    let mut writes = Vec::new();
    for step in &workflow.steps {
        let made = step.outcome.as_ref().map(|outcome| outcome.writes.as_slice()).unwrap_or_default();
        writes.extend(made.iter().map(|write| ReportedWrite {
            number: 0,
            at: write.at,
            after_ms: (write.at - workflow.created_at).num_milliseconds(),
            step: step.name.clone(),
            dc: write.dc.clone(),
            kind: write.change.kind,
            dn: write.change.dn.clone(),
            usn: write.usn,
            object_guid: write.object_guid.clone().or_else(|| write.change.object_guid.clone()),
            attributes: write.change.attributes.iter().map(attribute).collect(),
            undone: step.state == StepState::Undone,
        }));
    }
    // Those of one moment stay in the order of their step.
    writes.sort_by_key(|write| write.at);
    for (at, write) in writes.iter_mut().enumerate() {
        write.number = at + 1;
    }
    writes
}

fn attribute(change: &domain::AttributeChange) -> ReportedAttribute {
    let op = match change.op {
        AttributeOp::Set { .. } => "set",
        AttributeOp::Values { .. } => "values",
    };
    ReportedAttribute {
        attribute: change.attribute.clone(),
        op,
        before: change.removed().iter().map(ReportedValue::from).collect(),
        after: change.added().iter().map(ReportedValue::from).collect(),
    }
}
