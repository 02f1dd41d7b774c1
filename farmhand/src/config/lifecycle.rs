//! `[lifecycle]`: what requests leave out.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error};

use super::Findings;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lifecycle {
    #[serde(deserialize_with = "duration")]
    pub cool_down: Duration,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self { cool_down: Duration::from_secs(7 * 24 * 60 * 60) }
    }
}

impl Lifecycle {
    pub fn validate(&self, findings: &mut Findings) {
        // As the API takes it from a request.
        if self.cool_down > Duration::from_secs(365 * 24 * 60 * 60) {
            findings.add("lifecycle.cool_down", "is more than 365 days", "e.g. 7days");
        }
    }
}

pub(super) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text).map_err(|error| {
        D::Error::custom(format!("a duration like 7days, 12h or 15m, this is {text:?}: {error}"))
    })
}
