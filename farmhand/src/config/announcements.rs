//! `[announcements]`: what other systems are told.

use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Announcements {
    pub enabled: bool,
}

impl Default for Announcements {
    fn default() -> Self {
        Self { enabled: true }
    }
}
