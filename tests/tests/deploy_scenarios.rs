//! Deploys end to end: the binary as processes, PostgreSQL, RabbitMQ, a real DC over LDAPS with a
//! delegated account that is no administrator. What was written is looked at with `ldapsearch`,
//! and a member host tries the password itself.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::{StepState, WorkflowState};
use serde_json::json;
use tests::cluster::{Cluster, Ran, changed, deployed, manifest, whole};
use tests::lab::{Cleanup, GMSA_CONTAINER, GROUP_CONTAINER, HOST_CONTAINER, Lab};
use tests::ldap::{Entry, Ldap};

const LIMIT: Duration = Duration::from_secs(60);
const STEPS: [&str; 6] =
    ["preflight", "ensure-group", "ensure-members", "ensure-gmsa", "verify-everywhere", "install-on-hosts"];

async fn cluster(lab: &Lab, orchestrators: usize, workers: usize) -> Cluster {
    Cluster::on_lab(lab, lab.directory_env(&lab.service)).await.start(orchestrators, workers).await
}

fn account_dn(name: &str) -> String {
    format!("CN={name},{GMSA_CONTAINER}")
}
fn group_dn(name: &str) -> String {
    format!("CN={name},{GROUP_CONTAINER}")
}
fn host_dn(name: &str) -> String {
    format!("CN={name},{HOST_CONTAINER}")
}

fn read(witness: &Ldap, dn: &str) -> Entry {
    let attributes =
        ["*", "uSNChanged", "whenCreated", "msDS-GroupMSAMembership", "msDS-ManagedPasswordInterval"];
    witness.read(dn, &attributes).expect("the DC answers").unwrap_or_else(|| panic!("there is no {dn}"))
}

fn usn(witness: &Ldap, dn: &str) -> Option<String> {
    read(witness, dn).text("uSNChanged")
}

/// Whom a self-relative descriptor allows to read (MS-DTYP 2.4.6, 2.4.5, 2.4.4.2), taken apart by
/// hand; nothing but simple allow entries may be in it.
fn allowed(descriptor: &[u8]) -> Vec<Vec<u8>> {
    let short = |at: usize| usize::from(u16::from_le_bytes([descriptor[at], descriptor[at + 1]]));
    let dacl = short(16) + (short(18) << 16);
    let (mut at, mut sids) = (dacl + 8, Vec::new());
    for _ in 0..short(dacl + 4) {
        assert_eq!((descriptor[at], descriptor[at + 1]), (0, 0), "a plain allow entry");
        let length = short(at + 2);
        sids.push(descriptor[at + 8..at + length].to_vec());
        at += length;
    }
    sids
}

/// The descriptor that an administrator's tool writes: Administrators own it, the SIDs may read.
fn descriptor(sids: &[Vec<u8>]) -> Vec<u8> {
    let administrators = [1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0];
    let entries: Vec<u8> = sids
        .iter()
        .flat_map(|sid| {
            let length = u16::try_from(8 + sid.len()).expect("short").to_le_bytes();
            [&[0, 0], &length[..], &[0xff, 0x01, 0x0f, 0x00], sid].concat()
        })
        .collect();
    let size = u16::try_from(8 + entries.len()).expect("short").to_le_bytes();
    let count = u16::try_from(sids.len()).expect("few").to_le_bytes();
    let acl = [&[4, 0], &size[..], &count[..], &[0, 0], &entries[..]].concat();
    let head = [1, 0, 0x04, 0x80, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 36, 0, 0, 0];
    [&head[..], &administrators, &acl].concat()
}

fn make_group(witness: &Ldap, name: &str, members: &[&str]) -> Vec<u8> {
    let members: String = members.iter().map(|host| format!("member: {}\n", host_dn(host))).collect();
    let dn = group_dn(name);
    witness
        .apply(&format!("dn: {dn}\nchangetype: add\nobjectClass: group\nsAMAccountName: {name}\n{members}"))
        .expect("a group");
    read(witness, &dn).values("objectSid")[0].clone()
}

