//! Schedules, what became of each of their due times, and the calendars that hold work back.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[derive(DeriveIden, Clone, Copy)]
enum Tables {
    Schedules,
    ScheduleFires,
    Calendars,
}

const INDEXES: [&str; 6] = [
    "create unique index schedules_name on schedules (name_key)",
    // What is due, in order; a schedule that has ended is no part of it.
    "create index schedules_fire on schedules (fire_at, id) where state <> 'ended'",
    "create index schedules_queued on schedules (id) where queued > 0",
    "create index schedule_fires_workflow on schedule_fires (workflow_id) where workflow_id is not null",
    "create index schedule_fires_queued on schedule_fires (schedule_id, due_at) where outcome = 'queued'",
    "create index schedule_fires_recorded on schedule_fires (recorded_at)",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [schedules(), fires(), calendars()] {
            manager.create_table(table).await?;
        }
        for index in INDEXES {
            manager.get_connection().execute_unprepared(index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [Tables::Calendars, Tables::ScheduleFires, Tables::Schedules] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}

fn schedules() -> TableCreateStatement {
    Table::create()
        .table(Tables::Schedules)
        .col(ColumnDef::new("id").uuid().not_null().primary_key())
        .col(ColumnDef::new("name").text().not_null())
        .col(ColumnDef::new("name_key").text().not_null())
        .col(ColumnDef::new("spec").text().not_null())
        .col(ColumnDef::new("state").text().not_null())
        // As the schedule says, and with its jitter.
        .col(ColumnDef::new("next_due").timestamp_with_time_zone())
        .col(ColumnDef::new("fire_at").timestamp_with_time_zone())
        .col(ColumnDef::new("ended_because").text())
        .col(ColumnDef::new("last_due").timestamp_with_time_zone())
        .col(ColumnDef::new("last_workflow").uuid())
        .col(ColumnDef::new("queued").big_integer().not_null().default(0))
        .col(ColumnDef::new("paused_at").timestamp_with_time_zone())
        .col(ColumnDef::new("paused_by").text())
        .col(ColumnDef::new("pause_reason").text())
        .col(ColumnDef::new("resumed_at").timestamp_with_time_zone())
        .col(ColumnDef::new("owner").text().not_null())
        .col(ColumnDef::new("owner_roles").text().not_null())
        .col(ColumnDef::new("created_by").text().not_null())
        .col(ColumnDef::new("created_at").timestamp_with_time_zone().not_null())
        .col(ColumnDef::new("updated_at").timestamp_with_time_zone().not_null())
        .col(ColumnDef::new("revision").big_integer().not_null())
        // A schedule that is on and will never fire again is what nobody notices.
        .check(Expr::cust("(state = 'ended') = (next_due is null) and (state = 'ended') = (fire_at is null)"))
        .take()
}

fn fires() -> TableCreateStatement {
    Table::create()
        .table(Tables::ScheduleFires)
        .col(ColumnDef::new("schedule_id").uuid().not_null())
        .col(ColumnDef::new("due_at").timestamp_with_time_zone().not_null())
        .col(ColumnDef::new("outcome").text().not_null())
        .col(ColumnDef::new("reason").text())
        .col(ColumnDef::new("detail").text())
        .col(ColumnDef::new("workflow_id").uuid())
        // Who answers for it: whoever had last defined the schedule.
        .col(ColumnDef::new("owner").text().not_null())
        .col(ColumnDef::new("recorded_at").timestamp_with_time_zone().not_null())
        .primary_key(Index::create().col("schedule_id").col("due_at"))
        .take()
}

fn calendars() -> TableCreateStatement {
    Table::create()
        .table(Tables::Calendars)
        .col(ColumnDef::new("name_key").text().not_null().primary_key())
        .col(ColumnDef::new("spec").text().not_null())
        .col(ColumnDef::new("created_by").text().not_null())
        .col(ColumnDef::new("created_at").timestamp_with_time_zone().not_null())
        .take()
}
