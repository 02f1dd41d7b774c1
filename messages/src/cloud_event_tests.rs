use proptest::prelude::*;
use serde_json::{Map, json};

use super::*;

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn event() -> CloudEvent {
    CloudEvent {
        id: "alert-7".to_owned(),
        source: "/siem/contoso".to_owned(),
        kind: "com.contoso.alert.v2".to_owned(),
        subject: Some("Host1".to_owned()),
        time: Some(DateTime::from_timestamp(1_750_000_000, 123_456_000).expect("a valid time")),
        traceparent: Some(TRACE.to_owned()),
        data: json!({ "host": "Host1", "score": 9.5 }),
    }
}

fn changed(change: impl FnOnce(&mut Map<String, Value>)) -> Result<CloudEvent, EnvelopeError> {
    let mut document: Map<String, Value> = serde_json::from_slice(&event().to_bytes()).expect("JSON");
    change(&mut document);
    CloudEvent::parse(&serde_json::to_vec(&document).expect("JSON"))
}

#[test]
fn an_event_looks_like_this_on_the_wire() {
    let golden = concat!(
        r#"{"specversion":"1.0","id":"alert-7","source":"/siem/contoso","type":"com.contoso.alert.v2","#,
        r#""subject":"Host1","time":"2025-06-15T15:06:40.123456Z","datacontenttype":"application/json","#,
        r#""traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","#,
        r#""data":{"host":"Host1","score":9.5}}"#,
    );
    assert_eq!(String::from_utf8(event().to_bytes()).expect("UTF-8"), golden);
    assert_eq!(CloudEvent::parse(golden.as_bytes()), Ok(event()));
}

#[test]
fn only_id_source_type_and_version_are_demanded() {
    let bare = br#"{"specversion":"1.0","id":"1","source":"s","type":"t"}"#;
    let expected = CloudEvent {
        id: "1".to_owned(),
        source: "s".to_owned(),
        kind: "t".to_owned(),
        subject: None,
        time: None,
        traceparent: None,
        data: Value::Null,
    };
    assert_eq!(CloudEvent::parse(bare), Ok(expected));
    for name in ["specversion", "id", "source", "type"] {
        assert_eq!(changed(|document| _ = document.remove(name)), Err(EnvelopeError::Missing(name)));
    }
}

#[test]
fn data_may_be_anything_but_bytes_and_what_is_not_known_is_passed_over() {
    for data in [json!(null), json!(7), json!("text"), json!([1, 2]), json!({ "a": {} })] {
        let read = changed(|document| _ = document.insert("data".to_owned(), data.clone())).expect("parses");
        assert_eq!(read.data, data);
    }
    let bytes = changed(|document| _ = document.insert("data_base64".to_owned(), json!("AA==")));
    assert!(matches!(bytes, Err(EnvelopeError::Data(_))), "{bytes:?}");
    assert_eq!(changed(|document| _ = document.insert("partitionkey".to_owned(), json!(7))), Ok(event()));
}

#[test]
fn a_trace_that_is_none_is_left_out_and_a_time_that_is_none_is_refused() {
    let read = changed(|document| _ = document.insert("traceparent".to_owned(), json!("00-nonsense")));
    assert_eq!(read.expect("parses").traceparent, None);
    let read = changed(|document| _ = document.insert("time".to_owned(), json!("yesterday")));
    assert!(matches!(read, Err(EnvelopeError::Invalid { attribute: "time", .. })), "{read:?}");
}

#[test]
fn what_is_larger_than_64_kib_is_not_read() {
    let mut large = event();
    large.data = json!("x".repeat(MAX_BYTES));
    assert!(matches!(CloudEvent::parse(&large.to_bytes()), Err(EnvelopeError::TooLarge { .. })));
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(any::<String>(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let _ = CloudEvent::parse(&bytes);
    }

    #[test]
    fn no_document_makes_it_panic_and_every_refusal_can_be_shown(
        name in proptest::sample::select(vec![
            "specversion", "type", "source", "id", "subject", "time", "traceparent", "data", "data_base64",
            "datacontenttype", "x",
        ]),
        value in value(),
    ) {
        if let Err(refused) = changed(|document| _ = document.insert(name.to_owned(), value)) {
            let text = refused.to_string();
            prop_assert!(text.len() < 3_000 && !text.chars().any(char::is_control), "{}", text);
        }
    }

    #[test]
    fn what_was_written_reads_back(
        id in "\\PC{1,20}", source in "\\PC{1,20}", kind in "[a-z.]{1,40}",
        subject in proptest::option::of("\\PC{1,20}"),
        seconds in proptest::option::of(0_i64..4_000_000_000), data in value(),
    ) {
        let time = seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
        let sent = CloudEvent { id, source, kind, subject, time, traceparent: None, data };
        prop_assert_eq!(CloudEvent::parse(&sent.to_bytes()), Ok(sent));
    }
}