/// The account of [`manifest`], as an administrator would have made it by other means.
fn make_account(witness: &Ldap, name: &str, description: &str, reader: &[u8]) {
    let spns = ["contoso.com/contoso.com", "contoso.com/contoso"].map(|rest| format!("http/{name}.{rest}"));
    let short = ["contoso.com", "contoso"].map(|rest| format!("HTTP/{name}/{rest}"));
    let spns: String =
        spns.iter().chain(&short).map(|spn| format!("servicePrincipalName: {spn}\n")).collect();
    let readers = STANDARD.encode(descriptor(&[reader.to_vec()]));
    witness
        .apply(&format!(
            "dn: {}\nchangetype: add\nobjectClass: msDS-GroupManagedServiceAccount\nsAMAccountName: {name}$\n\
             userAccountControl: 4096\ndNSHostName: {name}.contoso.com\ndisplayName: IT farm 1\n\
             description: {description}\nmsDS-ManagedPasswordInterval: 30\nmsDS-SupportedEncryptionTypes: 28\n\
             msDS-GroupMSAMembership:: {readers}\n{spns}",
            account_dn(name)
        ))
        .expect("an account");
}

fn succeeded(ran: &Ran) {
    assert_eq!(ran.status, 0, "{ran:#?}");
    assert_eq!(ran.workflow().state, WorkflowState::Succeeded, "{ran:#?}");
}

