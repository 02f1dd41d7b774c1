//! A way to set scenes that the store itself would never make. Behind the feature `testing`.

use sea_orm::ConnectionTrait;

use crate::sql::statement;
use crate::{Store, StoreError};

impl Store {
    /// Any statement. How many rows it met.
    pub async fn execute_raw(&self, sql: &str) -> Result<u64, StoreError> {
        let done = self.writer().execute_raw(statement(self.writer(), sql, [])).await?;
        Ok(done.rows_affected())
    }

    /// The first column of the first row, as a whole number.
    pub async fn number(&self, sql: &str) -> Result<i64, StoreError> {
        let row = self.writer().query_one_raw(statement(self.writer(), sql, [])).await?;
        let row = row.ok_or_else(|| StoreError::Statement("no row".into()))?;
        Ok(row.try_get_by_index(0)?)
    }

    /// The texts of the first column.
    pub async fn texts(&self, sql: &str) -> Result<Vec<String>, StoreError> {
        let rows = self.writer().query_all_raw(statement(self.writer(), sql, [])).await?;
        Ok(rows.iter().map(|row| row.try_get_by_index(0)).collect::<Result<_, _>>()?)
    }
}
