//! Hosts under quarantine: no workflow lets them in, and none takes that for a fault.
//!
//! On the embedded directory: what a quarantine is comes from the record, and no host is needed.

use std::time::Duration;

use directory::embedded::{Fault, FaultKind, OperationKind};
use directory::security::ReaderDescriptor;
use directory::{Attribute, Base, Entry, Modification};
use domain::{
    Clock, DirectoryName, Dn, ErrorCode, Mode, Sid, SystemClock, SystemRng, WaitReason, Workflow, WorkflowId,
    WorkflowState,
};
use serde_json::{Value, json};
use store::{NewQuarantine, Quarantined};
use tests::wait::eventually;
use tests::world::{RunningWorker, World, direct_farm, farm};

use super::{hosts, succeeded};

const READERS: &str = "msDS-GroupMSAMembership";

fn dn(text: &str) -> Dn {
    Dn::parse(text).expect("a DN")
}
fn computer(name: &str) -> Dn {
    dn(&format!("CN={name},OU=Servers,DC=contoso,DC=com"))
}
fn account(name: &str) -> Dn {
    dn(&format!("CN={name},CN=Managed Service Accounts,DC=contoso,DC=com"))
}
fn group(name: &str) -> Dn {
    dn(&format!("CN={name},CN=Users,DC=contoso,DC=com"))
}

async fn find(world: &World, at: &Dn) -> Option<Entry> {
    let dc = world.directory.pin(None).await.expect("a DC");
    dc.read(&Base::from(at), &["objectSid", "member", READERS]).await.expect("an answer")
}

async fn sid(world: &World, name: &str) -> Sid {
    let found = find(world, &computer(name)).await.expect("the computer");
    found.sid("objectSid").expect("a SID")
}

async fn list(world: &World, name: &str) -> ReaderDescriptor {
    let found = find(world, &account(name)).await.expect("the account");
    ReaderDescriptor::from_bytes(found.bytes(READERS).expect("a list")).expect("a descriptor")
}

async fn members(world: &World, name: &str) -> Vec<Dn> {
    find(world, &group(name)).await.map(|found| found.dns("member")).unwrap_or_default()
}

/// As a containment does with a host of that name and SID.
async fn place(world: &World, name: &str, sid: &Sid) -> Quarantined {
    let now = SystemClock.now();
    let new = NewQuarantine {
        directory: DirectoryName::default(),
        host_sid: sid.clone(),
        host_name: name.to_owned(),
        computer_dn: computer(name),
        workflow: WorkflowId::new(now, &SystemRng),
        placed_by: "a responder".to_owned(),
        reason: Some("malware".to_owned()),
    };
    world.store.quarantine(&new, now).await.expect("on record")
}

async fn start() -> (World, RunningWorker) {
    let world = World::new().await;
    let worker = world.start_worker("one");
    (world, worker)
}

async fn run(world: &World, kind: &str, farm: Option<&str>, input: Value) -> Workflow {
    let id = world.submit_for(kind, Mode::Apply, farm, input).await;
    world.finishes_approved(id).await
}

async fn deployed(world: &World, input: Value) {
    succeeded(&run(world, "deploy", None, input).await);
}

