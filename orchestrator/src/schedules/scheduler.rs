//! Fires what is due. Any number of these run side by side; the store lets each due time through
//! once, so none of them leads and none of them is missed.
//!
//! Nothing is remembered here: what is due stands in the database. A scheduler that is killed, a
//! database that is away, a clock that jumps leave due times behind that the next look finds, and
//! the schedule's policies say what becomes of them.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::schedule::FireOutcome;
use domain::{Clock, Rng};
use store::{Recorded, Store, StoreError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Schedules;
use crate::options::Settings;
use crate::outage::{Backoff, Outage};

/// Schedules in one transaction.
const BATCH: u32 = 200;
const PRUNE_EVERY: Duration = Duration::from_secs(15 * 60);
const PRUNE_BATCH: u32 = 1_000;

pub(crate) struct Scheduler {
    pub(crate) schedules: Schedules,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<dyn Rng>,
    pub(crate) settings: Settings,
}

impl Scheduler {
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut backoff = Backoff::new(self.rng.clone());
        let mut outage = Outage::new("scheduler");
        let mut prune_at = Instant::now();
        loop {
            let pause = match self.look(&stop, Instant::now() >= prune_at).await {
                Ok(next) => {
                    outage.over();
                    backoff.reset();
                    if Instant::now() >= prune_at {
                        prune_at = Instant::now() + PRUNE_EVERY;
                    }
                    self.until(next)
                }
                Err(error) => {
                    outage.failed("database", &error);
                    self.settings.schedule_every.max(backoff.delay())
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.store().schedules_changed() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    fn store(&self) -> &Store {
        &self.schedules.requests.store
    }

    /// Never longer than the setting: a clock can be set forward, and another process can make a
    /// schedule that is due sooner.
    fn until(&self, next: Option<DateTime<Utc>>) -> Duration {
        let left = next.map(|next| (next - self.clock.now()).to_std().unwrap_or_default());
        left.unwrap_or(Duration::MAX).min(self.settings.schedule_every)
    }

    async fn look(&self, stop: &CancellationToken, prune: bool) -> Result<Option<DateTime<Utc>>, StoreError> {
        self.tick(stop).await?;
        if prune {
            self.prune(stop).await?;
        }
        self.store().next_fire().await
    }

    /// Everything that has come by now. How many due times were recorded.
    pub(crate) async fn tick(&self, stop: &CancellationToken) -> Result<usize, StoreError> {
        let mut recorded = 0;
        let mut lag = 0.0_f64;
        while !stop.is_cancelled() {
            let now = self.clock.now();
            let plan = async |due: Vec<store::DueSchedule>| {
                let oldest = due.iter().filter_map(|due| due.schedule.fire_at).min();
                lag = lag.max(oldest.map_or(0.0, |oldest| (now - oldest).as_seconds_f64()));
                self.schedules.plan(due, now).await
            };
            let done = self.store().fire_due(now, BATCH, plan).await?;
            recorded += done.fires.len();
            count(&done);
            if done.schedules == 0 {
                break;
            }
        }
        metrics::gauge!("farmhand_scheduler_lag_seconds").set(lag);
        while !stop.is_cancelled() {
            let now = self.clock.now();
            let plan = async |queued| self.schedules.run_queued(queued, now).await;
            let done = self.store().release_queued(now, BATCH, plan).await?;
            recorded += done.fires.len();
            count(&done);
            if done.schedules == 0 {
                break;
            }
        }
        Ok(recorded)
    }

    async fn prune(&self, stop: &CancellationToken) -> Result<(), StoreError> {
        let before = self.clock.now() - self.settings.keep_fires;
        while !stop.is_cancelled() {
            let pruned = self.store().prune_fires(before, PRUNE_BATCH).await?;
            if pruned < u64::from(PRUNE_BATCH) {
                break;
            }
        }
        Ok(())
    }
}

fn count(done: &Recorded) {
    for (outcome, reason) in &done.fires {
        let reason = reason.map_or("", |reason| reason.as_str());
        metrics::counter!("farmhand_schedule_fires_total", "outcome" => outcome.as_str(), "reason" => reason)
            .increment(1);
        if *outcome == FireOutcome::Missed {
            tracing::warn!(reason, "a due time was missed; `farmhand schedule fires NAME` shows it");
        }
    }
}

#[cfg(test)]
#[path = "scheduler_tests.rs"]
mod tests;
