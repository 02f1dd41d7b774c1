//! All sections together.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use url::Url;

use super::amqp::Amqp;
use super::announcements::Announcements;
use super::client::Client;
use super::database::Database;
use super::directory::Directory;
use super::drift::Drift;
use super::host_actions::HostActions;
use super::intake::Intake;
use super::lifecycle::Lifecycle;
use super::log::Log;
use super::quarantine::Quarantine;
use super::reactions::Reactions;
use super::rotation::Rotation;
use super::scheduler::Scheduler;
use super::server::Server;
use super::telemetry::Telemetry;
use super::worker::Worker;
use super::{ConfigError, Findings};

/// The effective configuration. Every default is here or in a section's `Default`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Filled in by the loader when nothing else names it.
    pub data_dir: PathBuf,
    pub server: Server,
    pub database: Database,
    pub amqp: Amqp,
    pub intake: Intake,
    pub announcements: Announcements,
    pub directories: BTreeMap<String, Directory>,
    pub worker: Worker,
    pub host_actions: HostActions,
    pub lifecycle: Lifecycle,
    pub rotation: Rotation,
    pub drift: Drift,
    pub scheduler: Scheduler,
    pub reactions: Reactions,
    pub quarantine: Quarantine,
    pub client: Client,
    pub log: Log,
    pub telemetry: Telemetry,
}

impl Settings {
    pub fn validate(&self) -> Result<(), ConfigError> {
        let mut findings = Findings::default();
        self.server.validate(&mut findings);
        self.database.validate(&mut findings);
        self.amqp.validate(&mut findings);
        self.intake.validate(self.amqp.is_configured(), &mut findings);
        for (name, directory) in &self.directories {
            directory.validate(name, &mut findings);
        }
        let mut names: Vec<String> = self.directories.keys().map(|name| name.to_ascii_lowercase()).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            findings.add(
                format!("directories.{}", pair[0]),
                "is there twice",
                "names differ by more than case",
            );
        }
        self.worker.validate(&mut findings);
        self.host_actions.validate(&mut findings);
        self.lifecycle.validate(&mut findings);
        self.rotation.validate(&mut findings);
        self.drift.validate(&mut findings);
        self.scheduler.validate(&mut findings);
        self.reactions.validate(&mut findings);
        self.quarantine.validate(&mut findings);
        self.client.validate(&mut findings);
        self.log.validate(&mut findings);
        self.telemetry.validate(&mut findings);
        findings.into_result()
    }

    /// Where commands look for the server: as configured, else where a server on this machine with
    /// this configuration listens.
    pub fn api_url(&self) -> Url {
        if let Some(url) = &self.client.url {
            return url.clone();
        }
        let mut listen = self.server.listen;
        if listen.ip().is_unspecified() {
            listen.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        #[expect(clippy::expect_used, reason = "http:// and a socket address is a URL")]
        format!("http://{listen}").parse().expect("a URL")
    }

    /// The file of the embedded database.
    pub fn sqlite_file(&self) -> PathBuf {
        self.data_dir.join("farmhand.db")
    }

    /// Where `up` leaves the first token of a new database.
    pub fn admin_token_file(&self) -> PathBuf {
        self.data_dir.join("admin-token")
    }
}
