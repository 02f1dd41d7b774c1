use domain::{Cause, Lane, WorkflowId, WorkflowKind};
use proptest::prelude::*;
use serde_json::json;

use super::*;

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn envelope() -> Envelope {
    let event = WorkflowEvent {
        workflow_id: WorkflowId(Uuid::from_u128(0x0198_0000_0000_7000_8000_0000_0000_0001)),
        kind: WorkflowKind::DEPLOY,
        lane: Lane::Lifecycle,
        cause: Cause::Requested,
    };
    let id = Uuid::from_u128(0x0198_0000_0000_7000_8000_0000_0000_0002);
    let time = DateTime::from_timestamp(1_750_000_000, 123_000_000).expect("a valid time");
    Envelope::workflow_event(id, time, &event, Some(TRACE))
}

fn changed(change: impl FnOnce(&mut Map<String, Value>)) -> Result<Envelope, EnvelopeError> {
    let mut document: Map<String, Value> = serde_json::from_slice(&envelope().to_bytes()).expect("JSON");
    change(&mut document);
    Envelope::parse(&serde_json::to_vec(&document).expect("JSON"))
}

#[test]
fn a_workflow_event_looks_like_this_on_the_wire() {
    let golden = concat!(
        r#"{"specversion":"1.0","id":"01980000-0000-7000-8000-000000000002","source":"farmhand","#,
        r#""type":"farmhand.workflow.v1","subject":"01980000-0000-7000-8000-000000000001","#,
        r#""time":"2025-06-15T15:06:40.123Z","datacontenttype":"application/json","#,
        r#""traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","#,
        r#""data":{"workflowId":"01980000-0000-7000-8000-000000000001","kind":"deploy","#,
        r#""lane":"lifecycle","cause":"requested"}}"#,
    );
    assert_eq!(String::from_utf8(envelope().to_bytes()).expect("UTF-8"), golden);
    assert_eq!(Envelope::parse(golden.as_bytes()), Ok(envelope()));
}

#[test]
fn the_source_can_be_chosen_and_survives_the_way() {
    let sent = envelope().with_source("farmhand/site-b");
    assert_eq!(Envelope::parse(&sent.to_bytes()).expect("parses").source(), "farmhand/site-b");
}

#[test]
fn unknown_attributes_are_passed_over() {
    let read = changed(|document| {
        document.insert("tracestate".to_owned(), json!("a=b"));
        document.insert("partitionkey".to_owned(), json!(7));
    });
    assert_eq!(read, Ok(envelope()));
}

#[test]
fn each_fault_has_a_name_of_its_own() {
    let remove = |name: &'static str| changed(|document| _ = document.remove(name));
    for name in ["specversion", "id", "source", "type", "data"] {
        assert_eq!(remove(name), Err(EnvelopeError::Missing(name)));
    }
    let set = |name: &str, value: Value| changed(|document| _ = document.insert(name.to_owned(), value));
    assert_eq!(set("specversion", json!("0.3")), Err(EnvelopeError::SpecVersion("\"0.3\"".to_owned())));
    assert_eq!(
        set("type", json!("farmhand.workflow.v9")),
        Err(EnvelopeError::UnknownType("\"farmhand.workflow.v9\"".to_owned()))
    );
    assert!(matches!(set("id", json!("1")), Err(EnvelopeError::Invalid { attribute: "id", .. })));
    assert!(matches!(set("id", json!(1)), Err(EnvelopeError::Invalid { attribute: "id", .. })));
    assert!(matches!(set("source", json!("")), Err(EnvelopeError::Invalid { attribute: "source", .. })));
    assert!(matches!(set("time", json!("noon")), Err(EnvelopeError::Invalid { attribute: "time", .. })));
    assert!(matches!(set("data", json!([1])), Err(EnvelopeError::Data(_))));
    assert!(matches!(set("data", json!({"workflowId": "x"})), Err(EnvelopeError::Data(_))));
    assert_eq!(set("data", Value::Null), Err(EnvelopeError::Missing("data")));
    assert!(matches!(Envelope::parse(b"[]"), Err(EnvelopeError::NotJson(_))));
    assert!(matches!(Envelope::parse(b""), Err(EnvelopeError::NotJson(_))));
    assert!(matches!(Envelope::parse(&[0xff, 0xfe]), Err(EnvelopeError::NotJson(_))));
    let deep = "[".repeat(MAX_BYTES);
    assert!(matches!(Envelope::parse(deep.as_bytes()), Err(EnvelopeError::NotJson(_))));
    assert_eq!(
        Envelope::parse(&vec![b' '; MAX_BYTES + 1]),
        Err(EnvelopeError::TooLarge { bytes: MAX_BYTES + 1, limit: MAX_BYTES })
    );
}

#[test]
fn a_reason_quotes_foreign_text_short_and_escaped() {
    let read = changed(|document| _ = document.insert("type".to_owned(), json!("\u{1b}[2J\n".repeat(500))));
    let reason = read.expect_err("refused").to_string();
    assert!(
        reason.chars().count() < 2_500 && !reason.contains('\u{1b}') && !reason.contains('\n'),
        "{reason}"
    );
}

#[test]
fn a_trace_that_is_none_is_left_out_and_never_refused() {
    for bad in ["", "00-xyz", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"] {
        let read = changed(|document| _ = document.insert("traceparent".to_owned(), json!(bad)));
        assert_eq!(read.expect("read all the same").traceparent(), None);
    }
    let zeros = format!("00-{}-{}-01", "0".repeat(32), "0".repeat(16));
    assert!(!is_traceparent(&zeros) && is_traceparent(TRACE));
    assert_eq!(traceparent_of(&envelope().to_bytes()).as_deref(), Some(TRACE));
    assert_eq!(traceparent_of(b"nonsense"), None);
}

proptest! {
    #[test]
    fn any_bytes_are_answered_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = Envelope::parse(&bytes);
        let _ = traceparent_of(&bytes);
    }

    #[test]
    fn a_damaged_envelope_is_answered_without_a_panic(at in 0usize..500, with in any::<u8>(), cut in 0usize..500) {
        let mut bytes = envelope().to_bytes();
        let at = at % bytes.len();
        bytes[at] = with;
        bytes.truncate(bytes.len().saturating_sub(cut % 40));
        if let Err(error) = Envelope::parse(&bytes) {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn what_is_written_is_read_back(id in any::<u128>(), workflow in any::<u128>(), secs in 0i64..4_000_000_000) {
        let event = WorkflowEvent {
            workflow_id: WorkflowId(Uuid::from_u128(workflow)),
            kind: WorkflowKind::DEPLOY,
            lane: Lane::Urgent,
            cause: Cause::Due,
        };
        let time = DateTime::from_timestamp(secs, 0).expect("in range");
        let sent = Envelope::workflow_event(Uuid::from_u128(id), time, &event, None);
        prop_assert_eq!(Envelope::parse(&sent.to_bytes()), Ok(sent));
    }
}
