//! Configuration, data folder, database, broker.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use domain::Lane;
use messages::BusHealth;
use store::SchemaStatus;

use super::Check;
use crate::compose::bus::Broker;
use crate::compose::store::Database;
use crate::config::{Loaded, Settings};

const BROKER_PATIENCE: Duration = Duration::from_secs(7);

pub fn configuration(loaded: &Loaded) -> Check {
    let file = loaded.file.as_ref().map_or("no file".to_owned(), |file| file.display().to_string());
    match loaded.check_files() {
        Ok(()) => Check::ok("configuration", format!("valid ({file})")),
        Err(error) => {
            Check::fail("configuration", error.to_string(), "`farmhand config check` explains every value")
        }
    }
}

pub fn data_folder(settings: &Settings) -> Check {
    let folder = &settings.data_dir;
    let shown = folder.display().to_string();
    match std::fs::metadata(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Check::ok("data folder", format!("{shown} is not there yet; `farmhand up` makes it"))
        }
        Err(error) => {
            Check::fail("data folder", format!("{shown}: {error}"), "name another with FARMHAND_DATA_DIR")
        }
        Ok(metadata) if !metadata.is_dir() => {
            Check::fail("data folder", format!("{shown} is no folder"), "name another with FARMHAND_DATA_DIR")
        }
        Ok(metadata) if metadata.permissions().mode() & 0o077 != 0 => Check::warn(
            "data folder",
            format!("{shown} can be entered by other users"),
            format!("chmod 700 {shown}: it holds the admin token"),
        ),
        Ok(_) => Check::ok("data folder", shown),
    }
}

pub async fn database(settings: &Settings) -> Vec<Check> {
    let database = match Database::of(settings) {
        Ok(database) => database,
        Err(failure) => return vec![Check::failure("database", &failure)],
    };
    if database.is_embedded && !settings.sqlite_file().is_file() {
        let found = format!(
            "embedded; {} is not there yet, `farmhand up` makes it",
            settings.sqlite_file().display()
        );
        return vec![Check::ok("database", found)];
    }
    let store = match database.open(1).await {
        Ok(store) => store,
        Err(failure) => return vec![Check::failure("database", &failure)],
    };
    let schema = match store.schema_status().await {
        Ok(SchemaStatus::Current) => Check::ok("database schema", "is that of this program"),
        Ok(SchemaStatus::Behind { pending }) => Check::fail(
            "database schema",
            format!("lacks {}", pending.join(", ")),
            "run `farmhand migrate up` (`farmhand up` does it by itself)",
        ),
        Ok(SchemaStatus::Unknown { found }) => Check::fail(
            "database schema",
            format!("holds {}, which this program does not know", found.join(", ")),
            "a newer Farmhand was here: run that version",
        ),
        Err(error) => Check::failure("database schema", &database.failure(&error)),
    };
    store.close().await;
    vec![Check::ok("database", format!("{} answers", database.shown)), schema]
}

pub async fn broker(settings: &Settings) -> Vec<Check> {
    let opened = Broker::of(settings).and_then(|broker| Ok((broker.open("doctor")?, broker)));
    let (bus, broker) = match opened {
        Ok(opened) => opened,
        Err(failure) => return vec![Check::failure("broker", &failure)],
    };
    if broker.is_embedded() {
        return vec![Check::ok("broker", "embedded, in the process of `farmhand up`")];
    }
    let shown = broker.shown();
    let mut health = bus.health();
    let connected = health.wait_for(|health| *health == BusHealth::Connected);
    let came = tokio::time::timeout(BROKER_PATIENCE, connected).await.is_ok_and(|answer| answer.is_ok());
    let mut checks = Vec::new();
    if came {
        checks.push(Check::ok("broker", format!("{shown} answers")));
        // Connecting declares everything; a queue that answers shows that it is as it should be.
        for lane in Lane::ALL {
            checks.push(match bus.depth(*lane).await {
                Ok(depth) => Check::ok(format!("queue of {lane}"), format!("{depth} waiting")),
                Err(error) => Check::fail(
                    format!("queue of {lane}"),
                    crate::compose::store::chain(&error),
                    "let the user configure, write and read what begins with amqp.prefix",
                ),
            });
        }
    } else {
        let why = match &*bus.health().borrow() {
            BusHealth::Down(reason) => reason.clone(),
            BusHealth::Connected => "too slow".to_owned(),
        };
        let fix = "check that it runs, FARMHAND_AMQP_URL, and the user's rights on the vhost";
        let mut row = Check::fail("broker", format!("{shown}: {why}"), fix);
        row.unreachable = true;
        checks.push(row);
    }
    bus.close().await;
    checks
}
