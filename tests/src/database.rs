//! A database for one test.

use std::process::Command;

use anyhow::{Context, Result};
use url::Url;

use crate::lab::{Lab, random_text};
use crate::script::{self, report_drop};

/// An empty database, dropped with this guard (connections to it are cut).
#[derive(Debug)]
pub struct PostgresDatabase {
    pub url: String,
    server: String,
    name: String,
}

impl PostgresDatabase {
    /// # Panics
    /// When the lab's PostgreSQL does not do it.
    pub fn create(lab: &Lab) -> Self {
        let (url, name) = create_database(&lab.database_url).expect("a database of the lab's PostgreSQL");
        Self { url, server: lab.database_url.clone(), name }
    }

    /// Rows of a query as text, NULL as the empty text.
    ///
    /// # Panics
    /// When the query fails.
    pub fn query(&self, sql: &str) -> Vec<Vec<String>> {
        query(&self.url, sql).expect("a query")
    }
}

impl Drop for PostgresDatabase {
    fn drop(&mut self) {
        let dropped = query(&self.server, &format!("drop database if exists \"{}\" with (force)", self.name));
        report_drop(&self.name, dropped.map(drop));
    }
}

/// Makes a database on the server of `url`; gives its URL and name.
pub(crate) fn create_database(url: &str) -> Result<(String, String)> {
    let name = format!("farmhand_test_{}", random_text(10));
    query(url, &format!("create database \"{name}\""))?;
    let mut own = Url::parse(url).context("the URL of the database")?;
    own.set_path(&name);
    Ok((own.to_string(), name))
}

/// Runs SQL on any database through psql.
pub fn query(url: &str, sql: &str) -> Result<Vec<Vec<String>>> {
    const FIELD: char = '\u{1f}';
    const RECORD: char = '\u{1e}';
    let mut command = Command::new("psql");
    command.env("PGCONNECT_TIMEOUT", "10").args(["-w", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1"]);
    command.arg("-F").arg(FIELD.to_string()).arg("-R").arg(RECORD.to_string()).args(["-d", url, "-c", sql]);
    let output = String::from_utf8(script::check(&mut command, b"")?).context("text of psql")?;
    let output = output.strip_suffix('\n').unwrap_or(&output);
    if output.is_empty() {
        return Ok(Vec::new());
    }
    Ok(output.split(RECORD).map(|row| row.split(FIELD).map(str::to_owned).collect()).collect())
}

/// A file that SQLite makes on first use, deleted with this guard.
#[derive(Debug)]
pub struct SqliteDatabase {
    pub url: String,
    folder: tempfile::TempDir,
}

impl SqliteDatabase {
    /// # Panics
    /// When there is no folder for temporary files.
    #[expect(clippy::new_without_default, reason = "a default value that makes a folder would surprise")]
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder for the database");
        Self { url: format!("sqlite://{}/farmhand.db?mode=rwc", folder.path().display()), folder }
    }

    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;
    use std::time::Duration;

    use super::*;
    use crate::wait::eventually;

    #[tokio::test]
    async fn a_database_is_empty_and_goes_with_its_guard_though_somebody_is_connected() {
        let lab = Lab::from_env();
        let database = PostgresDatabase::create(&lab);
        query(&database.url, "create table t (a int, b text); insert into t values (1, null), (2, 'x y')")
            .unwrap();
        assert_eq!(database.query("select * from t order by a"), [["1", ""], ["2", "x y"]]);
        assert_eq!(database.query("select * from t where a > 5"), Vec::<Vec<String>>::new());
        let mut connected = Command::new("psql");
        let connected = connected
            .args(["-w", "-X", "-d", &database.url, "-c", "select pg_sleep(60)"])
            .stderr(Stdio::null())
            .spawn();
        let mut connected = connected.unwrap();
        eventually("the connection of psql", Duration::from_secs(10), async || {
            let here = "select 1 from pg_stat_activity where datname = current_database() and query like '%pg_sleep(60)'";
            database.query(here).pop()
        })
        .await;
        let name = database.name.clone();
        drop(database);
        let left =
            query(&lab.database_url, &format!("select 1 from pg_database where datname = '{name}'")).unwrap();
        assert!(left.is_empty());
        assert!(!connected.wait().unwrap().success(), "the connection was cut");
    }

    #[test]
    fn bad_sql_is_an_error_with_the_servers_words() {
        let lab = Lab::from_env();
        let error = query(&lab.database_url, "select nonsense").unwrap_err().to_string();
        assert!(error.contains("column \"nonsense\" does not exist"), "{error}");
    }
}
