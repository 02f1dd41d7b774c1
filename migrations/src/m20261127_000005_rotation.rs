//! How the password of every gMSA stands, the history of its changes, and which farm an account
//! belongs to without reading all farms.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[derive(DeriveIden, Clone, Copy)]
enum Tables {
    Farms,
    Rotation,
    RotationHistory,
}

const INDEXES: [&str; 5] = [
    "create index farms_account on farms (directory_key, account_sid) where account_sid is not null",
    "create index rotation_board on rotation (directory_key, account_key, account_sid)",
    // Few of many have a verdict that people look for.
    "create index rotation_verdict on rotation (verdict, directory_key, account_key, account_sid)",
    "create index rotation_farm on rotation (farm_key, directory_key, account_key) where farm_key is not null",
    "create index rotation_history_age on rotation_history (directory_key, at)",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut added = ColumnDef::new("account_sid").text().take();
        manager.alter_table(Table::alter().table(Tables::Farms).add_column(&mut added).take()).await?;
        let db = manager.get_connection();
        db.execute_unprepared(fill_account_sid(manager.get_database_backend())).await?;
        manager.create_table(rotation()).await?;
        manager.create_table(history()).await?;
        for index in INDEXES {
            manager.get_connection().execute_unprepared(index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [Tables::RotationHistory, Tables::Rotation] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        manager.get_connection().execute_unprepared("drop index farms_account").await?;
        manager.alter_table(Table::alter().table(Tables::Farms).drop_column("account_sid").take()).await
    }
}

fn fill_account_sid(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Postgres => {
            "update farms set account_sid = recorded::json ->> 'accountSid' where recorded is not null"
        }
        _ => {
            "update farms set account_sid = json_extract(recorded, '$.accountSid') where recorded is not null"
        }
    }
}

fn rotation() -> TableCreateStatement {
    Table::create()
        .table(Tables::Rotation)
        .col(ColumnDef::new("directory_key").text().not_null())
        .col(ColumnDef::new("account_sid").text().not_null())
        .col(ColumnDef::new("directory").text().not_null())
        .col(ColumnDef::new("account_key").text().not_null())
        .col(ColumnDef::new("farm_key").text())
        .col(ColumnDef::new("verdict").text().not_null())
        .col(ColumnDef::new("key_slot").big_integer())
        .col(ColumnDef::new("root_key").uuid())
        // Codes, each between spaces.
        .col(ColumnDef::new("findings").text().not_null())
        .col(ColumnDef::new("item").text().not_null())
        .col(ColumnDef::new("checked_at").timestamp_with_time_zone().not_null())
        .col(ColumnDef::new("changed_at").timestamp_with_time_zone().not_null())
        .col(ColumnDef::new("gone_at").timestamp_with_time_zone())
        .primary_key(Index::create().col("directory_key").col("account_sid"))
        .take()
}

fn history() -> TableCreateStatement {
    Table::create()
        .table(Tables::RotationHistory)
        .col(ColumnDef::new("directory_key").text().not_null())
        .col(ColumnDef::new("account_sid").text().not_null())
        .col(ColumnDef::new("at").timestamp_with_time_zone().not_null())
        .col(ColumnDef::new("workflow_id").uuid().not_null())
        .col(ColumnDef::new("verdict").text().not_null())
        .col(ColumnDef::new("why").text().not_null())
        .col(ColumnDef::new("key_slot").big_integer())
        .col(ColumnDef::new("root_key").uuid())
        .col(ColumnDef::new("gone").boolean().not_null())
        .primary_key(Index::create().col("directory_key").col("account_sid").col("at").col("workflow_id"))
        .take()
}
