//! `farmhand orchestrator`: the API, the outbox relay and the reaper.

use domain::DirectoryName;
use orchestrator::{Orchestrator, OrchestratorOptions};

use crate::compose::bus::Broker;
use crate::compose::server::{self, Server};
use crate::compose::store::Database;
use crate::compose::{clock, probe, rng, shutdown};
use crate::config::{Loaded, Settings};
use crate::failure::{Exit, Failure};
use crate::telemetry;

pub async fn run(loaded: Loaded, name: String) -> Result<Exit, Failure> {
    let settings = &loaded.settings;
    let (database, broker) =
        (Database::shared(settings, "orchestrator")?, Broker::shared(settings, "orchestrator")?);
    let known_directories = known_directories(settings)?;
    let stop = shutdown::on_signals()?;
    let prometheus = telemetry::metrics()?;
    let opened = broker.open(&name)?;
    let bus = opened.bus.clone();
    let store = tokio::select! {
        opened = database.open_when_there(settings.database.max_connections) => opened?,
        () = stop.cancelled() => return Ok(Exit::Done),
    };
    store.require_current_schema().await.map_err(|error| database.failure(&error))?;
    let listener = probe::bind(settings.server.listen, "--listen or FARMHAND_LISTEN").await?;
    let address = listener.local_addr().map_err(|e| Failure::internal(format!("no address: {e}")))?;
    let orchestrator = Orchestrator::new(OrchestratorOptions {
        store: store.clone(),
        bus: bus.clone(),
        announcements: opened.announcements.clone(),
        clock: clock(),
        rng: rng(),
        prometheus,
        embedded: false,
        known_directories,
        intake: opened.intake(settings),
        settings: server::orchestrator_settings(settings),
    });
    tracing::info!(%address, database = database.shown, broker = broker.shown(), "the orchestrator is ready");
    let ended = Server { orchestrator: Some((orchestrator, listener)), worker: None }.run(stop).await;
    bus.close().await;
    store.close().await;
    ended.map(|()| Exit::Done)
}

/// Names only: the orchestrator never talks to a DC. Without any, workers are taken to have the
/// one called `default`.
fn known_directories(settings: &Settings) -> Result<Vec<DirectoryName>, Failure> {
    if settings.directories.is_empty() {
        return Ok(vec![DirectoryName::default()]);
    }
    let names = settings.directories.keys().map(|name| DirectoryName::parse(name));
    names.collect::<Result<_, _>>().map_err(|e| Failure::refused("invalid-configuration", e.to_string(), ""))
}
