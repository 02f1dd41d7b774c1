//! Manifests that break a rule by themselves.

use serde_json::{Value, json};
use tests::cluster::manifest;
use tests::lab::{Cleanup, Lab};
use tests::process::http_client;

use super::{assert_nothing_recorded, cluster};

struct Case {
    /// JSON pointer into the manifest; `null` takes the field out.
    pointer: &'static str,
    value: Value,
    field: &'static str,
    rule: &'static str,
    says: &'static str,
}

fn case(
    pointer: &'static str,
    value: Value,
    field: &'static str,
    rule: &'static str,
    says: &'static str,
) -> Case {
    Case { pointer, value, field, rule, says }
}

fn cases() -> Vec<Case> {
    vec![
        case("/metadata/name", json!("SixteenLettersXX"), "spec.account.samAccountName", "length", "15"),
        case(
            "/spec/account/samAccountName",
            json!("SixteenLettersXX"),
            "spec.account.samAccountName",
            "length",
            "15",
        ),
        case(
            "/spec/account/samAccountName",
            json!("two words"),
            "spec.account.samAccountName",
            "characters",
            "",
        ),
        case(
            "/spec/account/servicePrincipalNames",
            json!(["http/a", "no-slash"]),
            "spec.account.servicePrincipalNames[1]",
            "spn-form",
            "",
        ),
        case(
            "/spec/account/servicePrincipalNames",
            json!(["http/a.contoso.com", "HTTP/A.contoso.com"]),
            "spec.account.servicePrincipalNames[1]",
            "duplicate",
            "listed twice",
        ),
        case(
            "/spec/account/managedPasswordIntervalInDays",
            json!(0),
            "spec.account.managedPasswordIntervalInDays",
            "range",
            "365",
        ),
        case(
            "/spec/account/managedPasswordIntervalInDays",
            json!(366),
            "spec.account.managedPasswordIntervalInDays",
            "range",
            "365",
        ),
        case(
            "/spec/account/dnsHostName",
            Value::Null,
            "spec.account.dnsHostName",
            "required",
            "outboundOnly",
        ),
        case(
            "/spec/account/kerberosEncryptionTypes",
            json!(["None"]),
            "spec.account.kerberosEncryptionTypes",
            "value",
            "None",
        ),
        case("/spec/membership/group", Value::Null, "spec.membership.group", "required", "mode is group"),
        case("/spec/hosts", json!(["Host1", "HOST1$"]), "spec.hosts[1]", "duplicate", "twice"),
    ]
}

fn with(base: &Value, pointer: &str, value: &Value) -> Value {
    let mut changed = base.clone();
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
    let parent = changed.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object");
    match value {
        Value::Null => parent.remove(key),
        value => parent.insert(key.to_owned(), value.clone()),
    };
    changed
}

#[tokio::test(flavor = "multi_thread")]
async fn every_broken_rule_is_refused_with_its_field_and_nothing_is_recorded_or_written() {
    let lab = Lab::from_env();
    let mut names = Cleanup::new(&lab);
    let base = manifest(&names.name("bad"), &names.name("badg"), &["Host1"]);
    let cluster = cluster(&lab).await;
    for Case { pointer, value, field, rule, says } in cases() {
        let refused = cluster.deploy(&with(&base, pointer, &value), &["--wait", "-o", "json"]).await;
        let what = format!("{pointer} {value}: {refused:#?}");
        assert_eq!(refused.status, 4, "{what}");
        let document = refused.json();
        assert_eq!(document["code"], json!("invalid-manifest"), "{what}");
        let errors = document["errors"].as_array().expect("errors").clone();
        assert_eq!(errors.len(), 1, "one rule is broken, one is named: {what}");
        assert_eq!((&errors[0]["field"], &errors[0]["rule"]), (&json!(field), &json!(rule)), "{what}");
        assert!(errors[0]["message"].as_str().expect("a message").contains(says), "{says}: {what}");
        assert!(!document["hint"].as_str().expect("a hint").is_empty(), "{what}");
    }
    // A person reads the same, and all of it at once.
    let two = with(&with(&base, "/spec/account/dnsHostName", &Value::Null), "/spec/hosts", &json!(["a/b"]));
    let refused = cluster.deploy(&two, &["--wait"]).await;
    assert_eq!((refused.status, refused.stdout.as_str()), (4, ""), "{refused:#?}");
    for part in ["error[invalid-manifest]", "spec.account.dnsHostName", "spec.hosts[0]", "hint:"] {
        assert!(refused.stderr.contains(part), "{part}: {}", refused.stderr);
    }
    assert_nothing_recorded(&cluster);
    assert_eq!(names.found().expect("the DC answers"), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_key_is_refused_by_name_on_the_command_line_and_by_the_server() {
    let lab = Lab::from_env();
    let mut names = Cleanup::new(&lab);
    let base = manifest(&names.name("bad"), &names.name("badg"), &["Host1"]);
    let cluster = cluster(&lab).await;
    for (pointer, key, place) in [
        ("/spec/account/managedPasswordInterval", "managedPasswordInterval", "spec.account"),
        ("/spec/hosst", "hosst", "spec"),
        ("/extra", "extra", ""),
    ] {
        let wrong = with(&base, pointer, &json!(30));
        let refused = cluster.deploy(&wrong, &["-o", "json"]).await;
        assert_eq!(
            (refused.status, &refused.json()["code"]),
            (4, &json!("invalid-manifest")),
            "{refused:#?}"
        );
        assert!(refused.json()["detail"].as_str().expect("text").contains(key), "{refused:#?}");
        let url = format!("{}/api/v1/farms", cluster.orchestrators[0].url());
        let sent =
            http_client().post(url).bearer_auth(&cluster.token).json(&wrong).send().await.expect("an answer");
        let status = sent.status();
        let problem: Value = sent.json().await.expect("a problem document");
        assert!(status.is_client_error(), "{problem:#}");
        assert_eq!(problem["code"], json!("invalid-manifest"));
        let error = &problem["errors"][0];
        assert!(error["message"].as_str().expect("a message").contains(key), "{problem:#}");
        assert!(error["field"].as_str().expect("a field").starts_with(place), "{problem:#}");
    }
    assert_nothing_recorded(&cluster);
    assert_eq!(names.found().expect("the DC answers"), Vec::<String>::new());
}
