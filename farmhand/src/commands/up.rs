//! `farmhand up`: everything in one process.

use std::time::Instant;

use domain::DirectoryName;
use orchestrator::{Orchestrator, OrchestratorOptions, OutboxSignal};
use secrecy::ExposeSecret;
use serde_json::json;
use store::Store;
use tokio::net::TcpListener;

use crate::compose::bus::Broker;
use crate::compose::data_dir::{self, DataDirLock};
use crate::compose::directories::{self, Opened};
use crate::compose::server::{self, Server};
use crate::compose::store::Database;
use crate::compose::worker::{self, LaneParts};
use crate::compose::{clock, probe, rng, shutdown};
use crate::config::{Loaded, Origin, Settings};
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::telemetry;

pub async fn run(loaded: Loaded, name: String, output: Output) -> Result<Exit, Failure> {
    let started = Instant::now();
    let settings = &loaded.settings;
    let stop = shutdown::on_signals()?;
    let lock = data_dir::take(&settings.data_dir)?;
    let (database, broker) = (Database::of(settings)?, Broker::of(settings)?);
    let prometheus = telemetry::metrics()?;
    let opened = broker.open(&name)?;
    let bus = opened.bus.clone();
    // Side by side: each waits for another thing (disk, handshake, network).
    let opening = async {
        tokio::try_join!(
            open_store(settings, &database),
            Opened::open(settings),
            probe::bind(settings.server.listen, "--listen or FARMHAND_LISTEN"),
        )
    };
    let (stores, directories, listener) = tokio::select! {
        opened = opening => opened?,
        () = stop.cancelled() => return Ok(Exit::Done),
    };
    let orchestrator = Orchestrator::new(OrchestratorOptions {
        store: stores.store.clone(),
        bus: bus.clone(),
        announcements: opened.announcements.clone(),
        clock: clock(),
        rng: rng(),
        prometheus,
        embedded: directories.is_embedded(),
        known_directories: directories.names(),
        intake: opened.intake(settings),
        settings: server::orchestrator_settings(settings),
    });
    wake_relay_for(&stores.urgent, orchestrator.outbox_signal());
    let lanes = LaneParts {
        store: stores.store.clone(),
        directories: directories.directories(),
        urgent_store: stores.urgent.clone(),
        urgent_directories: directories.urgent_directories(),
    };
    let worker = worker::build(settings, name, bus.clone(), lanes);
    if !directories.is_embedded() {
        directories.all.iter().cloned().for_each(|one| drop(tokio::spawn(directories::report_health(one))));
    }
    announce(
        &Ready {
            loaded: &loaded,
            database: &database,
            broker: &broker,
            directories: &directories,
            listener: &listener,
            started,
        },
        output,
    )?;
    let server = Server { orchestrator: Some((orchestrator, listener)), worker: Some(worker) };
    let ended = server.run(stop).await;
    bus.close().await;
    stores.close().await;
    directories.close().await;
    let _: DataDirLock = lock;
    ended.map(|()| Exit::Done)
}

/// The urgent pool is a store of its own on PostgreSQL; what is written through it must not wait
/// for the relay's next poll.
fn wake_relay_for(urgent: &Store, relay: OutboxSignal) {
    let urgent = urgent.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = urgent.event_written() => relay.wake(),
                () = urgent.announcement_written() => relay.wake_announcer(),
            }
        }
    });
}

struct Stores {
    store: Store,
    urgent: Store,
}

impl Stores {
    async fn close(self) {
        self.urgent.close().await;
        self.store.close().await;
    }
}

/// Connects, migrates, and leaves the first token of a new database in the data folder.
async fn open_store(settings: &Settings, database: &Database) -> Result<Stores, Failure> {
    let store = database.open_when_there(settings.database.max_connections).await?;
    let failed = |error| database.failure(&error);
    store.migrate_up().await.map_err(failed)?;
    if !store.any_token().await.map_err(failed)? {
        leave_first_token(settings, &store).await?;
    }
    // SQLite has one writer: a second pool would only wait for the first.
    let urgent = match database.is_postgres {
        true => database.open(settings.database.urgent_connections).await?,
        false => store.clone(),
    };
    Ok(Stores { store, urgent })
}

/// The file first: a crash in between leaves a file that the next start replaces, never a token
/// that nobody knows.
async fn leave_first_token(settings: &Settings, store: &Store) -> Result<(), Failure> {
    let path = settings.admin_token_file();
    let failed = |error: &dyn std::fmt::Display| {
        Failure::internal(format!("{} cannot hold the first token: {error}", path.display()))
    };
    let (clock, rng) = (clock(), rng());
    let secret = orchestrator::new_secret(rng.as_ref());
    data_dir::write_secret(&path, secret.expose_secret()).map_err(|error| failed(&error))?;
    let first = orchestrator::bootstrap_with(store, clock.as_ref(), rng.as_ref(), "admin", &secret);
    match first.await.map_err(|error| failed(&error))? {
        true => Ok(()),
        // Another process was faster with this database: the file would name a token that is none.
        false => std::fs::remove_file(&path).map_err(|error| failed(&error)),
    }
}

struct Ready<'a> {
    loaded: &'a Loaded,
    database: &'a Database,
    broker: &'a Broker,
    directories: &'a Opened,
    listener: &'a TcpListener,
    started: Instant,
}

/// Where the API is, which parts are embedded, and what to type next.
fn announce(ready: &Ready<'_>, output: Output) -> Result<(), Failure> {
    let settings = &ready.loaded.settings;
    let address = ready.listener.local_addr().map_err(|e| Failure::internal(format!("no address: {e}")))?;
    let url = format!("http://{address}");
    let next = next_command(ready.loaded, &url);
    let millis = u64::try_from(ready.started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let token = settings.admin_token_file();
    let token = token.is_file().then(|| token.display().to_string());
    let names: Vec<_> = ready.directories.names().iter().map(DirectoryName::to_string).collect();
    let embedded = ready.directories.is_embedded();
    let document = json!({
        "url": url,
        "readyMillis": millis,
        "database": { "embedded": ready.database.is_embedded, "url": ready.database.shown },
        "bus": { "embedded": ready.broker.is_embedded(), "url": ready.broker.shown() },
        "directories": { "embedded": embedded, "names": names },
        "tokenFile": token,
        "next": next,
    });
    let part = |embedded: bool, text: String| if embedded { format!("embedded, {text}") } else { text };
    output.answer(&document, || {
        let directory = match embedded {
            true => "embedded, contoso.com with Host1 to Host10: for trying and rehearsal, no real domain".to_owned(),
            false => names.join(", "),
        };
        let token = token.as_deref().unwrap_or("none here; commands need FARMHAND_TOKEN or --token-file");
        format!(
            "Farmhand is ready after {millis} ms.\n  API        {url} (described at {url}/docs)\n  database   {}\n  \
             bus        {}\n  directory  {directory}\n  token      {token}\nNext: {next}",
            part(ready.database.is_embedded, ready.database.shown.clone()),
            part(ready.broker.is_embedded(), ready.broker.shown()),
        )
    })
}

/// With the flags that this process was given: the next one would not know of them.
fn next_command(loaded: &Loaded, url: &str) -> String {
    let mut command = "farmhand deploy -f deploy/samples/itfarm1.yaml --wait".to_owned();
    if matches!(loaded.origin("server.listen"), Origin::Flag(_)) {
        command.push_str(&format!(" --url {url}"));
    }
    if matches!(loaded.origin("data_dir"), Origin::Flag(_)) {
        command.push_str(&format!(" --data-dir {}", loaded.settings.data_dir.display()));
    }
    command
}