/// All attributes of the guide's account, as `ldapsearch` shows them.
fn assert_guides_account(account: &Entry, name: &str) {
    assert!(account.texts("objectClass").contains(&"msDS-GroupManagedServiceAccount".to_owned()));
    for (attribute, value) in [
        ("cn", name.to_owned()),
        ("sAMAccountName", format!("{name}$")),
        ("userAccountControl", "4096".to_owned()),
        ("dNSHostName", format!("{name}.contoso.com")),
        ("displayName", "IT farm 1".to_owned()),
        ("description", "Web tier of the IT department".to_owned()),
        ("msDS-SupportedEncryptionTypes", "28".to_owned()),
        ("msDS-ManagedPasswordInterval", "30".to_owned()),
    ] {
        assert_eq!(account.text(attribute), Some(value), "{attribute}");
    }
    let spns = account.texts("servicePrincipalName");
    let mut expected = ["/contoso", "/contoso.com", ".contoso.com/contoso", ".contoso.com/contoso.com"]
        .map(|rest| format!("http/{name}{rest}"));
    expected.sort();
    assert_eq!(spns, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guides_farm_is_deployed_its_members_read_the_password_and_a_second_deploy_changes_nothing() {
    let lab = Lab::from_env();
    let mut names = Cleanup::new(&lab);
    let (name, group, witness) = (names.name("dep"), names.name("depg"), lab.as_admin());
    let cluster = cluster(&lab, 1, 1).await;
    let wanted = manifest(&name, &group, &["Host1", "Host2", "Host3"]);

    let first = cluster.deploy(&wanted, &["--wait", "-o", "json", "--reason", "the first farm"]).await;
    succeeded(&first);
    let workflow = first.workflow();
    assert_eq!(changed(&workflow), ["ensure-group", "ensure-members", "ensure-gmsa"]);
    assert_eq!(workflow.steps.iter().map(|step| step.name.as_str()).collect::<Vec<_>>(), STEPS);
    let (last, others) = workflow.steps.split_last().expect("steps");
    assert!(others.iter().all(|step| step.state == StepState::Succeeded && step.attempts == 1));
    assert_eq!(last.state, StepState::Skipped, "no adapter acts on hosts");
    assert!(first.stderr.contains("ensure-gmsa"), "progress goes to standard error: {}", first.stderr);

    let (account, security_group) = (read(&witness, &account_dn(&name)), read(&witness, &group_dn(&group)));
    assert_guides_account(&account, &name);
    let sid = security_group.values("objectSid")[0].clone();
    assert_eq!(allowed(&account.values("msDS-GroupMSAMembership")[0]), [sid], "exactly the group may read");
    assert_eq!(security_group.texts("member"), ["Host1", "Host2", "Host3"].map(host_dn));
    assert_eq!(security_group.text("groupType").as_deref(), Some("-2147483646"));

    assert!(lab.host_reads_password("Host1", &name).expect("a try"), "a member host reads the password");
    assert!(!lab.host_reads_password("Host7", &name).expect("a try"), "no other host does");

    let id = workflow.id.to_string();
    let shown = cluster.cli(&["workflow", "show", &id, "-o", "json"]).await;
    assert_eq!(shown.json(), first.json(), "`show` and `deploy --wait` give one document");
    let document = shown.json();
    assert_eq!((&document["kind"], &document["reason"]), (&json!("deploy"), &json!("the first farm")));
    assert_eq!(document["result"]["account"]["dn"], json!(account_dn(&name)));
    assert_eq!(document["result"]["changed"], json!(true));
    let farm = cluster.cli(&["farm", "show", &name, "-o", "json"]).await;
    assert_eq!((farm.status, &farm.json()["name"]), (0, &json!(name)), "{farm:#?}");

    let before = [account_dn(&name), group_dn(&group), host_dn("Host1")].map(|dn| usn(&witness, &dn));
    let again = cluster.deploy(&wanted, &["--wait"]).await;
    assert_eq!(again.status, 0, "{again:#?}");
    assert!(again.stdout.contains("nothing had to be changed"), "{}", again.stdout);
    let after = [account_dn(&name), group_dn(&group), host_dn("Host1")].map(|dn| usn(&witness, &dn));
    assert_eq!(before, after, "no object was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_lists_every_attribute_and_writes_nothing() {
    let lab = Lab::from_env();
    let mut names = Cleanup::new(&lab);
    let (name, group) = (names.name("dep"), names.name("depg"));
    let cluster = cluster(&lab, 1, 1).await;
    let wanted = manifest(&name, &group, &["Host1", "Host2"]);

    let planned = cluster.deploy(&wanted, &["--plan"]).await;
    assert_eq!(planned.status, 0, "{planned:#?}");
    for part in [
        account_dn(&name).as_str(),
        group_dn(&group).as_str(),
        host_dn("Host1").as_str(),
        host_dn("Host2").as_str(),
        "objectClass",
        "msDS-GroupManagedServiceAccount",
        "sAMAccountName",
        "userAccountControl",
        "4096",
        "dNSHostName",
        "displayName",
        "description",
        "servicePrincipalName",
        "msDS-SupportedEncryptionTypes",
        "28",
        "msDS-ManagedPasswordInterval",
        "30",
        "msDS-GroupMSAMembership",
        "groupType",
        "member",
        "Nothing was written.",
    ] {
        assert!(planned.stdout.contains(part), "{part} is missing in\n{}", planned.stdout);
    }
    let document = cluster.deploy(&wanted, &["--plan", "-o", "json"]).await;
    let workflow = document.workflow();
    let plan = workflow.plan.as_ref().expect("a plan");
    let dns: Vec<_> = plan.changes.iter().map(|change| change.dn.as_str().to_owned()).collect();
    assert_eq!(dns, [group_dn(&group), group_dn(&group), account_dn(&name)]);
    assert_eq!(names.found().expect("the DC answers"), Vec::<String>::new());
    assert_eq!(cluster.query("select count(*) from farms"), [["0"]], "a dry run puts no farm on record");

    succeeded(&cluster.deploy(&wanted, &["--wait", "-o", "json"]).await);
    let account = read(&lab.as_admin(), &account_dn(&name));
    for attribute in &plan.changes[2].attributes {
        let written = account.texts(&attribute.attribute);
        let planned: Vec<_> = attribute.added().iter().filter_map(|value| value.wire()).collect();
        let planned = planned.iter().map(|value| String::from_utf8_lossy(value).into_owned());
        assert!(planned.into_iter().all(|value| written.contains(&value)), "{attribute:?} {written:?}");
        assert!(!written.is_empty(), "{attribute:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn direct_membership_names_each_host_and_makes_no_group() {
    let lab = Lab::from_env();
    let mut names = Cleanup::new(&lab);
    let (name, witness) = (names.name("dep"), lab.as_admin());
    let cluster = cluster(&lab, 1, 1).await;
    let wanted = json!({
        "apiVersion": "farmhand/v1", "kind": "Farm", "metadata": {"name": name},
        "spec": {
            "account": {"outboundOnly": true, "managedPasswordIntervalInDays": 75},
            "membership": {"mode": "direct"}, "hosts": ["Host4", "Host5$"],
        },
    });
    let done = cluster.deploy(&wanted, &["--wait", "-o", "json"]).await;
    succeeded(&done);
    let states: Vec<_> = done.workflow().steps.iter().map(|step| (step.name.clone(), step.state)).collect();
    assert_eq!(
        states[1..3].iter().map(|(_, state)| *state).collect::<Vec<_>>(),
        [StepState::Skipped; 2],
        "{states:?}"
    );
    let account = read(&witness, &account_dn(&name));
    let sids = ["Host4", "Host5"].map(|host| read(&witness, &host_dn(host)).values("objectSid")[0].clone());
    let mut readers = allowed(&account.values("msDS-GroupMSAMembership")[0]);
    let mut expected = sids.to_vec();
    readers.sort();
    expected.sort();
    assert_eq!(readers, expected);
    assert_eq!(account.text("dNSHostName"), None);
    assert_eq!(account.text("msDS-ManagedPasswordInterval").as_deref(), Some("75"));
    assert_eq!(account.text("msDS-SupportedEncryptionTypes").as_deref(), Some("24"));
    assert_eq!(names.found().expect("the DC answers"), [account_dn(&name)]);
    assert!(lab.host_reads_password("Host5", &name).expect("a try"));
    assert!(!lab.host_reads_password("Host6", &name).expect("a try"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_is_adopted_when_it_is_as_asked_and_refused_with_the_difference_when_not() {
    let lab = Lab::from_env();
    let mut names = Cleanup::new(&lab);
    let (same, other, group) = (names.name("dep"), names.name("dep"), names.name("depg"));
    let witness = lab.as_admin();
    let sid = make_group(&witness, &group, &["Host1", "Host9"]);
    make_account(&witness, &same, "Web tier of the IT department", &sid);
    make_account(&witness, &other, "made by somebody else", &sid);
    let cluster = cluster(&lab, 1, 1).await;
    let all = [account_dn(&same), account_dn(&other), group_dn(&group)];
    let before = all.clone().map(|dn| usn(&witness, &dn));

    let adopted = cluster.deploy(&manifest(&same, &group, &["Host1"]), &["--wait", "-o", "json"]).await;
    succeeded(&adopted);
    assert_eq!(changed(&adopted.workflow()), Vec::<&str>::new());
    assert_eq!(adopted.json()["result"]["changed"], json!(false));
    let farm = cluster.cli(&["farm", "show", &same, "-o", "json"]).await;
    assert_eq!(farm.json()["state"], json!("deployed"), "{farm:#?}");

    // Host2 would have to join the group: that too must not happen for a farm that is refused.
    let refused =
        cluster.deploy(&manifest(&other, &group, &["Host1", "Host2"]), &["--wait", "-o", "json"]).await;
    assert_eq!(refused.status, 1, "{refused:#?}");
    let error = refused.json()["error"].clone();
    assert_eq!(error["code"], json!("account-differs"));
    let message = error["message"].as_str().expect("a message");
    for part in ["description", "Web tier of the IT department", "made by somebody else"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert_eq!(error["violations"][0]["field"], json!("spec.account.description"), "{error:#}");
    assert_eq!(before, all.map(|dn| usn(&witness, &dn)), "nothing was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_idempotency_key_gives_the_same_workflow_and_no_other_request_may_use_it() {
    let lab = Lab::from_env();
    let mut names = Cleanup::new(&lab);
    let (name, group) = (names.name("dep"), names.name("depg"));
    let cluster = cluster(&lab, 2, 1).await;
    let wanted = manifest(&name, &group, &["Host1"]);
    let key = ["--idempotency-key", &format!("key-{name}"), "-o", "json"];
    let asked = cluster.deploy(&wanted, &[&key[..], &["--wait"]].concat()).await;
    succeeded(&asked);
    let again = cluster.deploy(&wanted, &key).await;
    assert_eq!(again.status, 0, "{again:#?}");
    assert_eq!(again.workflow().id, asked.workflow().id);
    // Another orchestrator knows the key, too.
    let file = cluster.write(&wanted);
    let path = file.path().display().to_string();
    let elsewhere = cluster.orchestrators[1].url();
    let arguments = [&["deploy", "-f", &path, "--url", &elsewhere], &key[..]].concat();
    assert_eq!(cluster.cli(&arguments).await.workflow().id, asked.workflow().id);
    let other = cluster.deploy(&manifest(&name, &group, &["Host1", "Host2"]), &key).await;
    assert_eq!((other.status, &other.json()["code"]), (4, &json!("idempotency-conflict")), "{other:#?}");
    assert_eq!(cluster.query("select count(*) from workflows"), [["1"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_farms_at_once_on_two_orchestrators_and_two_workers_are_each_made_once() {
    let lab = Lab::from_env();
    let mut names = Cleanup::new(&lab);
    let farms: Vec<_> = (0..10).map(|_| (names.name("dep"), names.name("depg"))).collect();
    let cluster = cluster(&lab, 2, 2).await;
    let hosts = ["Host1", "Host2", "Host3"];
    let manifests: Vec<_> = farms.iter().map(|(name, group)| manifest(name, group, &hosts)).collect();
    let asked = manifests.iter().enumerate().map(|(at, manifest)| cluster.submit_to(at % 2, manifest));
    let ids = futures::future::join_all(asked).await;
    let witness = lab.as_admin();
    for (id, (name, group)) in ids.iter().zip(&farms) {
        let done = cluster.finishes(id, LIMIT).await;
        assert_eq!(done.state, WorkflowState::Succeeded, "{done:#?}");
        assert_eq!(changed(&done), ["ensure-group", "ensure-members", "ensure-gmsa"]);
        assert!(done.steps.iter().all(|step| step.attempts == 1), "{done:#?}");
        assert_eq!(cluster.claims(id), "1");
        assert_eq!(deployed(&witness, name, group), whole(&hosts));
    }
    assert_eq!(names.found().expect("the DC answers").len(), 20, "one account and one group each");
    let took = cluster.query("select count(distinct dc) from (select outcome::jsonb -> 'writes' -> 0 ->> 'dc' as dc from steps where wrote) w");
    assert_eq!(took, [["1"]], "the lab has one DC, and every write says so");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_status_tells_how_it_ended_and_json_is_one_document() {
    let lab = Lab::from_env();
    let mut names = Cleanup::new(&lab);
    let (name, group) = (names.name("dep"), names.name("depg"));
    let cluster = cluster(&lab, 1, 1).await;
    let good = manifest(&name, &group, &["Host1"]);

    let asked = cluster.deploy(&good, &["-o", "json", "--wait"]).await;
    succeeded(&asked);
    for arguments in
        [&["farm", "list"][..], &["workflow", "list"], &["token", "list"], &["migrate", "status"]]
    {
        let listed = cluster.cli(&[arguments, &["-o", "json"]].concat()).await;
        assert_eq!(listed.status, 0, "{listed:#?}");
        assert!(listed.json().is_object());
    }

    let mut unknown_host = manifest(&names.name("dep"), &group, &["Host1"]);
    unknown_host["spec"]["hosts"] = json!(["NoSuchHost"]);
    let failed = cluster.deploy(&unknown_host, &["-o", "json", "--wait"]).await;
    assert_eq!(
        (failed.status, &failed.json()["error"]["code"]),
        (1, &json!("host-not-found")),
        "{failed:#?}"
    );

    let usage = cluster.cli(&["deploy"]).await;
    assert_eq!(usage.status, 2, "{usage:#?}");

    let mut invalid = good.clone();
    invalid["spec"]["account"]["managedPasswordIntervalInDays"] = json!(0);
    let refused = cluster.deploy(&invalid, &["-o", "json", "--wait"]).await;
    assert_eq!((refused.status, &refused.json()["code"]), (4, &json!("invalid-manifest")), "{refused:#?}");

    let file = cluster.write(&good);
    let path = file.path().display().to_string();
    let nobody = ["deploy", "-f", &path, "-o", "json", "--url", "http://127.0.0.1:9"];
    let away = cluster.cli(&nobody).await;
    assert_eq!((away.status, &away.json()["code"]), (3, &json!("server-unreachable")), "{away:#?}");
}

#[test]
fn the_descriptor_that_these_tests_write_is_read_back_by_them() {
    let sids = [vec![1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0], vec![1, 1, 0, 0, 0, 0, 0, 5, 11, 0, 0, 0]];
    assert_eq!(allowed(&descriptor(&sids)), sids);
}
