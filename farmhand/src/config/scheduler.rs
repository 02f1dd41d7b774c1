//! `[scheduler]`: what is asked for by itself.

use std::time::Duration;

use serde::Deserialize;

use super::Findings;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scheduler {
    pub keep_fires_days: u16,
}

impl Default for Scheduler {
    fn default() -> Self {
        Self { keep_fires_days: 90 }
    }
}

impl Scheduler {
    /// How long it stays on record what became of a due time.
    pub fn keep_fires(&self) -> Duration {
        Duration::from_secs(u64::from(self.keep_fires_days) * 24 * 60 * 60)
    }

    pub fn validate(&self, findings: &mut Findings) {
        if self.keep_fires_days == 0 {
            findings.add("scheduler.keep_fires_days", "is 0", "e.g. 90");
        }
    }
}
