//! Manifests that the directory speaks against: found by preflight, before the first write.

use serde_json::{Value, json};
use tests::cluster::{Cluster, manifest};
use tests::lab::{Cleanup, GMSA_CONTAINER, GROUP_CONTAINER, HOST_CONTAINER, Lab};
use tests::ldap::Ldap;

use super::cluster;

/// What a deploy must end with.
struct Refusal<'a> {
    code: &'a str,
    field: &'a str,
    says: &'a [&'a str],
}

async fn refused(cluster: &Cluster, manifest: &Value, expected: Refusal<'_>) {
    for mode in ["--wait", "--plan"] {
        let failed = cluster.deploy(manifest, &[mode, "-o", "json"]).await;
        assert_eq!(failed.status, 1, "{failed:#?}");
        let error = failed.json()["error"].clone();
        assert_eq!(error["code"], json!(expected.code), "{failed:#?}");
        let violations = error["violations"].as_array().expect("findings").clone();
        assert_eq!(violations.len(), 1, "{error:#}");
        assert_eq!(violations[0]["field"], json!(expected.field), "{error:#}");
        let message = violations[0]["message"].as_str().expect("a message");
        for part in expected.says {
            assert!(message.contains(part), "{part}: {message}");
        }
        assert!(!error["hint"].as_str().expect("a hint").is_empty(), "{error:#}");
        let workflow = failed.workflow();
        let state = if mode == "--wait" { "failed" } else { workflow.state.as_str() };
        assert_eq!(
            (workflow.state.as_str(), workflow.steps[0].state.as_str()),
            (state, "failed"),
            "{failed:#?}"
        );
    }
    assert_eq!(cluster.query("select count(*) from steps where wrote or intent is not null"), [["0"]]);
}

fn computer(witness: &Ldap, name: &str, spns: &[String]) {
    let spns: String = spns.iter().map(|spn| format!("servicePrincipalName: {spn}\n")).collect();
    witness
        .apply(&format!(
            "dn: CN={name},{HOST_CONTAINER}\nchangetype: add\nobjectClass: computer\nsAMAccountName: {name}$\n\
             userAccountControl: 4096\ndNSHostName: {name}.contoso.com\n{spns}"
        ))
        .expect("a computer");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_hosts_that_the_directory_speaks_against_are_refused_before_anything_is_written() {
    let lab = Lab::from_env();
    let mut names = Cleanup::new(&lab);
    let (holder, aliased, group) = (names.name("bad"), names.name("bad"), names.name("badg"));
    let witness = lab.as_admin();
    let taken = format!("http/{holder}-web.contoso.com");
    computer(&witness, &holder, std::slice::from_ref(&taken));
    computer(&witness, &aliased, &[format!("HOST/{aliased}"), format!("HOST/{aliased}.contoso.com")]);
    // A group that stands: it would get members if anything were written.
    let group_dn = format!("CN={group},{GROUP_CONTAINER}");
    witness
        .apply(&format!("dn: {group_dn}\nchangetype: add\nobjectClass: group\nsAMAccountName: {group}\n"))
        .expect("a group");
    let gmsa = names.name("bad");
    witness
        .apply(&format!(
            "dn: CN={gmsa},{GMSA_CONTAINER}\nchangetype: add\nobjectClass: msDS-GroupManagedServiceAccount\n\
             sAMAccountName: {gmsa}$\nuserAccountControl: 4096\ndNSHostName: {gmsa}.contoso.com\n\
             msDS-ManagedPasswordInterval: 30\n"
        ))
        .expect("a gMSA");
    let cluster = cluster(&lab).await;
    let wanted = names.name("bad");
    let with = |change: &dyn Fn(&mut Value)| {
        let mut manifest = manifest(&wanted, &group, &["Host1", "Host2"]);
        change(&mut manifest["spec"]);
        manifest
    };
    let before = names.found().expect("the DC answers");
    let usn = || witness.read(&group_dn, &["uSNChanged", "member"]).expect("an answer").expect("the group");
    let group_before = usn();

    let held =
        with(&|spec| spec["account"]["servicePrincipalNames"] = json!(["http/free.contoso.com", taken]));
    let field = "spec.account.servicePrincipalNames[1]";
    refused(&cluster, &held, Refusal { code: "spn-conflict", field, says: &[&taken, &holder] }).await;

    let alias = format!("http/{aliased}.contoso.com");
    let covered = with(&|spec| spec["account"]["servicePrincipalNames"] = json!([alias]));
    let field = "spec.account.servicePrincipalNames[0]";
    let says: &[&str] = &[&alias, &format!("HOST/{aliased}.contoso.com"), &format!("CN={aliased}")];
    refused(&cluster, &covered, Refusal { code: "spn-conflict", field, says }).await;

    let unknown = with(&|spec| spec["hosts"] = json!(["Host1", "NoSuchHost"]));
    let says: &[&str] = &["NoSuchHost", "contoso.com"];
    refused(&cluster, &unknown, Refusal { code: "host-not-found", field: "spec.hosts[1]", says }).await;

    let no_computer = with(&|spec| spec["hosts"] = json!([gmsa, "Host1"]));
    let says: &[&str] = &[&gmsa, "gMSA", "no computer"];
    refused(&cluster, &no_computer, Refusal { code: "host-not-computer", field: "spec.hosts[0]", says })
        .await;

    let mut same_name = with(&|_| {});
    same_name["spec"]["account"]["samAccountName"] = json!(holder);
    let field = "spec.account.samAccountName";
    refused(&cluster, &same_name, Refusal { code: "account-name-taken", field, says: &[&holder] }).await;

    assert_eq!(names.found().expect("the DC answers"), before, "no object was made");
    assert_eq!(usn(), group_before, "the group was not written to");
}
