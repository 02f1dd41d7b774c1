//! A report for people: when what happened. The page and the JSON hold more.
//!
//! Read field by field: a server of another version may leave some out, or know more.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use super::time::precise;
use super::{render, table};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    workflow: Value,
    #[serde(default)]
    timeline: Vec<Event>,
    #[serde(default)]
    writes: Vec<Value>,
    #[serde(default)]
    not_done: Vec<String>,
    #[serde(default)]
    children: Vec<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    at: DateTime<Utc>,
    after_ms: i64,
    what: String,
    text: String,
    by: Option<String>,
}

pub fn text(report: &Report) -> String {
    let said = |key: &str| report.workflow[key].as_str().unwrap_or_default().to_owned();
    let mut text = format!("{}  ({})\nstate {}", said("kind"), said("id"), said("state"));
    let _ = write!(text, "  directory {}  asked by {}", said("directory"), said("requestedBy"));
    if !said("reason").is_empty() {
        let _ = write!(text, "\nreason: {}", said("reason"));
    }
    let mut events = table(&["time", "after", "what", "", "by"]);
    for event in &report.timeline {
        events.add_row([
            precise(Some(event.at)),
            format!("{} ms", event.after_ms),
            event.what.clone(),
            event.text.clone(),
            event.by.clone().unwrap_or_default(),
        ]);
    }
    let _ = write!(text, "\n{}", render(&events));
    for line in &report.not_done {
        let _ = write!(text, "\nnot done: {line}");
    }
    let (writes, children) = (report.writes.len(), report.children.len());
    let _ = write!(
        text,
        "\nwrites to the directory: {writes}; workflows that came of it: {children}\n\
         each write with what was there before and after: --html, or --output json"
    );
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_person_sees_when_what_happened_and_what_was_left() {
        let report: Report = serde_json::from_value(json!({
            "workflow": {
                "id": "0199c0de-0000-7000-8000-000000000001", "kind": "compromise-removal", "state": "succeeded",
                "directory": "default", "requestedBy": "rita", "reason": "beacon seen"
            },
            "timeline": [
                {"at": "2026-11-22T12:00:00Z", "afterMs": 0, "what": "asked", "text": "it was asked for", "by": "rita"},
                {"at": "2026-11-22T12:00:00.021Z", "afterMs": 21, "what": "denied", "text": "dc1 had acknowledged", "dc": "dc1"}
            ],
            "writes": [{}], "notDone": ["it stays in CN=All,DC=x"]
        }))
        .expect("a report");
        insta::assert_snapshot!(text(&report));
    }
}
