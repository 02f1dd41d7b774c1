//! Why the store could not do it.

use domain::workflow::IllegalTransition;
use sea_orm::{DbErr, RuntimeErr, sqlx};

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Worth another try: the database is away, restarting, or chose us as a deadlock victim.
    #[error("the database is not reachable or told us to try again")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The tables are not those of this binary.
    #[error("the database schema is {found}; this program needs {needed}: {hint}")]
    Schema { found: String, needed: String, hint: &'static str },
    /// A row holds what no version of ours wrote.
    #[error("{table}.{column} of {row} cannot be read")]
    Inconsistent { table: &'static str, column: &'static str, row: String },
    #[error(transparent)]
    IllegalTransition(#[from] IllegalTransition),
    /// A containment has stopped the workflow and is not over.
    #[error("workflow {0} has stopped it, and lets it go on when it is over")]
    Preempted(domain::WorkflowId),
    /// The `cursor` of a list is none that we gave out.
    #[error("the cursor is none of this list")]
    InvalidCursor,
    /// Two entries of one workflow in one commit: a fault of the caller.
    #[error("two journal entries of workflow {0} in one commit")]
    DoubleEntry(domain::WorkflowId),
    #[error("the database refused a statement of ours")]
    Statement(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StoreError {
    /// Whether the same call may succeed later.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        let passing = match &error {
            DbErr::ConnectionAcquire(_) => true,
            DbErr::Conn(cause) | DbErr::Exec(cause) | DbErr::Query(cause) => match cause {
                RuntimeErr::SqlxError(cause) => is_passing(cause),
                // sea-orm's own words for a connection that is gone.
                RuntimeErr::Internal(_) => matches!(error, DbErr::Conn(_)),
            },
            _ => false,
        };
        if passing { Self::Unavailable(error.into()) } else { Self::Statement(error.into()) }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if is_passing(&error) { Self::Unavailable(error.into()) } else { Self::Statement(error.into()) }
    }
}

/// A whitelist: what is not known to pass is a fault to be seen.
fn is_passing(error: &sqlx::Error) -> bool {
    match error {
        // `Protocol` is what a connection cut in the middle of an answer looks like.
        sqlx::Error::Io(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::BeginFailed
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            if error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some() {
                passing_on_postgresql(&code)
            } else {
                passing_on_sqlite(&code)
            }
        }),
        _ => false,
    }
}

/// PostgreSQL's appendix A: connections (class 08), resources (53), shut down and starting up
/// (57P01 to 57P03), serialisation and deadlock, lock not available, and a server that turned
/// read-only because another one took over.
fn passing_on_postgresql(code: &str) -> bool {
    matches!(code, "57P01" | "57P02" | "57P03" | "40001" | "40P01" | "55P03" | "25006")
        || code.starts_with("08")
        || code.starts_with("53")
}

/// SQLITE_BUSY, SQLITE_LOCKED and SQLITE_FULL; the low byte of an extended code is the code.
fn passing_on_sqlite(code: &str) -> bool {
    code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 5 | 6 | 13))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_and_a_deadlock_pass_and_a_broken_rule_does_not() {
        for code in ["57P01", "57P03", "40001", "40P01", "08006", "53300"] {
            assert!(passing_on_postgresql(code), "{code}");
        }
        for code in ["23505", "42P01", "28P01", "3D000"] {
            assert!(!passing_on_postgresql(code), "{code}");
        }
        for (code, passing) in [("5", true), ("517", true), ("262", true), ("1555", false), ("1", false)] {
            assert_eq!(passing_on_sqlite(code), passing, "{code}");
        }
        assert!(
            StoreError::from(DbErr::Conn(RuntimeErr::SqlxError(sqlx::Error::PoolTimedOut.into())))
                .is_passing()
        );
    }
}
