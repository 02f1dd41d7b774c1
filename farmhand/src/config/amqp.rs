//! `[amqp]`

use std::path::PathBuf;

use serde::Deserialize;

use super::{ConfigError, Findings, Secret, SecretUrl};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Amqp {
    pub url: Option<SecretUrl>,
    pub url_file: Option<PathBuf>,
    pub ca_file: Option<PathBuf>,
    pub prefix: String,
}

impl Default for Amqp {
    fn default() -> Self {
        Self { url: None, url_file: None, ca_file: None, prefix: "farmhand".to_owned() }
    }
}

impl Amqp {
    pub fn validate(&self, findings: &mut Findings) {
        if let Some(url) = &self.url {
            check_scheme(findings, "amqp.url", url);
        }
        let ok = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if self.prefix.is_empty() || self.prefix.len() > 64 || !self.prefix.chars().all(ok) {
            findings.add("amqp.prefix", "must be 1 to 64 of A-Z a-z 0-9 - _ .", "");
        }
    }

    /// Whether a broker is named.
    pub fn is_configured(&self) -> bool {
        self.url.is_some() || self.url_file.is_some()
    }

    /// The URL, from the file where one is named. `None`: the in-process bus.
    pub fn url(&self) -> Result<Option<SecretUrl>, ConfigError> {
        let Some(path) = &self.url_file else { return Ok(self.url.clone()) };
        let url = SecretUrl::from(Secret::from_file("amqp.url_file", path)?);
        let mut findings = Findings::default();
        check_scheme(&mut findings, "amqp.url_file", &url);
        findings.into_result().map(|()| Some(url))
    }
}

fn check_scheme(findings: &mut Findings, key: &str, url: &SecretUrl) {
    if !matches!(url.scheme(), "amqp" | "amqps") {
        findings.add(key, "must begin with amqp:// or amqps://", "e.g. amqps://farmhand@rabbit:5671/%2f");
    }
}
