//! Cutting off compromised hosts, as it looks from those hosts: processes of the binary on PostgreSQL and RabbitMQ,
//! two real DCs that can be kept apart, and hosts that hold their sessions and tickets.

mod bad_input;
mod cut;
mod down;
mod killed;
mod races;

use std::time::Duration;

use domain::containment::Containment;
use domain::{Workflow, WorkflowState};
use serde_json::json;
use tests::cluster::{Cluster, manifest};
use tests::lab::{Lab, unique_name};
use tests::ldap::Ldap;
use tests::objects::entries;
use tests::twin::{DCS, Turn};
use tests::wait::eventually;

const LIMIT: Duration = Duration::from_secs(90);

/// Farmhand on both DCs of the pair, for one test.
struct Scene {
    // Before the pair, which is another test's then.
    cluster: Cluster,
    twin: Turn,
}

/// A farm on record: its name is its account's.
struct Farm {
    name: String,
    group: String,
}

impl Scene {
    async fn new() -> Self {
        let scene = Self::without_worker().await;
        let Self { cluster, twin } = scene;
        Self { cluster: cluster.start(0, 1).await, twin }
    }

    async fn without_worker() -> Self {
        let lab = Lab::from_env();
        let twin = Turn::take(&lab).await;
        let directory = twin.directory_env(&twin.lab("dc1").service);
        Self { cluster: Cluster::on_lab(&lab, directory).await.start(1, 0).await, twin }
    }

    /// Deploys a farm and waits until both DCs have it.
    async fn farm(&self, hosts: &[&str]) -> Farm {
        let farm = Farm { name: unique_name("cmp"), group: unique_name("cmpg") };
        let id = self.cluster.submit(&manifest(&farm.name, &farm.group, hosts)).await;
        succeeded(&self.cluster.finishes(&id, LIMIT).await);
        self.replicated(&tests::objects::group_dn(&farm.group), "member", hosts.len()).await;
        self.replicated(&tests::objects::account_dn(&farm.name), "msDS-GroupMSAMembership", 1).await;
        farm
    }

    /// Waits until dc2 too shows so many values.
    async fn replicated(&self, dn: &str, attribute: &str, values: usize) {
        for dc in DCS {
            let admin = self.twin.admin(dc);
            eventually(&format!("{dn} on {dc}"), LIMIT, async || {
                let found = admin.read(dn, &[attribute]).expect("the DC answers")?;
                (found.values(attribute).len() == values).then_some(())
            })
            .await;
        }
    }

    /// Asks for the containment; gives the workflow's id.
    async fn contain(&self, host: &str) -> String {
        self.cluster.ask("compromises", &json!({ "host": host })).await
    }

    async fn contained(&self, id: &str) -> Containment {
        let done = self.cluster.finishes(id, LIMIT).await;
        succeeded(&done);
        containment(&done)
    }
}

fn succeeded(done: &Workflow) {
    assert_eq!(done.state, WorkflowState::Succeeded, "{:#?} {:#?}", done.error, done.steps);
}

fn containment(done: &Workflow) -> Containment {
    let result = done.result.clone().expect("a result");
    serde_json::from_value(result).unwrap_or_else(|error| panic!("no containment: {error}: {done:#?}"))
}

/// The accounts that the containment tells of, without their `$`, as far as they are the test's.
fn told<'a>(contained: &'a Containment, of: &[&str]) -> Vec<&'a str> {
    let accounts = contained.accounts.iter().map(|one| one.account.trim_end_matches('$'));
    let mut accounts: Vec<_> = accounts.filter(|account| of.contains(account)).collect();
    accounts.sort_unstable();
    accounts
}

/// The reader list as that DC shows it: type (0 allows, 1 denies) and SID of each entry.
fn reader_list(dc: &Ldap, gmsa: &str) -> Vec<(u8, Vec<u8>)> {
    let dn = tests::objects::account_dn(gmsa);
    let found = dc.read(&dn, &["msDS-GroupMSAMembership"]).expect("the DC answers").expect("the account");
    entries(&found.values("msDS-GroupMSAMembership")[0])
}
