//! Brings stuck workflows back to the queue: those whose worker is gone, those whose wait is
//! over, and those whose event the broker may have lost.
//!
//! Several reapers may run; the store lets each row be taken by one of them.

use std::sync::Arc;
use std::time::Duration;

use domain::{Clock, Rng, WorkflowId};
use metrics_exporter_prometheus::PrometheusHandle;
use store::{Store, StoreError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::options::Settings;
use crate::outage::{Backoff, Outage};

/// Rows of one kind in one transaction.
const BATCH: u32 = 500;

pub(crate) struct Reaper {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<dyn Rng>,
    pub(crate) prometheus: PrometheusHandle,
    pub(crate) settings: Settings,
}

impl Reaper {
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut backoff = Backoff::new(self.rng.clone());
        let mut outage = Outage::new("reaper");
        let mut repeat_at = Instant::now() + self.settings.repeat_every;
        loop {
            let repeat = Instant::now() >= repeat_at;
            let pause = match self.tick(repeat).await {
                Ok(()) => {
                    outage.over();
                    backoff.reset();
                    self.settings.reap_every
                }
                Err(error) => {
                    outage.failed("database", &error);
                    self.settings.reap_every.max(backoff.delay())
                }
            };
            if repeat {
                // Without it the recorder keeps every histogram sample until somebody scrapes.
                self.prometheus.run_upkeep();
                repeat_at = Instant::now() + self.settings.repeat_every;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn tick(&self, repeat: bool) -> Result<(), StoreError> {
        let now = self.clock.now();
        let expired = self.all(|| self.store.release_expired_leases(now, BATCH)).await?;
        if expired > 0 {
            tracing::warn!(workflows = expired, "leases ran out; another worker takes over");
            metrics::counter!("farmhand_leases_expired_total").increment(expired);
        }
        let due = self.all(|| self.store.wake_due(now, BATCH)).await?;
        metrics::counter!("farmhand_waits_due_total").increment(due);
        if repeat {
            let first_after: Duration = self.settings.repeat_first_after;
            // Once per tick: what was just repeated is not due again, so no second batch follows it.
            let repeated = self.store.repeat_unanswered(now, first_after, BATCH).await?;
            if !repeated.is_empty() {
                tracing::info!(
                    workflows = repeated.len(),
                    "nobody took these workflows; their events go out again"
                );
            }
            metrics::counter!("farmhand_events_repeated_total").increment(repeated.len() as u64);
        }
        Ok(())
    }

    /// Repeats a chore until it no longer fills its batch. How many rows it moved.
    async fn all<F, Fut>(&self, chore: F) -> Result<u64, StoreError>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<Vec<WorkflowId>, StoreError>>,
    {
        let mut moved = 0;
        loop {
            let ids = chore().await?;
            moved += ids.len() as u64;
            if ids.len() < BATCH as usize {
                return Ok(moved);
            }
        }
    }
}

#[cfg(test)]
#[path = "reaper_tests.rs"]
mod tests;
