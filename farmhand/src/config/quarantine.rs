//! `[quarantine]`: how hosts under quarantine are watched.

use std::time::Duration;

use serde::Deserialize;

use super::Findings;
use super::lifecycle::duration;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quarantine {
    #[serde(deserialize_with = "duration")]
    pub check_every: Duration,
}

impl Default for Quarantine {
    fn default() -> Self {
        Self { check_every: orchestrator::Settings::default().quarantine_check_every }
    }
}

impl Quarantine {
    pub fn validate(&self, findings: &mut Findings) {
        // Each check reads every gMSA of a directory on every DC.
        let allowed = Duration::from_secs(60)..=Duration::from_secs(24 * 60 * 60);
        if !allowed.contains(&self.check_every) {
            findings.add("quarantine.check_every", "is not 1 minute to 1 day", "e.g. 15m");
        }
    }
}
