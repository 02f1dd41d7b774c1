//! Runs orchestrator and worker until the stop, and stops them in order.

use std::time::Duration;

use orchestrator::Orchestrator;
use tokio::net::TcpListener;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;
use workers::engine::Worker;

use super::store::chain;
use crate::config::Settings;
use crate::failure::Failure;

/// The parts of this process.
pub struct Server {
    pub orchestrator: Option<(Orchestrator, TcpListener)>,
    pub worker: Option<Worker>,
}

pub fn orchestrator_settings(settings: &Settings) -> orchestrator::Settings {
    orchestrator::Settings {
        drain: Duration::from_secs(settings.server.shutdown_seconds),
        cool_down: settings.lifecycle.cool_down,
        rotation: orchestrator::RotationPolicy {
            max_interval_days: settings.rotation.max_interval_days,
            keep_days: settings.rotation.keep_days,
        },
        drift_full_every: settings.drift.full_every,
        keep_fires: settings.scheduler.keep_fires(),
        keep_reactions: settings.reactions.keep(),
        allow_http_webhooks: settings.reactions.allow_http,
        quarantine_check_every: settings.quarantine.check_every,
        ..orchestrator::Settings::default()
    }
}

type Part = JoinHandle<Result<(), Failure>>;

impl Server {
    /// Until `stop`, or until a part ends by itself, which is a failure.
    ///
    /// The worker stops first: what it hands back to the queue is still relayed, and whoever
    /// follows a workflow sees it.
    pub async fn run(self, stop: CancellationToken) -> Result<(), Failure> {
        let (stop_worker, stop_orchestrator) = (CancellationToken::new(), CancellationToken::new());
        let mut worker = self.worker.map(|worker| start_worker(worker, stop_worker.clone()));
        let mut orchestrator = self.orchestrator.map(|(part, listener)| {
            let stop = stop_orchestrator.clone();
            tokio::spawn(async move {
                part.run(listener, stop).await.map_err(|error| Failure::internal(chain(&error)))
            })
        });
        let early = tokio::select! {
            () = stop.cancelled() => None,
            ended = running(&mut worker) => Some(("worker", ended)),
            ended = running(&mut orchestrator) => Some(("orchestrator", ended)),
        };
        stop_worker.cancel();
        let worker_ended = drained(worker).await;
        stop_orchestrator.cancel();
        let orchestrator_ended = drained(orchestrator).await;
        match early {
            Some((part, ended)) => {
                outcome(ended)?;
                Err(Failure::internal(format!("the {part} stopped without being asked to")))
            }
            None => worker_ended.and(orchestrator_ended),
        }
    }
}

fn start_worker(worker: Worker, stop: CancellationToken) -> Part {
    tokio::spawn(async move {
        worker.run(stop).await.map_err(|error| {
            let hint =
                "check the broker's log, FARMHAND_AMQP_URL and amqp.prefix; `farmhand doctor` shows more";
            Failure::refused("broker-refused", chain(&error), hint)
        })
    })
}

/// Never, where there is no such part.
async fn running(part: &mut Option<Part>) -> Result<Result<(), Failure>, JoinError> {
    match part {
        Some(handle) => {
            let ended = handle.await;
            *part = None;
            ended
        }
        None => std::future::pending().await,
    }
}

async fn drained(part: Option<Part>) -> Result<(), Failure> {
    match part {
        Some(handle) => outcome(handle.await),
        None => Ok(()),
    }
}

fn outcome(ended: Result<Result<(), Failure>, JoinError>) -> Result<(), Failure> {
    ended.unwrap_or_else(|error| Err(Failure::internal(format!("a part of this process panicked: {error}"))))
}
