//! Puts the parts together: opens what the configuration names, else the embedded part.

pub mod bus;
pub mod data_dir;
pub mod directories;
pub mod probe;
pub mod server;
pub mod shutdown;
pub mod store;
pub mod worker;

use std::sync::Arc;

use domain::{Clock, Rng, SystemClock, SystemRng};

pub fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

pub fn rng() -> Arc<dyn Rng> {
    Arc::new(SystemRng)
}

/// Names one process among all: host, process id and a random part, since containers share both.
pub fn instance() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    let host = if host.is_empty() { "unknown" } else { host };
    let mut random = [0; 3];
    SystemRng.fill(&mut random);
    format!("{host}-{}-{}", std::process::id(), hex::encode(random))
}
