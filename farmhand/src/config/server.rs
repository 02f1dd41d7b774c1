//! `[server]`: the HTTP API.

use std::net::SocketAddr;

use serde::Deserialize;

use super::Findings;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    pub listen: SocketAddr,
    pub shutdown_seconds: u64,
}

impl Default for Server {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 8420)), shutdown_seconds: 20 }
    }
}

impl Server {
    pub fn validate(&self, findings: &mut Findings) {
        findings.range("server.shutdown_seconds", self.shutdown_seconds, 1..=600);
    }
}
