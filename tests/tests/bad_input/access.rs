//! Who may ask.

use serde_json::json;
use tests::cluster::manifest;
use tests::lab::{Cleanup, Lab};

use super::{assert_nothing_recorded, cluster};

#[tokio::test(flavor = "multi_thread")]
async fn nobody_deploys_without_a_token_with_a_wrong_one_a_revoked_one_or_as_a_viewer() {
    let lab = Lab::from_env();
    let mut names = Cleanup::new(&lab);
    let cluster = cluster(&lab).await;
    let token = async |principal: &str, role: &str| {
        let made =
            cluster.cli(&["token", "create", "--principal", principal, "--roles", role, "-o", "json"]).await;
        assert_eq!(made.status, 0, "{made:#?}");
        made.json()
    };
    let secret = |document: &serde_json::Value| {
        let secret =
            document.get("secret").or_else(|| document.get("token")).and_then(|value| value.as_str());
        secret.expect("the token's secret").to_owned()
    };
    let viewer = secret(&token("reader", "viewer").await);
    let gone = token("gone", "operator").await;
    let revoked = cluster.cli(&["token", "revoke", gone["id"].as_str().expect("an id")]).await;
    assert_eq!(revoked.status, 0, "{revoked:#?}");

    let file = cluster.write(&manifest(&names.name("bad"), &names.name("badg"), &["Host1"]));
    let path = file.path().display().to_string();
    let deploy = ["deploy", "-f", &path, "--wait", "-o", "json"];
    let cases = [
        ("", "unauthenticated"),
        ("fh_not-a-token", "unauthenticated"),
        (&secret(&gone), "unauthenticated"),
        (&viewer, "forbidden"),
    ];
    for (token, code) in cases {
        let refused = cluster.cli_as(&deploy, &[("FARMHAND_TOKEN", token)]).await;
        assert_eq!((refused.status, &refused.json()["code"]), (4, &json!(code)), "{refused:#?}");
        assert!(!refused.json()["hint"].as_str().expect("a hint").is_empty(), "{refused:#?}");
        for secret in [token, &cluster.token] {
            assert!(
                secret.is_empty() || !format!("{refused:?}").contains(secret),
                "no answer repeats a token"
            );
        }
    }
    let looks = cluster.cli_as(&["farm", "list", "-o", "json"], &[("FARMHAND_TOKEN", &viewer)]).await;
    assert_eq!((looks.status, &looks.json()["items"]), (0, &json!([])), "a viewer may look: {looks:#?}");
    assert_nothing_recorded(&cluster);
    assert_eq!(names.found().expect("the DC answers"), Vec::<String>::new());
    let log = cluster.orchestrators[0].log();
    assert!(
        ![&viewer, &cluster.token].iter().any(|secret| log.contains(secret.as_str())),
        "no log holds a token"
    );
}
