//! `GET /farms`: what is on record.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use domain::{DirectoryName, FarmName};
use serde::Deserialize;
use store::{Farm, Page};
use utoipa::IntoParams;

use super::errors::ApiError;
use super::extract::{InPath, OfDirectory, Query};
use super::{Api, page, schema};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Only farms of this directory.
    #[param(value_type = Option<String>)]
    directory: Option<DirectoryName>,
    /// Items on a page: 1 to 200.
    #[param(default = 50, minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// `next` of the previous page.
    cursor: Option<String>,
}

/// Lists farms.
#[utoipa::path(
    get, path = "/farms", tag = "farms", params(ListQuery),
    responses((status = 200, description = "A page of farms", body = schema::FarmPage)),
)]
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Farm>>, ApiError> {
    let limit = page::limit(query.limit)?;
    Ok(Json(api.store.farms(query.directory.as_ref(), query.cursor.as_deref(), limit).await?))
}

/// Shows a farm: what was asked for, and what the last successful deploy recorded.
#[utoipa::path(
    get, path = "/farms/{name}", tag = "farms",
    params(("name" = String, Path, description = "The farm's name, in any case"), OfDirectory),
    responses((status = 200, description = "The farm", body = schema::Farm)),
)]
pub(crate) async fn show(
    State(api): State<Arc<Api>>,
    InPath(name): InPath<FarmName>,
    Query(query): Query<OfDirectory>,
) -> Result<Json<Farm>, ApiError> {
    let farm = api.store.farm(&query.directory, &name).await?;
    farm.map(Json).ok_or_else(|| {
        ApiError::not_found(
            format!("no farm {name} is on record in the directory {}", query.directory),
            "`farmhand farm list` (GET /api/v1/farms) shows all; a farm of another directory needs ?directory=",
        )
    })
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use crate::http::testing::{MANIFEST, World};

    #[tokio::test]
    async fn farms_are_listed_in_pages_and_shown_by_name() {
        let world = World::with(|options| {
            options.known_directories.push(domain::DirectoryName::parse("lab").expect("valid"));
        })
        .await;
        for name in ["alpha", "beta", "gamma"] {
            world.deploy("operator", "", &MANIFEST.replace("name: ITFarm1", &format!("name: {name}"))).await;
        }
        let lab = MANIFEST.replace("spec:\n", "spec:\n  directory: lab\n");
        assert_eq!(world.deploy("operator", "", &lab).await.status, StatusCode::ACCEPTED);

        let (mut names, mut cursor) = (Vec::new(), String::new());
        loop {
            let answer = world.get_as("viewer", &format!("/api/v1/farms?limit=2{cursor}")).await;
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
            let items = answer.json["items"].as_array().expect("items").clone();
            assert!(items.len() <= 2);
            names.extend(items.iter().map(|farm| farm["name"].as_str().expect("a name").to_owned()));
            match answer.json["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        names.sort();
        assert_eq!(names, ["ITFarm1", "alpha", "beta", "gamma"]);

        let only = world.get_as("viewer", "/api/v1/farms?directory=lab").await;
        assert_eq!(only.json["items"].as_array().map(Vec::len), Some(1));
        assert_eq!(world.get_as("viewer", "/api/v1/farms/ITFarm1").await.status, StatusCode::NOT_FOUND);
        let farm = world.get_as("viewer", "/api/v1/farms/itfarm1?directory=LAB").await;
        assert_eq!((farm.status, farm.json["spec"]["directory"].as_str()), (StatusCode::OK, Some("lab")));
    }

    #[tokio::test]
    async fn a_bad_limit_cursor_or_name_is_an_invalid_request() {
        let world = World::new().await;
        for path in [
            "/api/v1/farms?limit=0",
            "/api/v1/farms?limit=201",
            "/api/v1/farms?limit=x",
            "/api/v1/farms?cursor=%00",
            "/api/v1/farms?page=2",
            "/api/v1/farms/a%2Fb",
            "/api/v1/farms/x?directory=a%20b",
        ] {
            let answer = world.get_as("viewer", path).await;
            assert_eq!(
                (answer.status, answer.code()),
                (StatusCode::BAD_REQUEST, "invalid-request"),
                "{path}"
            );
        }
    }
}
