//! Whether the tables are those of this program, and how they become so.

use migrations::{Migrator, MigratorTrait};
use sea_orm::{ConnectionTrait, DbBackend};
use tracing::instrument;

use crate::sql::statement;
use crate::store::timed;
use crate::{SchemaStatus, Store, StoreError};

/// Any number that nobody else uses; only one process migrates at a time.
const MIGRATION_LOCK: i64 = 0x6661_726d_6861_6e64;

impl Store {
    #[instrument(name = "db.schema.status", skip_all)]
    pub async fn schema_status(&self) -> Result<SchemaStatus, StoreError> {
        let _time = timed("schema_status");
        status(self.reader()).await
    }

    /// [`StoreError::Schema`] unless the schema is current.
    pub async fn require_current_schema(&self) -> Result<(), StoreError> {
        match self.schema_status().await? {
            SchemaStatus::Current => Ok(()),
            SchemaStatus::Behind { pending } => {
                let found = format!("behind by {}", pending.join(", "));
                Err(StoreError::Schema { found, needed: newest(), hint: "farmhand migrate up" })
            }
            SchemaStatus::Unknown { found } => Err(too_new(&found)),
        }
    }

    /// Applies all that is pending; several processes may do so at once.
    #[instrument(name = "db.schema.up", skip_all)]
    pub async fn migrate_up(&self) -> Result<(), StoreError> {
        let tx = self.migrating().await?;
        Migrator::up(&tx, None).await?;
        Ok(tx.commit().await?)
    }

    /// Takes back the last `steps` migrations, with all that their tables hold.
    #[instrument(name = "db.schema.down", skip_all)]
    pub async fn migrate_down(&self, steps: u32) -> Result<(), StoreError> {
        let tx = self.migrating().await?;
        Migrator::down(&tx, Some(steps)).await?;
        Ok(tx.commit().await?)
    }

    /// All migrations this program knows, oldest first, and whether each is applied.
    #[instrument(name = "db.schema.list", skip_all)]
    pub async fn migrations(&self) -> Result<Vec<(String, bool)>, StoreError> {
        let applied = applied(self.reader()).await?;
        Ok(known().into_iter().map(|name| (name.clone(), applied.contains(&name))).collect())
    }

    /// All migrations in one transaction, under a lock until its end: a second process waits and
    /// then finds nothing to do. SQLite's write transaction is such a lock already.
    async fn migrating(&self) -> Result<sea_orm::DatabaseTransaction, StoreError> {
        let tx = self.begin().await?;
        if self.is_postgresql() {
            tx.execute_raw(statement(&tx, "select pg_advisory_xact_lock($1)", [MIGRATION_LOCK.into()]))
                .await?;
        }
        match status(&tx).await? {
            SchemaStatus::Unknown { found } => Err(too_new(&found)),
            _ => Ok(tx),
        }
    }
}

fn known() -> Vec<String> {
    Migrator::migrations().iter().map(|migration| migration.name().to_owned()).collect()
}

fn newest() -> String {
    known().pop().unwrap_or_default()
}

fn too_new(found: &[String]) -> StoreError {
    StoreError::Schema {
        found: format!("newer than this program ({})", found.join(", ")),
        needed: newest(),
        hint: "run the farmhand that wrote it, or a newer one",
    }
}

async fn status(db: &impl ConnectionTrait) -> Result<SchemaStatus, StoreError> {
    let (known, applied) = (known(), applied(db).await?);
    let found: Vec<_> = applied.iter().filter(|name| !known.contains(name)).cloned().collect();
    let pending: Vec<_> = known.into_iter().filter(|name| !applied.contains(name)).collect();
    Ok(if !found.is_empty() {
        SchemaStatus::Unknown { found }
    } else if !pending.is_empty() {
        SchemaStatus::Behind { pending }
    } else {
        SchemaStatus::Current
    })
}

/// Reads only: a service's login need not be allowed to create tables.
async fn applied(db: &impl ConnectionTrait) -> Result<Vec<String>, StoreError> {
    let probe = match db.get_database_backend() {
        DbBackend::Postgres => "select to_regclass('seaql_migrations')::text as name",
        _ => "select max(name) as name from sqlite_master where type = 'table' and name = 'seaql_migrations'",
    };
    let row = db.query_one_raw(statement(db, probe, [])).await?;
    let Some(row) = row else { return Ok(Vec::new()) };
    if row.try_get::<Option<String>>("", "name")?.is_none() {
        return Ok(Vec::new());
    }
    let rows =
        db.query_all_raw(statement(db, "select version from seaql_migrations order by version", [])).await?;
    Ok(rows.iter().map(|row| row.try_get("", "version")).collect::<Result<_, _>>()?)
}
