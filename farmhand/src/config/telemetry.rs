//! `[telemetry]`

use serde::Deserialize;
use url::Url;

use super::Findings;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    pub otlp_endpoint: Option<Url>,
}

impl Telemetry {
    pub fn validate(&self, findings: &mut Findings) {
        if let Some(url) = &self.otlp_endpoint
            && !matches!(url.scheme(), "http" | "https")
        {
            let hint = "OTLP over HTTP, e.g. http://127.0.0.1:4318";
            findings.add("telemetry.otlp_endpoint", "must begin with http:// or https://", hint);
        }
    }
}
