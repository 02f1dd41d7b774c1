//! Accounts that `samba-tool` made come on record and are changed without losing an entry.

use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use directory::security::{Ace, Effect, READ_PROPERTY, ReaderDescriptor};
use domain::{ErrorCode, FarmName, Mode, Sid, Workflow, WorkflowState};
use serde_json::{Value, json};
use store::Farm;
use tests::lab::{BASE_DN, Cleanup, GMSA_CONTAINER, GROUP_CONTAINER, HOST_CONTAINER, Lab};
use tests::ldap::Ldap;
use tests::world::{RunningWorker, World};

const READERS: &str = "msDS-GroupMSAMembership";

/// A Farmhand on the lab's DC that knows no farm yet, and names for what a test makes.
pub(super) struct Setup {
    pub lab: Lab,
    pub witness: Ldap,
    pub world: World,
    pub name: String,
    pub group: String,
    _worker: RunningWorker,
    _names: Cleanup,
}

impl Setup {
    pub async fn new() -> Self {
        let lab = Lab::from_env();
        let mut names = Cleanup::new(&lab);
        let (name, group) = (names.name("upd"), names.name("updg"));
        let world = World::on_lab(&lab).await;
        let _worker = world.start_worker("one");
        Self { witness: lab.as_admin(), lab, world, name, group, _worker, _names: names }
    }

    pub fn account_dn(&self) -> String {
        format!("CN={},{GMSA_CONTAINER}", self.name)
    }

    pub fn manifest(&self, membership: &Value, hosts: &[&str]) -> Value {
        json!({
            "apiVersion": "farmhand/v1", "kind": "Farm", "metadata": { "name": self.name },
            "spec": {
                "account": {
                    "dnsHostName": format!("{}.contoso.com", self.name),
                    "description": "of a test",
                    "servicePrincipalNames": [format!("http/{}.contoso.com", self.name), format!("http/{}", self.name)],
                },
                "membership": membership,
                "hosts": hosts,
            },
        })
    }

    pub fn by_group(&self) -> Value {
        json!({ "group": self.group, "groupContainer": GROUP_CONTAINER })
    }

    pub async fn run(&self, kind: &str, input: Value) -> Workflow {
        let id = self.world.submit_for(kind, Mode::Apply, Some(&self.name), input).await;
        self.world.finishes(id).await
    }

    pub async fn succeeds(&self, kind: &str, input: Value) -> Workflow {
        let done = self.run(kind, input).await;
        assert_eq!(done.state, WorkflowState::Succeeded, "{kind}: {:#?} {:#?}", done.error, done.steps);
        done
    }

    pub async fn inspected(&self) -> Value {
        self.succeeds("inspect", json!({})).await.result.expect("a result")
    }

    pub async fn on_record(&self) -> Farm {
        let name = FarmName::parse(&self.name).expect("a name");
        self.world
            .store
            .farm(&Default::default(), &name)
            .await
            .expect("the store answers")
            .expect("on record")
    }

    pub fn readers(&self) -> Vec<u8> {
        self.read(&self.account_dn(), READERS)
    }

    pub fn read(&self, dn: &str, attribute: &str) -> Vec<u8> {
        let entry = self.witness.read(dn, &[attribute]).expect("the DC answers").expect("the object");
        entry.values(attribute).first().cloned().unwrap_or_default()
    }

    pub fn texts(&self, attribute: &str) -> Vec<String> {
        let entry = self.witness.read(&self.account_dn(), &[attribute]).expect("the DC answers");
        entry.expect("the account").texts(attribute)
    }

    fn make_group(&self, name: &str, hosts: &[&str]) {
        let members: String =
            hosts.iter().map(|host| format!("member: CN={host},{HOST_CONTAINER}\n")).collect();
        let dn = Self::group_dn(name);
        let ldif =
            format!("dn: {dn}\nchangetype: add\nobjectClass: group\nsAMAccountName: {name}\n{members}");
        self.witness.apply(&ldif).expect("a group");
    }

