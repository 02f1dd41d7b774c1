//! The outbox relay: publishes what was committed and deletes what the broker confirmed.
//!
//! An event may be published twice (a crash between confirm and delete, or two relays); no worker
//! minds. It is never lost: a row goes only after its confirm.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::Rng;
use futures::StreamExt;
use messages::{Bus, BusError};
use store::{OutboxRow, Store};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::options::Settings;
use crate::outage::{Backoff, Outage};

/// Rows taken at once at most, however many are stuck: each holds its body in memory.
const MOST: u32 = 4096;

/// Publishes under way at once; more gain nothing over one connection.
const SIDE_BY_SIDE: usize = 256;

/// Wakes the relay for events that were not written through its own store, which it notices itself.
#[derive(Clone, Default)]
pub struct OutboxSignal(Arc<Notify>);

impl OutboxSignal {
    /// Something was written to the outbox. Cheap; several calls before the relay looks are one.
    pub fn wake(&self) {
        self.0.notify_one();
    }

    async fn woken(&self) {
        self.0.notified().await;
    }
}

pub(crate) struct Relay {
    pub(crate) store: Store,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) rng: Arc<dyn Rng>,
    pub(crate) signal: OutboxSignal,
    pub(crate) settings: Settings,
}

/// What became of one batch.
#[derive(Default)]
struct Batch {
    taken: usize,
    confirmed: Vec<Uuid>,
    troubles: Vec<BusError>,
}

/// What to do before the next batch.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// More is waiting.
    AtOnce,
    /// The outbox is empty.
    WhenWoken,
    /// Single messages were not taken; others may be, so a wake-up still counts.
    LaterOrWhenWoken,
    /// Nothing can be published or read at present.
    Later,
}

impl Relay {
    /// Runs until `stop`, then relays once more what the last requests left.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut backoff = Backoff::new(self.rng.clone());
        let mut outage = Outage::new("relay");
        let mut stuck = 0;
        loop {
            let next = self.step(&mut stuck, &mut outage).await;
            if matches!(next, Next::AtOnce | Next::WhenWoken) {
                backoff.reset();
            }
            if stop.is_cancelled() && next != Next::AtOnce {
                return;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.pause(next, &mut backoff) => {}
            }
        }
    }

    async fn pause(&self, next: Next, backoff: &mut Backoff) {
        match next {
            Next::AtOnce => {}
            Next::WhenWoken => self.woken_or_after(self.settings.relay_poll).await,
            Next::LaterOrWhenWoken => self.woken_or_after(backoff.delay()).await,
            Next::Later => tokio::time::sleep(backoff.delay()).await,
        }
    }

    async fn woken_or_after(&self, pause: Duration) {
        tokio::select! {
            () = self.store.event_written() => {}
            () = self.signal.woken() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }

    /// One batch. `stuck` rows come first in the outbox every time, so the batch grows by them:
    /// messages that the broker will not take must not hold up the rest.
    async fn step(&self, stuck: &mut u32, outage: &mut Outage) -> Next {
        let limit = self.settings.relay_batch.saturating_add(*stuck).min(MOST);
        let batch = match self.batch(limit).await {
            Ok(batch) => batch,
            Err(error) => {
                outage.failed("database", &error);
                return Next::Later;
            }
        };
        metrics::counter!("farmhand_outbox_relayed_total").increment(batch.confirmed.len() as u64);
        for trouble in &batch.troubles {
            metrics::counter!("farmhand_outbox_failed_total", "kind" => kind(trouble)).increment(1);
            outage.failed(kind(trouble), trouble);
        }
        let more = batch.taken >= limit as usize;
        *stuck = 0;
        if batch.troubles.is_empty() {
            outage.over();
            return if more { Next::AtOnce } else { Next::WhenWoken };
        }
        if batch.troubles.iter().any(|trouble| !is_about_one_message(trouble)) {
            return Next::Later;
        }
        *stuck = u32::try_from(batch.taken.saturating_sub(batch.confirmed.len())).unwrap_or(MOST);
        if more && !batch.confirmed.is_empty() { Next::AtOnce } else { Next::LaterOrWhenWoken }
    }

    async fn batch(&self, limit: u32) -> Result<Batch, store::StoreError> {
        let seen = Arc::new(Mutex::new(Batch::default()));
        let (shared, bus, timeout) = (seen.clone(), self.bus.clone(), self.settings.relay_timeout);
        self.store
            .relay(limit, |rows| async move {
                let batch = publish(bus.as_ref(), timeout, rows).await;
                let confirmed = batch.confirmed.clone();
                *shared.lock().unwrap_or_else(PoisonError::into_inner) = batch;
                confirmed
            })
            .await?;
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::take(&mut *seen))
    }
}

/// Publishes rows side by side; confirms are what takes time, and they overlap.
async fn publish(bus: &dyn Bus, timeout: Duration, rows: Vec<OutboxRow>) -> Batch {
    let taken = rows.len();
    let side_by_side = taken.clamp(1, SIDE_BY_SIDE);
    let mut answers = futures::stream::iter(rows)
        .map(|row| async move {
            let id = row.id.to_string();
            let sent = tokio::time::timeout(timeout, bus.publish(row.lane, &id, &row.body)).await;
            (row.id, sent.unwrap_or(Err(BusError::Unreachable(Some("no confirm came in time".into())))))
        })
        .buffer_unordered(side_by_side);
    let mut batch = Batch { taken, ..Batch::default() };
    let mut said = HashSet::new();
    while let Some((id, answer)) = answers.next().await {
        match answer {
            Ok(()) => batch.confirmed.push(id),
            // A thousand equal errors say no more than one.
            Err(error) if said.insert(kind(&error)) => batch.troubles.push(error),
            Err(_) => {}
        }
    }
    batch
}

fn kind(error: &BusError) -> &'static str {
    match error {
        BusError::Unreachable(_) => "unreachable",
        BusError::Rejected(_) => "rejected",
        BusError::Unroutable(_) => "unroutable",
        BusError::Refused(_) => "refused",
        BusError::Closed => "closed",
    }
}

fn is_about_one_message(error: &BusError) -> bool {
    matches!(error, BusError::Rejected(_) | BusError::Unroutable(_))
}

#[cfg(test)]
#[path = "relay_tests.rs"]
mod tests;
