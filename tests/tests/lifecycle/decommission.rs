//! A farm retires: on the real DC with processes that are killed while the account cools down, and
//! on the embedded directory for what else may stand there.

use std::io::Write as _;
use std::process::Command;
use std::time::Duration;

use domain::{
    Change, ChangeKind, Clock as _, Dn, ErrorCode, FarmName, Mode, StepState, SystemClock, WaitReason,
    Workflow, WorkflowId, WorkflowState,
};
use serde_json::{Value, json};
use store::{Action, FarmState};
use tests::cluster::{Cluster, manifest, step};
use tests::lab::{Cleanup, GMSA_CONTAINER, GROUP_CONTAINER, Lab};
use tests::ldap::Ldap;
use tests::process::http_client;
use tests::wait::eventually;
use tests::world::{World, farm};

const LIMIT: Duration = Duration::from_secs(90);

/// A farm of two hosts on the lab's DC, deployed by processes.
struct Farm {
    cluster: Cluster,
    lab: Lab,
    witness: Ldap,
    name: String,
    group: String,
    approver: String,
    _names: Cleanup,
}

impl Farm {
    async fn deployed() -> Self {
        let lab = Lab::from_env();
        let mut names = Cleanup::new(&lab);
        let (name, group) = (names.name("dec"), names.name("decg"));
        let directory = lab.directory_env(&lab.service);
        let cluster = Cluster::on_lab(&lab, directory).await.start(1, 1).await;
        let deployed = cluster.deploy(&manifest(&name, &group, &["Host1", "Host2"]), &["--wait"]).await;
        assert_eq!(deployed.status, 0, "{deployed:#?}");
        let token = ["token", "create", "--principal", "second", "--roles", "approver"];
        let approver = cluster.cli(&token).await.stdout.trim().to_owned();
        let witness = lab.as_admin();
        Self { cluster, lab, witness, name, group, approver, _names: names }
    }

    async fn post(&self, token: &str, path: &str, body: Value) -> (u16, Value) {
        let url = format!("{}/api/v1/{path}", self.cluster.orchestrators[0].url());
        let sent = http_client().post(url).bearer_auth(token).json(&body).send().await.expect("an answer");
        (sent.status().as_u16(), sent.json().await.unwrap_or_default())
    }

    /// Asked for and approved; cooling down when this returns.
    async fn cooling_down(&self, cool_down: &str) -> String {
        let path = format!("farms/{}/decommission", self.name);
        let (status, asked) = self.post(&self.cluster.token, &path, json!({ "coolDown": cool_down })).await;
        assert_eq!(status, 202, "{asked:#}");
        let id = asked["id"].as_str().expect("an id").to_owned();
        let waiting = self.waits_for(&id, WaitReason::Approval).await;
        let plan = waiting.plan.expect("what is to be approved");
        let planned: Vec<_> = plan.changes.iter().map(|change| (change.kind, change.dn.as_str())).collect();
        let (account, group) = (self.account_dn(), self.group_dn());
        use ChangeKind::{Delete, Modify};
        let expected = [(Modify, &account), (Modify, &account), (Delete, &account), (Delete, &group)];
        assert_eq!(planned, expected.map(|(kind, dn)| (kind, dn.as_str())));
        assert!(self.host_reads(), "nothing is done before a second person agrees");
        let decision = json!({ "planHash": plan.hash });
        let (status, decided) = self.post(&self.approver, &format!("workflows/{id}/approve"), decision).await;
        assert_eq!(status, 200, "{decided:#}");
        self.waits_for(&id, WaitReason::Timer).await;
        id
    }

    async fn waits_for(&self, id: &str, reason: WaitReason) -> Workflow {
        eventually(&format!("{id} waits for {reason}"), LIMIT, async || {
            let workflow = self.cluster.workflow(id).await?;
            assert!(!workflow.state.is_finished(), "{:#?}", workflow.error);
            workflow.waiting.as_ref().is_some_and(|wait| wait.reason == reason).then_some(workflow)
        })
        .await
    }

    fn host_reads(&self) -> bool {
        self.lab.host_reads_password("Host1", &self.name).expect("a try")
    }