    /// As the administrator; gives what it says.
    fn samba_tool(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(self.lab.scripts.join("lab-run"));
        command.arg("samba-tool").args(arguments).args([
            "-H",
            "ldap://dc1.contoso.com",
            "-U",
            "Administrator",
        ]);
        // Not on the command line, where every user of the machine could read it.
        let output = command.env("PASSWD", &self.lab.admin.password).output().expect("samba-tool runs");
        assert!(output.status.success(), "samba-tool {arguments:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn create(&self) {
        let dns = format!("{}.contoso.com", self.name);
        self.samba_tool(&["service-account", "create", "--name", &self.name, "--dns-host-name", &dns]);
    }

    /// `samba-tool` finds groups by DN only.
    fn group_dn(name: &str) -> String {
        format!("CN={name},{GROUP_CONTAINER}")
    }

    fn let_read(&self, principal: &str) {
        let arguments = ["service-account", "group-msa-membership", "add", "--name", &self.name];
        self.samba_tool(&[&arguments[..], &["--principal", principal]].concat());
    }

    /// A deny entry at the head, as an incident responder sets it.
    fn deny(&self, sid: &Sid) {
        let mut readers = ReaderDescriptor::from_bytes(&self.readers()).expect("a descriptor");
        readers.deny(sid);
        let bytes = STANDARD.encode(readers.to_bytes().expect("fits"));
        let dn = self.account_dn();
        let ldif = format!("dn: {dn}\nchangetype: modify\nreplace: {READERS}\n{READERS}:: {bytes}\n-\n");
        self.witness.apply(&ldif).expect("a denial");
    }

    fn sid(&self, dn: &str) -> Sid {
        Sid::from_bytes(&self.read(dn, "objectSid")).expect("a SID")
    }
}

/// The whole manifest that a record stands for, as a deploy's or an update's input.
fn recorded_spec(farm: &Farm) -> Value {
    serde_json::to_value(&farm.spec).expect("serialises")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_of_samba_tools_is_imported_and_updated_without_losing_an_entry() {
    let setup = Setup::new().await;
    setup.create();
    setup.make_group(&setup.group, &["Host1", "Host2"]);
    setup.let_read(&Setup::group_dn(&setup.group));
    setup.let_read("svc-limited");
    let denied = setup.sid(&format!("CN=Host9,{HOST_CONTAINER}"));
    setup.deny(&denied);
    let before = setup.readers();
    let usn = setup.read(&setup.account_dn(), "uSNChanged");

    let imported = setup.succeeds("import", json!({})).await;
    let result = imported.result.expect("a result");
    assert_eq!(result["recorded"]["spec"]["hosts"], json!(["Host1", "Host2"]), "{result:#}");
    assert_eq!(result["recorded"]["spec"]["membership"]["group"], json!(setup.group));
    let foreign: Vec<_> = setup.on_record().await.recorded.expect("recorded").foreign_readers;
    assert!(foreign.iter().any(|reader| reader.denied && reader.sid == denied), "{foreign:?}");
    assert!(foreign.iter().any(|reader| reader.name.as_deref() == Some("svc-limited")), "{foreign:?}");
    assert_eq!(setup.read(&setup.account_dn(), "uSNChanged"), usn, "an import writes nothing");

    let inspected = setup.inspected().await;
    assert_eq!(inspected["differences"], json!([]), "{inspected:#}");
    assert_eq!(inspected["hosts"][0]["canRead"], json!("yes"), "{inspected:#}");
    assert!(setup.lab.host_reads_password("Host1", &setup.name).expect("a try"));

    let spec = recorded_spec(&setup.on_record().await);
    let deployed = setup.succeeds("deploy", spec.clone()).await;
    assert_eq!(deployed.result.expect("a result")["changed"], json!(false));

    let mut changed = spec;
    assert_eq!(changed["account"]["enabled"], json!(false), "samba-tool makes it so");
    changed["account"]["enabled"] = json!(true);
    changed["account"]["description"] = json!("of farm");
    changed["account"]["kerberosEncryptionTypes"] = json!(["AES128", "AES256"]);
    changed["hosts"] = json!(["Host2", "Host3"]);
    let updated = setup.succeeds("update", changed.clone()).await.result.expect("a result");
    assert_eq!(
        updated["attributes"],
        json!(["description", "userAccountControl", "msDS-SupportedEncryptionTypes"])
    );
    assert_eq!(updated["hostsGone"], json!(["Host1"]));
    assert_eq!(setup.readers(), before, "the list is as it was, byte for byte");
    assert!(setup.lab.host_reads_password("Host3", &setup.name).expect("a try"));
    assert!(!setup.lab.host_reads_password("Host1", &setup.name).expect("a try"));

    // To entries of their own and back: foreign entries keep their bytes and their order.
    changed["membership"] =
        json!({ "mode": "direct", "group": null, "createGroup": true, "groupContainer": null });
    setup.succeeds("update", changed).await;
    let now = ReaderDescriptor::from_bytes(&setup.readers()).expect("a descriptor");
    let then = ReaderDescriptor::from_bytes(&before).expect("a descriptor");
    let hosts = ["Host2", "Host3"].map(|host| setup.sid(&format!("CN={host},{HOST_CONTAINER}")));
    let group = setup.sid(&Setup::group_dn(&setup.group));
    let foreign = |list: &ReaderDescriptor| {
        let aces = list.descriptor().dacl.clone().expect("a list").aces;
        let is_ours = |ace: &Ace| {
            hosts.iter().chain([&group]).any(|sid| ace.decides(Effect::Allow, READ_PROPERTY, sid))
        };
        aces.into_iter().filter(|ace| !is_ours(ace)).collect::<Vec<_>>()
    };
    assert_eq!((foreign(&now), foreign(&now).len()), (foreign(&then), 3));
    assert!(hosts.iter().all(|sid| now.readers().contains(sid)) && !now.readers().contains(&group));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inspection_agrees_with_what_samba_tool_shows() {
    let setup = Setup::new().await;
    setup.create();
    setup.let_read("Host4$");
    setup.succeeds("import", json!({ "account": setup.account_dn() })).await;
    let shown: Value =
        serde_json::from_str(&setup.samba_tool(&["service-account", "view", "--name", &setup.name]))
            .expect("JSON");
    let inspected = setup.inspected().await;
    let account = &inspected["found"]["account"];
    assert_eq!(account["dn"], shown["dn"], "{shown:#}");
    assert_eq!(account["samAccountName"], shown["sAMAccountName"]);
    assert_eq!(account["sid"], shown["objectSid"]);
    assert_eq!(account["dnsHostName"], shown["dNSHostName"]);
    assert_eq!(account["managedPasswordInterval"]["days"], shown["msDS-ManagedPasswordInterval"]);
    let readers =
        setup.samba_tool(&["service-account", "group-msa-membership", "show", "--name", &setup.name]);
    let listed = account["readers"].as_array().expect("readers");
    assert!(readers.contains("Host4") && listed.len() == 2, "{readers} {account:#}");
    assert_eq!((&listed[1]["name"], &listed[1]["kind"]), (&json!("Host4"), &json!("computer")));
    assert_eq!(listed[0]["foreign"], json!(true), "the administrator is none of the farm's: {listed:?}");
    assert_eq!(inspected["hosts"][0]["through"].as_str().map(|text| text.starts_with("Host4 (")), Some(true));
    assert_eq!(inspected["found"]["perDc"][0]["accountFound"], json!(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn several_groups_want_one_named_and_what_cannot_be_a_farm_is_refused() {
    let setup = Setup::new().await;
    setup.create();
    let other = format!("{}b", setup.group);
    setup.make_group(&setup.group, &["Host1"]);
    setup.make_group(&other, &["Host2"]);
    setup.let_read(&Setup::group_dn(&setup.group));
    setup.let_read(&Setup::group_dn(&other));
    let failed = setup.run("import", json!({})).await;
    let error = failed.error.expect("an error");
    assert_eq!((failed.state, error.code), (WorkflowState::Failed, ErrorCode::ImportAmbiguous));
    assert!(error.message.contains(&setup.group) && error.message.contains(&other), "{error}");
    let named = setup.succeeds("import", json!({ "group": other })).await.result.expect("a result");
    assert_eq!(named["recorded"]["spec"]["hosts"], json!(["Host2"]));

    let account = json!({ "account": setup.name });
    let id = setup.world.submit_for("import", Mode::Apply, Some("another"), account).await;
    let twice = setup.world.finishes(id).await.error.expect("refused");
    assert_eq!(twice.code, ErrorCode::ImportRefused);
    assert!(twice.message.contains(&setup.name), "{twice}");

    let user = setup.run("import", json!({ "account": format!("CN=Users,{BASE_DN}") })).await;
    assert_eq!(user.error.expect("refused").code, ErrorCode::AccountNotFound);
}
