//! Drift: farms that others change behind Farmhand's back, on the embedded directory and on the lab's
//! real DC.

mod embedded;
mod lab;
mod mending;

use domain::drift::{DriftEntry, DriftKind, DriftState, DriftSummary};
use domain::{DirectoryName, FarmManifest, FarmName, Mode, Workflow, WorkflowState};
use serde_json::{Value, json};
use tests::world::World;

/// A farm by group; `more` are fields of its spec.
fn farm(name: &str, hosts: &[&str], more: Value) -> Value {
    let mut manifest = json!({
        "apiVersion": "farmhand/v1", "kind": "Farm", "metadata": { "name": name },
        "spec": {
            "account": {
                "dnsHostName": format!("{name}.contoso.com"), "description": "a farm of a test",
                "servicePrincipalNames": [format!("http/{name}.contoso.com"), format!("http/{name}")],
            },
            "membership": { "group": format!("{name}g"), "groupContainer": tests::lab::GROUP_CONTAINER },
            "hosts": hosts,
        },
    });
    let spec = manifest["spec"].as_object_mut().expect("an object");
    spec.extend(more.as_object().expect("an object").clone());
    let manifest: FarmManifest = serde_json::from_value(manifest).expect("a manifest's form");
    serde_json::to_value(manifest.validate().expect("a valid farm")).expect("serialises")
}

fn mended(name: &str, hosts: &[&str]) -> Value {
    farm(name, hosts, json!({ "drift": { "onDrift": "mend" } }))
}

async fn deployed(world: &World, input: Value) {
    let id = world.submit("deploy", Mode::Apply, input).await;
    succeeded(&world.finishes(id).await);
}

fn succeeded(done: &Workflow) {
    assert_eq!(done.state, WorkflowState::Succeeded, "{:#?} {:#?}", done.error, done.steps);
}

/// A check of the whole directory, or of one farm.
async fn check_as(world: &World, farm: Option<&str>, full: bool) -> DriftSummary {
    let input = json!({ "full": full, "fullEverySeconds": 86_400 });
    let id = world.submit_for("drift-check", Mode::Apply, farm, input).await;
    let done = world.finishes(id).await;
    succeeded(&done);
    serde_json::from_value(done.result.expect("a result")).expect("a summary")
}

/// What the directory says has changed, and nothing else.
async fn quick(world: &World) -> DriftSummary {
    let found = check_as(world, None, false).await;
    assert_eq!(found.full, None, "{}", found.summary);
    found
}

async fn full(world: &World) -> DriftSummary {
    check_as(world, None, true).await
}

async fn entry(world: &World, farm: &str) -> DriftEntry {
    let name = FarmName::parse(farm).expect("a name");
    let found = world.store.drift_of(&DirectoryName::default(), &name).await.expect("the store answers");
    found.unwrap_or_else(|| panic!("no check has compared {farm}"))
}

/// Kind, subject and attribute of each item.
fn told(entry: &DriftEntry) -> Vec<(DriftKind, &str, &str)> {
    entry.items.iter().map(|item| (item.kind, item.subject.as_str(), item.attribute.as_str())).collect()
}

async fn in_line(world: &World, farm: &str) {
    let entry = entry(world, farm).await;
    assert_eq!((entry.state, told(&entry)), (DriftState::InLine, vec![]), "{:?}", entry.why);
}
