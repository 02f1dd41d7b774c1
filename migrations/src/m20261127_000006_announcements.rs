//! The outbox also takes what is announced to other systems: rows with a topic in place of a lane.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

#[derive(DeriveMigrationName)]
pub struct Migration;

const UP_ON_POSTGRESQL: [&str; 3] = [
    "alter table outbox alter column workflow_id drop not null",
    "alter table outbox alter column lane drop not null",
    "alter table outbox add column topic text",
];

const DOWN_ON_POSTGRESQL: [&str; 4] = [
    "delete from outbox where topic is not null",
    "alter table outbox drop column topic",
    "alter table outbox alter column lane set not null",
    "alter table outbox alter column workflow_id set not null",
];

/// SQLite cannot take `not null` from a column, so the table is made anew.
const UP_ON_SQLITE: [&str; 5] = [
    "create table outbox_new (id uuid_text not null, workflow_id uuid_text, lane text, topic text, \
     body blob not null, created_at timestamp_with_timezone_text not null, primary key (id))",
    "insert into outbox_new (id, workflow_id, lane, body, created_at) \
     select id, workflow_id, lane, body, created_at from outbox",
    "drop table outbox",
    "alter table outbox_new rename to outbox",
    "create index outbox_workflow on outbox (workflow_id)",
];

const DOWN_ON_SQLITE: [&str; 5] = [
    "create table outbox_old (id uuid_text not null, workflow_id uuid_text not null, lane text not null, \
     body blob not null, created_at timestamp_with_timezone_text not null, primary key (id))",
    "insert into outbox_old (id, workflow_id, lane, body, created_at) \
     select id, workflow_id, lane, body, created_at from outbox where topic is null",
    "drop table outbox",
    "alter table outbox_old rename to outbox",
    "create index outbox_workflow on outbox (workflow_id)",
];

/// Each of the two kinds of rows in the order in which the relay takes them, without the other in
/// between: what is announced may have to wait for long.
const ORDERS: [&str; 2] = [
    "create index outbox_events on outbox ((lane <> 'urgent'), id) where topic is null",
    "create index outbox_announcements on outbox (id) where topic is not null",
];

const ORDER_BEFORE: &str = "create index outbox_urgent_first on outbox ((lane <> 'urgent'), id)";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let changes: &[&str] = match manager.get_database_backend() {
            DbBackend::Postgres => &UP_ON_POSTGRESQL,
            _ => &UP_ON_SQLITE,
        };
        let before = ["drop index outbox_urgent_first"];
        for statement in before.iter().chain(changes).chain(&ORDERS) {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let changes: &[&str] = match manager.get_database_backend() {
            DbBackend::Postgres => &DOWN_ON_POSTGRESQL,
            _ => &DOWN_ON_SQLITE,
        };
        let orders = ["drop index outbox_announcements", "drop index outbox_events"];
        for statement in orders.iter().chain(changes).chain(&[ORDER_BEFORE]) {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }
}
