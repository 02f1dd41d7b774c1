//! A gMSA is rebuilt with a new SID, and put back when somebody thinks better of it.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use directory::password_id::{ManagedPasswordId, Slot};
use domain::{Clock, Mode, Sid, SystemClock, WaitReason, WorkflowId, WorkflowState};
use serde_json::{Value, json};
use store::Action;
use tests::lab::{Cleanup, GROUP_CONTAINER, Lab};
use tests::ldap::{Entry, Ldap};
use tests::wait::eventually;
use tests::world::{RunningWorker, World};

use super::{Deployed, account_dn, group_dn, succeeded};

const KEPT: [&str; 6] = [
    "servicePrincipalName",
    "dNSHostName",
    "memberOf",
    "msDS-SupportedEncryptionTypes",
    "msDS-GroupMSAMembership",
    "userAccountControl",
];

/// A farm with SPNs whose account is a member of a group of its own.
async fn farm(lab: &Lab, witness: &Ldap) -> Deployed {
    let farm = Deployed::by_group(lab, &["Host1"]).await;
    let name = &farm.name;
    let account = account_dn(name);
    let role = format!("{}r", farm.group.as_deref().expect("a group"));
    witness
        .apply(&format!(
            "dn: {account}\nchangetype: modify\nadd: servicePrincipalName\nservicePrincipalName: http/{name}\n\
             servicePrincipalName: http/{name}.contoso.com\n\n"
        ))
        .expect("SPNs");
    // By the delegated account: of a group that it may not write, the membership would be lost.
    lab.bound_as(&lab.service)
        .apply(&format!(
            "dn: CN={role},{GROUP_CONTAINER}\nchangetype: add\nobjectClass: group\nsAMAccountName: {role}\n\
             member: {account}\n\n"
        ))
        .expect("a group");
    farm
}

fn account(witness: &Ldap, name: &str) -> Entry {
    let attributes =
        [&KEPT[..], &["objectSid", "msDS-ManagedPasswordId", "msDS-ManagedPasswordInterval"]].concat();
    witness.read(&account_dn(name), &attributes).expect("the DC answers").expect("the account")
}

fn sid(entry: &Entry) -> Sid {
    Sid::from_bytes(&entry.values("objectSid")[0]).expect("a SID")
}

fn kept(entry: &Entry) -> Vec<BTreeSet<Vec<u8>>> {
    KEPT.iter().map(|name| entry.values(name).iter().cloned().collect()).collect()
}

/// The keys that the host makes of the password, proved by a Kerberos login as the account.
fn keys(lab: &Lab, host: &str, gmsa: &str) -> BTreeSet<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let keytab = folder.path().join("keytab");
    let made = Command::new(lab.scripts.join("as-host-keytab")).args([host, gmsa]).arg(&keytab).output();
    let said = String::from_utf8_lossy(&made.expect("the script runs").stdout).into_owned();
    // RC4 is none of the account's ciphers, so the script as a whole fails.
    assert!(said.contains("with aes256-cts-hmac-sha1-96: ok"), "{said}");
    let listed = Command::new("klist").arg("-keK").arg(&keytab).output().expect("klist runs");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let keys: BTreeSet<_> =
        listed.split_whitespace().filter(|word| word.starts_with("(0x")).map(str::to_owned).collect();
    assert!(!keys.is_empty(), "{listed}");
    keys
}

/// DNs of whatever bears the farm's names, or names that begin with them.
fn objects(witness: &Ldap, farm: &Deployed) -> Vec<String> {
    let group = farm.group.as_deref().expect("a group");
    let each: String =
        [&*farm.name, group].iter().map(|name| format!("(cn={name}*)(sAMAccountName={name}*)")).collect();
    let found = witness.search("DC=contoso,DC=com", &format!("(|{each})"), &["cn"]).expect("the DC answers");
    found.into_iter().map(|entry| entry.dn).collect()
}

