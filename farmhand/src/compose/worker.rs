//! Builds the worker: each lane with its own slots, directory connections and database pool.

use std::sync::Arc;
use std::time::Duration;

use directory::Directories;
use domain::{HostAdapter, Lane};
use messages::Bus;
use store::Store;
use workers::engine::{LaneOptions, Timing, Worker, WorkerOptions};
use workers::hosts::{Command, Hosts};
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

/// Idle connections are replaced after ten minutes.
const WARM: Duration = Duration::from_secs(240);

pub fn build(settings: &Settings, name: String, bus: Arc<dyn Bus>, parts: LaneParts) -> Worker {
    let hosts = hosts(settings);
    let lanes = settings.worker.lanes.iter().map(|lane| {
        let (store, directories) = match lane {
            Lane::Urgent => (&parts.urgent_store, &parts.urgent_directories),
            Lane::Lifecycle | Lane::Checks => (&parts.store, &parts.directories),
        };
        let environment = Environment {
            directories: directories.clone(),
            hosts: hosts.clone(),
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
    .keeping_warm(WARM)
}

/// The adapters for hosts. A program that is configured can be named by a farm, also where it is
/// not the default.
fn hosts(settings: &Settings) -> Hosts {
    let section = &settings.host_actions;
    let hosts = Hosts::new(section.adapter, section.wave);
    let Some((program, arguments)) = section.command.split_first() else { return hosts };
    let handed_on = section.environment.iter();
    let handed_on = handed_on.filter_map(|name| Some((name.into(), std::env::var_os(name)?)));
    let command = Command::new(program, Duration::from_secs(section.timeout_seconds))
        .arguments(arguments)
        .environment(handed_on);
    hosts.with(HostAdapter::Command, Arc::new(command))
}
