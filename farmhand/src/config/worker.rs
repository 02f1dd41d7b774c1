//! `[worker]`

use std::net::SocketAddr;

use domain::Lane;
use serde::Deserialize;

use super::Findings;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Worker {
    pub name: Option<String>,
    pub lanes: Vec<Lane>,
    pub urgent_slots: u16,
    pub lifecycle_slots: u16,
    pub checks_slots: u16,
    pub lease_seconds: u64,
    pub listen: Option<SocketAddr>,
}

impl Default for Worker {
    fn default() -> Self {
        Self {
            name: None,
            lanes: Lane::ALL.to_vec(),
            urgent_slots: 8,
            lifecycle_slots: 32,
            checks_slots: 8,
            lease_seconds: 30,
            listen: None,
        }
    }
}

impl Worker {
    pub fn slots(&self, lane: Lane) -> u16 {
        match lane {
            Lane::Urgent => self.urgent_slots,
            Lane::Lifecycle => self.lifecycle_slots,
            Lane::Checks => self.checks_slots,
        }
    }

    pub fn validate(&self, findings: &mut Findings) {
        if self.lanes.is_empty() {
            findings.add("worker.lanes", "names no lane", "urgent, lifecycle, checks");
        }
        for lane in Lane::ALL {
            findings.range(&format!("worker.{lane}_slots"), self.slots(*lane).into(), 1..=1000);
        }
        // Shorter than a slow DC's answer, a lease would be lost in the middle of good work.
        findings.range("worker.lease_seconds", self.lease_seconds, 5..=3600);
    }
}
