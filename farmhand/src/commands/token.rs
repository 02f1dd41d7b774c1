//! `farmhand token bootstrap|create|list|revoke`.

use secrecy::ExposeSecret;
use serde_json::json;
use store::{Page, Token as Record};

use super::Context;
use super::farm::parse;
use crate::cli::{Token, TokenCreate};
use crate::compose::store::Database;
use crate::compose::{clock, rng};
use crate::config::Settings;
use crate::failure::{Exit, Failure};
use crate::output::time::moment;
use crate::output::{Output, render, table};

pub async fn run(cx: Context, command: Token) -> Result<Exit, Failure> {
    match command {
        Token::Bootstrap => Err(Failure::internal("bootstrap works on the database, not on a server")),
        Token::Create(args) => create(&cx, args).await,
        Token::List => list(&cx).await,
        Token::Revoke { id } => {
            cx.client.delete(&format!("/api/v1/tokens/{id}")).await?;
            cx.output.answer(&json!({ "id": id, "revoked": true }), || format!("token {id} is revoked"))?;
            Ok(Exit::Done)
        }
    }
}

/// The first admin token of a new database, printed once.
pub async fn bootstrap(settings: Settings, output: Output) -> Result<Exit, Failure> {
    let database = Database::of(&settings)?;
    if database.is_embedded && !settings.sqlite_file().is_file() {
        let hint = "set FARMHAND_DATABASE_URL; `farmhand up` makes the embedded database and leaves its \
                    first token in admin-token by itself";
        return Err(Failure::refused(
            "no-database",
            format!("there is no database {}", database.shown),
            hint,
        ));
    }
    let store = database.open(1).await?;
    let failed = |error| database.failure(&error);
    store.require_current_schema().await.map_err(failed)?;
    let secret =
        orchestrator::bootstrap(&store, clock().as_ref(), rng().as_ref(), "admin").await.map_err(failed)?;
    store.close().await;
    let Some(secret) = secret else {
        return Err(Failure::refused(
            "token-exists",
            "this database already has, or had, a token",
            "an admin makes further ones with `farmhand token create`",
        ));
    };
    let secret = secret.expose_secret();
    output.answer(&json!({ "token": secret, "principal": "admin", "roles": ["admin"] }), || {
        secret.to_owned()
    })?;
    eprintln!("It is shown this once; only its hash is kept.");
    Ok(Exit::Done)
}

async fn create(cx: &Context, args: TokenCreate) -> Result<Exit, Failure> {
    let days = args.expires_in_days.map(|days| clock().now() + chrono::Duration::days(days.into()));
    let body = json!({ "principal": args.principal, "roles": args.roles, "expiresAt": days });
    let document = cx.client.post("/api/v1/tokens", &body).await?.document;
    let secret = document.get("secret").or_else(|| document.get("token")).and_then(|value| value.as_str());
    let Some(secret) = secret else {
        return Err(Failure::internal("the server's answer holds no token"));
    };
    cx.output.answer(&document, || secret.to_owned())?;
    eprintln!("It is shown this once; only its hash is kept.");
    Ok(Exit::Done)
}

async fn list(cx: &Context) -> Result<Exit, Failure> {
    let document = cx.client.get("/api/v1/tokens").await?.document;
    let page: Page<Record> = parse(&document)?;
    cx.output.answer(&document, || {
        let mut table = table(&["id", "principal", "roles", "created", "expires", "revoked", "last used"]);
        for token in &page.items {
            let roles: Vec<_> = token.roles.iter().map(|role| role.as_str()).collect();
            table.add_row([
                token.id.to_string(),
                token.principal.clone(),
                roles.join(","),
                moment(Some(token.created_at)),
                moment(token.expires_at),
                moment(token.revoked_at),
                moment(token.last_used_at),
            ]);
        }
        render(&table)
    })?;
    Ok(Exit::Done)
}
