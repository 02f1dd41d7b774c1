//! The schema's history, oldest first. A migration that has been released is never edited.
//!
//! Names of tables and columns are spelled out in each migration (local idens): a migration says
//! what was true on its day, whatever the entities of `store` say later.
//!
//! To change the schema: a new file `m<date>_<number>_<name>.rs` with `up` and `down`, its line in
//! [`Migrator::migrations`], and the entity in `store`. The contract suite of the store runs up,
//! down and up again on both databases.

mod m20261122_000001_first;
mod m20261122_000002_directory_index;
mod m20261127_000003_quarantine;
mod m20261127_000004_schedules;
mod m20261127_000005_rotation;
mod m20261127_000006_announcements;
mod m20261127_000007_drift;
mod m20261127_000008_rules_and_webhooks;

pub use sea_orm_migration::MigratorTrait;
use sea_orm_migration::{MigrationTrait, async_trait};

pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261122_000001_first::Migration),
            Box::new(m20261122_000002_directory_index::Migration),
            Box::new(m20261127_000003_quarantine::Migration),
            Box::new(m20261127_000004_schedules::Migration),
            Box::new(m20261127_000005_rotation::Migration),
            Box::new(m20261127_000006_announcements::Migration),
            Box::new(m20261127_000007_drift::Migration),
            Box::new(m20261127_000008_rules_and_webhooks::Migration),
        ]
    }
}
