//! The outbox relay: publishes what was committed and deletes what the broker confirmed.
//!
//! An event may be published twice (a crash between confirm and delete, or two relays); no worker
//! minds. It is never lost: a row goes only after its confirm.
//!
//! Events and announcements go through it side by side, each with batches, pauses and a connection of
//! their own: a broker that does not take what is announced holds up no workflow. Work is never given
//! up; an announcement is, after [`Settings::keep_announcements`], lest the outbox grow for ever
//! where nobody may or can take it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::{Clock, Rng};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use messages::{Announcements, Bus, BusError};
use store::{AnnouncementRow, OutboxRow, Store, StoreError};
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
pub struct OutboxSignal {
    events: Arc<Notify>,
    announcements: Arc<Notify>,
}

impl OutboxSignal {
    /// An event was written to the outbox. Cheap; several calls before the relay looks are one.
    pub fn wake(&self) {
        self.events.notify_one();
    }

    /// The same for an announcement.
    pub fn wake_announcer(&self) {
        self.announcements.notify_one();
    }
}

/// What a relay takes from the outbox, and where it brings it.
pub(crate) enum Outlet {
    Events(Arc<dyn Bus>),
    Announcements(Arc<dyn Announcements>),
}

pub(crate) struct Relay {
    pub(crate) store: Store,
    pub(crate) outlet: Outlet,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<dyn Rng>,
    pub(crate) signal: OutboxSignal,
    pub(crate) settings: Settings,
}

/// A row on its way to the broker.
type Sending = BoxFuture<'static, (Uuid, Result<(), BusError>)>;

/// What became of one batch.
#[derive(Default)]
struct Batch {
    taken: usize,
    /// Confirmed, or not to be tried again.
    settled: Vec<Uuid>,
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
        let mut outage = Outage::new(self.outlet.task());
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
        let woken = async {
            match &self.outlet {
                Outlet::Events(_) => tokio::select! {
                    () = self.store.event_written() => {}
                    () = self.signal.events.notified() => {}
                },
                Outlet::Announcements(_) => tokio::select! {
                    () = self.store.announcement_written() => {}
                    () = self.signal.announcements.notified() => {}
                },
            }
        };
        // The pause being over is as good a reason to look.
        let _ = tokio::time::timeout(pause, woken).await;
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
        self.outlet.count(&batch);
        for trouble in &batch.troubles {
            outage.failed(kind(trouble), trouble);
        }
        let more = batch.taken >= limit as usize;
        *stuck = 0;
        if batch.troubles.is_empty() {
            outage.over();
            return if more { Next::AtOnce } else { Next::WhenWoken };
        }
        let about_single_ones = batch.troubles.iter().all(is_about_one_message);
        if about_single_ones {
            *stuck = u32::try_from(batch.taken.saturating_sub(batch.settled.len())).unwrap_or(MOST);
        }
        if let Outlet::Announcements(_) = self.outlet {
            self.give_up_old().await;
        }
        if !about_single_ones {
            return Next::Later;
        }
        if more && !batch.settled.is_empty() { Next::AtOnce } else { Next::LaterOrWhenWoken }
    }

    /// What could not be announced for so long is of no use any more.
    async fn give_up_old(&self) {
        let before = self.clock.now() - self.settings.keep_announcements;
        match self.store.give_up_announcements(before).await {
            Ok(0) => {}
            Ok(number) => {
                metrics::counter!("farmhand_announcements_given_up_total").increment(number);
                tracing::warn!(number, "announcements were given up: the broker did not take them");
            }
            // The next batch meets the same trouble and says so.
            Err(error) => tracing::debug!(%error, "old announcements could not be given up"),
        }
    }

    async fn batch(&self, limit: u32) -> Result<Batch, StoreError> {
        let seen = Arc::new(Mutex::new(Batch::default()));
        let (shared, timeout) = (seen.clone(), self.settings.relay_timeout);
        let keep = move |batch: Batch| {
            let confirmed = batch.settled.clone();
            *shared.lock().unwrap_or_else(PoisonError::into_inner) = batch;
            confirmed
        };
        match &self.outlet {
            Outlet::Events(bus) => {
                let bus = bus.clone();
                let send =
                    move |row: OutboxRow| {
                        let bus = bus.clone();
                        let id = row.id;
                        sending(timeout, id, async move {
                            bus.publish(row.lane, &id.to_string(), &row.body).await
                        })
                    };
                let publish = |rows: Vec<_>| async move {
                    keep(publish(rows.into_iter().map(send).collect(), false).await)
                };
                self.store.relay(limit, publish).await?;
            }
            Outlet::Announcements(exchange) => {
                let exchange = exchange.clone();
                let send =
                    move |row: AnnouncementRow| {
                        let exchange = exchange.clone();
                        let AnnouncementRow { id, topic, body } = row;
                        sending(timeout, id, async move {
                            exchange.announce(&topic, &id.to_string(), &body).await
                        })
                    };
                let publish = |rows: Vec<_>| async move {
                    keep(publish(rows.into_iter().map(send).collect(), true).await)
                };
                self.store.relay_announcements(limit, publish).await?;
            }
        }
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::take(&mut *seen))
    }
}

impl Outlet {
    fn task(&self) -> &'static str {
        match self {
            Self::Events(_) => "relay",
            Self::Announcements(_) => "announcer",
        }
    }

    fn count(&self, batch: &Batch) {
        let (relayed, failed) = match self {
            Self::Events(_) => ("farmhand_outbox_relayed_total", "farmhand_outbox_failed_total"),
            Self::Announcements(_) => {
                ("farmhand_announcements_relayed_total", "farmhand_announcements_failed_total")
            }
        };
        metrics::counter!(relayed).increment(batch.settled.len() as u64);
        for trouble in &batch.troubles {
            metrics::counter!(failed, "kind" => kind(trouble)).increment(1);
        }
    }
}

fn sending(
    timeout: Duration,
    id: Uuid,
    sent: impl Future<Output = Result<(), BusError>> + Send + 'static,
) -> Sending {
    async move {
        let sent = tokio::time::timeout(timeout, sent).await;
        (id, sent.unwrap_or(Err(BusError::Unreachable(Some("no confirm came in time".into())))))
    }
    .boxed()
}

/// Side by side; confirms are what takes time, and they overlap.
///
/// Of several queues that an announcement goes to, the broker's refusal means one that is full and
/// was told to refuse. The others have it, and would have it again with every attempt, so a refusal
/// can settle it.
async fn publish(sends: Vec<Sending>, refusal_settles: bool) -> Batch {
    let taken = sends.len();
    let mut answers = futures::stream::iter(sends).buffer_unordered(taken.clamp(1, SIDE_BY_SIDE));
    let mut batch = Batch { taken, ..Batch::default() };
    let mut said = HashSet::new();
    while let Some((id, answer)) = answers.next().await {
        let Err(error) = answer else {
            batch.settled.push(id);
            continue;
        };
        if refusal_settles && matches!(error, BusError::Rejected(_)) {
            batch.settled.push(id);
        }
        // A thousand equal errors say no more than one.
        if said.insert(kind(&error)) {
            batch.troubles.push(error);
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
