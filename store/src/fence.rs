//! A farm's fence: a containment stops the lifecycle workflows that could let its host in again.

use chrono::{DateTime, Utc};
use domain::{DirectoryName, Workflow, WorkflowId};

use crate::{Farm, Preempted, Preemption, Store, StoreError};

fn unwritten() -> StoreError {
    StoreError::Statement("skeleton".into())
}

impl Store {
    /// Raises the fence: lifecycle workflows (mode apply) on these farms or about this host that
    /// are queued or waiting are paused, running ones are asked to stop at their next step boundary
    /// (`control = preempt`). Each carries `preempted_by` until the fence is lowered. Repeated, it
    /// also catches what came since. All that are stopped by this containment.
    pub async fn preempt(
        &self,
        _preemption: &Preemption,
        _now: DateTime<Utc>,
    ) -> Result<Vec<Preempted>, StoreError> {
        Err(unwritten())
    }

    /// Those that a containment has stopped, as they stand now.
    pub async fn preempted(&self, _by: WorkflowId) -> Result<Vec<Preempted>, StoreError> {
        Err(unwritten())
    }

    /// The workflows that this one asked for, oldest first, without their steps.
    pub async fn children(&self, _parent: WorkflowId) -> Result<Vec<Workflow>, StoreError> {
        Err(unwritten())
    }

    /// Every deployed farm of a directory.
    pub async fn deployed_farms(&self, _directory: &DirectoryName) -> Result<Vec<Farm>, StoreError> {
        Err(unwritten())
    }
}
