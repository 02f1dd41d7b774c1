//! `[scheduler]`: what is asked for by itself.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error};

use super::Findings;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scheduler {
    #[serde(deserialize_with = "duration")]
    pub keep_fires: Duration,
}

impl Default for Scheduler {
    fn default() -> Self {
        Self { keep_fires: Duration::from_secs(90 * 24 * 60 * 60) }
    }
}

impl Scheduler {
    pub fn validate(&self, findings: &mut Findings) {
        if self.keep_fires < Duration::from_secs(60 * 60) {
            findings.add("scheduler.keep_fires", "is less than an hour", "e.g. 90days");
        }
    }
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text).map_err(|error| {
        D::Error::custom(format!("a duration like 90days or 12h, this is {text:?}: {error}"))
    })
}
