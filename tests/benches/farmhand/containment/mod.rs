//! A host is cut off: how long until every DC denies, beside the bare writes; the same with a worker up to its neck in
//! other work; and the sweep of all gMSAs beside `ldapsearch`.

mod busy;
mod denied;
mod rig;
mod sweep;
mod watch;

use anyhow::Result;
use tests::lab::Lab;
use tests::twin::TwinDcs;

use crate::report::Verdicts;
use crate::telemetry::Meters;

/// Each write is flushed to the disk before it is acknowledged, as a Windows DC does, and as PostgreSQL does here.
const FLUSHED: [(&str, &str); 2] = [("LAB_NOSYNC", ""), ("LAB_GMSAS", "1000")];

pub async fn run(lab: &Lab, meters: &Meters, verdicts: &mut Verdicts) -> Result<()> {
    let twin = TwinDcs::start_with(lab, &FLUSHED).await;
    let measured = async {
        denied::run(lab, &twin, meters, verdicts).await?;
        sweep::on_dc(lab, &twin, meters, verdicts).await
    };
    let outcome = measured.await;
    tokio::task::block_in_place(|| drop(twin));
    outcome?;
    sweep::on_embedded(lab, meters, verdicts).await
}
