//! Leases of running workflows: renewed in bulk, given up early.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::{Clock, WorkflowId};
use store::{Control, Store};
use tokio_util::sync::CancellationToken;

use super::Timing;

/// The right to work on one workflow, until a moment that every commit and heartbeat moves on.
#[derive(Debug, Clone)]
pub struct Lease(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    workflow_id: WorkflowId,
    fencing_token: i64,
    /// Microseconds since the epoch.
    until: AtomicI64,
    lost: CancellationToken,
    cancel_requested: AtomicBool,
    pause_requested: AtomicBool,
    preempt_requested: AtomicBool,
}

impl Lease {
    pub fn new(workflow_id: WorkflowId, fencing_token: i64, until: DateTime<Utc>) -> Self {
        Self(Arc::new(Inner {
            workflow_id,
            fencing_token,
            until: AtomicI64::new(until.timestamp_micros()),
            lost: CancellationToken::new(),
            cancel_requested: AtomicBool::new(false),
            pause_requested: AtomicBool::new(false),
            preempt_requested: AtomicBool::new(false),
        }))
    }

    pub fn fencing_token(&self) -> i64 {
        self.0.fencing_token
    }

    /// Whether another worker may have it by now.
    pub fn is_lost(&self) -> bool {
        self.0.lost.is_cancelled()
    }

    /// Resolves when the lease is lost.
    pub async fn lost(&self) {
        self.0.lost.cancelled().await;
    }

    pub(super) fn give_up(&self) {
        self.0.lost.cancel();
    }

    pub(super) fn renewed(&self, until: DateTime<Utc>) {
        self.0.until.fetch_max(until.timestamp_micros(), Ordering::Relaxed);
    }

    pub(super) fn note(&self, control: Option<Control>) {
        match control {
            Some(Control::Cancel) => self.0.cancel_requested.store(true, Ordering::Relaxed),
            Some(Control::Pause) => self.0.pause_requested.store(true, Ordering::Relaxed),
            Some(Control::Preempt) => self.0.preempt_requested.store(true, Ordering::Relaxed),
            // Comes with a claim, and is obeyed before the first step.
            Some(Control::Replan) | None => {}
        }
    }

    /// What was asked for since the lease was taken; cancelling wins over stopping. What is no longer
    /// asked (a fence that is down) is still obeyed: the store then queues the workflow at once.
    pub(super) fn control(&self) -> Option<Control> {
        if self.0.cancel_requested.load(Ordering::Relaxed) {
            return Some(Control::Cancel);
        }
        if self.0.pause_requested.load(Ordering::Relaxed) {
            return Some(Control::Pause);
        }
        self.0.preempt_requested.load(Ordering::Relaxed).then_some(Control::Preempt)
    }

    fn remaining(&self, now: DateTime<Utc>) -> Duration {
        let micros = self.0.until.load(Ordering::Relaxed) - now.timestamp_micros();
        Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    }
}

/// Renews the leases of everything that runs in a lane, in one statement a beat.
pub(crate) struct LeaseKeeper {
    store: Store,
    clock: Arc<dyn Clock>,
    timing: Timing,
    held: Mutex<HashMap<WorkflowId, Lease>>,
}

/// A lease that is being renewed. A run that panics must let its lease run out, not keep it for ever.
pub(crate) struct Holding {
    keeper: Arc<LeaseKeeper>,
    workflow_id: WorkflowId,
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.keeper.held().remove(&self.workflow_id);
    }
}

impl LeaseKeeper {
    pub fn new(store: Store, clock: Arc<dyn Clock>, timing: Timing) -> Self {
        Self { store, clock, timing, held: Mutex::default() }
    }

    /// Renews the lease until the guard is dropped, however the run ends.
    pub fn hold(self: &Arc<Self>, lease: &Lease) -> Holding {
        self.held().insert(lease.0.workflow_id, lease.clone());
        Holding { keeper: self.clone(), workflow_id: lease.0.workflow_id }
    }

    fn held(&self) -> std::sync::MutexGuard<'_, HashMap<WorkflowId, Lease>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Beats until told to stop. The store call has a deadline of its own, so that a database
    /// that hangs cannot keep leases from being given up in time.
    pub async fn keep(self: Arc<Self>, stop: CancellationToken) {
        let beat = (self.timing.lease / 20).clamp(Duration::from_millis(50), Duration::from_millis(500));
        let mut ticks = tokio::time::interval(beat);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            self.give_up_expired();
            if tokio::time::timeout(self.timing.skew / 2, self.renew()).await.is_err() {
                tracing::warn!("the database did not answer a heartbeat in time");
            }
            self.give_up_expired();
        }
    }

    fn give_up_expired(&self) {
        let now = self.clock.now();
        for lease in self.held().values() {
            if lease.remaining(now) <= self.timing.skew && !lease.is_lost() {
                metrics::counter!("farmhand_lease_losses_total").increment(1);
                tracing::warn!(workflow = %lease.0.workflow_id, "lease is about to run out: the run stops");
                lease.give_up();
            }
        }
    }

    async fn renew(&self) {
        let now = self.clock.now();
        // A commit has just renewed the others.
        let due: Vec<Lease> = self
            .held()
            .values()
            .filter(|lease| lease.remaining(now) < self.timing.lease * 2 / 3)
            .cloned()
            .collect();
        if due.is_empty() {
            return;
        }
        let until = now + self.timing.lease;
        let asked: Vec<_> = due.iter().map(|lease| (lease.0.workflow_id, lease.0.fencing_token)).collect();
        match self.store.heartbeat(&asked, until).await {
            Ok(answers) => {
                for (lease, answer) in due.iter().zip(answers) {
                    match answer {
                        store::Heartbeat::Held { control } => {
                            lease.renewed(until);
                            lease.note(control);
                        }
                        store::Heartbeat::Lost => lease.give_up(),
                    }
                }
            }
            Err(error) => tracing::warn!(error = %error, "heartbeat failed; tried again at the next beat"),
        }
    }
}
