//! A span and a metric for every operation. Neither ever holds an attribute's value.

use tokio::time::Instant;
use tracing::{Instrument, Span, field};

use crate::error::{DirectoryError, DirectoryErrorKind, ResultCode};

/// Histogram in seconds, by `operation` and `result`.
const SECONDS: &str = "farmhand_ldap_operation_seconds";

/// Runs an operation under a span `ldap.OPERATION` with the DC, the DN and the result code.
pub(super) async fn observe<T>(
    operation: &'static str,
    dc: &str,
    dn: &str,
    work: impl Future<Output = Result<T, DirectoryError>>,
) -> Result<T, DirectoryError> {
    let span = span(operation, dc, dn);
    let started = Instant::now();
    let outcome = work.instrument(span.clone()).await;
    let result = label(outcome.as_ref().err());
    span.record("result", result.as_str());
    metrics::histogram!(SECONDS, "operation" => operation, "result" => result)
        .record(started.elapsed().as_secs_f64());
    outcome
}

/// Span names are fixed when the program is built, so there is one line for each.
fn span(operation: &str, dc: &str, dn: &str) -> Span {
    match operation {
        "connect" => tracing::info_span!("ldap.connect", dc, dn, result = field::Empty),
        "search" => tracing::info_span!("ldap.search", dc, dn, result = field::Empty),
        "add" => tracing::info_span!("ldap.add", dc, dn, result = field::Empty),
        "modify" => tracing::info_span!("ldap.modify", dc, dn, result = field::Empty),
        "delete" => tracing::info_span!("ldap.delete", dc, dn, result = field::Empty),
        "rename" => tracing::info_span!("ldap.rename", dc, dn, result = field::Empty),
        _ => tracing::info_span!("ldap.read", dc, dn, result = field::Empty),
    }
}

/// The result code, or a word where there was none. Few values: it labels a metric.
fn label(error: Option<&DirectoryError>) -> String {
    match error.map(|error| &error.kind) {
        None => "0".to_owned(),
        Some(DirectoryErrorKind::Result { code: ResultCode(code), .. }) => code.to_string(),
        Some(DirectoryErrorKind::Unreachable(_)) => "unreachable".to_owned(),
        Some(DirectoryErrorKind::Untrusted(_)) => "untrusted".to_owned(),
        Some(DirectoryErrorKind::NoAnswer(_)) => "no_answer".to_owned(),
        Some(DirectoryErrorKind::Refused(_)) => "refused".to_owned(),
        Some(DirectoryErrorKind::Malformed(_)) => "malformed".to_owned(),
    }
}
