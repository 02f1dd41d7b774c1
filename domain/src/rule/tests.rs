use serde_json::json;

use super::*;

fn event(data: Value) -> RuleEvent {
    RuleEvent {
        id: "1".to_owned(),
        source: "/cmdb".to_owned(),
        kind: "com.example.computer-created".to_owned(),
        subject: Some("WEB-07".to_owned()),
        time: None,
        own: true,
        publisher: None,
        data,
    }
}

fn manifest() -> Value {
    json!({
        "name": "web", "on": {"types": ["com.example.*"]}, "when": "event.data.name is like('WEB-*')",
        "do": {
            "kind": "add-host", "target": {"farm": "ITFarm1"}, "input": {"hosts": ["{{ event.data.name }}"]},
            "reason": "{{ event.subject }} is new"
        },
        "dedupe": {"key": "{{ event.data.name | upper }}", "within": "1h"}
    })
}

fn validate(document: Value) -> Result<RuleSpec, crate::Problem> {
    serde_json::from_value::<RuleManifest>(document).expect("well formed").validate()
}

#[test]
fn a_rule_survives_its_way_through_the_database_and_can_be_sent_again() {
    let spec = validate(manifest()).expect("valid");
    assert_eq!((spec.rate.most, spec.rate.per), (30, Duration::from_secs(3600)), "never without a limit");
    let stored = serde_json::to_value(&spec).expect("serialises");
    assert_eq!(serde_json::from_value::<RuleSpec>(stored.clone()).expect("the same"), spec);
    let again: RuleManifest = serde_json::from_value(stored).expect("a manifest, too");
    assert_eq!(again.validate().expect("valid"), spec);
}

#[test]
fn every_broken_rule_is_named_at_once_with_its_position() {
    let problem = validate(json!({
        "name": "a b", "on": {"types": [], "source": "a*b", "publishers": ["*"]}, "when": "event.data.name ==",
        "do": {
            "kind": "Banana!", "target": {"farm": "{{ event."}, "input": {"hosts": ["ok", "{{ a b }}"]},
            "reason": "{% if %}"
        },
        "dedupe": {"key": "", "within": "soon"}, "rate": {"most": 0, "per": "400d"}
    }))
    .expect_err("refused");
    let fields: Vec<_> = problem.violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "name",
            "on.types",
            "on.publishers[0]",
            "on.source",
            "when",
            "do.kind",
            "do.input.hosts[1]",
            "do.target.farm",
            "do.reason",
            "dedupe.key",
            "dedupe.within",
            "rate.most",
            "rate.per"
        ],
        "{problem}"
    );
    let when = &problem.violations[4].message;
    assert!(when.contains("line 1"), "{when}");
}

#[test]
fn only_our_own_events_count_unless_a_publisher_is_named() {
    let trigger = |publishers: &[&str]| {
        let mut document = manifest();
        document["on"] = json!({"types": ["com.example.*"], "source": "/cm*", "publishers": publishers});
        validate(document).expect("valid").on
    };
    let foreign = |publisher: Option<&str>| RuleEvent {
        own: false,
        publisher: publisher.map(str::to_owned),
        ..event(json!({}))
    };
    assert!(trigger(&[]).lets_through(&event(json!({}))));
    assert!(!trigger(&[]).lets_through(&foreign(Some("cmdb"))));
    assert!(!trigger(&["cmdb"]).lets_through(&foreign(None)), "nobody is not somebody");
    assert!(!trigger(&["cmdb"]).lets_through(&foreign(Some("CMDB"))));
    assert!(trigger(&["cmdb"]).lets_through(&foreign(Some("cmdb"))));
    let other = RuleEvent { source: "/siem".to_owned(), ..event(json!({})) };
    assert!(!trigger(&[]).lets_through(&other));
    let other = RuleEvent { kind: "org.example.x".to_owned(), ..event(json!({})) };
    assert!(!trigger(&[]).lets_through(&other));
}

#[test]
fn a_condition_is_true_or_false_and_nothing_else() {
    let holds = |when: &str, data: Value| Condition::compile(when).expect("compiles").holds(&event(data));
    for (when, expected) in [
        ("event.data.name is like('WEB-*')", true),
        ("event.data.name is startingwith('DB')", false),
        ("event.type == 'com.example.computer-created' and event.own", true),
        ("event.data.severity >= 7", true),
        ("event.data.missing | default('') == 'x'", false),
        ("event.data.missing is defined", false),
        ("'a' in event.data.tags", true),
    ] {
        assert_eq!(
            holds(when, json!({"name": "web-1", "severity": 8, "tags": ["a"]})),
            Ok(expected),
            "{when}"
        );
    }
    for when in
        ["event.data.name", "event.data.missing", "event.data.missing == 1", "event.data.a.b == 1", "1"]
    {
        let error = holds(when, json!({"name": "x"})).expect_err(when);
        assert_eq!(error.place, "when", "{error}");
    }
    let error = Condition::compile("event.data.(").expect_err("no expression");
    assert!(error.to_string().starts_with("when: syntax error"), "{error}");
}

