//! The one list of runbooks: what this worker can do.

use std::collections::HashMap;
use std::sync::Arc;

use domain::WorkflowKind;

use crate::Runbook;

/// The runbooks by kind.
#[derive(Clone, Default)]
pub struct Registry(HashMap<WorkflowKind, Arc<Runbook>>);

impl Registry {
    /// Everything that Farmhand does.
    pub fn standard() -> Self {
        use crate::runbooks::{
            add_host, await_roll, compromise_removal, decommission, deploy, drift_check, import, inspect,
            kds_root_key_recovery, nudge, quarantine_check, quarantine_release, remove_host, replace,
            rotation_check, update,
        };
        Self::default()
            .with(deploy::runbook())
            .with(add_host::runbook())
            .with(remove_host::runbook())
            .with(replace::runbook())
            .with(import::runbook())
            .with(inspect::runbook())
            .with(update::runbook())
            .with(decommission::runbook())
            .with(quarantine_release::runbook())
            .with(quarantine_check::runbook())
            .with(await_roll::runbook())
            .with(kds_root_key_recovery::runbook())
            .with(compromise_removal::runbook())
            .with(rotation_check::runbook())
            .with(nudge::runbook())
            .with(drift_check::runbook())
    }

    #[must_use]
    pub fn with(mut self, runbook: Runbook) -> Self {
        self.0.insert(runbook.kind.clone(), Arc::new(runbook));
        self
    }

    pub fn get(&self, kind: &WorkflowKind) -> Option<&Arc<Runbook>> {
        self.0.get(kind)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Runbook>> {
        self.0.values()
    }
}
