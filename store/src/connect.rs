//! Pools of connections, as each database wants them.

use std::str::FromStr;
use std::time::Duration;

use sea_orm::sqlx::ConnectOptions as _;
use sea_orm::sqlx::pool::PoolOptions;
use sea_orm::sqlx::postgres::PgConnectOptions;
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sea_orm::sqlx::{Connection, Executor, Postgres, Sqlite};
use sea_orm::{DatabaseConnection, SqlxPostgresConnector, SqlxSqliteConnector};
use secrecy::ExposeSecret;

use crate::{StoreError, StoreOptions};

/// A connection that rested this long is asked whether it still lives before it is used. One in
/// steady use is not: a round trip for every statement would be dearer than the one call that
/// fails with [`StoreError::Unavailable`] when the database restarts under it.
const ASK_AFTER: Duration = Duration::from_secs(1);
const SQLITE_READERS: u32 = 4;
/// Only another process can hold SQLite's lock: ours writes through one connection.
const SQLITE_BUSY: Duration = Duration::from_secs(10);

/// A prepared plan that was made while a table was small must not read it whole once it is large:
/// what has an index uses it. (`jit` off, since it would take that preference for a dear query.)
const PLANNER: &str = "set enable_seqscan = off; set jit = off";

/// The connections for writing and those for reading; on PostgreSQL the same.
pub(crate) struct Pools {
    pub writer: DatabaseConnection,
    pub reader: DatabaseConnection,
}

pub(crate) async fn connect(options: &StoreOptions) -> Result<Pools, StoreError> {
    let url = options.url.expose_secret();
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        postgresql(url, options).await
    } else if url.starts_with("sqlite:") {
        sqlite(url, options).await
    } else {
        // Not even the scheme is repeated: what is no URL of ours may be a password.
        Err(StoreError::Statement("the database URL starts neither with postgres:// nor with sqlite:".into()))
    }
}

async fn postgresql(url: &str, options: &StoreOptions) -> Result<Pools, StoreError> {
    let connection =
        PgConnectOptions::from_str(url)?.application_name("farmhand").disable_statement_logging();
    let pool = PoolOptions::<Postgres>::new()
        .max_connections(options.max_connections.max(1))
        .acquire_timeout(options.acquire_timeout)
        .test_before_acquire(false)
        .after_connect(|connection, _| Box::pin(async move { connection.execute(PLANNER).await.map(drop) }))
        .before_acquire(|connection, about| {
            Box::pin(async move {
                if about.idle_for >= ASK_AFTER {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_with(connection)
        .await?;
    let pool = SqlxPostgresConnector::from_sqlx_postgres_pool(pool);
    Ok(Pools { writer: pool.clone(), reader: pool })
}

async fn sqlite(url: &str, options: &StoreOptions) -> Result<Pools, StoreError> {
    let connection = SqliteConnectOptions::from_str(url)?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // A commit that was acknowledged survives the power going out.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(SQLITE_BUSY)
        .disable_statement_logging();
    // A database in memory is gone with its last connection, so none is ever closed for its age.
    let pool = || {
        PoolOptions::<Sqlite>::new()
            .acquire_timeout(options.acquire_timeout)
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None)
    };
    let writer = pool().max_connections(1).connect_with(connection.clone()).await?;
    let writer = SqlxSqliteConnector::from_sqlx_sqlite_pool(writer);
    if url.contains(":memory:") || url.contains("mode=memory") {
        return Ok(Pools { reader: writer.clone(), writer });
    }
    let reading = connection.pragma("query_only", "on");
    let reader = pool().max_connections(SQLITE_READERS).connect_with(reading).await?;
    Ok(Pools { writer, reader: SqlxSqliteConnector::from_sqlx_sqlite_pool(reader) })
}
