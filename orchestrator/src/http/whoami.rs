//! `GET /whoami`: how the server sees the caller.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use domain::Role;
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::Caller;
use super::{Api, schema};

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WhoAmI {
    name: String,
    #[schema(value_type = Vec<schema::Role>)]
    roles: BTreeSet<Role>,
    /// Nothing that this server does reaches a real domain.
    embedded_directory: bool,
    /// The directories that a manifest may name.
    directories: Vec<String>,
}

/// Says who the token belongs to and what it may do.
#[utoipa::path(
    get, path = "/whoami", tag = "tokens",
    responses((status = 200, description = "The caller", body = WhoAmI)),
)]
pub(crate) async fn whoami(State(api): State<Arc<Api>>, caller: Caller) -> Json<WhoAmI> {
    Json(WhoAmI {
        name: caller.principal.name,
        roles: caller.principal.roles,
        embedded_directory: api.embedded,
        directories: api.requests.directories.iter().map(ToString::to_string).collect(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::http::testing::World;

    #[tokio::test]
    async fn the_caller_learns_name_roles_and_directories() {
        let world = World::new().await;
        let answer = world.get_as("operator", "/api/v1/whoami").await;
        let expected = json!({
            "name": "operator", "roles": ["operator"], "embeddedDirectory": true, "directories": ["default"],
        });
        assert_eq!(answer.json, expected);
    }
}
