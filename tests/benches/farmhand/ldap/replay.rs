//! Sends a recording again under another name.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use futures::stream::FuturesUnordered;

use super::Bare;
use super::bare::Brought;
use super::record::Recorded;
use super::substitute::Substitute;

const LIMIT: Duration = Duration::from_secs(60);

/// What may be under way at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// What was side by side in the recording is so again.
    AsRecorded,
    OneByOne,
}

/// Sends every operation; how long that took. Fails where an answer is not the recorded one: then
/// it would not be the same work.
pub async fn replay(
    bare: &Bare,
    tape: &[Recorded],
    recorded: &str,
    name: &str,
    order: Order,
) -> Result<Duration> {
    let names = Substitute::new(recorded, name);
    let start = Instant::now();
    tokio::time::timeout(LIMIT, send_all(bare, tape, &names, order))
        .await
        .context("the replay took too long")??;
    Ok(start.elapsed())
}

async fn send_all(bare: &Bare, tape: &[Recorded], names: &Substitute, order: Order) -> Result<()> {
    let (mut begun, mut ended) = (vec![false; tape.len()], vec![false; tape.len()]);
    let mut under_way = FuturesUnordered::new();
    loop {
        for (index, recorded) in tape.iter().enumerate() {
            let ready = match order {
                Order::AsRecorded => recorded.after.iter().all(|&earlier| ended[earlier]),
                Order::OneByOne => index == 0 || ended[index - 1],
            };
            if ready && !begun[index] {
                begun[index] = true;
                under_way.push(async move { (index, bare.send(recorded, names).await) });
            }
        }
        let Some((index, brought)) = under_way.next().await else { break };
        ended[index] = true;
        compare(&tape[index], &brought?, names)?;
    }
    ensure!(ended.iter().all(|ended| *ended), "an operation waits for one that never began");
    Ok(())
}

fn compare(recorded: &Recorded, brought: &Brought, names: &Substitute) -> Result<()> {
    if let Some(entries) = recorded.entries {
        ensure!(
            brought.entries == entries,
            "{} entries came instead of {entries}: {:?}",
            brought.entries,
            recorded.call
        );
    }
    for (recorded, now) in recorded.sids.iter().zip(&brought.sids) {
        names.learn(recorded, now);
    }
    Ok(())
}
