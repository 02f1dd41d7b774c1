//! Opens the database.

use std::sync::Arc;
use std::time::Duration;

use orchestrator::EnvelopeWriter;
use secrecy::SecretString;
use store::{Store, StoreError, StoreOptions};

use super::rng;
use crate::config::{SecretUrl, Settings};
use crate::failure::Failure;

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Where the database is.
pub struct Database {
    url: SecretString,
    /// For people: without the password.
    pub shown: String,
    /// The file in the data folder.
    pub is_embedded: bool,
    pub is_postgres: bool,
    timeout: Duration,
    /// Other systems are told what is written here.
    announces: bool,
}

impl Database {
    /// The configured one, else the file in the data folder.
    pub fn of(settings: &Settings) -> Result<Self, Failure> {
        let configured = settings.database.url()?;
        let is_embedded = configured.is_none();
        let url = configured
            .unwrap_or_else(|| SecretUrl::new(format!("sqlite://{}", settings.sqlite_file().display())));
        Ok(Self {
            shown: url.to_string(),
            is_postgres: url.scheme() != "sqlite",
            url: SecretString::from(url.expose()),
            is_embedded,
            timeout: Duration::from_secs(settings.database.timeout_seconds),
            announces: settings.announcements.enabled,
        })
    }

    /// One that is not the embedded one: several processes share it.
    pub fn shared(settings: &Settings, command: &str) -> Result<Self, Failure> {
        let database = Self::of(settings)?;
        if database.is_embedded {
            return Err(Failure::refused(
                "invalid-configuration",
                format!("`farmhand {command}` needs a database that it shares with the other processes"),
                "set FARMHAND_DATABASE_URL, or run everything in one process with `farmhand up`",
            ));
        }
        Ok(database)
    }

    /// For a command that ends at once when the database is away.
    pub async fn open(&self, max_connections: u32) -> Result<Store, Failure> {
        self.connect(max_connections).await.map_err(|error| self.failure(&error))
    }

    /// For a server: waits until the database answers.
    pub async fn open_when_there(&self, max_connections: u32) -> Result<Store, Failure> {
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match self.connect(max_connections).await {
                Ok(store) => return Ok(store),
                Err(error) => error,
            };
            if !error.is_passing() {
                return Err(self.failure(&error));
            }
            tracing::warn!(database = self.shown, error = %chain(&error), again_in = ?pause, "the database is away");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn connect(&self, max_connections: u32) -> Result<Store, StoreError> {
        let url = self.url.clone();
        let options = StoreOptions { url, max_connections, acquire_timeout: self.timeout };
        let events = EnvelopeWriter::new(rng()).announcing(self.announces);
        let store = Store::connect(&options, Arc::new(events)).await?;
        store.ping().await?;
        Ok(store)
    }

    pub fn failure(&self, error: &StoreError) -> Failure {
        let shown = &self.shown;
        match error {
            StoreError::Unavailable(_) => Failure::unreachable(
                "store-unavailable",
                format!("the database {shown} does not answer: {}", chain(error)),
                "check FARMHAND_DATABASE_URL and that the database runs",
            ),
            StoreError::Schema { .. } => Failure::refused(
                "unknown-schema",
                error.to_string(),
                "run `farmhand migrate up` with this program's version; `farmhand migrate status` shows more",
            ),
            other => Failure::internal(format!("the database {shown}: {}", chain(other))),
        }
    }
}

/// An error with its causes in one line.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
