//! What a step sees of its workflow.

use std::collections::HashMap;
use std::sync::Arc;

use directory::{Directory, DirectoryWrite, ReadOnly};
use domain::{DirectoryName, ErrorCode, Mode, WorkflowId};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::engine::Lease;
use crate::{Environment, StepError};

/// One workflow's view of the world. Steps share data only through persisted outputs.
pub struct StepContext {
    pub workflow_id: WorkflowId,
    pub directory: DirectoryName,
    pub mode: Mode,
    pub environment: Environment,
    input: Value,
    outputs: HashMap<String, Value>,
    /// The DC that this workflow stays on, once it is known.
    wanted_dc: Option<String>,
    dc: OnceCell<Arc<dyn DirectoryWrite>>,
    lease: Option<Lease>,
    changed: bool,
}

impl StepContext {
    pub fn new(
        workflow_id: WorkflowId,
        directory: DirectoryName,
        mode: Mode,
        environment: Environment,
        input: Value,
        wanted_dc: Option<String>,
    ) -> Self {
        let (outputs, dc) = (HashMap::new(), OnceCell::new());
        let (lease, changed) = (None, false);
        Self { workflow_id, directory, mode, environment, input, outputs, wanted_dc, dc, lease, changed }
    }

    /// Binds the context to a lease: no write is sent once it is lost.
    #[must_use]
    pub fn under(mut self, lease: Lease) -> Self {
        self.lease = Some(lease);
        self
    }

    pub fn lease_is_lost(&self) -> bool {
        self.lease.as_ref().is_some_and(Lease::is_lost)
    }

    /// Whether any step of this workflow has changed the directory; known when all have succeeded.
    pub fn changed(&self) -> bool {
        self.changed
    }

    pub(crate) fn set_changed(&mut self, changed: bool) {
        self.changed = changed;
    }

    /// What was asked for, e.g. a [`domain::FarmSpec`].
    pub fn input<T: DeserializeOwned>(&self) -> Result<T, StepError> {
        T::deserialize(&self.input).map_err(|e| fault(format!("the workflow's input cannot be read: {e}")))
    }

    /// The persisted output of an earlier step (in a dry run: what it expects to put out).
    pub fn output<T: DeserializeOwned>(&self, step: &str) -> Result<T, StepError> {
        let output = self.outputs.get(step).unwrap_or(&Value::Null);
        T::deserialize(output).map_err(|e| fault(format!("the output of step {step} cannot be read: {e}")))
    }

    pub fn set_output(&mut self, step: &str, output: Value) {
        self.outputs.insert(step.to_owned(), output);
    }

    /// The workflow's directory, for its other DCs and the global catalogue.
    pub fn forest(&self) -> Result<&Arc<dyn Directory>, StepError> {
        self.environment.directories.get(&self.directory).ok_or_else(|| {
            StepError::fail(
                ErrorCode::DirectoryUnknown,
                format!("no directory {} is configured on this worker", self.directory),
                "name a configured directory, or add it to the configuration of every worker",
            )
        })
    }

    /// The DC that this workflow is pinned to: read and written by every step, so that each sees
    /// what the one before it wrote. Refuses writes in a dry run.
    pub async fn dc(&self) -> Result<&Arc<dyn DirectoryWrite>, StepError> {
        let pin = || async {
            let dc = self.forest()?.pin(self.wanted_dc.as_deref()).await?;
            Ok::<_, StepError>(match self.mode {
                Mode::Apply => dc,
                Mode::Plan => Arc::new(ReadOnly(dc)) as Arc<dyn DirectoryWrite>,
            })
        };
        self.dc.get_or_try_init(pin).await
    }

    /// Name of the DC, if this workflow has talked to one in this run.
    pub fn pinned(&self) -> Option<&str> {
        self.dc.get().map(|dc| dc.dc())
    }
}

fn fault(message: String) -> StepError {
    StepError::fail(
        ErrorCode::StepFault,
        message,
        "this is a defect of Farmhand: report it with the workflow's id",
    )
}
