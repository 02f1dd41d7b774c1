//! How farms stand to what was asked for, and up to which change of a DC that is known.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[derive(DeriveIden, Clone, Copy)]
enum Tables {
    Drift,
    DriftMarks,
}

/// Few of many are not in line.
const BY_STATE: &str = "create index drift_state on drift (state, directory_key, farm_key)";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(drift()).await?;
        manager.create_table(marks()).await?;
        manager.get_connection().execute_unprepared(BY_STATE).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [Tables::DriftMarks, Tables::Drift] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}

fn text(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).text().not_null().take()
}

fn time(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).timestamp_with_time_zone().not_null().take()
}

fn drift() -> TableCreateStatement {
    Table::create()
        .table(Tables::Drift)
        .col(text("directory_key"))
        .col(text("farm_key"))
        .col(text("directory"))
        .col(text("farm"))
        .col(text("state"))
        .col(ColumnDef::new("why").text())
        .col(text("items"))
        .col(ColumnDef::new("item_count").integer().not_null())
        // Null where there are no items.
        .col(ColumnDef::new("drift_hash").text())
        // What was read: SIDs and DNs of objects.
        .col(text("rests_on"))
        // Whether that is all: a name that meant nobody may mean somebody tomorrow.
        .col(ColumnDef::new("settled").boolean().not_null())
        .col(text("dc"))
        .col(text("invocation"))
        .col(ColumnDef::new("usn").big_integer().not_null())
        // The record as it was then, and the newest lifecycle workflow on the farm.
        .col(time("farm_updated_at"))
        .col(ColumnDef::new("newest_workflow").uuid())
        .col(ColumnDef::new("newest_revision").big_integer())
        .col(time("checked_at"))
        .col(time("compared_at"))
        .col(time("changed_at"))
        .col(ColumnDef::new("mended_by").uuid())
        .col(ColumnDef::new("mended_hash").text())
        .col(ColumnDef::new("mended_at").timestamp_with_time_zone())
        .primary_key(Index::create().col("directory_key").col("farm_key"))
        .take()
}

fn marks() -> TableCreateStatement {
    Table::create()
        .table(Tables::DriftMarks)
        .col(text("directory_key"))
        .col(text("dc"))
        .col(text("invocation"))
        .col(ColumnDef::new("usn").big_integer().not_null())
        .col(text("quarantine"))
        .col(time("full_at"))
        .col(time("checked_at"))
        .primary_key(Index::create().col("directory_key"))
        .take()
}
