//! A farm's life after its deploy: workers of this process on the lab's real DC as a delegated
//! account that is no administrator. What was written is looked at with other programs, and member
//! hosts try the password themselves.

mod decommission;
mod import;
mod membership;
mod membership_faults;
mod quarantine;
mod replace;
mod update;

use domain::{Mode, Workflow, WorkflowState};
use serde_json::{Value, json};
use tests::lab::{Cleanup, GMSA_CONTAINER, GROUP_CONTAINER, HOST_CONTAINER, Lab};
use tests::ldap::Ldap;
use tests::world::{RunningWorker, World};

fn account_dn(name: &str) -> String {
    format!("CN={name},{GMSA_CONTAINER}")
}
fn group_dn(name: &str) -> String {
    format!("CN={name},{GROUP_CONTAINER}")
}
fn host_dn(name: &str) -> String {
    format!("CN={name},{HOST_CONTAINER}")
}

/// A farm on the lab's DC, known to a Farmhand of its own.
struct Deployed {
    /// Its account's and its own.
    name: String,
    /// `None` where membership is direct.
    group: Option<String>,
    world: World,
    _worker: RunningWorker,
    /// Takes it away at the end.
    _names: Cleanup,
}

impl Deployed {
    async fn by_group(lab: &Lab, hosts: &[&str]) -> Self {
        let mut names = Cleanup::new(lab);
        let (name, group) = (names.name("lif"), names.name("lifg"));
        Self::deploy(lab, names, name, Some(group), hosts).await
    }

    async fn direct(lab: &Lab, hosts: &[&str]) -> Self {
        let mut names = Cleanup::new(lab);
        let name = names.name("lif");
        Self::deploy(lab, names, name, None, hosts).await
    }

    /// The same farm in the eyes of another Farmhand, which adopts it.
    async fn beside(&self, lab: &Lab, hosts: &[&str]) -> Self {
        let (name, group) = (self.name.clone(), self.group.clone());
        Self::deploy(lab, Cleanup::new(lab), name, group, hosts).await
    }

    async fn deploy(lab: &Lab, names: Cleanup, name: String, group: Option<String>, hosts: &[&str]) -> Self {
        let membership = match &group {
            Some(group) => json!({ "group": group, "groupContainer": GROUP_CONTAINER }),
            None => json!({ "mode": "direct" }),
        };
        let world = World::on_lab(lab).await;
        let _worker = world.start_worker("one");
        let farm = Self { name, group, world, _worker, _names: names };
        let id = farm.world.submit("deploy", Mode::Apply, farm.spec(membership, hosts)).await;
        succeeded(&farm.world.finishes(id).await);
        farm
    }

    fn spec(&self, membership: Value, hosts: &[&str]) -> Value {
        let manifest = json!({
            "apiVersion": "farmhand/v1", "kind": "Farm", "metadata": { "name": self.name },
            "spec": {
                "account": { "dnsHostName": format!("{}.contoso.com", self.name) },
                "membership": membership,
                "hosts": hosts,
            },
        });
        let manifest: domain::FarmManifest = serde_json::from_value(manifest).expect("a manifest's form");
        serde_json::to_value(manifest.validate().expect("a valid farm")).expect("serialises")
    }

    /// Asks for a workflow on this farm and waits for its end.
    async fn run(&self, kind: &str, input: Value) -> Workflow {
        let id = self.world.submit_for(kind, Mode::Apply, Some(&self.name), input).await;
        self.world.finishes(id).await
    }

    /// The farm's hosts on record.
    async fn recorded(&self) -> Vec<String> {
        let name = domain::FarmName::parse(&self.name).expect("a name");
        let farm = self.world.store.farm(&Default::default(), &name).await.expect("the store answers");
        let spec = farm.expect("on record").recorded.expect("deployed").spec;
        spec.hosts.iter().map(ToString::to_string).collect()
    }

    async fn directory_sid(&self, dn: &str) -> String {
        let dn = domain::Dn::parse(dn).expect("a DN");
        let dc = self.world.directory.pin(None).await.expect("a DC");
        let entry = dc.read(&(&dn).into(), &["objectSid"]).await.expect("a read").expect("the object");
        entry.sid("objectSid").expect("a SID").to_string()
    }

    fn members(&self, witness: &Ldap) -> Vec<String> {
        let group = self.group.as_ref().expect("a farm with a group");
        let entry = witness.read(&group_dn(group), &["member"]).expect("the DC answers");
        entry.expect("the group").texts("member")
    }
}

fn hosts(names: &[&str]) -> Value {
    json!({ "hosts": names })
}

fn succeeded(done: &Workflow) {
    assert_eq!(done.state, WorkflowState::Succeeded, "{:#?} {:#?}", done.error, done.steps);
}
