//! Decides: takes requests over HTTP and AMQP, records each with its event in one transaction, relays the
//! events to the bus, and brings back to the queue what got stuck.
//!
//! Nothing here talks to a domain controller; that is the workers' part. To add a route: one file
//! in `http/` for its noun, the handler listed in `http/mod.rs`; two tests there then hold it to a
//! token and a role.

mod events;
mod http;
mod incident;
mod intake;
mod options;
mod outage;
mod quarantine_watch;
mod reactions;
mod reaper;
mod relay;
mod report;
mod requests;
mod run;
mod schedules;
mod tokens;
mod webhooks;

pub use events::EnvelopeWriter;
pub use http::openapi;
pub use intake::IntakeOptions;
pub use options::{OrchestratorOptions, RotationPolicy, Settings};
pub use relay::OutboxSignal;
pub use run::{Orchestrator, RunError};
pub use tokens::{bootstrap, bootstrap_with, hash, new_secret};
