//! What a step sees of its workflow.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use directory::{Directory, DirectoryWrite, ReadOnly};
use domain::farm::HostActionsSpec;
use domain::{
    Announcement, DirectoryName, ErrorCode, FarmName, FarmSpec, Mode, Problem, Sid, WorkflowId, WorkflowKind,
    Write,
};
use serde::Deserialize as _;
use serde::de::DeserializeOwned;
use serde_json::Value;
use store::{Farm, FarmFacts, FarmState, StoreError};
use tokio::sync::OnceCell;

use crate::engine::Lease;
use crate::records::Records;
use crate::step::Refused;
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
    changed: HashSet<String>,
    farm: Option<Arc<Farm>>,
    sharing_group: Arc<[FarmName]>,
    farm_name: Option<FarmName>,
    records: Option<Arc<dyn Records>>,
    requested_by: String,
    reason: Option<String>,
    kind: Option<WorkflowKind>,
    memo: Value,
    written: Vec<Write>,
    refused: Vec<Refused>,
    parent: Option<WorkflowId>,
    /// What the step at hand announces with its success.
    announcements: Mutex<Vec<Announcement>>,
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
        let (lease, changed, memo) = (None, HashSet::new(), Value::Null);
        let (farm, sharing_group) = (None, Arc::default());
        let (farm_name, records) = (None, None);
        let (written, refused) = (Vec::new(), Vec::new());
        Self {
            workflow_id,
            directory,
            mode,
            environment,
            input,
            outputs,
            wanted_dc,
            dc,
            lease,
            changed,
            farm_name,
            farm,
            records,
            requested_by: String::new(),
            reason: None,
            kind: None,
            sharing_group,
            memo,
            written,
            refused,
            parent: None,
            announcements: Mutex::default(),
        }
    }

    /// Gives the context what is on record about the workflow's farm, and which other deployed
    /// farms use its group.
    #[must_use]
    pub fn with_farm(mut self, farm: Option<Farm>, sharing_group: Vec<FarmName>) -> Self {
        self.farm = farm.map(Arc::new);
        self.sharing_group = sharing_group.into();
        self
    }

    /// Tells the context which farm the workflow is about.
    #[must_use]
    pub fn about(mut self, farm: Option<FarmName>) -> Self {
        self.farm_name = farm;
        self
    }

    /// Gives the context what else is on record.
    #[must_use]
    pub fn among(mut self, records: Arc<dyn Records>) -> Self {
        self.records = Some(records);
        self
    }

    /// Tells the context who asked, and why.
    #[must_use]
    pub fn asked_by(mut self, requested_by: &str, reason: Option<&str>) -> Self {
        (self.requested_by, self.reason) = (requested_by.to_owned(), reason.map(str::to_owned));
        self
    }

    /// Tells the context which kind of workflow it is.
    #[must_use]
    pub fn of_kind(mut self, kind: WorkflowKind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// Tells the context which workflow asked for this one.
    #[must_use]
    pub fn child_of(mut self, parent: Option<WorkflowId>) -> Self {
        self.parent = parent;
        self
    }

    /// The workflow that asked for this one.
    pub fn parent(&self) -> Option<WorkflowId> {
        self.parent
    }

    /// Tells other systems, in the commit of the step's success; a step that does not succeed says
    /// nothing. A dry run never announces.
    pub fn announce(&self, announcement: Announcement) {
        if self.mode == Mode::Apply {
            self.announcements.lock().unwrap_or_else(PoisonError::into_inner).push(announcement);
        }
    }

    /// What the step at hand has announced so far; it is the caller's now.
    pub fn take_announcements(&self) -> Vec<Announcement> {
        std::mem::take(&mut *self.announcements.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn kind(&self) -> Option<&WorkflowKind> {
        self.kind.as_ref()
    }

    pub fn requested_by(&self) -> &str {
        &self.requested_by
    }

    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// What is on record besides the workflow's own; a context without it is a fault.
    pub fn records(&self) -> Result<&Arc<dyn Records>, StepError> {
        self.records.as_ref().ok_or_else(|| fault("the context was given no records".to_owned()))
    }

    /// The hosts that no workflow may let in; none where no record is at hand.
    pub async fn quarantined(&self) -> Result<Vec<store::Quarantined>, StepError> {
        let Some(records) = &self.records else { return Ok(Vec::new()) };
        Ok(records.quarantined(&self.directory).await?)
    }

    /// Another farm than the workflow's whose account that is, as far as the record is at hand.
    pub async fn farm_of_account(&self, account: &Sid) -> Result<Option<FarmName>, StepError> {
        let Some(records) = &self.records else { return Ok(None) };
        let found = records.farm_of_account(&self.directory, account).await?;
        Ok(found.filter(|found| self.farm_name.as_ref().is_none_or(|own| own.key() != found.key())))
    }

    /// The farm that the workflow is about, whether or not it is on record.
    pub fn farm_name(&self) -> Result<&FarmName, StepError> {
        self.farm_name.as_ref().ok_or_else(|| fault("the workflow names no farm".to_owned()))
    }

    /// The same world and the same outputs, in which nothing is written.
    pub(crate) fn rehearsal(&self) -> Self {
        let wanted_dc = self.pinned().map(str::to_owned).or_else(|| self.wanted_dc.clone());
        let (id, directory, environment) =
            (self.workflow_id, self.directory.clone(), self.environment.clone());
        let cx = Self::new(id, directory, Mode::Plan, environment, self.input.clone(), wanted_dc);
        Self {
            outputs: self.outputs.clone(),
            farm: self.farm.clone(),
            sharing_group: self.sharing_group.clone(),
            farm_name: self.farm_name.clone(),
            records: self.records.clone(),
            requested_by: self.requested_by.clone(),
            reason: self.reason.clone(),
            kind: self.kind.clone(),
            lease: self.lease.clone(),
            ..cx
        }
    }

    /// What is on record about the farm, whatever its state; `None` where there is nothing.
    pub fn farm(&self) -> Option<&Farm> {
        self.farm.as_deref()
    }

    /// Other farms on record as deployed that use this farm's group.
    pub fn farms_sharing_group(&self) -> &[FarmName] {
        &self.sharing_group
    }

    /// What the last successful workflow left of the farm. A farm that is not deployed is an error.
    pub fn facts(&self) -> Result<&FarmFacts, StepError> {
        let farm = self.farm().filter(|farm| farm.state == FarmState::Deployed);
        farm.and_then(|farm| farm.recorded.as_ref()).ok_or_else(|| {
            StepError::fail(
                ErrorCode::FarmNotDeployed,
                "no deployed farm of that name is on record",
                "deploy it first, or take a gMSA that others made on record with `farmhand farm import`",
            )
        })
    }

    /// How things are done on the hosts of the farm: as the input says, where it describes the
    /// farm, else as recorded.
    pub fn host_actions(&self) -> Result<HostActionsSpec, StepError> {
        let recorded = self.farm().and_then(|farm| farm.recorded.as_ref());
        match (self.input::<FarmSpec>(), recorded) {
            (Ok(spec), _) => Ok(spec.host_actions),
            (Err(_), Some(facts)) => Ok(facts.spec.host_actions.clone()),
            (Err(error), None) => Err(error),
        }
    }

    /// What this step put aside when it last waited.
    pub fn memo<T: DeserializeOwned>(&self) -> Result<Option<T>, StepError> {
        Option::<T>::deserialize(&self.memo)
            .map_err(|e| fault(format!("what the step put aside cannot be read: {e}")))
    }

    pub fn set_memo(&mut self, memo: Value) {
        self.memo = memo;
    }

    /// What the step at hand has written by now, in this attempt and in those before it.
    pub fn written(&self) -> &[Write] {
        &self.written
    }

    /// Changes of an independent plan that the step at hand could not make in this attempt.
    pub fn refused(&self) -> &[Refused] {
        &self.refused
    }

    pub(crate) fn set_refused(&mut self, refused: Vec<Refused>) {
        self.refused = refused;
    }

    pub(crate) fn set_written(&mut self, writes: &[Write]) {
        self.written = writes.to_vec();
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
        !self.changed.is_empty()
    }

    /// Whether this workflow's step of that name has changed anything; known when all have succeeded.
    pub fn changed_by(&self, step: &str) -> bool {
        self.changed.contains(step)
    }

    pub(crate) fn set_changed(&mut self, steps: impl Iterator<Item = String>) {
        self.changed = steps.collect();
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

/// The record is away: the directory is as it was, so the step is tried again.
impl From<StoreError> for StepError {
    fn from(error: StoreError) -> Self {
        Self::Retry {
            after: Duration::from_secs(5),
            problem: Problem::new(
                ErrorCode::StoreUnavailable,
                format!("what is on record cannot be read or written: {error}"),
                "it is tried again by itself",
            ),
        }
    }
}

fn fault(message: String) -> StepError {
    StepError::fail(
        ErrorCode::StepFault,
        message,
        "this is a defect of Farmhand: report it with the workflow's id",
    )
}
