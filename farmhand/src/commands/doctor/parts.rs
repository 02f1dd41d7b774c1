//! Configuration, data folder, database, broker.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use domain::Lane;
use messages::BusHealth;
use store::SchemaStatus;

use super::Check;
use crate::compose::bus::{Broker, Opened};
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

/// Whether the program that acts on hosts is there. What it does there is its own affair.
pub fn host_actions(settings: &Settings) -> Option<Check> {
    let program = settings.host_actions.program()?;
    let (name, shown) = ("host actions", program.display());
    let fix = "let host_actions.command name a program that this user can run";
    let metadata = match std::fs::metadata(program) {
        Ok(metadata) => metadata,
        Err(error) => return Some(Check::fail(name, format!("{shown}: {error}"), fix)),
    };
    let mode = metadata.permissions().mode();
    Some(match () {
        () if !metadata.is_file() => Check::fail(name, format!("{shown} is no file"), fix),
        () if mode & 0o111 == 0 => Check::fail(name, format!("{shown} is not executable"), fix),
        () if mode & 0o002 != 0 => Check::warn(
            name,
            format!("{shown} can be changed by every user of this machine"),
            format!("chmod o-w {shown}: whoever changes it acts on every host"),
        ),
        () => Check::ok(name, format!("{}, through {shown}", settings.host_actions.adapter)),
    })
}

/// Requests over AMQP, where somebody may ask.
async fn intake(opened: &Opened, settings: &Settings) -> Option<Check> {
    let intake = opened.intake(settings)?;
    let users: Vec<_> = intake.users.keys().map(String::as_str).collect();
    Some(match intake.requests.requests_waiting().await {
        Ok(waiting) => Check::ok("requests", format!("{waiting} waiting; taken from {}", users.join(", "))),
        Err(error) => Check::fail(
            "requests",
            crate::compose::store::chain(&error),
            "let the user configure, write and read what begins with amqp.prefix",
        ),
    })
}

pub async fn broker(settings: &Settings) -> Vec<Check> {
    let opened = Broker::of(settings).and_then(|broker| Ok((broker.open("doctor")?, broker)));
    let (opened, broker) = match opened {
        Ok(opened) => opened,
        Err(failure) => return vec![Check::failure("broker", &failure)],
    };
    if broker.is_embedded() {
        return vec![Check::ok("broker", "embedded, in the process of `farmhand up`")];
    }
    let (bus, shown) = (&opened.bus, broker.shown());
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
        checks.extend(intake(&opened, settings).await);
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

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    fn verdict(mode: u32) -> Verdict {
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("act");
        std::fs::write(&program, "#!/bin/sh\n").expect("written");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(mode)).expect("set");
        let mut settings = Settings::default();
        settings.host_actions.command = vec![program.display().to_string()];
        host_actions(&settings).expect("a check").verdict
    }

    #[test]
    fn the_program_for_hosts_must_be_there_and_executable_and_nobody_elses() {
        assert!(host_actions(&Settings::default()).is_none());
        assert_eq!(verdict(0o755), Verdict::Ok);
        assert_eq!(verdict(0o644), Verdict::Fail);
        assert_eq!(verdict(0o757), Verdict::Warn);
        let mut settings = Settings::default();
        for missing in ["/nowhere/act", "/tmp"] {
            settings.host_actions.command = vec![missing.to_owned()];
            assert_eq!(host_actions(&settings).expect("a check").verdict, Verdict::Fail);
        }
    }
}
