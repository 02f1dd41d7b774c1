//! Workflows, their steps, farms and their locks, outbox, idempotency keys, tokens.
//!
//! * Documents are `text` holding JSON: nothing here looks into them, PostgreSQL's `jsonb` refuses
//!   the escaped zero that an AD value may hold, and `column::jsonb` is there for whoever asks.
//! * Times are `timestamptz` on PostgreSQL and RFC 3339 text in UTC on SQLite, which sorts as time:
//!   the `+` that ends a time sorts before the point and the digits of a longer fraction.
//! * No foreign keys: every row is written in a transaction that has the workflow's row in hand,
//!   and a check for each step of the journal's batches would cost more than the step.
//! * What changes with every commit (`lease_until`, `revision`) is in no index, so PostgreSQL
//!   updates in place (HOT); the fill factor leaves room for that on the page.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[derive(DeriveIden, Clone, Copy)]
enum Tables {
    Workflows,
    WorkflowHosts,
    Steps,
    Farms,
    Locks,
    Outbox,
    IdempotencyKeys,
    Tokens,
}

const ALL: [Tables; 8] = [
    Tables::Workflows,
    Tables::WorkflowHosts,
    Tables::Steps,
    Tables::Farms,
    Tables::Locks,
    Tables::Outbox,
    Tables::IdempotencyKeys,
    Tables::Tokens,
];

/// Partial indexes, in the words that both databases share. A list is read by id (UUIDv7: newest
/// first, backwards through the primary key), so each index ends with the id.
const INDEXES: [&str; 10] = [
    // `succeeded` is where nearly all of a million rows are: a list of those is a list of all.
    "create index workflows_state on workflows (state, id) where state <> 'succeeded'",
    "create index workflows_kind on workflows (kind, id)",
    "create index workflows_farm on workflows (farm_key, id) where farm_key is not null",
    "create index workflows_lock on workflows (directory_key, farm_key, created_at, id) \
     where state = 'waiting' and waiting_for = 'lock'",
    "create index workflows_due on workflows (due_at) where state = 'waiting'",
    "create index workflows_emitted on workflows (emitted_at) where state = 'queued'",
    "create index workflow_hosts_host on workflow_hosts (host_key, workflow_id)",
    "create unique index locks_workflow on locks (workflow_id)",
    "create index outbox_workflow on outbox (workflow_id)",
    "create unique index tokens_secret_hash on tokens (secret_hash)",
];

