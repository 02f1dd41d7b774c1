//! `/tokens`: who may ask.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use domain::{Role, TokenId};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use store::{Page, Token};
use utoipa::ToSchema;

use super::auth::Caller;
use super::errors::ApiError;
use super::extract::{InPath, JsonBody};
use super::{Api, schema};
use crate::{reactions, schedules, tokens};

const MAX_PRINCIPAL: usize = 128;

/// Lists tokens, without their secrets. Role: admin.
#[utoipa::path(
    get, path = "/tokens", tag = "tokens",
    responses((status = 200, description = "All tokens, revoked ones too", body = schema::TokenPage)),
)]
pub(crate) async fn list(State(api): State<Arc<Api>>, caller: Caller) -> Result<Json<Page<Token>>, ApiError> {
    caller.require(Role::Admin)?;
    Ok(Json(Page { items: api.store.tokens().await?, next: None }))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewToken {
    /// Who the caller is; recorded with everything they ask for.
    #[schema(min_length = 1, max_length = 128)]
    principal: String,
    #[schema(value_type = Vec<schema::Role>, min_items = 1)]
    roles: BTreeSet<Role>,
    /// Left out: it works until it is revoked.
    expires_at: Option<DateTime<Utc>>,
}

/// The answer to a creation, and the only place where a secret is ever shown.
#[derive(Serialize)]
struct CreatedToken<'a> {
    #[serde(flatten)]
    token: &'a Token,
    secret: &'a str,
}

/// Makes a token. The secret is shown in this answer and never again. Role: admin.
#[utoipa::path(
    post, path = "/tokens", tag = "tokens", request_body = NewToken,
    responses((status = 201, description = "The token with its secret", body = schema::CreatedToken)),
)]
pub(crate) async fn create(
    State(api): State<Arc<Api>>,
    caller: Caller,
    JsonBody(new): JsonBody<NewToken>,
) -> Result<Response, ApiError> {
    caller.require(Role::Admin)?;
    let now = api.clock.now();
    check(&new, now)?;
    let secret = tokens::new_secret(api.rng.as_ref());
    let token = Token {
        id: TokenId::new(now, api.rng.as_ref()),
        principal: new.principal,
        roles: new.roles,
        created_at: now,
        expires_at: new.expires_at,
        revoked_at: None,
        last_used_at: None,
    };
    api.store.create_token(&token, &tokens::hash(secret.expose_secret())).await?;
    let created = CreatedToken { token: &token, secret: secret.expose_secret() };
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(created)).into_response())
}

fn check(new: &NewToken, now: DateTime<Utc>) -> Result<(), ApiError> {
    let name = &new.principal;
    let length = name.chars().count();
    if !(1..=MAX_PRINCIPAL).contains(&length) || name.trim() != name || name.chars().any(char::is_control) {
        return Err(ApiError::invalid(
            format!(
                "principal is no name of 1 to {MAX_PRINCIPAL} characters without control characters or spaces at its ends"
            ),
            "name the person or program that will use the token, e.g. `anna` or `ci-pipeline`",
        ));
    }
    let ours = [schedules::PRINCIPAL, reactions::PRINCIPAL];
    if let Some(ours) = ours.into_iter().find(|ours| name.to_ascii_lowercase().starts_with(ours)) {
        return Err(ApiError::invalid(
            format!("principal begins with {ours:?}, the name of what schedules or rules ask for"),
            "name the person or program that will use the token, e.g. `anna` or `ci-pipeline`",
        ));
    }
    if new.roles.is_empty() {
        return Err(ApiError::invalid(
            "roles is empty",
            "give at least one of viewer, operator, responder, approver, admin",
        ));
    }
    if new.expires_at.is_some_and(|end| end <= now) {
        return Err(ApiError::invalid(
            "expiresAt lies in the past",
            "give a later time (RFC 3339), or leave it out",
        ));
    }
    Ok(())
}

