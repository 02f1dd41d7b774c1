//! Rules: kept, looked at, and fired, each event once.

mod keep;
mod model;
mod react;

pub use model::{Firing, FiringEvent, HeardEvent, PlannedFiring, Reacted, Rule, SettledFiring, Unfired};
