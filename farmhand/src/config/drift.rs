//! `[drift]`: how often every farm is compared, whatever a DC says of its changes.

use std::time::Duration;

use serde::Deserialize;

use super::Findings;
use super::lifecycle::duration;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Drift {
    #[serde(deserialize_with = "duration")]
    pub full_every: Duration,
}

impl Default for Drift {
    fn default() -> Self {
        Self { full_every: orchestrator::Settings::default().drift_full_every }
    }
}

impl Drift {
    pub fn validate(&self, findings: &mut Findings) {
        let allowed = Duration::from_secs(60)..=Duration::from_secs(30 * 24 * 60 * 60);
        if !allowed.contains(&self.full_every) {
            findings.add("drift.full_every", "is not 1 minute to 30 days", "e.g. 24h");
        }
    }
}