    fn account_dn(&self) -> String {
        format!("CN={},{GMSA_CONTAINER}", self.name)
    }
    fn group_dn(&self) -> String {
        format!("CN={},{GROUP_CONTAINER}", self.group)
    }

    /// userAccountControl and the bytes of the reader list.
    fn account(&self) -> Option<(String, Vec<u8>)> {
        let attributes = ["userAccountControl", "msDS-GroupMSAMembership"];
        let found = self.witness.read(&self.account_dn(), &attributes).expect("the DC answers")?;
        let readers = found.values("msDS-GroupMSAMembership").first().cloned().unwrap_or_default();
        Some((found.text("userAccountControl").unwrap_or_default(), readers))
    }

    /// What the DC's own administrator's tool says is there.
    fn samba_tool_shows(&self, arguments: &[&str]) -> bool {
        // Sealed by NTLM: samba-tool's own TLS wants a revocation list.
        let host = self.lab.directory_url.trim_start_matches("ldaps://").trim_end_matches(":636");
        let folder = self.lab.ca_file.ancestors().nth(2).expect("the lab's folder");
        let name = self.lab.admin.dn.split([',', '=']).nth(1).expect("a name");
        // A file, since everybody sees a command line.
        let mut login = tempfile::NamedTempFile::new().expect("a file");
        writeln!(login, "username={name}\npassword={}\ndomain=CONTOSO", self.lab.admin.password)
            .expect("written");
        let output = Command::new("samba-tool")
            .args(arguments)
            .args(["-H", &format!("ldap://{host}"), "--use-kerberos=off", "-A"])
            .arg(login.path())
            .env("SMB_CONF_PATH", folder.join("client.conf"))
            .env("KRB5_CONFIG", folder.join("krb5.conf"))
            .output()
            .expect("samba-tool");
        let said =
            String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        let missing = said.contains("Unable to find group") || said.contains("not found.");
        assert!(output.status.success() || missing, "{arguments:?}: {said}");
        output.status.success()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_farm_is_gone_at_the_end_though_every_worker_died_while_its_account_cooled_down() {
    let mut farm = Farm::deployed().await;
    assert!(farm.samba_tool_shows(&["group", "show", &farm.group]));
    assert!(farm.samba_tool_shows(&["service-account", "view", &format!("--name={}", farm.name)]));
    let id = farm.cooling_down("10s").await;
    farm.cluster.kill_workers();
    assert_eq!(farm.account().expect("still there").0, "4098", "disabled, and everything else as it was");
    assert!(!farm.host_reads(), "the host that could read the password cannot");
    farm.cluster.start_worker().await;

    let done = farm.cluster.finishes(&id, LIMIT).await;
    assert_eq!(done.state, WorkflowState::Succeeded, "{:#?} {:#?}", done.error, done.steps);
    assert_eq!(step(&done, "cool-down").attempts, 2, "begun by one worker, ended by another");
    assert_eq!((farm.account(), farm.witness.read(&farm.group_dn(), &[]).expect("an answer")), (None, None));
    assert!(!farm.samba_tool_shows(&["group", "show", &farm.group]));
    assert!(!farm.samba_tool_shows(&["service-account", "view", &format!("--name={}", farm.name)]));
    let shown = farm.cluster.cli(&["farm", "show", &farm.name, "-o", "json"]).await;
    assert_eq!(shown.json()["state"], json!("decommissioned"), "{shown:#?}");

    let again = farm.cluster.deploy(&manifest(&farm.name, &farm.group, &["Host1"]), &["--wait"]).await;
    assert_eq!(again.status, 0, "its name is free again: {again:#?}");
    assert!(farm.host_reads());
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_while_it_cools_down_everything_is_as_before_and_the_host_reads_again() {
    let farm = Farm::deployed().await;
    let before = farm.account().expect("deployed");
    let id = farm.cooling_down("1h").await;
    assert!(!farm.host_reads());
    assert_ne!(farm.account().expect("still there"), before);
    let cancelled = farm.cluster.cli(&["workflow", "cancel", &id]).await;
    assert_eq!(cancelled.status, 0, "{cancelled:#?}");
    let done = farm.cluster.finishes(&id, LIMIT).await;
    assert_eq!(done.state, WorkflowState::Cancelled, "{:#?}", done.error);
    assert_eq!(farm.account().expect("still there"), before, "byte for byte");
    assert!(farm.host_reads());
    for name in ["empty-readers", "disable-account"] {
        let undone = step(&done, name);
        assert_eq!(undone.state, StepState::Undone, "{undone:#?}");
        assert!(undone.detail.as_ref().is_some_and(|detail| detail.starts_with("taken back")), "{undone:#?}");
    }
    assert!(farm.witness.read(&farm.group_dn(), &[]).expect("an answer").is_some());
}

/// A farm on the embedded directory.
async fn embedded(name: &str, group: &str) -> World {
    let world = World::new().await;
    let worker = world.start_worker("before");
    deploy(&world, name, group, &["Host1", "Host2"]).await;
    worker.stop().await;
    world
}

async fn deploy(world: &World, name: &str, group: &str, hosts: &[&str]) {
    let id = world.submit("deploy", Mode::Apply, farm(name, group, hosts)).await;
    assert_eq!(world.finishes(id).await.state, WorkflowState::Succeeded);
}

async fn decommission(world: &World, name: &str, seconds: u64) -> WorkflowId {
    let input = json!({ "coolDownSeconds": seconds });
    world.submit_for("decommission", Mode::Apply, Some(name), input).await
}

async fn waits_for(world: &World, id: WorkflowId, reason: WaitReason) -> Workflow {
    eventually(&format!("{id} waits for {reason}"), LIMIT, async || {
        let workflow = world.approve_if_asked(id).await;
        assert!(!workflow.state.is_finished(), "{:#?}", workflow.error);
        workflow.waiting.as_ref().is_some_and(|wait| wait.reason == reason).then_some(workflow)
    })
    .await
}

fn account(name: &str) -> Dn {
    Dn::parse(&format!("CN={name},CN=Managed Service Accounts,DC=contoso,DC=com")).expect("a DN")
}
fn group_dn(name: &str) -> Dn {
    Dn::parse(&format!("CN={name},CN=Users,DC=contoso,DC=com")).expect("a DN")
}

async fn is_there(world: &World, dn: &Dn) -> bool {
    let dc = world.directory.pin(None).await.expect("a DC");
    dc.read(&dn.into(), &["objectSid"]).await.expect("an answer").is_some()
}

async fn write(world: &World, change: &Change) {
    let dc = world.directory.pin(None).await.expect("a DC");
    let values = |values: &[domain::AttributeValue]| {
        values.iter().filter_map(|value| value.wire()).map(<[u8]>::to_vec).collect()
    };
    let modifications: Vec<_> = change
        .attributes
        .iter()
        .map(|attribute| {
            let (name, values) = (attribute.attribute.clone(), values(attribute.added()));
            directory::Modification::Replace(directory::Attribute { name, values })
        })
        .collect();
    match change.kind {
        ChangeKind::Delete => dc.delete(&change.dn).await.expect("deleted"),
        _ => dc.modify(&change.dn, &modifications).await.expect("written"),
    }
}

fn control(name: &str, value: &str) -> Change {
    let set = domain::AttributeChange::new("userAccountControl", [value]);
    Change::modify(account(name), vec![set])
}

async fn state(world: &World, name: &str) -> FarmState {
    let name = FarmName::parse(name).expect("a name");
    world.store.farm(&Default::default(), &name).await.expect("an answer").expect("on record").state
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_used_while_it_cools_down_parks_and_is_passed_by_whoever_resumes() {
    let world = embedded("Used", "UsedHosts").await;
    let _worker = world.start_worker("one");
    let id = decommission(&world, "Used", 5).await;
    waits_for(&world, id, WaitReason::Timer).await;
    write(&world, &control("Used", "4096")).await;
    let parked = waits_for(&world, id, WaitReason::Operator).await;
    let error = step_error(&parked, "cool-down");
    assert_eq!(error.code, ErrorCode::AccountInUse);
    for part in ["userAccountControl", "from disabled to enabled"] {
        assert!(error.message.contains(part), "{}", error.message);
    }
    assert!(is_there(&world, &account("Used")).await);
    world.store.act(id, Action::Resume, "a test", SystemClock.now()).await.expect("resumed");
    world.signal.wake();
    let done = world.finishes(id).await;
    assert_eq!(done.state, WorkflowState::Succeeded, "{:?}", done.error);
    let result = done.result.expect("a result");
    assert_eq!(result["coolDown"]["uses"][0]["attribute"], json!("userAccountControl"), "{result:#}");
    assert!(!is_there(&world, &account("Used")).await);
}

fn step_error(workflow: &Workflow, name: &str) -> domain::Problem {
    step(workflow, name).error.clone().unwrap_or_else(|| panic!("no error: {workflow:#?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_another_farm_uses_stays_and_is_not_for_one_that_adopted_it_to_delete() {
    let world = embedded("First", "SharedHosts").await;
    let _worker = world.start_worker("one");
    deploy(&world, "Second", "SharedHosts", &["Host1"]).await;
    let id = decommission(&world, "First", 0).await;
    let done = world.finishes_approved(id).await;
    assert_eq!(done.state, WorkflowState::Succeeded, "{:?}", done.error);
    let kept = done.result.expect("a result")["groupKeptBecause"].as_str().expect("a reason").to_owned();
    assert!(kept.contains("other farms use it: Second") && kept.contains("CN=Second"), "{kept}");
    assert!(is_there(&world, &group_dn("SharedHosts")).await && !is_there(&world, &account("First")).await);
    // It was there before the second farm: not its own to delete either.
    let done = world.finishes_approved(decommission(&world, "Second", 0).await).await;
    let result = done.result.expect("a result");
    assert!(
        result["groupKeptBecause"].as_str().is_some_and(|kept| kept.contains("before the farm")),
        "{result:#}"
    );
    assert!(is_there(&world, &group_dn("SharedHosts")).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_with_a_stranger_in_it_stays_and_a_deploy_after_the_end_makes_the_farm_anew() {
    let world = embedded("Stranger", "StrangerHosts").await;
    let _worker = world.start_worker("one");
    let dc = world.directory.pin(None).await.expect("a DC");
    let find = domain::PrincipalRef::parse("Host9").expect("a name");
    let host =
        directory::preflight::find_principal(dc.as_ref(), &find, directory::preflight::Preferred::Computer);
    let host = host.await.expect("an answer").expect("Host9").dn.to_string();
    let member = directory::Attribute { name: "member".into(), values: vec![host.into_bytes()] };
    dc.modify(&group_dn("StrangerHosts"), &[directory::Modification::Add(member)]).await.expect("added");
    let done = world.finishes_approved(decommission(&world, "Stranger", 0).await).await;
    assert_eq!(done.state, WorkflowState::Succeeded, "{:?}", done.error);
    let result = done.result.expect("a result");
    assert!(result["groupKeptBecause"].as_str().is_some_and(|kept| kept.contains("CN=Host9")), "{result:#}");
    assert_eq!(state(&world, "Stranger").await, FarmState::Decommissioned);
    deploy(&world, "Stranger", "StrangerHosts", &["Host1", "Host2"]).await;
    assert_eq!(state(&world, "Stranger").await, FarmState::Deployed);
    assert!(is_there(&world, &account("Stranger")).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_farm_whose_account_somebody_deleted_by_hand_is_brought_to_its_end_all_the_same() {
    let world = embedded("Byhand", "ByhandHosts").await;
    let _worker = world.start_worker("one");
    write(&world, &Change::delete(account("Byhand"), vec![])).await;
    let done = world.finishes_approved(decommission(&world, "Byhand", 60).await).await;
    assert_eq!(done.state, WorkflowState::Succeeded, "{:?}", done.error);
    assert!(!is_there(&world, &group_dn("ByhandHosts")).await);
    assert_eq!(state(&world, "Byhand").await, FarmState::Decommissioned);
}
