//! `[client]`: how commands reach a server.

use std::path::PathBuf;

use serde::Deserialize;
use url::Url;

use super::{ConfigError, Findings, Secret};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Client {
    pub url: Option<Url>,
    pub token: Option<Secret>,
    pub token_file: Option<PathBuf>,
    pub ca_file: Option<PathBuf>,
    pub timeout_seconds: u64,
}

impl Default for Client {
    fn default() -> Self {
        Self { url: None, token: None, token_file: None, ca_file: None, timeout_seconds: 30 }
    }
}

impl Client {
    pub fn validate(&self, findings: &mut Findings) {
        if let Some(url) = &self.url
            && !matches!(url.scheme(), "http" | "https")
        {
            findings.add("client.url", "must begin with http:// or https://", "e.g. http://127.0.0.1:8420");
        }
        findings.range("client.timeout_seconds", self.timeout_seconds, 1..=600);
    }

    /// The token that was configured; without one the caller looks into the data folder.
    pub fn token(&self) -> Result<Option<Secret>, ConfigError> {
        match &self.token_file {
            Some(path) => Secret::from_file("client.token_file", path).map(Some),
            None => Ok(self.token.clone()),
        }
    }
}