fn refused(done: &Workflow) -> &domain::Problem {
    let error = done.error.as_ref().unwrap_or_else(|| panic!("{:?} without an error", done.state));
    assert_eq!(error.code, ErrorCode::HostQuarantined, "{error}");
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quarantined_host_is_refused_by_every_name_before_anything_is_written() {
    let (world, _worker) = start().await;
    deployed(&world, farm("Standing", "StandingHosts", &["Host1"])).await;
    let sid = sid(&world, "Host2").await;
    let quarantined = place(&world, "Host2", &sid).await;
    world.faults.forget();
    let names = ["Host2".to_owned(), "host2$".to_owned(), computer("Host2").to_string(), sid.to_string()];
    for name in &names {
        let joined = run(&world, "add-host", Some("Standing"), hosts(&["Host3", name])).await;
        let error = refused(&joined);
        assert_eq!(error.violations[0].field, "hosts[1]", "{error}");
        assert!(error.message.contains(&quarantined.workflow.to_string()), "{error}");
        assert!(error.hint.contains("farmhand quarantine release Host2"), "{error}");
        refused(&run(&world, "deploy", None, farm("New", "NewHosts", &["Host3", name])).await);
        refused(&run(&world, "deploy", None, direct_farm("New", &["Host3", name])).await);
        let update = farm("Standing", "StandingHosts", &["Host1", name]);
        refused(&run(&world, "update", Some("Standing"), update).await);
    }
    let planned = world.submit("deploy", Mode::Plan, farm("New", "NewHosts", &["Host2"])).await;
    refused(&world.finishes(planned).await);
    assert_eq!(world.faults.writes(), []);
    let other = run(&world, "add-host", Some("Standing"), hosts(&["Host3"])).await;
    succeeded(&other);
    assert_eq!(members(&world, "StandingHosts").await, [computer("Host1"), computer("Host3")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_farm_denies_quarantined_hosts_and_that_is_noted_for_the_release() {
    let (world, _worker) = start().await;
    let mut contained = vec![sid(&world, "Host2").await, sid(&world, "Host5").await];
    contained.sort();
    place(&world, "Host2", &contained[0]).await;
    place(&world, "Host5", &contained[1]).await;
    let asked = farm("New", "NewHosts", &["Host1"]);
    deployed(&world, asked.clone()).await;
    assert_eq!(list(&world, "New").await.denied_first(), contained);
    let before = find(&world, &account("New")).await.and_then(|found| found.sid("objectSid"));
    for host in &contained {
        let denials = world.store.denials(&DirectoryName::default(), host).await.expect("read");
        let noted: Vec<_> = denials.iter().map(|denial| (&denial.account_dn, &denial.account_sid)).collect();
        assert_eq!(noted, [(&account("New"), before.as_ref().expect("a SID"))]);
    }

    world.faults.forget();
    deployed(&world, asked).await;
    assert_eq!(world.faults.writes(), [], "it is adopted as it is");
    let seen = run(&world, "inspect", Some("New"), json!({})).await;
    succeeded(&seen);
    let seen = seen.result.expect("a result");
    assert_eq!(seen["differences"], json!([]), "{seen}");
    assert_eq!(seen["found"]["perDc"][0]["differences"], json!([]), "{seen}");
    let told: Vec<_> = seen["contained"].as_array().expect("a list").iter().collect();
    assert_eq!(told.len(), 2);
    assert!(told.iter().all(|host| host["deniedFirst"] == json!(true)), "{told:?}");

    let sid = before.expect("a SID");
    let replace = json!({ "accountSid": sid, "coolDownSeconds": 0 });
    succeeded(&run(&world, "replace", Some("New"), replace).await);
    let rebuilt =
        find(&world, &account("New")).await.and_then(|found| found.sid("objectSid")).expect("a SID");
    assert_ne!(rebuilt, sid);
    assert_eq!(list(&world, "New").await.denied_first(), contained);
    let denials = world.store.denials(&DirectoryName::default(), &contained[0]).await.expect("read");
    assert!(denials.iter().any(|denial| denial.account_sid == rebuilt), "{denials:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_farm_whose_host_was_contained_is_as_asked_and_lives_on_without_it() {
    let (world, _worker) = start().await;
    for (name, asked) in [
        ("Grouped", farm("Grouped", "GroupedHosts", &["Host1", "Host2"])),
        ("Direct", direct_farm("Direct", &["Host1", "Host2"])),
    ] {
        deployed(&world, asked).await;
        contain(&world, name, "Host2").await;
    }
    place(&world, "Host2", &sid(&world, "Host2").await).await;
    for name in ["Grouped", "Direct"] {
        let seen = run(&world, "inspect", Some(name), json!({})).await.result.expect("a result");
        assert_eq!(seen["differences"], json!([]), "{seen}");
        assert_eq!(seen["contained"][0]["name"], "Host2", "{seen}");
        if name == "Grouped" {
            assert_eq!(seen["found"]["group"]["missing"], json!([]), "{seen}");
        }
    }
    let update = farm("Grouped", "GroupedHosts", &["Host1"]);
    succeeded(&run(&world, "update", Some("Grouped"), update).await);
    succeeded(&run(&world, "update", Some("Direct"), direct_farm("Direct", &["Host1", "Host4"])).await);
    let contained = [sid(&world, "Host2").await];
    for name in ["Grouped", "Direct"] {
        assert_eq!(list(&world, name).await.denied_first(), contained, "{name}");
    }
    assert_eq!(list(&world, "Direct").await.readers().len(), 2);
    let taken = json!({ "account": "Direct" });
    let imported = run(&world, "import", Some("Direct"), taken).await;
    succeeded(&imported);
    let result = imported.result.expect("a result").to_string();
    assert!(!result.contains("keeps from reading"), "the denial is nobody else's: {result}");
}

/// What a containment does to one farm: denied first, then out of the group or the list.
async fn contain(world: &World, name: &str, host: &str) {
    let sid = sid(world, host).await;
    let admin = directory::LdapDirectory::new(world.embedded.admin_ldap_options(DirectoryName::default()));
    let dc = directory::Directory::pin(&admin.expect("valid options"), None).await.expect("a DC");
    let mut list = list(world, name).await;
    list.deny(&sid);
    list.remove(&sid);
    let value = Attribute { name: READERS.to_owned(), values: vec![list.to_bytes().expect("fits")] };
    dc.modify(&account(name), &[Modification::Replace(value)]).await.expect("denied");
    if members(world, &format!("{name}Hosts")).await.contains(&computer(host)) {
        let value =
            Attribute { name: "member".to_owned(), values: vec![computer(host).to_string().into_bytes()] };
        dc.modify(&group(&format!("{name}Hosts")), &[Modification::Delete(value)]).await.expect("removed");
    }
}

/// Until a write was put off, as a DC does that is busy.
async fn put_off(world: &World, id: WorkflowId) {
    eventually("the write was put off", Duration::from_secs(40), async || {
        let workflow = world.workflow(id).await;
        assert!(!workflow.state.is_finished(), "{:?} {:?}", workflow.state, workflow.error);
        workflow.waiting.filter(|wait| wait.reason == WaitReason::Retry)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_quarantined_between_preflight_and_write_is_not_let_in() {
    let (world, _worker) = start().await;
    deployed(&world, farm("Standing", "StandingHosts", &["Host1"])).await;
    deployed(&world, direct_farm("Listed", &["Host1"])).await;
    let busy = |part: &str| {
        world.faults.inject(Fault::once(OperationKind::Modify, FaultKind::Busy).on(part));
    };
    busy("StandingHosts");
    busy("CN=Listed,");
    busy("NewHosts");
    let joining = world.submit_for("add-host", Mode::Apply, Some("Standing"), hosts(&["Host2"])).await;
    let listing = world.submit_for("add-host", Mode::Apply, Some("Listed"), hosts(&["Host2"])).await;
    let deploying = world.submit("deploy", Mode::Apply, farm("New", "NewHosts", &["Host2"])).await;
    for id in [joining, listing, deploying] {
        put_off(&world, id).await;
    }
    let contained = sid(&world, "Host2").await;
    place(&world, "Host2", &contained).await;
    for id in [joining, listing] {
        let done = world.finishes(id).await;
        refused(&done);
        assert_eq!(done.state, WorkflowState::Failed);
    }
    let done = world.finishes(deploying).await;
    refused(&done);
    assert_eq!(done.state, WorkflowState::Unwound, "the group that it had made is gone");
    assert!(find(&world, &group("NewHosts")).await.is_none());
    assert_eq!(members(&world, "StandingHosts").await, [computer("Host1")]);
    assert_eq!(list(&world, "Listed").await.readers(), [sid(&world, "Host1").await]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_was_planned_before_the_quarantine_is_made_with_the_denial() {
    let (world, _worker) = start().await;
    world.faults.inject(Fault::once(OperationKind::Add, FaultKind::Busy).on("CN=New,"));
    let id = world.submit("deploy", Mode::Apply, farm("New", "NewHosts", &["Host1"])).await;
    put_off(&world, id).await;
    let contained = sid(&world, "Host2").await;
    place(&world, "Host2", &contained).await;
    succeeded(&world.finishes(id).await);
    assert_eq!(list(&world, "New").await.denied_first(), std::slice::from_ref(&contained));
    let denials = world.store.denials(&DirectoryName::default(), &contained).await.expect("read");
    assert_eq!(denials.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuilt_host_joins_with_a_warning() {
    let (world, _worker) = start().await;
    deployed(&world, farm("Standing", "StandingHosts", &["Host1"])).await;
    let gone: Sid = "S-1-5-21-9-9-9-4711".parse().expect("a SID");
    place(&world, "Host2", &gone).await;
    let done = run(&world, "add-host", Some("Standing"), hosts(&["Host2"])).await;
    succeeded(&done);
    let warnings = done.result.expect("a result")["warnings"].to_string();
    assert!(warnings.contains("rebuilt") && warnings.contains(&gone.to_string()), "{warnings}");
    assert!(members(&world, "StandingHosts").await.contains(&computer("Host2")));
}
