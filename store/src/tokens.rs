//! API tokens; the secrets themselves are never stored.

use std::collections::BTreeSet;

use chrono::{DateTime, Duration, Utc};
use domain::{Role, TokenId};
use sea_orm::sea_query::{Condition, Expr};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
    QuerySelect,
};
use tracing::instrument;

use crate::entity::tokens::{Column, Entity, Model};
use crate::sql::statement;
use crate::store::timed;
use crate::{Store, StoreError, Token};

/// `last_used_at` is for people: a write for every request would cost more than the request.
const USE_IS_NOTED_EVERY: Duration = Duration::minutes(1);

impl Store {
    /// `secret_hash` names the token from now on; a second token of that hash is refused.
    #[instrument(name = "db.tokens.create", skip_all, fields(token = %token.id))]
    pub async fn create_token(&self, token: &Token, secret_hash: &str) -> Result<(), StoreError> {
        let _time = timed("create_token");
        insert(self.writer(), token, secret_hash).await
    }

    /// Creates it only if there is no token at all, revoked ones included. Whether it did.
    #[instrument(name = "db.tokens.create_first", skip_all, fields(token = %token.id))]
    pub async fn create_first_token(&self, token: &Token, secret_hash: &str) -> Result<bool, StoreError> {
        let _time = timed("create_first_token");
        let tx = self.begin().await?;
        if self.is_postgresql() {
            // Two that ask at once would both see no row.
            tx.execute_raw(statement(&tx, "lock table tokens in exclusive mode", [])).await?;
        }
        if exists(&tx).await? {
            return Ok(false);
        }
        insert(&tx, token, secret_hash).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// The token of that hash, if it is neither revoked nor expired.
    #[instrument(name = "db.tokens.by_hash", skip_all)]
    pub async fn token_by_hash(
        &self,
        secret_hash: &str,
        now: DateTime<Utc>,
    ) -> Result<Option<Token>, StoreError> {
        let _time = timed("token_by_hash");
        let living = Condition::any().add(Column::ExpiresAt.is_null()).add(Column::ExpiresAt.gt(now));
        let row = Entity::find()
            .filter(Column::SecretHash.eq(secret_hash))
            .filter(Column::RevokedAt.is_null())
            .filter(living)
            .one(self.reader())
            .await?;
        let Some(row) = row else { return Ok(None) };
        let mut token = Token::try_from(row)?;
        if token.last_used_at.is_none_or(|at| at <= now - USE_IS_NOTED_EVERY) {
            self.note_use(token.id, now).await?;
            token.last_used_at = Some(now);
        }
        Ok(Some(token))
    }

    async fn note_use(&self, id: TokenId, now: DateTime<Utc>) -> Result<(), StoreError> {
        let stale = Condition::any()
            .add(Column::LastUsedAt.is_null())
            .add(Column::LastUsedAt.lte(now - USE_IS_NOTED_EVERY));
        Entity::update_many()
            .col_expr(Column::LastUsedAt, Expr::value(now))
            .filter(Column::Id.eq(id.0))
            .filter(stale)
            .exec(self.writer())
            .await?;
        Ok(())
    }

    /// All of them, oldest first, revoked ones included.
    #[instrument(name = "db.tokens.list", skip_all)]
    pub async fn tokens(&self) -> Result<Vec<Token>, StoreError> {
        let _time = timed("tokens");
        let rows = Entity::find().order_by_asc(Column::Id).all(self.reader()).await?;
        rows.into_iter().map(Token::try_from).collect()
    }

    /// The roles of a principal's tokens that were not revoked, expired ones included; `None` when it
    /// never had one (it asks in another way).
    #[instrument(name = "db.tokens.roles_of", skip_all)]
    pub async fn roles_of(&self, principal: &str) -> Result<Option<BTreeSet<Role>>, StoreError> {
        let _time = timed("roles_of");
        let rows = Entity::find().filter(Column::Principal.eq(principal)).all(self.reader()).await?;
        if rows.is_empty() {
            return Ok(None);
        }
        let tokens = rows.into_iter().map(Token::try_from).collect::<Result<Vec<_>, _>>()?;
        let held = tokens.into_iter().filter(|token| token.revoked_at.is_none());
        Ok(Some(held.flat_map(|token| token.roles).collect()))
    }

    /// Whether there was such a token, not yet revoked.
    #[instrument(name = "db.tokens.revoke", skip_all, fields(token = %id))]
    pub async fn revoke_token(&self, id: TokenId, now: DateTime<Utc>) -> Result<bool, StoreError> {
        let _time = timed("revoke_token");
        let revoked = Entity::update_many()
            .col_expr(Column::RevokedAt, Expr::value(now))
            .filter(Column::Id.eq(id.0))
            .filter(Column::RevokedAt.is_null())
            .exec(self.writer())
            .await?;
        Ok(revoked.rows_affected > 0)
    }

    /// Whether there ever was a token.
    #[instrument(name = "db.tokens.any", skip_all)]
    pub async fn any_token(&self) -> Result<bool, StoreError> {
        let _time = timed("any_token");
        exists(self.reader()).await
    }
}

async fn insert(db: &impl ConnectionTrait, token: &Token, secret_hash: &str) -> Result<(), StoreError> {
    let row: Model = Model::of(token, secret_hash)?;
    Entity::insert(row.into_active_model().reset_all()).exec_without_returning(db).await?;
    Ok(())
}

async fn exists(db: &impl ConnectionTrait) -> Result<bool, StoreError> {
    Ok(Entity::find()
        .select_only()
        .column(Column::Id)
        .limit(1)
        .into_tuple::<uuid::Uuid>()
        .one(db)
        .await?
        .is_some())
}
