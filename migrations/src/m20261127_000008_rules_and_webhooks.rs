//! Rules and what became of events, webhooks with their secrets, and what is sent and received by
//! them.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[derive(DeriveIden, Clone, Copy)]
enum Tables {
    Rules,
    RuleFirings,
    Webhooks,
    WebhookSecrets,
    WebhookDeliveries,
    WebhookReceipts,
}

const ALL: [Tables; 6] = [
    Tables::WebhookReceipts,
    Tables::WebhookDeliveries,
    Tables::WebhookSecrets,
    Tables::Webhooks,
    Tables::RuleFirings,
    Tables::Rules,
];

const INDEXES: [&str; 13] = [
    "create unique index rules_name on rules (name_key)",
    "create unique index rule_firings_id on rule_firings (rule_id, id)",
    "create index rule_firings_asked on rule_firings (rule_id, recorded_at) where outcome in ('fired', 'dry-run')",
    "create index rule_firings_key on rule_firings (rule_id, dedupe_key, recorded_at) \
     where outcome in ('fired', 'dry-run') and dedupe_key is not null",
    "create index rule_firings_workflow on rule_firings (workflow_id) where workflow_id is not null",
    "create index rule_firings_recorded on rule_firings (recorded_at)",
    "create unique index webhooks_name on webhooks (name_key)",
    "create unique index webhook_deliveries_event on webhook_deliveries (webhook_id, event_key)",
    "create index webhook_deliveries_log on webhook_deliveries (webhook_id, id)",
    "create index webhook_deliveries_due on webhook_deliveries (webhook_id, next_at) where state = 'pending'",
    "create index webhook_deliveries_oldest on webhook_deliveries (created_at) where state = 'pending'",
    "create index webhook_deliveries_finished on webhook_deliveries (finished_at) where state <> 'pending'",
    "create index webhook_receipts_received on webhook_receipts (received_at)",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [rules(), firings(), webhooks(), secrets(), deliveries(), receipts()] {
            manager.create_table(table).await?;
        }
        for index in INDEXES {
            manager.get_connection().execute_unprepared(index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ALL {
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

/// When, by whom and why something was paused.
fn pause(table: &mut TableCreateStatement) -> &mut TableCreateStatement {
    table
        .col(ColumnDef::new("paused_at").timestamp_with_time_zone())
        .col(ColumnDef::new("paused_by").text())
        .col(ColumnDef::new("pause_reason").text())
}

fn rules() -> TableCreateStatement {
    let mut table = Table::create();
    table
        .table(Tables::Rules)
        .col(ColumnDef::new("id").uuid().not_null().primary_key())
        .col(text("name"))
        .col(text("name_key"))
        .col(text("spec"))
        .col(text("state"))
        .col(ColumnDef::new("last_fired_at").timestamp_with_time_zone())
        .col(ColumnDef::new("last_workflow").uuid())
        .col(text("owner"))
        .col(text("owner_roles"))
        .col(text("created_by"))
        .col(time("created_at"))
        .col(time("updated_at"))
        .col(ColumnDef::new("revision").big_integer().not_null());
    pause(&mut table).take()
}

fn firings() -> TableCreateStatement {
    Table::create()
        .table(Tables::RuleFirings)
        .col(ColumnDef::new("rule_id").uuid().not_null())
        // Of the event's source and id, which can be of any length.
        .col(text("event_key"))
        .col(ColumnDef::new("id").uuid().not_null())
        .col(text("event_id"))
        .col(text("event_source"))
        .col(text("event_type"))
        .col(ColumnDef::new("event_subject").text())
        .col(text("outcome"))
        .col(ColumnDef::new("code").text())
        .col(ColumnDef::new("detail").text())
        .col(ColumnDef::new("dedupe_key").text())
        .col(ColumnDef::new("workflow_id").uuid())
        // Who answers for it: whoever had last defined the rule.
        .col(text("owner"))
        .col(time("recorded_at"))
        .primary_key(Index::create().col("rule_id").col("event_key"))
        .take()
}

fn webhooks() -> TableCreateStatement {
    let mut table = Table::create();
    table
        .table(Tables::Webhooks)
        .col(ColumnDef::new("id").uuid().not_null().primary_key())
        .col(text("name"))
        .col(text("name_key"))
        .col(text("direction"))
        .col(text("spec"))
        .col(text("state"))
        .col(text("created_by"))
        .col(time("created_at"))
        .col(time("updated_at"))
        .col(ColumnDef::new("revision").big_integer().not_null());
    pause(&mut table).take()
}

/// A table of its own: no list of webhooks can show what it does not read.
fn secrets() -> TableCreateStatement {
    Table::create()
        .table(Tables::WebhookSecrets)
        .col(ColumnDef::new("webhook_id").uuid().not_null().primary_key())
        .col(text("secret"))
        .take()
}

fn deliveries() -> TableCreateStatement {
    Table::create()
        .table(Tables::WebhookDeliveries)
        .col(ColumnDef::new("id").uuid().not_null().primary_key())
        .col(ColumnDef::new("webhook_id").uuid().not_null())
        .col(text("event_key"))
        .col(text("event_id"))
        .col(text("event_source"))
        .col(text("event_type"))
        .col(ColumnDef::new("body").blob().not_null())
        .col(text("state"))
        // JSON: when, and how it went.
        .col(text("attempts"))
        // Grows with each attempt: who began an older one has lost it.
        .col(ColumnDef::new("claim").big_integer().not_null())
        // Due, or until when an attempt under way has to be over.
        .col(time("next_at"))
        .col(time("give_up_at"))
        .col(time("created_at"))
        .col(ColumnDef::new("finished_at").timestamp_with_time_zone())
        .take()
}

fn receipts() -> TableCreateStatement {
    Table::create()
        .table(Tables::WebhookReceipts)
        .col(ColumnDef::new("webhook_id").uuid().not_null())
        .col(text("replay_key"))
        .col(ColumnDef::new("event_id").uuid().not_null())
        .col(time("received_at"))
        .primary_key(Index::create().col("webhook_id").col("replay_key"))
        .take()
}
