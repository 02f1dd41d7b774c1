//! On the lab's real DC, as a delegated account that is no administrator: member hosts of this
//! test's own try the password themselves, before and after.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use directory::{Attribute, DirectoryWrite, ReaderDescriptor};
use domain::containment::{ComputerState, Containment};
use domain::{Dn, ErrorCode, Mode, Sid, WorkflowState};
use serde_json::{Value, json};
use tests::lab::{Cleanup, GMSA_CONTAINER, GROUP_CONTAINER, HOST_CONTAINER, Lab};
use tests::world::{RunningWorker, World};

use crate::kit::{LIST, contained, dn, paths, sid, succeeded};

/// A Farmhand of this test's own on the shared DC, and whatever it makes there.
struct OnLab {
    lab: Lab,
    names: Cleanup,
    world: World,
    dc: Arc<dyn DirectoryWrite>,
    _worker: RunningWorker,
}

impl OnLab {
    async fn new() -> Self {
        let lab = Lab::from_env();
        let world = World::on_lab(&lab).await;
        let _worker = world.start_worker("one");
        let dc = world.directory.pin(None).await.expect("a DC");
        Self { names: Cleanup::new(&lab), lab, world, dc, _worker }
    }

    /// A computer that can log on as itself.
    fn host(&mut self, container: &str) -> Host {
        let name = self.names.name("cmp");
        let dn = format!("CN={name},{container}");
        let quoted: Vec<u8> =
            format!("\"{}{name}\"", host_password()).encode_utf16().flat_map(u16::to_le_bytes).collect();
        let record = format!(
            "dn: {dn}\nchangetype: add\nobjectClass: computer\nsAMAccountName: {name}$\nuserAccountControl: 4096\n\
             unicodePwd:: {}\n",
            BASE64.encode(quoted)
        );
        self.lab.as_admin().apply(&record).expect("a computer");
        Host { name, dn }
    }

    async fn deploy(&mut self, membership: Value, hosts: &[&str]) -> String {
        let name = self.names.name("cmf");
        let manifest = json!({
            "apiVersion": "farmhand/v1", "kind": "Farm", "metadata": { "name": name },
            "spec": {
                "account": { "dnsHostName": format!("{name}.contoso.com") },
                "membership": membership,
                "hosts": hosts,
            },
        });
        let manifest: domain::FarmManifest = serde_json::from_value(manifest).expect("a manifest's form");
        let spec = serde_json::to_value(manifest.validate().expect("a valid farm")).expect("serialises");
        let id = self.world.submit("deploy", Mode::Apply, spec).await;
        succeeded(&self.world.finishes(id).await);
        name
    }

    /// A gMSA that nobody has on record.
    async fn wild(&mut self, reader: &Sid) -> String {
        let name = self.names.name("cmw");
        let list = ReaderDescriptor::allowing([reader]).to_bytes().expect("fits");
        let attribute =
            |name: &str, value: &[u8]| Attribute { name: name.to_owned(), values: vec![value.to_vec()] };
        let attributes = [
            attribute("objectClass", b"msDS-GroupManagedServiceAccount"),
            attribute("sAMAccountName", format!("{name}$").as_bytes()),
            attribute("dNSHostName", format!("{name}.contoso.com").as_bytes()),
            attribute("msDS-ManagedPasswordInterval", b"30"),
            attribute("userAccountControl", b"4096"),
            attribute(LIST, &list),
        ];
        self.dc.add(&gmsa(&name), &attributes).await.expect("a gMSA");
        name
    }

    fn group(&mut self, member: &str) -> String {
        let name = self.names.name("cmg");
        let dn = format!("CN={name},{GROUP_CONTAINER}");
        let record = format!(
            "dn: {dn}\nchangetype: add\nobjectClass: group\nsAMAccountName: {name}\nmember: {member}\n"
        );
        self.lab.as_admin().apply(&record).expect("a group");
        dn
    }

    async fn contain(&self, input: Value) -> Containment {
        let id = self.world.submit_for("compromise-removal", Mode::Apply, None, input).await;
        contained(&self.world.finishes(id).await)
    }
}

struct Host {
    name: String,
    dn: String,
}

fn gmsa(name: &str) -> Dn {
    dn(&format!("CN={name},{GMSA_CONTAINER}"))
}

/// The head of every host's password in this lab.
fn host_password() -> String {
    let folder = std::env::var("LAB_DIR").expect("LAB_DIR: source ${LAB_DIR}/farmhand.env");
    let text = std::fs::read_to_string(format!("{folder}/env")).expect("the lab's environment");
    let line = text.lines().find_map(|line| line.strip_prefix("export LAB_HOST_PASSWORD='"));
    let (password, _comment) = line.and_then(|line| line.split_once('\'')).expect("LAB_HOST_PASSWORD");
    password.to_owned()
}

