use domain::ErrorCode;
use proptest::prelude::*;
use serde_json::json;

use super::*;

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn document() -> Value {
    json!({
        "specversion": "1.0",
        "type": "farmhand.request.add-host.v1",
        "source": "/pipelines/web",
        "id": "build-42",
        "subject": "ITFarm1",
        "time": "2026-11-22T12:00:00Z",
        "datacontenttype": "application/json",
        "traceparent": TRACE,
        "directory": "emea",
        "plan": true,
        "reason": "two more hosts",
        "data": {"hosts": ["Host7"]},
    })
}

fn parse(document: &Value) -> Result<RequestEvent, EnvelopeError> {
    RequestEvent::parse(&serde_json::to_vec(document).expect("JSON"))
}

fn with(name: &str, value: Value) -> Result<RequestEvent, EnvelopeError> {
    let mut document = document();
    document[name] = value;
    parse(&document)
}

fn without(name: &str) -> Result<RequestEvent, EnvelopeError> {
    let mut document = document();
    document.as_object_mut().expect("an object").remove(name);
    parse(&document)
}

#[test]
fn every_attribute_has_its_meaning() {
    let expected = RequestEvent {
        id: "build-42".into(),
        source: "/pipelines/web".into(),
        kind: WorkflowKind::ADD_HOST,
        farm: Some("ITFarm1".into()),
        directory: Some("emea".into()),
        plan: true,
        reason: Some("two more hosts".into()),
        traceparent: Some(TRACE.into()),
        data: json!({"hosts": ["Host7"]}),
    };
    assert_eq!(parse(&document()), Ok(expected.clone()));
    assert_eq!(expected.key(), "/pipelines/web#build-42");
    assert_eq!(with("tracestate", json!("a=b")), Ok(expected));
}

#[test]
fn what_may_be_left_out_may_be_left_out() {
    for name in ["subject", "time", "datacontenttype", "traceparent", "directory", "plan", "reason", "data"] {
        assert!(without(name).is_ok(), "{name}");
        assert!(with(name, Value::Null).is_ok(), "{name}");
    }
    assert_eq!(with("traceparent", json!("nonsense")).expect("no reason to refuse").traceparent, None);
}

#[test]
fn every_kind_has_a_type_and_no_other_type_is_taken() {
    for kind in KINDS {
        assert_eq!(with("type", json!(request_type(&kind))).expect("known").kind, kind);
    }
    for other in ["farmhand.request.deploy.v2", "farmhand.request.await-roll.v1", REPLY_TYPE, "x"] {
        assert!(matches!(with("type", json!(other)), Err(EnvelopeError::UnknownType(_))), "{other}");
    }
}

#[test]
fn each_fault_is_named() {
    for name in ["specversion", "id", "source", "type"] {
        assert_eq!(without(name), Err(EnvelopeError::Missing(name)));
    }
    for (name, value) in [
        ("id", json!(42)),
        ("id", json!("")),
        ("id", json!("a b")),
        ("id", json!("ä")),
        ("source", json!("line\nbreak")),
        ("id", json!("x".repeat(241))),
        ("time", json!("noon")),
        ("subject", json!(7)),
        ("plan", json!("true")),
        ("datacontenttype", json!("text/xml")),
    ] {
        let refused = with(name, value.clone()).expect_err("refused");
        assert!(
            matches!(&refused, EnvelopeError::Invalid { attribute, .. } if *attribute == name),
            "{name} {value}: {refused}"
        );
    }
    assert!(matches!(with("specversion", json!("0.3")), Err(EnvelopeError::SpecVersion(_))));
    assert!(matches!(with("data_base64", json!("e30=")), Err(EnvelopeError::Data(_))));
    assert!(matches!(RequestEvent::parse(b"[]"), Err(EnvelopeError::NotJson(_))));
    assert_eq!(with("id", json!("x".repeat(240))).expect("fits").key().len(), LONGEST_KEY);
}

#[test]
fn ten_thousand_hosts_fit_and_a_megabyte_is_the_end() {
    let hosts: Vec<_> =
        (0..10_000).map(|at| format!("CN=Host{at},OU=Servers,OU=Berlin,DC=emea,DC=contoso,DC=com")).collect();
    assert!(with("data", json!({ "hosts": hosts })).is_ok());
    let large = vec![b' '; MAX_BYTES + 1];
    assert_eq!(
        RequestEvent::parse(&large),
        Err(EnvelopeError::TooLarge { bytes: MAX_BYTES + 1, limit: MAX_BYTES })
    );
    let deep = "[".repeat(MAX_BYTES);
    assert!(matches!(RequestEvent::parse(deep.as_bytes()), Err(EnvelopeError::NotJson(_))));
}

#[test]
fn a_refusal_looks_like_this_on_the_wire() {
    let problem = Problem::new(ErrorCode::Forbidden, "no", "ask somebody");
    let time = DateTime::from_timestamp(1_750_000_000, 0).expect("a valid time");
    let answered = Answered::peek(&serde_json::to_vec(&document()).expect("JSON"));
    let bytes = ReplyData::refused(&problem).to_bytes(Uuid::nil(), time, &answered).expect("JSON");
    let golden = concat!(
        r#"{"specversion":"1.0","id":"00000000-0000-0000-0000-000000000000","source":"farmhand","#,
        r#""type":"farmhand.reply.v1","time":"2025-06-15T15:06:40.000Z","#,
        r#""datacontenttype":"application/json","requestsource":"/pipelines/web","#,
        r#""requestid":"build-42","data":{"accepted":false,"problem":{"code":"forbidden","#,
        r#""message":"no","hint":"ask somebody"}}}"#,
    );
    assert_eq!(String::from_utf8(bytes).expect("UTF-8"), golden);
}

#[test]
fn a_reply_names_what_it_answers_as_far_as_that_could_be_read() {
    assert_eq!(Answered::peek(b"garbage"), Answered::default());
    let odd = json!({"id": "x\u{1b}[31m", "source": 7});
    let peeked = Answered::peek(&serde_json::to_vec(&odd).expect("JSON"));
    assert_eq!(peeked, Answered { source: None, id: Some("x\\u{1b}[31m".into()) });
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let _ = RequestEvent::parse(&bytes);
        let _ = Answered::peek(&bytes);
    }

    #[test]
    fn no_value_of_any_attribute_makes_it_panic(
        name in proptest::sample::select(vec![
            "specversion", "type", "source", "id", "subject", "time", "traceparent", "directory", "plan",
            "reason", "data", "datacontenttype",
        ]),
        value in prop_oneof![
            Just(json!([])), Just(json!({})), Just(json!(1e300)), Just(json!(false)),
            any::<String>().prop_map(|text| json!(text)),
        ],
    ) {
        if let Err(refused) = with(name, value) {
            let text = refused.to_string();
            prop_assert!(text.len() < 3_000 && !text.chars().any(char::is_control), "{}", text);
        }
    }

    #[test]
    fn a_damaged_request_is_read_or_refused(at in 0_usize..300, byte in any::<u8>()) {
        let mut bytes = serde_json::to_vec(&document()).expect("JSON");
        let at = at % bytes.len();
        bytes[at] = byte;
        let _ = RequestEvent::parse(&bytes);
    }
}
