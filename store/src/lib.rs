//! What Farmhand remembers: entities (one file per table), repositories, outbox, leases.
//!
//! One [`Store`] over PostgreSQL or SQLite, the same promises on both, held by one suite
//! (`tests/tests/store_contract`). The rest of Farmhand sees only `domain` types and those of
//! [`model`]; sea-orm ends here.
//!
//! Statements are written once for both databases (SQLite reads `$1` too). Where PostgreSQL takes
//! a whole batch in one statement and SQLite row by row, the two stand side by side in one file.
//!
//! To add a table: a migration in `migrations`, an entity in `entity/`, a repository file beside
//! `workflows.rs`, and cases in the contract suite.

pub mod error;
pub mod model;

mod act;
mod announcements;
mod approvals;
mod calendars;
mod connect;
mod drift;
mod entity;
mod events;
mod farms;
mod fence;
mod hold;
mod host_acks;
mod journal;
mod leases;
mod listing;
mod locks;
mod outbox;
mod quarantine;
mod reaper;
mod rotation;
mod rules;
mod schedules;
mod schema;
mod sql;
mod store;
mod submit;
#[cfg(feature = "testing")]
mod testing;
mod tokens;
mod webhooks;
mod workflows;

pub use drift::{
    AskedFor, AtWork, Compared, DriftBatch, DriftChange, DriftFilter, DriftMark, DriftRow, DriftSubject,
    Mend, Newest, Object, RestsOn,
};
pub use error::StoreError;
pub use model::*;
pub use rules::{Firing, FiringEvent, HeardEvent, PlannedFiring, Reacted, Rule, SettledFiring, Unfired};
pub use schedules::{
    CalendarRecord, DueSchedule, Fire, Paused, PlannedFire, PlannedRound, QueuedFire, Recorded, Schedule,
    ScheduleStats,
};
pub use store::{Store, StoreOptions};
pub use webhooks::{
    Attempt, ClaimedDelivery, Delivery, DeliveryStats, NewDelivery, Received, Settlement, Webhook,
};
