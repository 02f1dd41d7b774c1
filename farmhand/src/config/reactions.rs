//! `[reactions]`: what follows from events.

use std::time::Duration;

use serde::Deserialize;

use super::Findings;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reactions {
    pub keep_days: u16,
    pub allow_http: bool,
}

impl Default for Reactions {
    fn default() -> Self {
        Self { keep_days: 30, allow_http: false }
    }
}

impl Reactions {
    /// How long it stays on record what rules and webhooks made of events.
    pub fn keep(&self) -> Duration {
        Duration::from_secs(u64::from(self.keep_days) * 24 * 60 * 60)
    }

    pub fn validate(&self, findings: &mut Findings) {
        // A rule's rate and deduplication look back on what is on record.
        if self.keep_days < 30 {
            findings.add("reactions.keep_days", "is less than 30", "e.g. 30: a rule may look back as far");
        }
    }
}
