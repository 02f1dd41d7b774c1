//! Tokens and roles.

use chrono::{DateTime, Utc};
use utoipa::ToSchema;

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum Role {
    Viewer,
    Operator,
    Responder,
    Approver,
    Admin,
}

/// A token without its secret.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Token {
    id: String,
    principal: String,
    roles: Vec<Role>,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
}

/// A token with its secret, which is shown only now.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct CreatedToken {
    id: String,
    principal: String,
    roles: Vec<Role>,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
    #[schema(example = "fh_...")]
    secret: String,
}

#[derive(ToSchema)]
pub(crate) struct TokenPage {
    items: Vec<Token>,
    next: Option<String>,
}
