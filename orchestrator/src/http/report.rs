//! `GET /workflows/{id}/report`: evidence, as JSON or as a page to print.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use domain::{Workflow, WorkflowId};

use super::errors::ApiError;
use super::extract::InPath;
use super::{Api, schema, workflows};
use crate::report::{page, report};

/// The page loads nothing and runs nothing, also where a browser is made to believe otherwise.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// Reports on a workflow of any kind: what was asked and by whom, when each thing happened, every write
/// with what was there before and after, who approved, what was not done.
///
/// With `Accept: text/html` a page to print, without scripts and without anything from elsewhere.
#[utoipa::path(
    get, path = "/workflows/{id}/report", tag = "workflows",
    params(("id" = String, Path, description = "The workflow's id")),
    responses((
        status = 200, description = "The report",
        content((schema::Report = "application/json"), (String = "text/html")),
    )),
)]
pub(crate) async fn show(
    State(api): State<Arc<Api>>,
    InPath(id): InPath<WorkflowId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let workflow: Workflow = workflows::find(&api, id).await?;
    let children = api.store.children(id).await?;
    let report = report(&workflow, &children, api.clock.now(), api.embedded);
    let mut response = if prefers_html(&headers) {
        let policy = HeaderValue::from_static(POLICY);
        let kind = HeaderValue::from_static("text/html; charset=utf-8");
        ([(header::CONTENT_TYPE, kind), (header::CONTENT_SECURITY_POLICY, policy)], page(&report))
            .into_response()
    } else {
        Json(report).into_response()
    };
    // One address, two forms; and tomorrow's report says more.
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Whether HTML is asked for, and preferred to JSON (RFC 9110, 12.5.1).
fn prefers_html(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let (mut html, mut json) = (0.0_f32, 0.0_f32);
    for range in accepted.flat_map(|text| text.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
        let weight = parts.find_map(|part| part.strip_prefix("q=")).and_then(|text| text.parse().ok());
        let weight: f32 = weight.unwrap_or(1.0);
        match media_type.as_str() {
            "text/html" => html = html.max(weight),
            "application/json" => json = json.max(weight),
            _ => {}
        }
    }
    html > json
}

#[cfg(test)]
mod tests {
    use axum::http::{Method, StatusCode};
    use serde_json::json;

    use super::*;
    use crate::http::testing::{World, call, request};

    #[test]
    fn html_is_answered_where_it_is_preferred() {
        for (accept, html) in [
            ("", false),
            ("*/*", false),
            ("application/json", false),
            ("text/html", true),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true),
            ("application/json, text/html;q=0.9", false),
            ("text/html;q=0.9, application/json;q=0.1", true),
            ("text/html;q=0", false),
            ("TEXT/HTML; q=1.0", true),
            ("text/html;q=banana", true),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(prefers_html(&headers), html, "{accept}");
        }
        assert!(!prefers_html(&HeaderMap::new()));
    }

    #[tokio::test]
    async fn a_report_comes_as_json_or_as_a_page_of_any_workflow() {
        let world = World::new().await;
        let contained = world.contained().await;
        let asked =
            world.post_as("responder", "/api/v1/quarantine-checks?reason=%3Cb%3Ewhy", "", "", &[]).await;
        let queued = asked.json["id"].as_str().expect("an id");
        for id in [contained.as_str(), queued] {
            let path = format!("/api/v1/workflows/{id}/report");
            let answer = world.get_as("viewer", &path).await;
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
            assert_eq!(
                (&answer.json["workflow"]["id"], &answer.json["embeddedDirectory"]),
                (&json!(id), &json!(id == queued))
            );
            let mut request = world.authorised("viewer", request(Method::GET, &path));
            request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("text/html"));
            let page = call(&world.router, request).await;
            assert_eq!(page.content_type(), "text/html; charset=utf-8");
            assert!(page.header("content-security-policy").starts_with("default-src 'none'"));
            assert!(page.text.contains(id) && !page.text.contains("<b>why"), "{}", page.text);
        }
        let none =
            world.get_as("viewer", "/api/v1/workflows/01890000-0000-7000-8000-000000000000/report").await;
        assert_eq!((none.status, none.code()), (StatusCode::NOT_FOUND, "not-found"));
    }
}
