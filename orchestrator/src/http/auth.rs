//! Who asks: bearer tokens, looked up by their hash.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::Response;
use chrono::{DateTime, Utc};
use domain::{Clock, ErrorCode, Principal, Role};
use store::{Store, StoreError, Token};

use super::Api;
use super::errors::ApiError;
use crate::{requests, tokens};

/// Tokens that are remembered at most. A few hundred bytes each; when it is full, it is emptied.
const REMEMBERED: usize = 256;

/// Valid tokens by hash, for a moment. Invalid ones are not remembered: guessing must not cost us
/// memory.
pub(crate) struct TokenCache {
    store: Store,
    clock: Arc<dyn Clock>,
    believed_for: Duration,
    known: Mutex<HashMap<String, (Token, DateTime<Utc>)>>,
}

impl TokenCache {
    pub(crate) fn new(store: Store, clock: Arc<dyn Clock>, believed_for: Duration) -> Self {
        Self { store, clock, believed_for, known: Mutex::default() }
    }

    /// The token of that hash, if it is valid now.
    pub(crate) async fn valid(&self, hash: &str) -> Result<Option<Token>, StoreError> {
        let now = self.clock.now();
        if let Some(token) = self.remembered(hash, now) {
            return Ok(Some(token));
        }
        let found = self.store.token_by_hash(hash, now).await?;
        let mut known = self.known();
        match &found {
            Some(token) => {
                if known.len() >= REMEMBERED {
                    known.clear();
                }
                known.insert(hash.to_owned(), (token.clone(), now));
            }
            None => {
                known.remove(hash);
            }
        }
        Ok(found)
    }

    /// After a revocation in this process nothing is believed any more.
    pub(crate) fn forget(&self) {
        self.known().clear();
    }

    fn remembered(&self, hash: &str, now: DateTime<Utc>) -> Option<Token> {
        let known = self.known();
        let (token, seen) = known.get(hash)?;
        // A clock that was set back gives a negative age: ask again.
        let fresh = (now - *seen).to_std().is_ok_and(|age| age < self.believed_for);
        let unexpired = token.expires_at.is_none_or(|end| now < end);
        (fresh && unexpired).then(|| token.clone())
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, (Token, DateTime<Utc>)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An authenticated caller.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) principal: Principal,
    /// For streams, which look again whether the token is still valid.
    pub(crate) token_hash: Arc<str>,
}

impl Caller {
    pub(crate) fn require(&self, role: Role) -> Result<(), ApiError> {
        Ok(requests::require(&self.principal, role)?)
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        // Missing only on a route outside the layer: refuse rather than guess.
        parts.extensions.get::<Self>().cloned().ok_or_else(unauthenticated)
    }
}

/// The layer around `/api/v1`.
pub(crate) async fn authenticate(
    State(api): State<Arc<Api>>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if proves_itself(&request) {
        return Ok(next.run(request).await);
    }
    let secret = bearer(request.headers()).ok_or_else(unauthenticated)?;
    let hash = tokens::hash(secret);
    let token = api.tokens.valid(&hash).await?.ok_or_else(unauthenticated)?;
    let principal = Principal { name: token.principal, roles: token.roles };
    request.extensions_mut().insert(Caller { principal, token_hash: hash.into() });
    Ok(next.run(request).await)
}

/// The one route for those who have no token: another system calls a webhook, and its handler asks it
/// for the webhook's secret. Its answer to whoever does not know that tells no more than ours.
fn proves_itself(request: &Request) -> bool {
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    *request.method() == Method::POST && route == Some("/api/v1/webhooks/{name}")
}

/// The token of an `Authorization: Bearer` header (RFC 6750, 2.1), if it can be one of ours.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = text.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && tokens::is_well_formed(token)).then_some(token)
}

/// One answer for missing, malformed, unknown, expired and revoked: it tells nothing apart.
pub(crate) fn unauthenticated() -> ApiError {
    ApiError::new(
        ErrorCode::Unauthenticated,
        "the request has no valid bearer token",
        "send `Authorization: Bearer fh_...` (the command line takes it from FARMHAND_TOKEN); a token that worked \
         before has expired or was revoked",
    )
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderValue, StatusCode};
    use secrecy::ExposeSecret;

    use super::*;
    use crate::http::testing::{World, call, request};

    #[tokio::test]
    async fn only_a_known_bearer_token_is_let_in() {
        let world = World::new().await;
        let good = world.secret("viewer").expose_secret().to_owned();
        let unknown = tokens::new_secret(world.api.rng.as_ref());
        for (header, status) in [
            (format!("Bearer {good}"), StatusCode::OK),
            (format!("bearer {good}"), StatusCode::OK),
            (format!("Basic {good}"), StatusCode::UNAUTHORIZED),
            (good.clone(), StatusCode::UNAUTHORIZED),
            (format!("Bearer {good}0"), StatusCode::UNAUTHORIZED),
            (format!("Bearer {}", unknown.expose_secret()), StatusCode::UNAUTHORIZED),
            ("Bearer ".to_owned(), StatusCode::UNAUTHORIZED),
        ] {
            let mut request = request(Method::GET, "/api/v1/whoami");
            request
                .headers_mut()
                .insert(header::AUTHORIZATION, HeaderValue::from_str(&header).expect("valid"));
            let answer = call(&world.router, request).await;
            assert_eq!(answer.status, status, "{}", &header[..7.min(header.len())]);
            if status != StatusCode::OK {
                assert_eq!(answer.code(), "unauthenticated");
                assert!(answer.header("www-authenticate").starts_with("Bearer"));
                assert!(!answer.text.contains(&good));
            }
        }
    }

    #[tokio::test]
    async fn a_token_revoked_elsewhere_stops_working_when_the_cache_is_stale() {
        let world = World::new().await;
        assert_eq!(world.get_as("viewer", "/api/v1/whoami").await.status, StatusCode::OK);
        let id = world.token_id("viewer").await;
        world.store.revoke_token(id, world.clock.now()).await.expect("works");
        assert_eq!(
            world.get_as("viewer", "/api/v1/whoami").await.status,
            StatusCode::OK,
            "believed for a moment"
        );
        world.clock.advance(world.api.settings.token_cache);
        assert_eq!(world.get_as("viewer", "/api/v1/whoami").await.status, StatusCode::UNAUTHORIZED);
    }

    #[tokio::test]
    async fn the_cache_does_not_outlive_a_tokens_expiry() {
        let world = World::with(|options| options.settings.token_cache = Duration::from_secs(3600)).await;
        world.add_token("short", &[Role::Viewer], Some(Duration::from_secs(60))).await;
        assert_eq!(world.get_as("short", "/api/v1/whoami").await.status, StatusCode::OK);
        world.clock.advance(Duration::from_secs(61));
        assert_eq!(world.get_as("short", "/api/v1/whoami").await.status, StatusCode::UNAUTHORIZED);
    }

    #[tokio::test]
    async fn the_cache_stays_small() {
        let world = World::new().await;
        for at in 0..=REMEMBERED {
            let name = format!("t{at}");
            world.add_token(&name, &[Role::Viewer], None).await;
            world.get_as(&name, "/api/v1/whoami").await;
        }
        assert!(world.api.tokens.known().len() <= REMEMBERED);
    }
}
