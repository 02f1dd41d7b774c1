//! What the statements of several files share.

use std::sync::LazyLock;

use sea_orm::sea_query::{Expr, SimpleExpr};
use sea_orm::{ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, IdenStatic, Iterable, Statement, Value};
use uuid::Uuid;

use crate::StoreError;
use crate::entity::workflows;

/// All columns of `workflows`, for `returning`. Not `*`: a prepared `*` fails for ever on its
/// connection once a migration has added a column.
static COLUMNS: LazyLock<Vec<&str>> =
    LazyLock::new(|| workflows::Column::iter().map(|column| column.as_str()).collect());

/// `id, kind, ...` or `w.id, w.kind, ...`.
pub fn workflow_columns(prefix: &str) -> String {
    COLUMNS.iter().map(|column| format!("{prefix}{column}")).collect::<Vec<_>>().join(", ")
}

/// Several orchestrators share the work instead of waiting for each other; SQLite has one writer.
pub fn skip_locked(backend: DbBackend) -> &'static str {
    if backend == DbBackend::Postgres { "for update skip locked" } else { "" }
}

/// `column` is one of `ids`. On PostgreSQL as an array, so that one prepared statement serves any
/// number.
pub fn one_of<C: ColumnTrait>(backend: DbBackend, column: C, ids: &[Uuid]) -> SimpleExpr {
    if backend == DbBackend::Postgres {
        Expr::cust_with_exprs("$1 = any($2)", [Expr::col(column), Expr::val(ids.to_vec())])
    } else {
        column.is_in(ids.iter().copied())
    }
}

pub fn statement(
    db: &impl ConnectionTrait,
    sql: impl Into<String>,
    values: impl IntoIterator<Item = Value>,
) -> Statement {
    Statement::from_sql_and_values(db.get_database_backend(), sql.into(), values)
}

/// Runs a statement that returns whole rows of `workflows`.
pub async fn workflow_rows(
    db: &impl ConnectionTrait,
    sql: impl Into<String>,
    values: impl IntoIterator<Item = Value>,
) -> Result<Vec<workflows::Model>, StoreError> {
    let statement = statement(db, sql, values);
    Ok(workflows::Entity::find().from_raw_sql(statement).all(db).await?)
}
