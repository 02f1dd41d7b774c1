//! `GET /workflows`: what was asked for and how it stands.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use domain::{DirectoryName, FarmName, Workflow, WorkflowId, WorkflowKind, WorkflowState};
use serde::Deserialize;
use store::{Page, WorkflowFilter};
use utoipa::IntoParams;

use super::errors::ApiError;
use super::extract::{InPath, Query};
use super::{Api, page, schema};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// e.g. `deploy`
    #[param(value_type = Option<String>)]
    kind: Option<WorkflowKind>,
    #[param(value_type = Option<schema::WorkflowState>)]
    state: Option<WorkflowState>,
    #[param(value_type = Option<String>)]
    directory: Option<DirectoryName>,
    #[param(value_type = Option<String>)]
    farm: Option<FarmName>,
    /// Workflows that name this host.
    host: Option<String>,
    /// Workflows that this one asked for.
    #[param(value_type = Option<String>)]
    parent: Option<WorkflowId>,
    /// Asked for at or after this time (RFC 3339).
    since: Option<DateTime<Utc>>,
    /// Asked for before this time (RFC 3339).
    until: Option<DateTime<Utc>>,
    /// Items on a page: 1 to 200.
    #[param(default = 50, minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// `next` of the previous page.
    cursor: Option<String>,
}

/// Lists workflows, newest first.
#[utoipa::path(
    get, path = "/workflows", tag = "workflows", params(ListQuery),
    responses((status = 200, description = "A page of workflows", body = schema::WorkflowPage)),
)]
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Workflow>>, ApiError> {
    let limit = page::limit(query.limit)?;
    let filter = WorkflowFilter {
        kind: query.kind,
        state: query.state,
        directory: query.directory,
        farm: query.farm,
        host: query.host,
        parent: query.parent,
        since: query.since,
        until: query.until,
    };
    Ok(Json(api.store.workflows(&filter, query.cursor.as_deref(), limit).await?))
}

/// Shows a workflow with its steps.
#[utoipa::path(
    get, path = "/workflows/{id}", tag = "workflows",
    params(("id" = String, Path, description = "The workflow's id")),
    responses((status = 200, description = "The workflow", body = schema::Workflow)),
)]
pub(crate) async fn show(
    State(api): State<Arc<Api>>,
    InPath(id): InPath<WorkflowId>,
) -> Result<Json<Workflow>, ApiError> {
    Ok(Json(find(&api, id).await?))
}

pub(crate) async fn find(api: &Api, id: WorkflowId) -> Result<Workflow, ApiError> {
    api.store.workflow(id).await?.ok_or_else(|| no_such_workflow(id))
}

pub(crate) fn no_such_workflow(id: WorkflowId) -> ApiError {
    ApiError::not_found(
        format!("there is no workflow {id}"),
        "`farmhand workflow list` (GET /api/v1/workflows) shows all; mind which server you ask",
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::http::StatusCode;
    use chrono::SecondsFormat;
    use domain::Clock;

    use crate::http::testing::{MANIFEST, World};

    #[tokio::test]
    async fn workflows_are_found_by_every_filter() {
        let world = World::new().await;
        world.deploy("operator", "", &MANIFEST.replace("name: ITFarm1", "name: alpha")).await;
        world.clock.advance(Duration::from_secs(60));
        let between = world.clock.now().to_rfc3339_opts(SecondsFormat::Secs, true);
        world.clock.advance(Duration::from_secs(60));
        world
            .deploy(
                "operator",
                "",
                &MANIFEST.replace("name: ITFarm1", "name: beta").replace("Host2", "Host9"),
            )
            .await;

        for (query, farms) in [
            ("".to_owned(), vec!["beta", "alpha"]),
            ("kind=deploy&state=queued&directory=default".to_owned(), vec!["beta", "alpha"]),
            ("kind=rotation-check".to_owned(), vec![]),
            ("state=failed".to_owned(), vec![]),
            ("farm=ALPHA".to_owned(), vec!["alpha"]),
            ("host=Host9".to_owned(), vec!["beta"]),
            (format!("since={between}"), vec!["beta"]),
            (format!("until={between}"), vec!["alpha"]),
        ] {
            let answer = world.get_as("viewer", &format!("/api/v1/workflows?{query}")).await;
            assert_eq!(answer.status, StatusCode::OK, "{query}: {}", answer.text);
            let items = answer.json["items"].as_array().expect("items");
            let found: Vec<_> = items.iter().filter_map(|item| item["farm"].as_str()).collect();
            assert_eq!(found, farms, "{query}");
        }
    }

    #[tokio::test]
    async fn a_filter_that_is_not_understood_is_refused_and_named() {
        let world = World::new().await;
        for (query, named) in [
            ("state=done", "state"),
            ("kind=De%20ploy", "kind"),
            ("since=yesterday", "since"),
            ("stat=failed", "stat"),
            ("limit=0", "limit"),
        ] {
            let answer = world.get_as("viewer", &format!("/api/v1/workflows?{query}")).await;
            assert_eq!(
                (answer.status, answer.code()),
                (StatusCode::BAD_REQUEST, "invalid-request"),
                "{query}"
            );
            assert!(
                answer.json["detail"].as_str().is_some_and(|text| text.contains(named)),
                "{}",
                answer.text
            );
        }
    }

    #[tokio::test]
    async fn an_unknown_workflow_is_not_found_and_a_bad_id_is_invalid() {
        let world = World::new().await;
        let answer = world.get_as("viewer", "/api/v1/workflows/01890000-0000-7000-8000-000000000000").await;
        assert_eq!((answer.status, answer.code()), (StatusCode::NOT_FOUND, "not-found"));
        let answer = world.get_as("viewer", "/api/v1/workflows/7").await;
        assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, "invalid-request"));
    }
}