/// Revokes a token for ever. Other processes may believe it for two more seconds. Role: admin.
#[utoipa::path(
    delete, path = "/tokens/{id}", tag = "tokens",
    params(("id" = String, Path, description = "The token's id")),
    responses((status = 204, description = "Revoked")),
)]
pub(crate) async fn revoke(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(id): InPath<TokenId>,
) -> Result<StatusCode, ApiError> {
    caller.require(Role::Admin)?;
    let revoked = api.store.revoke_token(id, api.clock.now()).await?;
    api.tokens.forget();
    if revoked {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(ApiError::not_found(
        format!("there is no token {id} that could be revoked"),
        "`farmhand token list` shows all tokens and which are revoked already",
    ))
}

#[cfg(test)]
mod tests {
    use axum::http::{Method, StatusCode};
    use domain::Clock;

    use crate::http::testing::{World, call, request};

    const JSON: &str = "application/json";

    #[tokio::test]
    async fn a_token_is_shown_once_works_and_is_revoked() {
        let world = World::new().await;
        let body = r#"{"principal": "ci", "roles": ["operator", "viewer"]}"#;
        let created = world.post_as("admin", "/api/v1/tokens", JSON, body, &[]).await;
        assert_eq!(created.status, StatusCode::CREATED, "{}", created.text);
        assert_eq!(created.header("cache-control"), "no-store");
        assert_eq!(created.json["principal"], "ci");
        let secret = created.json["secret"].as_str().expect("a secret").to_owned();
        let id = created.json["id"].as_str().expect("an id").to_owned();

        let whoami = |secret: String| {
            let mut request = request(Method::GET, "/api/v1/whoami");
            let value = format!("Bearer {secret}").parse().expect("a header");
            request.headers_mut().insert("authorization", value);
            call(&world.router, request)
        };
        assert_eq!(whoami(secret.clone()).await.json["name"], "ci");

        let list = world.get_as("admin", "/api/v1/tokens").await;
        assert!(!list.text.contains(&secret) && !list.text.contains(&crate::tokens::hash(&secret)));
        assert!(
            list.json["items"]
                .as_array()
                .is_some_and(|items| items.iter().any(|item| item["id"] == id.as_str()))
        );
        assert!(list.json["next"].is_null());

        let path = format!("/api/v1/tokens/{id}");
        assert_eq!(world.send_as("admin", Method::DELETE, &path).await.status, StatusCode::NO_CONTENT);
        assert_eq!(whoami(secret).await.status, StatusCode::UNAUTHORIZED, "at once in this process");
        assert_eq!(world.send_as("admin", Method::DELETE, &path).await.code(), "not-found");
    }

    #[tokio::test]
    async fn a_bad_request_for_a_token_is_refused_and_named() {
        let world = World::new().await;
        let past = world.clock.now().to_rfc3339();
        for (body, named) in [
            (r#"{"principal": "", "roles": ["viewer"]}"#.to_owned(), "principal"),
            (r#"{"principal": " a", "roles": ["viewer"]}"#.to_owned(), "principal"),
            (r#"{"principal": "a\nb", "roles": ["viewer"]}"#.to_owned(), "principal"),
            (r#"{"principal": "Schedule:nightly", "roles": ["viewer"]}"#.to_owned(), "principal"),
            (r#"{"principal": "a", "roles": []}"#.to_owned(), "roles"),
            (r#"{"principal": "a", "roles": ["root"]}"#.to_owned(), "roles"),
            (r#"{"principal": "a", "role": "viewer"}"#.to_owned(), "role"),
            (format!(r#"{{"principal": "a", "roles": ["viewer"], "expiresAt": "{past}"}}"#), "expiresAt"),
            ("not json".to_owned(), "body"),
        ] {
            let answer = world.post_as("admin", "/api/v1/tokens", JSON, &body, &[]).await;
            assert_eq!(
                (answer.status, answer.code()),
                (StatusCode::BAD_REQUEST, "invalid-request"),
                "{body}"
            );
            assert!(
                answer.json["detail"].as_str().is_some_and(|text| text.contains(named)),
                "{}",
                answer.text
            );
        }
    }

    #[tokio::test]
    async fn nobody_but_an_admin_sees_or_makes_tokens() {
        let world = World::new().await;
        let body = r#"{"principal": "me", "roles": ["admin"]}"#;
        assert_eq!(world.post_as("operator", "/api/v1/tokens", JSON, body, &[]).await.code(), "forbidden");
        assert_eq!(world.get_as("operator", "/api/v1/tokens").await.code(), "forbidden");
    }
}
