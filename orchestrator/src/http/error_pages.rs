//! `/errors/{code}`: what a code means, how to check, how to fix; the pages of `docs/errors/`.

use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::errors::ApiError;
use super::extract::InPath;

macro_rules! page {
    ($code:literal) => {
        ($code, include_str!(concat!("../../../docs/errors/", $code, ".md")))
    };
}

/// By code, in the order of `domain::ErrorCode`.
const PAGES: &[(&str, &str)] = &[
    page!("invalid-manifest"),
    page!("invalid-request"),
    page!("unauthenticated"),
    page!("forbidden"),
    page!("not-found"),
    page!("already-exists"),
    page!("idempotency-conflict"),
    page!("illegal-transition"),
    page!("internal"),
    page!("farm-not-deployed"),
    page!("approval-own"),
    page!("approval-void"),
    page!("rate-limited"),
    page!("webhook-paused"),
    page!("announcements-off"),
    page!("store-unavailable"),
    page!("forest-too-old"),
    page!("schema-too-old"),
    page!("no-kds-root-key"),
    page!("kds-root-key-not-yet-usable"),
    page!("container-not-found"),
    page!("account-name-taken"),
    page!("account-differs"),
    page!("spn-conflict"),
    page!("host-not-found"),
    page!("host-not-computer"),
    page!("host-denied"),
    page!("group-not-found"),
    page!("group-unsuitable"),
    page!("preempted"),
    page!("rights-missing"),
    page!("account-not-found"),
    page!("interval-fixed"),
    page!("update-refused"),
    page!("import-ambiguous"),
    page!("import-refused"),
    page!("host-still-reads"),
    page!("account-in-use"),
    page!("host-quarantined"),
    page!("host-is-domain-controller"),
    page!("not-quarantined"),
    page!("not-contained"),
    page!("directory-unknown"),
    page!("directory-unreachable"),
    page!("directory-untrusted"),
    page!("directory-login-failed"),
    page!("directory-insecure"),
    page!("directory-busy"),
    page!("directory-refused"),
    page!("directory-conflict"),
    page!("directory-read-only"),
    page!("directory-outcome-unknown"),
    page!("directory-malformed"),
    page!("verification-failed"),
    page!("not-replicated"),
    page!("password-not-rolled"),
    page!("step-timed-out"),
    page!("undo-failed"),
    page!("unknown-runbook"),
    page!("step-fault"),
    page!("cancelled"),
    page!("approval-awaited"),
    page!("approval-expired"),
    page!("approval-rejected"),
    page!("hosts-awaited"),
    page!("host-action-failed"),
    page!("cooling-down"),
    page!("by-hand-awaited"),
    page!("children-awaited"),
    page!("roll-awaited"),
];

/// Explains an error code.
#[utoipa::path(
    get, path = "/errors/{code}", tag = "health",
    params(("code" = String, Path, description = "A code as it stands in a problem document")),
    responses((status = 200, description = "The page", body = String, content_type = "text/markdown")),
)]
pub(crate) async fn show(InPath(code): InPath<String>) -> Result<Response, ApiError> {
    let page = PAGES.iter().find(|(known, _)| *known == code);
    let (_, text) = page.ok_or_else(|| {
        ApiError::not_found(
            "there is no such error code",
            "copy the `code` of the problem document; codes are lower case with hyphens",
        )
    })?;
    // Plain text, so that a browser shows it instead of saving it.
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], *text).into_response())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use axum::http::StatusCode;
    use domain::ErrorCode;

    use super::*;
    use crate::http::testing::World;

    #[test]
    fn every_code_has_a_page_and_every_page_a_code() {
        let codes: BTreeSet<_> = ErrorCode::ALL.iter().map(|code| code.as_str().to_owned()).collect();
        let served: BTreeSet<_> = PAGES.iter().map(|(code, _)| (*code).to_owned()).collect();
        assert_eq!(codes, served, "list the page in error_pages.rs");
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/errors");
        let files: BTreeSet<_> = std::fs::read_dir(folder)
            .expect("the folder")
            .map(|file| file.expect("a file").file_name().to_string_lossy().into_owned())
            .filter(|name| name != "README.md")
            .map(|name| name.trim_end_matches(".md").to_owned())
            .collect();
        assert_eq!(codes, files, "docs/errors holds exactly one page for each code");
    }

    #[test]
    fn every_page_says_what_it_means_how_to_check_and_how_to_fix() {
        for (code, text) in PAGES {
            assert!(text.starts_with(&format!("# {code}\n")), "{code}");
            for heading in ["\n## Meaning\n", "\n## Check\n", "\n## Fix\n"] {
                assert!(text.contains(heading), "{code} lacks {heading:?}");
            }
        }
    }

    #[tokio::test]
    async fn the_type_of_a_problem_document_resolves() {
        let world = World::new().await;
        let refused = world.get("/api/v1/farms").await;
        let page = world.get(refused.json["type"].as_str().expect("a type")).await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(page.text.starts_with("# unauthenticated"), "{}", page.text);
        assert_eq!(world.get("/errors/nonsense").await.code(), "not-found");
    }
}
