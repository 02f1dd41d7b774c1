//! `[log]`

use serde::Deserialize;

use super::Findings;

/// What sqlx and sea-orm say at `info` is noise; what lapin says as an error is passing trouble that
/// our own adapter reports once.
const DEFAULT: &str = "info,sea_orm_migration=warn,sqlx=warn,lapin=off";

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    pub filter: String,
    pub format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

impl LogFormat {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: DEFAULT.to_owned(), format: LogFormat::Text }
    }
}

impl Log {
    pub fn validate(&self, findings: &mut Findings) {
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&self.filter) {
            findings.add("log.filter", error.to_string(), "e.g. info, or info,workers=debug");
        }
    }
}
