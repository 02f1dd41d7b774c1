//! The engine: claims workflows, runs their steps, persists every outcome.
//!
//! ```text
//! bus ──delivery──▶ intake ──batch──▶ store.claim ──lease──▶ run ──entries──▶ journal ──batch──▶ store.commit
//!                                                     ▲                          │
//!                                      lease keeper ──┘◀── renewed by every commit
//! ```
//!
//! A delivery is acknowledged as soon as the claim is durable: from then on the lease, not the
//! message, keeps the workflow alive. Whatever happens to this process, the reaper emits the
//! workflow again when the lease has run out.

mod announce;
mod approve;
pub mod backoff;
pub mod execute;
mod hosts;
mod intake;
mod journal;
mod lease;
mod replan;
mod run;
mod unwind;
mod warm;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use domain::{Clock, Lane, Rng};
use messages::{Bus, BusError};
use store::{Lessee, Store};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::{Environment, Registry};

pub use lease::Lease;

use journal::Journal;
use lease::LeaseKeeper;

/// What a lane of this worker works with.
pub struct LaneOptions {
    pub lane: Lane,
    /// How many workflows of the lane run at once.
    pub slots: u16,
    /// The lane's own: urgent work has its own connections to the directory and the database.
    pub environment: Environment,
    pub store: Store,
}

/// How long things may take.
#[derive(Debug, Clone)]
pub struct Timing {
    /// How long a workflow stays with a worker that gives no sign of life.
    pub lease: Duration,
    /// How much earlier than its end a lease counts as lost: room for clocks that differ and for
    /// a write that is under way.
    pub skew: Duration,
    /// How long one attempt of one step may take.
    pub step: Duration,
    /// How long a request for approval stays open.
    pub approval: Duration,
    /// How long running workflows get to reach a step boundary when the worker stops.
    pub drain: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(30),
            skew: Duration::from_secs(5),
            step: Duration::from_secs(300),
            approval: Duration::from_secs(72 * 3600),
            drain: Duration::from_secs(20),
        }
    }
}

pub struct WorkerOptions {
    /// Who holds the leases: unique among running workers, readable for people.
    pub name: String,
    pub bus: Arc<dyn Bus>,
    pub registry: Registry,
    pub clock: Arc<dyn Clock>,
    pub rng: Arc<dyn Rng>,
    pub lanes: Vec<LaneOptions>,
    pub timing: Timing,
    /// Committers of the journal a lane; two let one batch gather while the other is on its way.
    pub committers: usize,
}

/// A worker: consumes its lanes until it is told to stop.
pub struct Worker {
    options: WorkerOptions,
    warm: Option<Duration>,
}

/// What all runs of one lane share.
pub(crate) struct Shared {
    pub lessee: Lessee,
    pub registry: Registry,
    pub store: Store,
    pub environment: Environment,
    pub journal: Journal,
    pub leases: Arc<LeaseKeeper>,
    pub clock: Arc<dyn Clock>,
    pub rng: Arc<dyn Rng>,
    pub timing: Timing,
    /// Set when the worker stops: runs hand over at their next step boundary.
    pub stop: CancellationToken,
}

impl Worker {
    pub fn new(options: WorkerOptions) -> Self {
        Self { options, warm: None }
    }

    /// Keeps the urgent lane's connections to every DC open, looked after this often: more often
    /// than a DC drops idle ones (900 s by default).
    #[must_use]
    pub fn keeping_warm(self, every: Duration) -> Self {
        Self { warm: Some(every), ..self }
    }

    /// Works until `shutdown`, then drains: no new workflows, running ones are handed over at
    /// their next step boundary, what has not got there in time is left to its lease.
    ///
    /// # Errors
    /// When the bus refuses a lane for good (its topology or our login); passing trouble is waited out.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), BusError> {
        let WorkerOptions { name, bus, registry, clock, rng, lanes, timing, committers } = self.options;
        let running = TaskTracker::new();
        let mut intakes = tokio::task::JoinSet::new();
        // The committers and the lease keeper go on while runs drain.
        let background = CancellationToken::new();
        let housekeeping = TaskTracker::new();
        for lane in lanes {
            let leases = Arc::new(LeaseKeeper::new(lane.store.clone(), clock.clone(), timing.clone()));
            housekeeping.spawn(leases.clone().keep(background.clone()));
            if let Some(every) = self.warm.filter(|_| lane.lane == Lane::Urgent) {
                let directories = lane.environment.directories.clone();
                housekeeping.spawn(warm::keep(directories, every, shutdown.clone()));
            }
            let journal = Journal::start(&lane.store, &housekeeping, committers);
            let shared = Arc::new(Shared {
                lessee: Lessee { worker: name.clone(), lease: timing.lease },
                registry: registry.clone(),
                store: lane.store,
                environment: lane.environment,
                journal,
                leases,
                clock: clock.clone(),
                rng: rng.clone(),
                timing: timing.clone(),
                stop: shutdown.clone(),
            });
            let slots = Arc::new(Semaphore::new(lane.slots.into()));
            let consumer = bus.consume(lane.lane, lane.slots).await?;
            intakes.spawn(intake::run(shared, consumer, slots, running.clone(), shutdown.clone()));
        }
        tracing::info!(worker = name, "worker is ready");
        while intakes.join_next().await.is_some() {}
        running.close();
        if tokio::time::timeout(timing.drain, running.wait()).await.is_err() {
            tracing::warn!(
                left = running.len(),
                "stopped with workflows under way; their leases will run out"
            );
        }
        background.cancel();
        housekeeping.close();
        housekeeping.wait().await;
        Ok(())
    }
}

/// The step names of every runbook: what a reader shows as pending.
pub(crate) fn step_names(steps: &[Arc<dyn crate::step::DynStep>]) -> Vec<String> {
    steps.iter().map(|step| step.name().to_owned()).collect()
}

/// Lanes by name, for a configuration that lists them.
pub fn default_slots() -> HashMap<Lane, u16> {
    HashMap::from([(Lane::Urgent, 16), (Lane::Lifecycle, 64), (Lane::Checks, 8)])
}
