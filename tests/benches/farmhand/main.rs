//! Farmhand beside the bare floor: the same work in the barest loop that does it, on the same real
//! services, in turns within one run. What each line means is in `docs/benchmarks.md`.
//!
//! `cargo bench -p tests --bench farmhand -- [deploy] [farms] [members] [workflows] [listing]
//! [rotation] [drift] [containment] [memory] [start]`; nothing named is everything. Needs what `deploy/lab/up` starts, and the
//! release binary.

mod clean;
mod containment;
mod cpu;
mod deploy;
mod drift;
mod farms;
mod finished;
mod floor;
mod ldap;
mod listing;
mod members;
mod noop;
mod ours;
mod processes;
mod report;
mod rotation;
mod telemetry;
mod workflows;

use std::sync::Arc;

use anyhow::{Result, bail};
use tests::lab::Lab;

use finished::Finished;
use report::Verdicts;
use telemetry::Meters;

const PARTS: [&str; 10] = [
    "deploy",
    "farms",
    "members",
    "workflows",
    "listing",
    "rotation",
    "drift",
    "containment",
    "memory",
    "start",
];

#[tokio::main]
async fn main() -> Result<()> {
    let parts = asked_for()?;
    // Dropping the work runs every guard, so that nothing is left behind on Ctrl-C either.
    tokio::select! {
        done = bench(&parts) => done,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
    }
}

/// cargo itself passes `--bench`.
fn asked_for() -> Result<Vec<String>> {
    let named: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let Some(unknown) = named.iter().find(|name| !PARTS.contains(&name.as_str())) {
        bail!("{unknown:?} is no part of this benchmark; there are {}", PARTS.join(", "));
    }
    Ok(if named.is_empty() { PARTS.map(str::to_owned).to_vec() } else { named })
}

async fn bench(parts: &[String]) -> Result<()> {
    let lab = Lab::from_env();
    let finished = Arc::new(Finished::default());
    let meters = telemetry::start(finished.clone())?;
    let wanted = |part: &str| parts.iter().any(|named| named == part);
    let mut verdicts = Verdicts::default();
    report::machine(&lab)?;
    // Process by process first: nothing of ours runs beside them yet.
    if wanted("start") {
        processes::start(&mut verdicts).await?;
    }
    if wanted("memory") {
        processes::memory(&lab, &mut verdicts).await?;
    }
    if wanted("listing") {
        listing::run(&lab, &mut verdicts).await?;
    }
    if wanted("rotation") {
        rotation::run(&mut verdicts).await?;
    }
    if wanted("drift") {
        drift::run(&mut verdicts).await?;
    }
    if wanted("containment") {
        containment::run(&lab, &meters, &mut verdicts).await?;
    }
    if ["deploy", "farms", "members", "workflows"].into_iter().any(wanted) {
        in_this_process(&lab, finished, &meters, &wanted, &mut verdicts).await?;
    }
    verdicts.print();
    Ok(())
}

async fn in_this_process(
    lab: &Lab,
    finished: Arc<Finished>,
    meters: &Meters,
    wanted: &dyn Fn(&str) -> bool,
    verdicts: &mut Verdicts,
) -> Result<()> {
    let ours = ours::Ours::start(lab, finished, meters).await?;
    let measured = async {
        if wanted("deploy") {
            deploy::run(lab, &ours, meters, verdicts).await?;
        }
        if wanted("members") {
            members::run(lab, &ours, verdicts).await?;
        }
        if wanted("farms") {
            farms::run(lab, &ours, verdicts).await?;
        }
        if wanted("workflows") {
            workflows::run(lab, &ours, meters, verdicts).await?;
        }
        Ok(())
    };
    let outcome = measured.await;
    ours.stop().await;
    outcome
}
