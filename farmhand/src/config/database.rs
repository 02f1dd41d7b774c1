//! `[database]`

use std::path::PathBuf;

use serde::Deserialize;

use super::{ConfigError, Findings, Secret, SecretUrl};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Database {
    pub url: Option<SecretUrl>,
    pub url_file: Option<PathBuf>,
    pub max_connections: u32,
    pub urgent_connections: u32,
    pub timeout_seconds: u64,
}

impl Default for Database {
    fn default() -> Self {
        Self { url: None, url_file: None, max_connections: 10, urgent_connections: 4, timeout_seconds: 5 }
    }
}

impl Database {
    pub fn validate(&self, findings: &mut Findings) {
        if let Some(url) = &self.url {
            check_scheme(findings, "database.url", url);
        }
        findings.range("database.max_connections", self.max_connections.into(), 1..=1000);
        findings.range("database.urgent_connections", self.urgent_connections.into(), 1..=1000);
        findings.range("database.timeout_seconds", self.timeout_seconds, 1..=300);
    }

    /// The URL, from the file where one is named. `None`: the embedded default.
    pub fn url(&self) -> Result<Option<SecretUrl>, ConfigError> {
        let Some(path) = &self.url_file else { return Ok(self.url.clone()) };
        let url = SecretUrl::from(Secret::from_file("database.url_file", path)?);
        let mut findings = Findings::default();
        check_scheme(&mut findings, "database.url_file", &url);
        findings.into_result().map(|()| Some(url))
    }
}

fn check_scheme(findings: &mut Findings, key: &str, url: &SecretUrl) {
    if !matches!(url.scheme(), "postgres" | "postgresql" | "sqlite") {
        findings.add(key, "must begin with postgres:// or sqlite://", "e.g. postgres://farmhand@db/farmhand");
    }
}
