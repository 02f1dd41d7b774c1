//! What is asked wrongly or configured wrongly: a message that names the field and the rule, and
//! nothing is written.

#[path = "bad_input/access.rs"]
mod access;
#[path = "bad_input/connection.rs"]
mod connection;
#[path = "bad_input/manifests.rs"]
mod manifests;
#[path = "bad_input/names.rs"]
mod names;

use tests::cluster::Cluster;
use tests::lab::Lab;

async fn cluster(lab: &Lab) -> Cluster {
    Cluster::on_lab(lab, lab.directory_env(&lab.service)).await.start(1, 1).await
}

/// No workflow, no farm on record, no event: as if nobody had asked.
fn assert_nothing_recorded(cluster: &Cluster) {
    for table in ["workflows", "farms", "steps", "outbox", "idempotency_keys"] {
        assert_eq!(cluster.query(&format!("select count(*) from {table}")), [["0"]], "{table}");
    }
}