/// A host that stays logged on, with a Kerberos ticket.
struct Session {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Session {
    fn open(lab: &Lab, host: &str, gmsa: &str) -> Self {
        let mut child = Command::new(lab.scripts.join("as-host"))
            .args([host, gmsa, "--auth", "krb5", "--hold"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("as-host starts");
        let input = child.stdin.take().expect("its input");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        Self { child, input, output }
    }

    /// Tries the password: over the open session (`""`), a new one with the ticket that is at hand
    /// (`session`), or one with a new ticket (`ticket`).
    fn reads(&mut self, how: &str) -> bool {
        writeln!(self.input, "{how}").expect("as-host listens");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("as-host answers");
        line.trim() == "password"
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_session_and_a_cached_ticket_read_before_and_are_denied_after() {
    let mut there = OnLab::new().await;
    let host = there.host(HOST_CONTAINER);
    let group = there.names.name("cmfg");
    let by_group =
        there.deploy(json!({ "group": group, "groupContainer": GROUP_CONTAINER }), &[&host.name]).await;
    let direct = there.deploy(json!({ "mode": "direct" }), &[&host.name]).await;
    let mut sessions = [&by_group, &direct].map(|name| Session::open(&there.lab, &host.name, name));
    for session in &mut sessions {
        assert!(session.reads("") && session.reads("session"), "before");
    }
    let told = there.contain(json!({ "host": host.name })).await;
    for session in &mut sessions {
        for how in ["", "session", "ticket"] {
            assert!(!session.reads(how), "after, over {how:?}");
        }
    }
    // Other tests make gMSAs beside this one that every computer may read.
    let own = |name: &&String| told.accounts.iter().any(|found| found.account == format!("{name}$"));
    assert_eq!([&by_group, &direct].iter().filter(|name| own(name)).count(), 2, "{told:#?}");
    let about_ours = |line: &&String| [&by_group, &direct, &group].iter().any(|name| line.contains(*name));
    let undone: Vec<_> = told.not_done.iter().filter(about_ours).collect();
    assert_eq!((told.host.computer, undone.len()), (ComputerState::Disabled, 0), "{undone:?}");
    let witness = there.lab.as_admin();
    let members = witness.read(&format!("CN={group},{GROUP_CONTAINER}"), &["member"]).expect("an answer");
    assert!(members.expect("the group").texts("member").is_empty());
    let computer = witness.read(&host.dn, &["userAccountControl"]).expect("an answer").expect("the host");
    assert_eq!(computer.text("userAccountControl").as_deref(), Some("4098"));
    let ours = told.accounts.iter().find(|found| found.account == format!("{direct}$"));
    let exposure = &ours.expect("it was read").exposure;
    assert!(exposure.key_id.is_some() && exposure.ends_at.is_some(), "{exposure:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nested_groups_and_domain_computers_are_seen_through() {
    let mut there = OnLab::new().await;
    let host = there.host(HOST_CONTAINER);
    let inner = there.group(&host.dn);
    let middle = there.group(&inner);
    let outer = there.group(&middle);
    let outer_sid = sid(there.dc.as_ref(), &dn(&outer)).await;
    let computers = sid(there.dc.as_ref(), &dn("CN=Domain Computers,CN=Users,DC=contoso,DC=com")).await;
    let (nested, broad) = (there.wild(&outer_sid).await, there.wild(&computers).await);
    for name in [&nested, &broad] {
        assert!(there.lab.host_reads_password_by_new_ticket(&host.name, name).expect("an answer"), "before");
    }
    // So that a new ticket can be had afterwards, and the list alone decides.
    let told = there.contain(json!({ "host": host.name, "keepComputerEnabled": true })).await;
    for name in [&nested, &broad] {
        assert!(!there.lab.host_reads_password_by_new_ticket(&host.name, name).expect("an answer"), "after");
    }
    let path = &paths(&told, &nested)[0];
    assert!(path.contains(&outer) && path.ends_with(&format!("through {middle}; {inner}")), "{path}");
    assert!(paths(&told, &broad)[0].starts_with("as a member of CN=Domain Computers,"), "{told:#?}");
    let members = there.lab.as_admin().read(&inner, &["member"]).expect("an answer").expect("the group");
    assert_eq!(members.texts("member"), std::slice::from_ref(&host.dn), "others' groups are left");
    let again = there.contain(json!({ "host": host.name, "keepComputerEnabled": true })).await;
    assert!(!again.changed, "{again:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_computer_that_we_may_not_disable_is_denied_all_the_same() {
    let mut there = OnLab::new().await;
    let host = there.host("CN=Computers,DC=contoso,DC=com");
    let me = sid(there.dc.as_ref(), &dn(&host.dn)).await;
    let name = there.wild(&me).await;
    assert!(there.lab.host_reads_password(&host.name, &name).expect("an answer"), "before");
    let told = there.contain(json!({ "host": host.name })).await;
    assert!(!there.lab.host_reads_password(&host.name, &name).expect("an answer"));
    assert_eq!(told.host.computer, ComputerState::StillEnabled);
    assert!(told.not_done.iter().any(|text| text.contains("userAccountControl")), "{:?}", told.not_done);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_others_are_refused_by_the_real_dc_too() {
    let there = OnLab::new().await;
    for (host, code) in [
        ("NoSuchHost", ErrorCode::HostNotFound),
        ("svc-farmhand", ErrorCode::HostNotComputer),
        ("Domain Computers", ErrorCode::HostNotComputer),
        ("DC1$", ErrorCode::HostIsDomainController),
    ] {
        let input = json!({ "host": host });
        let id = there.world.submit_for("compromise-removal", Mode::Apply, None, input).await;
        let done = there.world.finishes(id).await;
        assert_eq!(
            (done.state, done.error.map(|error| error.code)),
            (WorkflowState::Failed, Some(code)),
            "{host}"
        );
    }
}
