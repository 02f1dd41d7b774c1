//! The OpenAPI document and the page that shows it.

use std::sync::Arc;

use axum::extract::State;
use axum::{Json, Router};
use utoipa::OpenApi as _;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, Response, ResponseBuilder};
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::Api;
use super::errors::{MEDIA_TYPE, ProblemDocument};

const BEARER: &str = "bearer";

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Farmhand",
        description = "Runs the life of gMSA server farms in Active Directory as durable workflows.\n\n\
            Asking for work answers 202 with the workflow; follow it by its `Location`. Refusals are problem \
            documents (RFC 9457) with a stable `code`, explained under `/errors/{code}`.",
        license(name = "Apache-2.0 OR MIT", identifier = "Apache-2.0 OR MIT"),
    ),
    components(schemas(ProblemDocument)),
    tags(
        (name = "farms", description = "What is asked for and recorded"),
        (name = "compromises", description = "Hosts that are cut off, and what came of it"),
        (name = "quarantine", description = "Hosts that no workflow lets in"),
        (name = "workflows", description = "What is being done about it"),
        (name = "schedules", description = "What is asked for by itself"),
        (name = "rules", description = "What is asked for when something was heard"),
        (name = "webhooks", description = "Other systems that are told of events, and that tell of theirs"),
        (name = "calendars", description = "When destructive work does not begin"),
        (name = "tokens", description = "Who may ask"),
        (name = "health", description = "For monitoring; no token needed"),
    ),
)]
struct Document;

/// The document of this version (`farmhand openapi`, `/openapi.json`).
pub fn openapi() -> OpenApi {
    let mut v1 = super::v1().into_openapi();
    for operation in v1.paths.paths.values_mut().flat_map(operations) {
        operation.security = Some(vec![SecurityRequirement::new::<_, [String; 0], String>(BEARER, [])]);
        operation.responses.responses.insert("default".to_owned(), refusal().into());
    }
    let mut document = Document::openapi().nest("/api/v1", v1);
    document.merge(super::open().into_openapi());
    if let Some(components) = document.components.as_mut() {
        let scheme = Http::builder().scheme(HttpAuthScheme::Bearer).bearer_format("fh_...").build();
        components.add_security_scheme(BEARER, SecurityScheme::Http(scheme));
    }
    document
}

/// Every route refuses in the same form.
fn refusal() -> Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("ProblemDocument"))).build();
    ResponseBuilder::new().description("Refused; `code` says why").content(MEDIA_TYPE, content).build()
}

pub(crate) fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    [get, put, post, delete, patch].into_iter().filter_map(Option::as_mut)
}

/// Made anew for each of its rare readers rather than kept in memory.
pub(crate) async fn document(State(api): State<Arc<Api>>) -> Json<OpenApi> {
    let mut document = openapi();
    if api.embedded {
        let text = document.info.description.get_or_insert_default();
        text.push_str(
            "\n\n**The embedded directory is in use: nothing that this server does reaches a real domain.**",
        );
    }
    Json(document)
}

/// Swagger UI from our own binary. Without a validator, it loads nothing from elsewhere.
pub(crate) fn swagger_ui() -> Router<Arc<Api>> {
    SwaggerUi::new("/docs").config(Config::from("/openapi.json").validator_url("none")).into()
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use crate::http::testing::World;

    #[tokio::test]
    async fn the_document_is_served_and_says_when_the_directory_is_embedded() {
        let world = World::new().await;
        let answer = world.get("/openapi.json").await;
        assert_eq!(answer.status, StatusCode::OK);
        let says = |json: &serde_json::Value| {
            json["info"]["description"]
                .as_str()
                .is_some_and(|text| text.contains("embedded directory is in use"))
        };
        assert!(says(&answer.json));
        let real = World::with(|options| options.embedded = false).await;
        assert!(!says(&real.get("/openapi.json").await.json));
    }

    #[tokio::test]
    async fn the_page_loads_from_this_server_alone() {
        let world = World::new().await;
        let page = world.get("/docs/").await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(!page.text.contains("https://") && !page.text.contains("http://"), "{}", page.text);
        let setup = world.get("/docs/swagger-initializer.js").await;
        assert!(setup.text.contains("/openapi.json"), "{}", setup.text);
    }
}
