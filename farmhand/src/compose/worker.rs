//! Builds the worker: each lane with its own slots, directory connections and database pool.

use std::sync::Arc;
use std::time::Duration;

use directory::Directories;
use domain::Lane;
use messages::Bus;
use store::Store;
use workers::engine::{LaneOptions, Timing, Worker, WorkerOptions};
use workers::hosts::Hosts;
use workers::{Environment, Registry};

use super::{clock, rng};
use crate::config::Settings;

/// What the lanes of a worker work with. Urgent work has its own, so that it never waits behind
/// the rest for a connection.
pub struct LaneParts {
    pub store: Store,
    pub directories: Directories,
    pub urgent_store: Store,
    pub urgent_directories: Directories,
}

pub fn build(settings: &Settings, name: String, bus: Arc<dyn Bus>, parts: LaneParts) -> Worker {
    let lanes = settings.worker.lanes.iter().map(|lane| {
        let (store, directories) = match lane {
            Lane::Urgent => (&parts.urgent_store, &parts.urgent_directories),
            Lane::Lifecycle | Lane::Checks => (&parts.store, &parts.directories),
        };
        let environment = Environment {
            directories: directories.clone(),
            hosts: Hosts::default(),
            clock: clock(),
            rng: rng(),
        };
        LaneOptions { lane: *lane, slots: settings.worker.slots(*lane), environment, store: store.clone() }
    });
    let lease = Duration::from_secs(settings.worker.lease_seconds);
    let timing = Timing {
        lease,
        // A sixth of the lease, as the default of 5 s is of 30 s.
        skew: lease / 6,
        drain: Duration::from_secs(settings.server.shutdown_seconds),
        ..Timing::default()
    };
    Worker::new(WorkerOptions {
        name,
        bus,
        registry: Registry::standard(),
        clock: clock(),
        rng: rng(),
        lanes: lanes.collect(),
        timing,
        committers: 2,
    })
}
