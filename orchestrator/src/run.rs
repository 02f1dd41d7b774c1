//! The orchestrator as a whole: HTTP, intake, relay, reaper, scheduler, reactions and deliveries
//! under one roof.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::http::{self, Api};
use crate::intake::Intake;
use crate::options::OrchestratorOptions;
use crate::quarantine_watch::QuarantineWatch;
use crate::reactions::reactor::Reactor;
use crate::reaper::Reaper;
use crate::relay::{OutboxSignal, Outlet, Relay};
use crate::schedules::scheduler::Scheduler;
use crate::webhooks::deliverer::Deliverer;

/// How long a task that panicked stays down.
const RESTART_AFTER: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("the HTTP server stopped")]
    Http(#[source] io::Error),
}

pub struct Orchestrator {
    api: Arc<Api>,
    relay: Arc<Relay>,
    announcer: Arc<Relay>,
    reaper: Arc<Reaper>,
    scheduler: Arc<Scheduler>,
    watch: Arc<QuarantineWatch>,
    reactor: Arc<Reactor>,
    deliverer: Arc<Deliverer>,
    intake: Option<Arc<Intake>>,
    drain: Duration,
}

impl Orchestrator {
    pub fn new(options: OrchestratorOptions) -> Self {
        let drain = options.settings.drain;
        let signal = OutboxSignal::default();
        let relay = |outlet| Relay {
            store: options.store.clone(),
            outlet,
            clock: options.clock.clone(),
            rng: options.rng.clone(),
            signal: signal.clone(),
            settings: options.settings.clone(),
        };
        let announcer = relay(Outlet::Announcements(options.announcements.clone()));
        let relay = relay(Outlet::Events(options.bus.clone()));
        let reaper = Reaper {
            store: options.store.clone(),
            clock: options.clock.clone(),
            rng: options.rng.clone(),
            prometheus: options.prometheus.clone(),
            settings: options.settings.clone(),
        };
        let watch = QuarantineWatch {
            store: options.store.clone(),
            clock: options.clock.clone(),
            rng: options.rng.clone(),
            directories: options.known_directories.clone(),
            check_every: options.settings.quarantine_check_every,
        };
        let (intake, hold) = (options.intake.clone(), options.settings.intake_hold);
        let (settings, announcements) = (options.settings.clone(), options.announcements.clone());
        let api = Arc::new(Api::new(options));
        let (clock, rng) = (api.clock.clone(), api.rng.clone());
        let reactor = Reactor::new(api.rules(), announcements, clock.clone(), rng.clone(), settings.clone());
        let deliverer = Deliverer { store: api.store.clone(), clock, rng, settings: settings.clone() };
        let scheduler = Scheduler {
            schedules: api.schedules(),
            clock: api.clock.clone(),
            rng: api.rng.clone(),
            settings,
        };
        let intake = intake.map(|options| {
            let (clock, rng) = (api.clock.clone(), api.rng.clone());
            Arc::new(Intake { options, requests: api.requests.clone(), clock, rng, hold })
        });
        Self {
            api,
            relay: Arc::new(relay),
            announcer: Arc::new(announcer),
            reaper: Arc::new(reaper),
            scheduler: Arc::new(scheduler),
            watch: Arc::new(watch),
            reactor: Arc::new(reactor),
            deliverer: Arc::new(deliverer),
            intake,
            drain,
        }
    }

    /// For whoever writes events through another [`store::Store`] than ours; ours wakes the relay by
    /// itself.
    pub fn outbox_signal(&self) -> OutboxSignal {
        self.relay.signal.clone()
    }

    /// Every route, without a server; streams of it end only with [`Orchestrator::run`]'s stop.
    pub fn router(&self) -> Router {
        http::router(self.api.clone())
    }

    /// Serves until `shutdown`, then lets requests under way finish and relays what they left.
    pub async fn run(self, listener: TcpListener, shutdown: CancellationToken) -> Result<(), RunError> {
        let stop = shutdown.child_token();
        let stop_relay = CancellationToken::new();
        let (relay, reaper) = (self.relay.clone(), self.reaper.clone());
        let relay = supervise("relay", stop_relay.clone(), move |stop| relay.clone().run(stop));
        let announcer = self.announcer.clone();
        let announcer = supervise("announcer", stop_relay.clone(), move |stop| announcer.clone().run(stop));
        let reaper = supervise("reaper", stop.clone(), move |stop| reaper.clone().run(stop));
        let scheduler = self.scheduler.clone();
        let scheduler = supervise("scheduler", stop.clone(), move |stop| scheduler.clone().run(stop));
        let watch = self.watch.clone();
        let watch = supervise("quarantine watch", stop.clone(), move |stop| watch.clone().run(stop));
        let reactor = self.reactor.clone();
        let reactor = supervise("reactor", stop.clone(), move |stop| reactor.clone().run(stop));
        let deliverer = self.deliverer.clone();
        let deliverer = supervise("deliverer", stop.clone(), move |stop| deliverer.clone().run(stop));
        let intake = self.intake.clone();
        let intake =
            intake.map(|intake| supervise("intake", stop.clone(), move |stop| intake.clone().run(stop)));
        let served = self.serve(listener, stop.clone()).await;
        stop.cancel();
        // What it has recorded is still relayed below.
        if let Some(intake) = intake {
            let _ = intake.await;
        }
        let _ = reactor.await;
        let _ = deliverer.await;
        // A task that ends in another way than by its stop is started again, so these just end.
        let _ = watch.await;
        let _ = reaper.await;
        let _ = scheduler.await;
        stop_relay.cancel();
        let _ = relay.await;
        let _ = announcer.await;
        served
    }

    async fn serve(&self, listener: TcpListener, stop: CancellationToken) -> Result<(), RunError> {
        let api = self.api.clone();
        let stopping = stop.clone();
        let asked = async move {
            stopping.cancelled().await;
            // Event streams would keep their connections open for as long as their workflows run.
            api.stop.cancel();
        };
        let listener = listener.tap_io(|stream| {
            // Progress events are small; Nagle's algorithm would hold them back.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "no TCP_NODELAY on this connection");
            }
        });
        let server = axum::serve(listener, self.router()).with_graceful_shutdown(asked);
        let too_long = async {
            stop.cancelled().await;
            tokio::time::sleep(self.drain).await;
        };
        tokio::select! {
            result = server.into_future() => result.map_err(RunError::Http),
            () = too_long => {
                tracing::warn!(after = ?self.drain, "requests were cut off: they did not finish in time");
                Ok(())
            }
        }
    }
}

/// Runs a task until its stop; after a panic it is started again, since the other tasks and the
/// requests have no part in it.
fn supervise<F, Fut>(name: &'static str, stop: CancellationToken, start: F) -> AbortOnDropHandle<()>
where
    F: Fn(CancellationToken) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            let task = AbortOnDropHandle::new(tokio::spawn(start(stop.clone())));
            match task.await {
                Ok(()) => return,
                Err(error) if error.is_panic() => {
                    tracing::error!(
                        task = name,
                        "panicked; starting it again (this is a bug: please report it)"
                    );
                }
                Err(_) => return,
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(RESTART_AFTER) => {}
            }
        }
    }))
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