#[test]
fn what_never_ends_or_grows_without_end_is_stopped() {
    for when in ["range(100000) | map('string') | join | length > 0", "'x' * 100000000 == ''"] {
        let condition = Condition::compile(when).expect("compiles");
        let error = condition.holds(&event(json!({}))).expect_err(when);
        assert!(error.message.contains("too"), "{error}");
    }
    let action = Action {
        reason: Some("{% for a in range(90000) %}{{ a }}{% endfor %}".to_owned()),
        ..action(json!({}))
    };
    let error = action.fill(&event(json!({}))).expect_err("too much");
    assert_eq!(error.place, "do.reason", "{error}");
}

fn action(input: Value) -> Action {
    Action { kind: WorkflowKind::ADD_HOST, target: TargetManifest::default(), input, reason: None }
}

#[test]
fn a_lone_expression_keeps_its_type_and_everything_else_is_a_text() {
    let data = json!({"hosts": ["A", "B"], "keep": true, "n": 7, "name": "x", "none": null});
    let filled = |template: &str| {
        action(json!({ "v": template })).fill(&event(data.clone())).map(|filled| filled.input["v"].clone())
    };
    for (template, expected) in [
        ("{{ event.data.hosts }}", json!(["A", "B"])),
        ("{{ event.data.keep }}", json!(true)),
        ("{{ event.data.n }}", json!(7)),
        ("{{ event.data.none }}", json!(null)),
        ("{{ event.data.n }}-{{ event.data.name }}", json!("7-x")),
        ("{{- event.data.n }}", json!("7")),
        ("{{ event.data.n ~ '' }}", json!("7")),
        ("host {{ event.data.name | upper }}", json!("host X")),
        ("plain { text }", json!("plain { text }")),
    ] {
        assert_eq!(filled(template), Ok(expected), "{template}");
    }
    for template in ["{{ event.data.missing }}", "a {{ event.data.missing }}", "{{ missing }}"] {
        assert_eq!(filled(template).expect_err(template).place, "do.input.v");
    }
}

#[test]
fn what_an_event_says_is_a_value_and_never_a_template() {
    let evil = "{{ 7 * 7 }}{% raw %}\", \"farm\": \"Other";
    let action = action(json!({ "hosts": ["{{ event.data.name }}", "a-{{ event.data.name }}"] }));
    let filled = action.fill(&event(json!({ "name": evil }))).expect("filled");
    assert_eq!(filled.input, json!({ "hosts": [evil, format!("a-{evil}")] }));
}

#[test]
fn a_target_is_a_text_or_left_out() {
    let with = |farm: &str| Action {
        target: TargetManifest { farm: Some(farm.to_owned()), directory: None },
        ..action(json!({}))
    };
    let data = || event(json!({"farm": "ITFarm1", "none": null, "list": []}));
    assert_eq!(with("{{ event.data.farm }}").fill(&data()).expect("filled").farm.as_deref(), Some("ITFarm1"));
    assert_eq!(with("{{ event.data.none }}").fill(&data()).expect("filled").farm, None);
    assert_eq!(with("{{ event.data.list }}").fill(&data()).expect_err("a list").place, "do.target.farm");
    assert!(with("{{ event.data.farm }}").has_templates());
    assert!(!with("ITFarm1").has_templates());
}

#[test]
fn a_key_is_a_text_of_bounded_length() {
    let dedupe = |key: &str| Dedupe { key: key.to_owned(), within: Duration::from_secs(1) };
    let event = event(json!({"n": 7, "long": "x".repeat(300)}));
    assert_eq!(dedupe("{{ event.data.n }}").key_for(&event), Ok("7".to_owned()));
    assert_eq!(dedupe("{{ event.data.long }}").key_for(&event).expect_err("too long").place, "dedupe.key");
}

#[test]
fn the_workflow_that_an_event_tells_of_is_read_or_not() {
    let id = "0199c0de-0000-7000-8000-000000000000";
    assert_eq!(event(json!({ "workflowId": id })).workflow().map(|id| id.to_string()), Some(id.to_owned()));
    for data in [json!({"workflowId": 7}), json!({"workflowId": "x"}), json!(null), json!([])] {
        assert_eq!(event(data).workflow(), None);
    }
}
