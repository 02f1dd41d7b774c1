//! Whatever dies, stops, repeats itself or lies: the farm ends whole, or as if nobody had asked.
//!
//! Orchestrators and workers are processes and die by SIGKILL. Where the moment matters to the
//! write, their DC is the embedded directory in this process, which holds an operation right
//! before or right after its effect; the rest meets a real DC.

#[path = "chaos/broker.rs"]
mod broker;
#[path = "chaos/database.rs"]
mod database;
#[path = "chaos/directory.rs"]
mod directory_down;
#[path = "chaos/killed.rs"]
mod killed;
#[path = "chaos/messages.rs"]
mod messages_forged;
#[path = "chaos/refused.rs"]
mod refused;

use std::time::Duration;

use domain::{Workflow, WorkflowState};
use tests::cluster::{Cluster, changed};

/// From asking to the end, with a takeover, outages of services and a busy machine in between.
const LIMIT: Duration = Duration::from_secs(90);

/// Tests that start services of their own take turns: together they would starve each other.
static SERVICES: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

async fn succeeds(cluster: &Cluster, id: &str) -> Workflow {
    let done = cluster.finishes(id, LIMIT).await;
    assert_eq!(done.state, WorkflowState::Succeeded, "{done:#?}");
    assert_eq!(
        changed(&done),
        ["ensure-group", "ensure-members", "ensure-gmsa"],
        "all of it is this workflow's"
    );
    done
}
