//! `farmhand worker`: carries out workflows.

use domain::Lane;
use store::Store;

use crate::compose::bus::Broker;
use crate::compose::directories::{self, Opened};
use crate::compose::server::Server;
use crate::compose::store::Database;
use crate::compose::worker::{self, LaneParts};
use crate::compose::{probe, shutdown};
use crate::config::{Loaded, Settings};
use crate::failure::{Exit, Failure};
use crate::telemetry;

pub async fn run(loaded: Loaded, name: String) -> Result<Exit, Failure> {
    let settings = &loaded.settings;
    let (database, broker) = (Database::shared(settings, "worker")?, Broker::shared(settings, "worker")?);
    let directories = Opened::configured(settings)?;
    let stop = shutdown::on_signals()?;
    let prometheus = telemetry::metrics()?;
    if let Some(address) = settings.worker.listen {
        let listener = probe::bind(address, "--listen or FARMHAND_WORKER_LISTEN").await?;
        tokio::spawn(probe::serve(listener, prometheus, stop.clone()));
    }
    let bus = broker.open(&name)?.bus;
    directories.all.iter().cloned().for_each(|one| drop(tokio::spawn(directories::report_health(one))));
    let (store, urgent_store) = tokio::select! {
        opened = stores(settings, &database) => opened?,
        () = stop.cancelled() => return Ok(Exit::Done),
    };
    let parts = LaneParts {
        store: store.clone(),
        directories: directories.directories(),
        urgent_store: urgent_store.clone(),
        urgent_directories: directories.urgent_directories(),
    };
    let worker = worker::build(settings, name, bus.clone(), parts);
    let ended = Server { orchestrator: None, worker: Some(worker) }.run(stop).await;
    bus.close().await;
    urgent_store.close().await;
    store.close().await;
    directories.close().await;
    ended.map(|()| Exit::Done)
}

/// The pool of the lanes, and the urgent lane's own where it would otherwise wait for theirs.
async fn stores(settings: &Settings, database: &Database) -> Result<(Store, Store), Failure> {
    let store = database.open_when_there(settings.database.max_connections).await?;
    store.require_current_schema().await.map_err(|error| database.failure(&error))?;
    let lanes = &settings.worker.lanes;
    let urgent = match database.is_postgres && lanes.contains(&Lane::Urgent) && lanes.len() > 1 {
        true => database.open(settings.database.urgent_connections).await?,
        false => store.clone(),
    };
    Ok((store, urgent))
}