async fn ask(farm: &Deployed, input: &Value) -> WorkflowId {
    farm.world.submit_for("replace", Mode::Apply, Some(&farm.name), input.clone()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_rebuilt_under_its_name_with_another_password_and_interval() {
    let lab = Lab::from_env();
    let witness = lab.as_admin();
    let farm = farm(&lab, &witness).await;
    let (old, old_keys) = (account(&witness, &farm.name), keys(&lab, "Host1", &farm.name));
    let input = json!({ "accountSid": sid(&old), "managedPasswordIntervalInDays": 15, "coolDownSeconds": 0 });
    let id = ask(&farm, &input).await;
    let done = farm.world.finishes_approved(id).await;
    succeeded(&done);

    let new = account(&witness, &farm.name);
    assert_ne!(sid(&new), sid(&old));
    assert_eq!(kept(&new), kept(&old));
    assert_eq!(new.text("msDS-ManagedPasswordInterval").as_deref(), Some("15"));
    let key = ManagedPasswordId::parse(&new.values("msDS-ManagedPasswordId")[0]).expect("a key id");
    let started = Slot::containing(done.created_at).expect("a slot").start();
    assert!(key.slot_start() >= started, "its key is of today: {key:?}");
    let new_keys = keys(&lab, "Host1", &farm.name);
    assert!(new_keys.is_disjoint(&old_keys));
    assert!(!lab.host_reads_password("Host2", &farm.name).expect("a try"));

    let result = done.result.expect("a result");
    assert_eq!(
        (&result["account"]["sid"], &result["oldAccount"]["sid"]),
        (&json!(sid(&new)), &json!(sid(&old)))
    );
    assert!(result["account"]["keyId"]["rootKey"].is_string(), "{result}");
    let lost = result["notCarriedOver"].as_array().expect("a list");
    assert!(lost.iter().any(|loss| loss.as_str().is_some_and(|loss| loss.contains(&sid(&old).to_string()))));
    // Of the old one nothing is left, under whatever name.
    let left = objects(&witness, &farm);
    let expected = [account_dn(&farm.name), group_dn(farm.group.as_deref().expect("a group"))];
    assert_eq!(left.len(), 3, "{left:?}");
    assert!(expected.iter().all(|dn| left.contains(dn)), "{left:?}");

    let again = ask(&farm, &input).await;
    let again = farm.world.finishes(again).await;
    succeeded(&again);
    let result = again.result.expect("a result");
    assert_eq!((&result["changed"], &result["account"]["sid"]), (&json!(false), &json!(sid(&new))));
    assert_eq!(sid(&account(&witness, &farm.name)), sid(&new));
}

/// Approves, and waits until the old account cools down.
async fn cools_down(world: &World, id: WorkflowId) {
    eventually("the old account cools down", Duration::from_secs(60), async || {
        let workflow = world.approve_if_asked(id).await;
        assert!(!workflow.state.is_finished(), "{:?}", workflow.error);
        let wait = workflow.waiting?;
        (wait.reason == WaitReason::Timer && wait.until.is_some()).then_some(())
    })
    .await;
}

async fn cancelled(world: &World, id: WorkflowId) {
    world.store.act(id, Action::Cancel, "a test", SystemClock.now()).await.expect("accepted");
    world.signal.wake();
    let done = world.finishes(id).await;
    assert_eq!(done.state, WorkflowState::Cancelled, "{:?}", done.error);
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_before_the_old_account_is_deleted_it_is_back_with_its_sid_and_password() {
    let lab = Lab::from_env();
    let witness = lab.as_admin();
    let farm = farm(&lab, &witness).await;
    let (old, old_keys) = (account(&witness, &farm.name), keys(&lab, "Host1", &farm.name));
    let id = ask(&farm, &json!({ "accountSid": sid(&old), "coolDownSeconds": 86_400 })).await;
    cools_down(&farm.world, id).await;
    let (parked, new) = (account(&witness, &format!("{}-old", farm.name)), account(&witness, &farm.name));
    assert_eq!((sid(&parked), parked.text("userAccountControl").as_deref()), (sid(&old), Some("4098")));
    assert!(parked.values("servicePrincipalName").is_empty() && sid(&new) != sid(&old));
    assert!(keys(&lab, "Host1", &farm.name).is_disjoint(&old_keys));

    cancelled(&farm.world, id).await;
    let back = account(&witness, &farm.name);
    assert_eq!((sid(&back), kept(&back)), (sid(&old), kept(&old)));
    assert_eq!(keys(&lab, "Host1", &farm.name), old_keys);
    assert_eq!(objects(&witness, &farm).len(), 3, "no new account, no parked one");
}

#[tokio::test(flavor = "multi_thread")]
async fn side_by_side_the_names_move_and_the_farm_is_known_by_the_new_account() {
    let lab = Lab::from_env();
    let witness = lab.as_admin();
    let farm = farm(&lab, &witness).await;
    let old = account(&witness, &farm.name);
    let mut names = Cleanup::new(&lab);
    let name = names.name("lin");
    let input = json!({ "accountSid": sid(&old), "newAccount": name, "coolDownSeconds": 0 });
    let id = ask(&farm, &input).await;
    let done = farm.world.finishes_approved(id).await;
    succeeded(&done);
    let new = account(&witness, &name);
    assert_ne!(sid(&new), sid(&old));
    assert_eq!(kept(&new), kept(&old));
    assert!(witness.read(&account_dn(&farm.name), &["cn"]).expect("the DC answers").is_none());
    assert!(lab.host_reads_password("Host1", &name).expect("a try"));
    let farm_name = domain::FarmName::parse(&farm.name).expect("a name");
    let recorded = farm.world.store.farm(&Default::default(), &farm_name).await.expect("the store answers");
    let recorded = recorded.and_then(|farm| farm.recorded).expect("on record");
    assert_eq!((recorded.account_sid, recorded.spec.account.sam_account_name.as_str()), (sid(&new), &*name));
}

/// A farm on the embedded directory whose hosts are seen to by people, and what replacing it is asked
/// with.
async fn embedded(new_account: Option<&str>, cool_down: u64) -> (World, RunningWorker, Value) {
    let world = World::new().await;
    let worker = world.start_worker("one");
    let mut spec = tests::world::farm("Repl", "ReplHosts", &["Host1", "Host2"]);
    spec["hostActions"] = json!({ "services": ["W3SVC"] });
    let id = world.submit("deploy", Mode::Apply, spec).await;
    let deployed = world.finishes(id).await.result.expect("deployed");
    let sid = &deployed["account"]["sid"];
    let input = json!({ "accountSid": sid, "newAccount": new_account, "coolDownSeconds": cool_down });
    (world, worker, input)
}

async fn gmsa(world: &World, name: &str) -> Option<directory::Entry> {
    let dc = world.directory.pin(None).await.expect("a DC");
    let dn = domain::Dn::parse(&account_dn(name)).expect("a DN");
    let names = ["objectSid", "servicePrincipalName", "dNSHostName", "userAccountControl", "sAMAccountName"];
    dc.read(&directory::Base::from(&dn), &names).await.expect("the DC answers")
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_side_by_side_the_names_go_back() {
    let (world, _worker, input) = embedded(Some("ReplNew"), 86_400).await;
    let before = gmsa(&world, "Repl").await.expect("the account");
    let id = world.submit_for("replace", Mode::Apply, Some("Repl"), input).await;
    cools_down(&world, id).await;
    let (old, new) = (gmsa(&world, "Repl").await.expect("it"), gmsa(&world, "ReplNew").await.expect("it"));
    assert!(!old.has("servicePrincipalName") && !old.has("dNSHostName"));
    assert_eq!((old.int("userAccountControl"), new.int("userAccountControl")), (Some(4098), Some(4096)));
    assert_eq!(new.texts("servicePrincipalName").len(), 2);
    cancelled(&world, id).await;
    let back = gmsa(&world, "Repl").await.expect("the account");
    for name in ["objectSid", "dNSHostName", "userAccountControl", "sAMAccountName"] {
        assert_eq!(back.values(name), before.values(name), "{name}");
    }
    assert_eq!(back.texts("servicePrincipalName").len(), 2);
    assert!(gmsa(&world, "ReplNew").await.is_none());
}

/// What is planned for the hosts, step by step: for how many, which account, and what.
async fn planned_on_hosts(new_account: Option<&str>) -> Vec<(String, String, Vec<&'static str>)> {
    let (mut world, worker, input) = embedded(new_account, 0).await;
    worker.stop().await;
    world.hosts = workers::hosts::Hosts::new(domain::HostAdapter::Manual, 10);
    let _worker = world.start_worker("manual");
    let id = world.submit_for("replace", Mode::Plan, Some("Repl"), input).await;
    let done = world.finishes(id).await;
    succeeded(&done);
    let work = done.plan.expect("a plan").host_actions;
    let told = |work: domain::HostWork| {
        let actions = work.actions.iter().map(domain::HostActionKind::as_str).collect();
        (work.host.name, work.account.to_string(), actions)
    };
    work.into_iter().map(told).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_install_anew_under_the_same_name_and_step_by_step_side_by_side() {
    let all = vec!["purge-tickets", "uninstall", "install", "test", "restart-service"];
    let host = |host: &str, account: &str, actions: &[&'static str]| {
        (host.to_owned(), account.to_owned(), actions.to_vec())
    };
    assert_eq!(planned_on_hosts(None).await, [host("Host1", "Repl", &all), host("Host2", "Repl", &all)]);
    let mut expected = Vec::new();
    for (account, actions) in
        [("ReplNew", &["install", "test"][..]), ("ReplNew", &["restart-service"]), ("Repl", &["uninstall"])]
    {
        expected.extend(["Host1", "Host2"].map(|name| host(name, account, actions)));
    }
    assert_eq!(planned_on_hosts(Some("ReplNew")).await, expected);
}
