//! The quarantine that every workflow obeys, the deny entries that Farmhand wrote for it, and which
//! workflow asked for, or stopped, another.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[derive(DeriveIden, Clone, Copy)]
enum Tables {
    Workflows,
    Quarantine,
    QuarantineDenials,
}

const INDEXES: [&str; 4] = [
    "create index workflows_parent on workflows (parent, id) where parent is not null",
    "create index workflows_preempted on workflows (preempted_by) where preempted_by is not null",
    // One open quarantine of a host at a time; those that ended stay as history.
    "create unique index quarantine_open on quarantine (directory_key, host_sid) where released_at is null",
    // The order in which the relay takes events.
    "create index outbox_urgent_first on outbox ((lane <> 'urgent'), id)",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let replan = ColumnDef::new("replan").boolean().not_null().default(false).take();
        let columns = ["parent", "preempted_by"].map(|column| ColumnDef::new(column).uuid().take());
        for mut added in columns.into_iter().chain([replan]) {
            let table = Table::alter().table(Tables::Workflows).add_column(&mut added).take();
            manager.alter_table(table).await?;
        }
        manager.create_table(quarantine()).await?;
        manager.create_table(denials()).await?;
        for index in INDEXES {
            manager.get_connection().execute_unprepared(index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [Tables::QuarantineDenials, Tables::Quarantine] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        for index in ["workflows_parent", "workflows_preempted", "outbox_urgent_first"] {
            manager.get_connection().execute_unprepared(&format!("drop index {index}")).await?;
        }
        for column in ["parent", "preempted_by", "replan"] {
            let table = Table::alter().table(Tables::Workflows).drop_column(column).take();
            manager.alter_table(table).await?;
        }
        Ok(())
    }
}

fn quarantine() -> TableCreateStatement {
    Table::create()
        .table(Tables::Quarantine)
        .col(ColumnDef::new("id").uuid().not_null().primary_key())
        .col(ColumnDef::new("directory").text().not_null())
        .col(ColumnDef::new("directory_key").text().not_null())
        .col(ColumnDef::new("host_sid").text().not_null())
        .col(ColumnDef::new("host_name").text().not_null())
        .col(ColumnDef::new("computer_dn").text().not_null())
        .col(ColumnDef::new("workflow_id").uuid().not_null())
        .col(ColumnDef::new("placed_by").text().not_null())
        .col(ColumnDef::new("reason").text())
        .col(ColumnDef::new("placed_at").timestamp_with_time_zone().not_null())
        .col(ColumnDef::new("computer_disabled").boolean().not_null())
        .col(ColumnDef::new("released_at").timestamp_with_time_zone())
        .col(ColumnDef::new("released_by").text())
        .col(ColumnDef::new("release_workflow").uuid())
        .col(ColumnDef::new("release_reason").text())
        .take()
}

fn denials() -> TableCreateStatement {
    Table::create()
        .table(Tables::QuarantineDenials)
        .col(ColumnDef::new("directory_key").text().not_null())
        .col(ColumnDef::new("host_sid").text().not_null())
        .col(ColumnDef::new("account_sid").text().not_null())
        .col(ColumnDef::new("account_dn").text().not_null())
        .col(ColumnDef::new("workflow_id").uuid().not_null())
        .col(ColumnDef::new("written_at").timestamp_with_time_zone().not_null())
        .primary_key(Index::create().col("directory_key").col("host_sid").col("account_sid"))
        .take()
}
