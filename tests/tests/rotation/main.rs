//! How the passwords of gMSAs stand: on the embedded directory with its clock put ahead, and on a real
//! DC of the test's own with its clock aged.

mod aged;
mod embedded;

use async_trait::async_trait;
use domain::rotation::{FindingCode, RotationEntry, RotationSummary};
use domain::{
    DirectoryName, FarmManifest, HostAction, HostActionKind, HostAdapter, Mode, RotationVerdict, Workflow,
    WorkflowState,
};
use serde_json::{Value, json};
use store::RotationFilter;
use tests::world::World;
use workers::hosts::{HostActions, HostAnswer, Hosts};

/// A farm whose account rolls after 20 hours.
fn farm(name: &str, more: Value) -> Value {
    let mut manifest = json!({
        "apiVersion": "farmhand/v1", "kind": "Farm", "metadata": { "name": name },
        "spec": {
            "account": { "dnsHostName": format!("{name}.contoso.com"), "managedPasswordIntervalInDays": 1 },
            "membership": { "group": format!("{name}g"), "groupContainer": tests::lab::GROUP_CONTAINER },
            "hosts": ["Host1", "Host2"],
        },
    });
    let spec = manifest["spec"].as_object_mut().expect("an object");
    spec.extend(more.as_object().expect("an object").clone());
    let manifest: FarmManifest = serde_json::from_value(manifest).expect("a manifest's form");
    serde_json::to_value(manifest.validate().expect("a valid farm")).expect("serialises")
}

async fn deployed(world: &World, input: Value) {
    let id = world.submit("deploy", Mode::Apply, input).await;
    succeeded(&world.finishes(id).await);
}

fn succeeded(done: &Workflow) {
    assert_eq!(done.state, WorkflowState::Succeeded, "{:#?} {:#?}", done.error, done.steps);
}

/// A check of the whole directory, or of one farm.
async fn check(world: &World, farm: Option<&str>) -> RotationSummary {
    let input = json!({ "everyDc": true, "maxIntervalDays": 30, "keepDays": 400 });
    let id = world.submit_for("rotation-check", Mode::Apply, farm, input).await;
    let done = world.finishes(id).await;
    succeeded(&done);
    serde_json::from_value(done.result.expect("a result")).expect("a summary")
}

async fn entry(world: &World, account: &str) -> RotationEntry {
    let found = world.store.rotation_of(&DirectoryName::default(), account).await;
    found.expect("the store answers").unwrap_or_else(|| panic!("no check has seen {account}"))
}

/// Verdicts of an account's history, oldest first.
async fn history(world: &World, account: &str) -> Vec<RotationVerdict> {
    let sid = entry(world, account).await.item.sid;
    let changes = world.store.rotation_changes(&DirectoryName::default(), &sid, 100).await;
    changes.expect("the store answers").into_iter().rev().map(|change| change.verdict).collect()
}

async fn with_finding(world: &World, finding: FindingCode) -> Vec<String> {
    let filter = RotationFilter { finding: Some(finding), ..RotationFilter::default() };
    let page = world.store.rotation(&filter, None, 500).await.expect("the store answers");
    page.items.into_iter().map(|entry| entry.item.account).collect()
}

/// Hosts that do what a test says when they are asked to fetch a password.
fn hosts(
    fetch: impl Fn(String, String) -> futures::future::BoxFuture<'static, bool> + Send + Sync + 'static,
) -> Hosts {
    let adapter = std::sync::Arc::new(Fetching(Box::new(fetch)));
    Hosts::new(HostAdapter::Command, 10).with(HostAdapter::Command, adapter)
}

type Fetch = Box<dyn Fn(String, String) -> futures::future::BoxFuture<'static, bool> + Send + Sync>;

struct Fetching(Fetch);

impl std::fmt::Debug for Fetching {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fetching")
    }
}

#[async_trait]
impl HostActions for Fetching {
    fn name(&self) -> &str {
        "a test"
    }

    /// A fetch is what `test` is; the rest is done without a word.
    async fn act(&self, action: &HostAction) -> HostAnswer {
        if action.kind != HostActionKind::Test {
            return HostAnswer::Succeeded { detail: String::new() };
        }
        match (self.0)(action.host.name.clone(), action.account.to_string()).await {
            true => HostAnswer::Succeeded { detail: "fetched".to_owned() },
            false => HostAnswer::Failed { detail: "not let in".to_owned() },
        }
    }
}