const STORAGE_OF_POSTGRESQL: [&str; 3] = [
    // A commit of the journal rewrites most rows of a page at once: room for a second version of
    // each. With 70 three of four updates left the page and wrote to every index (four times the
    // WAL, and a larger table in the end).
    "alter table workflows set (fillfactor = 45)",
    "alter table steps set (fillfactor = 85)",
    // Rows live for milliseconds: without frequent vacuum the relay wades through dead ones.
    "alter table outbox set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000)",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in
            [workflows(), workflow_hosts(), steps(), farms(), locks(), outbox(), idempotency_keys(), tokens()]
        {
            manager.create_table(table).await?;
        }
        let db = manager.get_connection();
        for index in INDEXES {
            db.execute_unprepared(index).await?;
        }
        if manager.get_database_backend() == DbBackend::Postgres {
            for statement in STORAGE_OF_POSTGRESQL {
                db.execute_unprepared(statement).await?;
            }
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ALL.into_iter().rev() {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}

fn column(name: &'static str) -> ColumnDef {
    ColumnDef::new(name)
}

fn text(name: &'static str) -> ColumnDef {
    column(name).text().not_null().take()
}

fn optional_text(name: &'static str) -> ColumnDef {
    column(name).text().take()
}

fn time(name: &'static str) -> ColumnDef {
    column(name).timestamp_with_time_zone().not_null().take()
}

fn optional_time(name: &'static str) -> ColumnDef {
    column(name).timestamp_with_time_zone().take()
}

fn uuid(name: &'static str) -> ColumnDef {
    column(name).uuid().not_null().take()
}

fn counter(name: &'static str) -> ColumnDef {
    column(name).big_integer().not_null().default(0).take()
}

fn table(name: Tables, columns: Vec<ColumnDef>, key: &[&'static str]) -> TableCreateStatement {
    let mut primary = Index::create();
    for part in key {
        primary.col(*part);
    }
    let mut table = Table::create();
    table.table(name);
    for column in columns {
        table.col(column);
    }
    table.primary_key(&mut primary).take()
}

fn workflows() -> TableCreateStatement {
    let columns = vec![
        uuid("id"),
        text("kind"),
        text("directory"),
        text("directory_key"),
        optional_text("farm"),
        optional_text("farm_key"),
        text("hosts"),
        text("lane"),
        text("mode"),
        text("state"),
        text("requested_by"),
        optional_text("reason"),
        time("created_at"),
        optional_time("started_at"),
        optional_time("finished_at"),
        optional_text("waiting_for"),
        optional_time("due_at"),
        optional_text("waiting_detail"),
        optional_text("plan"),
        optional_text("step_names"),
        optional_text("error"),
        optional_text("result"),
        text("input"),
        optional_text("traceparent"),
        counter("revision"),
        counter("fencing_token"),
        optional_text("lease_owner"),
        optional_time("lease_until"),
        optional_text("pinned_dc"),
        optional_text("unwinding"),
        optional_text("control"),
        optional_text("control_by"),
        time("emitted_at"),
        column("emissions").integer().not_null().take(),
    ];
    table(Tables::Workflows, columns, &["id"])
}

fn workflow_hosts() -> TableCreateStatement {
    table(Tables::WorkflowHosts, vec![uuid("workflow_id"), text("host_key")], &["workflow_id", "host_key"])
}

fn steps() -> TableCreateStatement {
    let columns = vec![
        uuid("workflow_id"),
        column("index").integer().not_null().take(),
        text("name"),
        text("state"),
        column("changed").boolean().take(),
        column("attempts").integer().not_null().take(),
        optional_time("started_at"),
        optional_time("finished_at"),
        optional_text("detail"),
        optional_text("error"),
        optional_text("intent"),
        optional_text("outcome"),
        // Whether the step wrote or was about to: a cancelled workflow must then be unwound.
        column("wrote").boolean().not_null().take(),
    ];
    table(Tables::Steps, columns, &["workflow_id", "index"])
}

fn farms() -> TableCreateStatement {
    let columns = vec![
        text("directory_key"),
        text("farm_key"),
        text("directory"),
        text("name"),
        text("state"),
        text("spec"),
        optional_text("recorded"),
        column("last_workflow").uuid().take(),
        time("created_at"),
        time("updated_at"),
    ];
    table(Tables::Farms, columns, &["directory_key", "farm_key"])
}

fn locks() -> TableCreateStatement {
    let columns = vec![
        text("directory_key"),
        text("farm_key"),
        uuid("workflow_id"),
        counter("fencing_token"),
        time("locked_at"),
    ];
    table(Tables::Locks, columns, &["directory_key", "farm_key"])
}

fn outbox() -> TableCreateStatement {
    let columns = vec![
        uuid("id"),
        uuid("workflow_id"),
        text("lane"),
        column("body").binary().not_null().take(),
        time("created_at"),
    ];
    table(Tables::Outbox, columns, &["id"])
}

fn idempotency_keys() -> TableCreateStatement {
    let columns =
        vec![text("principal"), text("key"), text("request_hash"), uuid("workflow_id"), time("created_at")];
    table(Tables::IdempotencyKeys, columns, &["principal", "key"])
}

fn tokens() -> TableCreateStatement {
    let columns = vec![
        uuid("id"),
        text("principal"),
        text("roles"),
        text("secret_hash"),
        time("created_at"),
        optional_time("expires_at"),
        optional_time("revoked_at"),
        optional_time("last_used_at"),
    ];
    table(Tables::Tokens, columns, &["id"])
}
