//! Does the work: runbooks (one file per workflow kind), steps (one file per step), the engine.
//!
//! To add a runbook: a file in `runbooks/` and a line in [`registry::Registry::standard`].
//! To add a step: a file in `steps/` that implements [`Step`] and its place in a runbook. Being
//! registered is enough for the suite that runs every step twice, fails it on both sides of its
//! effect and undoes it twice.

pub mod context;
pub mod engine;
pub mod environment;
pub mod error;
pub mod hosts;
pub mod quarantine;
pub mod records;
pub mod registry;
pub mod runbook;
pub mod runbooks;
pub mod step;
pub mod steps;

pub use context::StepContext;
pub use environment::Environment;
pub use error::{PlannedWait, StepError};
pub use registry::Registry;
pub use runbook::{RunResult, Runbook};
pub use step::{Step, StepPlan, Verified};
