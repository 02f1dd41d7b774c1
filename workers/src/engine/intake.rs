//! From deliveries to claims: what arrived together is claimed in one transaction.

use std::sync::Arc;

use domain::WorkflowId;
use messages::{Consumer, Delivery, Envelope};
use store::{Claim, StoreError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Shared, backoff, run};

/// Claims that share a transaction at most.
const BATCH: usize = 256;

struct Arrived {
    workflow_id: WorkflowId,
    delivery: Delivery,
    permit: OwnedSemaphorePermit,
}

/// Consumes a lane until `shutdown`. A delivery is taken only when a slot is free, so what this
/// worker cannot start stays with the broker for others.
pub(super) async fn run(
    shared: Arc<Shared>,
    mut consumer: Box<dyn Consumer>,
    slots: Arc<Semaphore>,
    running: TaskTracker,
    shutdown: CancellationToken,
) {
    let (sender, receiver) = mpsc::channel(BATCH);
    let claimer = tokio::spawn(claim_batches(shared, receiver, running));
    while let Some((permit, delivery)) = next(&mut consumer, &slots, &shutdown).await {
        match Envelope::parse(&delivery.body) {
            Ok(envelope) => {
                let workflow_id = envelope.event().workflow_id;
                if sender.send(Arrived { workflow_id, delivery, permit }).await.is_err() {
                    break;
                }
            }
            Err(error) => settle(delivery.dead_letter(&format!("not an event of ours: {error}")).await),
        }
    }
    drop(sender);
    consumer.cancel().await;
    // What the broker had already sent goes back to it.
    while let Some(delivery) = consumer.next().await {
        settle(delivery.nack().await);
    }
    if claimer.await.is_err() {
        tracing::error!("the claimer ended in a panic");
    }
}

async fn next(
    consumer: &mut Box<dyn Consumer>,
    slots: &Arc<Semaphore>,
    shutdown: &CancellationToken,
) -> Option<(OwnedSemaphorePermit, Delivery)> {
    tokio::select! {
        biased;
        () = shutdown.cancelled() => None,
        arrived = async {
            let permit = slots.clone().acquire_owned().await.ok()?;
            Some((permit, consumer.next().await?))
        } => arrived,
    }
}

async fn claim_batches(shared: Arc<Shared>, mut receiver: mpsc::Receiver<Arrived>, running: TaskTracker) {
    let mut batch = Vec::new();
    while receiver.recv_many(&mut batch, BATCH).await > 0 {
        let ids: Vec<_> = batch.iter().map(|arrived| arrived.workflow_id).collect();
        match claim(&shared, &ids).await {
            Ok(claims) => {
                for (arrived, claim) in batch.drain(..).zip(claims) {
                    take(&shared, arrived, claim, &running).await;
                }
            }
            Err(error) => {
                tracing::error!(error = %error, cause = ?error, "claims failed; the events go back to the broker");
                for arrived in batch.drain(..) {
                    settle(arrived.delivery.nack().await);
                }
            }
        }
    }
}

/// Waits for a database that is away: without it nothing can be done, and taking events off the
/// broker only to give them back would spin.
async fn claim(shared: &Shared, ids: &[WorkflowId]) -> Result<Vec<Claim>, StoreError> {
    let mut delays = backoff::for_a_database();
    loop {
        match shared.store.claim(ids, &shared.lessee, shared.clock.now()).await {
            Err(error) if error.is_passing() && !shared.stop.is_cancelled() => {
                tracing::warn!(error = %error, "claim failed; tried again");
                tokio::time::sleep(delays.next().unwrap_or_default()).await;
            }
            outcome => return outcome,
        }
    }
}

async fn take(shared: &Arc<Shared>, arrived: Arrived, claim: Claim, running: &TaskTracker) {
    let Arrived { workflow_id, delivery, permit } = arrived;
    match claim {
        Claim::Claimed(claimed) => {
            let shared = shared.clone();
            running.spawn(async move {
                // The lease is durable: from here on the message has nothing more to say.
                settle(delivery.ack().await);
                run::run(&shared, *claimed).await;
                drop(permit);
            });
        }
        Claim::Unknown => {
            let reason = format!("no workflow {workflow_id} in this database");
            settle(delivery.dead_letter(&reason).await);
        }
        Claim::NotClaimable(state) => {
            tracing::debug!(workflow = %workflow_id, %state, "event for a workflow that needs no work");
            settle(delivery.ack().await);
        }
        Claim::WaitsForLock => settle(delivery.ack().await),
    }
}

/// A delivery that cannot be settled comes again and finds the lease taken: nothing is lost.
fn settle(outcome: Result<(), messages::BusError>) {
    if let Err(error) = outcome {
        tracing::debug!(error = %error, "a delivery could not be settled");
    }
}
