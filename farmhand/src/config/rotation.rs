//! `[rotation]`: what rotation checks judge by, and how long they are remembered.

use serde::Deserialize;

use super::Findings;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rotation {
    pub max_interval_days: u32,
    pub keep_days: u32,
}

impl Default for Rotation {
    fn default() -> Self {
        let orchestrator::RotationPolicy { max_interval_days, keep_days } = Default::default();
        Self { max_interval_days, keep_days }
    }
}

impl Rotation {
    pub fn validate(&self, findings: &mut Findings) {
        if !(1..=365).contains(&self.max_interval_days) {
            findings.add("rotation.max_interval_days", "is not 1 to 365", "e.g. 30");
        }
        if !(1..=36_500).contains(&self.keep_days) {
            findings.add("rotation.keep_days", "is not 1 to 36500", "e.g. 400");
        }
    }
}
