//! Workflows of six no-op steps: how many a second, and how long one takes on an idle system.

use std::time::Duration;

use anyhow::Result;
use tests::lab::Lab;

use crate::clean;
use crate::cpu::Cpu;
use crate::floor::{Floor, Ground};
use crate::ours::Ours;
use crate::report::{self, Aim, Samples, Verdicts};
use crate::telemetry::{Meters, Readings};

const WORKFLOWS: usize = 5_000;
const ROUNDS: usize = 5;
const SINGLES: usize = 200;

pub async fn run(lab: &Lab, ours: &Ours, meters: &Meters, verdicts: &mut Verdicts) -> Result<()> {
    let ground = Ground::new(lab).await?;
    let (step, batch) = (ground.step().await?, ground.batch().await?);
    let measured = async {
        for warm_up in [500, 1] {
            ours.run(warm_up).await?;
            step.run(warm_up).await?;
            batch.run(warm_up).await?;
        }
        latency(ours, &step, meters, verdicts).await?;
        throughput(lab, ours, (&ground, &step, &batch), meters, verdicts).await?;
        ours.all_succeeded().await?;
        ground.all_succeeded().await
    };
    let outcome = measured.await;
    step.stop().await;
    batch.stop().await;
    tokio::task::block_in_place(|| drop(ground));
    outcome
}

async fn throughput(
    lab: &Lab,
    ours: &Ours,
    (ground, step, batch): (&Ground, &Floor, &Floor),
    meters: &Meters,
    verdicts: &mut Verdicts,
) -> Result<()> {
    report::section("workflows of six no-op steps, PostgreSQL and RabbitMQ, one worker with 1,024 slots");
    let (mut farmhand, mut by_step, mut by_batch) = (Side::default(), Side::default(), Side::default());
    let mut spent = Readings::default();
    for round in 0..ROUNDS {
        for turn in 0..3 {
            clean::checkpoint(lab)?;
            match (round + turn) % 3 {
                0 => {
                    let before = meters.read();
                    farmhand.measure(ours.database(), ours.run(WORKFLOWS)).await?;
                    spent = meters.read().since(&before);
                }
                1 => by_step.measure(ground.database(), step.run(WORKFLOWS)).await?,
                _ => by_batch.measure(ground.database(), batch.run(WORKFLOWS)).await?,
            }
        }
    }
    farmhand.print("Farmhand");
    by_step.print("floor `step`: one commit a step");
    by_batch.print("floor `batch`: commits shared");
    show_spent(&spent);
    let (farmhand, by_step, by_batch) = (farmhand.rates, by_step.rates, by_batch.rates);
    report::line("Farmhand / `batch`", &report::round_by_round(&farmhand, &by_batch));
    let ratio = |floor: &Samples| farmhand.median() / floor.median();
    verdicts.judge("workflows/s: Farmhand / floor `step`", ratio(&by_step), "", Aim::AtLeast(1.0));
    verdicts.judge("workflows/s: Farmhand / floor `batch`", ratio(&by_batch), "", Aim::AtLeast(0.5));
    Ok(())
}

/// The rounds of Farmhand or of a floor.
#[derive(Default)]
struct Side {
    /// Workflows a second.
    rates: Samples,
    cpu: Cpu,
}

impl Side {
    async fn measure(&mut self, database: &str, run: impl Future<Output = Result<Duration>>) -> Result<()> {
        let before = Cpu::now(database);
        self.rates.push(WORKFLOWS as f64 / run.await?.as_secs_f64());
        self.cpu += Cpu::now(database) - before;
        Ok(())
    }

    fn print(&self, what: &str) {
        report::line(what, &self.rates.show("workflows/s"));
        report::line("  processor time of one workflow", &self.cpu.show(WORKFLOWS * ROUNDS));
    }
}

/// One at a time; ours and the floor's in turns, so that both meet the same moments.
async fn latency(ours: &Ours, step: &Floor, meters: &Meters, verdicts: &mut Verdicts) -> Result<()> {
    report::section("one workflow of six no-op steps on an idle system, from submission to durable end");
    let (mut farmhand, mut floor) = (Samples::default(), Samples::default());
    let before = meters.read();
    for _ in 0..SINGLES {
        farmhand.push_millis(ours.run(1).await?);
        floor.push_millis(step.run(1).await?);
    }
    let spent = meters.read().since(&before);
    let show = |samples: &Samples| {
        format!("p50 {:.2} ms, p99 {:.2} ms", samples.quantile(0.5), samples.quantile(0.99))
    };
    report::line("Farmhand", &show(&farmhand));
    report::line("floor `step`", &show(&floor));
    show_spent(&spent);
    let ratio = |fraction: f64| farmhand.quantile(fraction) / floor.quantile(fraction);
    report::line("Farmhand / floor at p99", &format!("{:.2}", ratio(0.99)));
    verdicts.judge("one workflow, p50: Farmhand / floor `step`", ratio(0.5), "", Aim::AtMost(1.5));
    Ok(())
}

/// Calls of the store, with what one took.
fn show_spent(spent: &Readings) {
    let calls = spent
        .operations("farmhand_store_seconds")
        .into_iter()
        .map(|(operation, sum, count)| format!("{operation} {count:.0} x {:.2} ms", sum * 1e3 / count));
    report::line("  of Farmhand's time in the store", &calls.collect::<Vec<_>>().join(", "));
    let (rows, batches) = spent.of("farmhand_journal_batch", "");
    report::line("  journal entries a commit", &format!("{:.1}", rows / batches.max(1.0)));
}
