//! The record, in memory: what a step asks of it and puts into it, without a database.

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use domain::{DirectoryName, Dn, FarmName, Sid, Workflow, WorkflowId, WorkflowState};
use store::{
    Denial, Farm, FarmState, IdempotencyKey, NewQuarantine, NewWorkflow, Preempted, Preemption, Quarantined,
    Release, StoreError, Submitted,
};

use crate::records::Records;

/// What is on record; a test fills it and looks at it.
#[derive(Debug, Default)]
pub struct Remembered {
    pub farms: Vec<Farm>,
    /// Open quarantines and those that were released.
    pub quarantines: Vec<Quarantined>,
    /// Deny entries by host.
    pub denials: Vec<(Sid, Denial)>,
    /// Hosts of which a release is letting go.
    pub releasing: Vec<Sid>,
    /// What was asked to be stopped, in order.
    pub preemptions: Vec<Preemption>,
    /// What a pre-emption is said to have stopped.
    pub preempted: Vec<Preempted>,
    pub submitted: Vec<(NewWorkflow, IdempotencyKey)>,
    pub workflows: Vec<Workflow>,
    /// Every question and statement, by the method's name.
    pub calls: Vec<&'static str>,
    /// The database cannot be reached.
    pub down: bool,
}

#[derive(Debug, Default)]
pub struct FakeRecords(Mutex<Remembered>);

impl FakeRecords {
    pub fn lock(&self) -> MutexGuard<'_, Remembered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a computer under quarantine.
    pub fn place(&self, name: &str, sid: &Sid, computer: &Dn) {
        let id = WorkflowId(uuid::Uuid::from_u128(7));
        let now = DateTime::from_timestamp(1_700_000_000, 0).expect("a valid time");
        let new = NewQuarantine {
            directory: DirectoryName::default(),
            host_sid: sid.clone(),
            host_name: name.to_owned(),
            computer_dn: computer.clone(),
            workflow: id,
            placed_by: "responder".to_owned(),
            reason: None,
        };
        self.lock().put(&new, now);
    }

    fn called(&self, method: &'static str) -> Result<MutexGuard<'_, Remembered>, StoreError> {
        let mut held = self.lock();
        held.calls.push(method);
        match held.down {
            true => Err(StoreError::Statement("the database is away".into())),
            false => Ok(held),
        }
    }
}

impl Remembered {
    fn open(&mut self, host: &Sid) -> Option<&mut Quarantined> {
        self.quarantines.iter_mut().find(|row| row.released.is_none() && row.host_sid == *host)
    }

    fn put(&mut self, new: &NewQuarantine, now: DateTime<Utc>) -> Quarantined {
        if let Some(known) = self.open(&new.host_sid) {
            return known.clone();
        }
        let placed = Quarantined {
            id: uuid::Uuid::from_u128(100 + self.quarantines.len() as u128),
            directory: new.directory.clone(),
            host_sid: new.host_sid.clone(),
            host_name: new.host_name.clone(),
            computer_dn: new.computer_dn.clone(),
            workflow: new.workflow,
            placed_by: new.placed_by.clone(),
            reason: new.reason.clone(),
            placed_at: now,
            computer_disabled: false,
            released: None,
        };
        self.quarantines.push(placed.clone());
        placed
    }
}

/// The workflow as it stands when it was just asked for.
fn queued(new: &NewWorkflow) -> Workflow {
    Workflow {
        id: new.id,
        kind: new.kind.clone(),
        directory: new.directory.clone(),
        farm: new.farm.clone(),
        hosts: new.hosts.clone(),
        lane: new.lane,
        mode: new.mode,
        state: WorkflowState::Queued,
        parent: new.parent,
        preempted_by: None,
        requested_by: new.requested_by.clone(),
        reason: new.reason.clone(),
        created_at: new.now,
        started_at: None,
        finished_at: None,
        waiting: None,
        plan: None,
        steps: Vec::new(),
        error: None,
        result: None,
    }
}

#[async_trait]
impl Records for FakeRecords {
    async fn farm_of_account(
        &self,
        _: &DirectoryName,
        account: &Sid,
    ) -> Result<Option<FarmName>, StoreError> {
        let held = self.called("farm_of_account")?;
        let of = |farm: &&Farm| farm.recorded.as_ref().is_some_and(|facts| facts.account_sid == *account);
        Ok(held.farms.iter().find(of).map(|farm| farm.name.clone()))
    }
    async fn farm(&self, _: &DirectoryName, farm: &FarmName) -> Result<Option<Farm>, StoreError> {
        Ok(self.called("farm")?.farms.iter().find(|known| known.name.key() == farm.key()).cloned())
    }
    async fn deployed_farms(&self, _: &DirectoryName) -> Result<Vec<Farm>, StoreError> {
        let held = self.called("deployed_farms")?;
        Ok(held.farms.iter().filter(|farm| farm.state == FarmState::Deployed).cloned().collect())
    }

    async fn hosts_being_released(&self, _: &DirectoryName) -> Result<Vec<Sid>, StoreError> {
        Ok(self.called("hosts_being_released")?.releasing.clone())
    }
    async fn quarantined(&self, _: &DirectoryName) -> Result<Vec<Quarantined>, StoreError> {
        let held = self.called("quarantined")?;
        Ok(held.quarantines.iter().filter(|row| row.released.is_none()).cloned().collect())
    }
    async fn quarantine(&self, new: &NewQuarantine, now: DateTime<Utc>) -> Result<Quarantined, StoreError> {
        Ok(self.called("quarantine")?.put(new, now))
    }
    async fn note_computer_disabled(&self, _: &DirectoryName, host: &Sid) -> Result<(), StoreError> {
        let mut held = self.called("note_computer_disabled")?;
        held.open(host).into_iter().for_each(|row| row.computer_disabled = true);
        Ok(())
    }
    async fn release_quarantine(
        &self,
        _: &DirectoryName,
        host: &Sid,
        release: &Release,
    ) -> Result<bool, StoreError> {
        let mut held = self.called("release_quarantine")?;
        let Some(row) = held.open(host) else { return Ok(false) };
        row.released = Some(release.clone());
        held.denials.retain(|(of, _)| of != host);
        Ok(true)
    }
    async fn note_denials(
        &self,
        _: &DirectoryName,
        host: &Sid,
        accounts: &[(Sid, Dn)],
        workflow: WorkflowId,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let mut held = self.called("note_denials")?;
        for (account_sid, account_dn) in accounts {
            let known =
                held.denials.iter().any(|(of, known)| of == host && known.account_sid == *account_sid);
            if !known {
                let (account_sid, account_dn) = (account_sid.clone(), account_dn.clone());
                let denial = Denial { account_sid, account_dn, workflow, written_at: now };
                held.denials.push((host.clone(), denial));
            }
        }
        Ok(())
    }
    async fn denials(&self, _: &DirectoryName, host: &Sid) -> Result<Vec<Denial>, StoreError> {
        let held = self.called("denials")?;
        Ok(held.denials.iter().filter(|(of, _)| of == host).map(|(_, denial)| denial.clone()).collect())
    }

    async fn preempt(&self, preemption: &Preemption, _: DateTime<Utc>) -> Result<Vec<Preempted>, StoreError> {
        let mut held = self.called("preempt")?;
        held.preemptions.push(preemption.clone());
        Ok(held.preempted.clone())
    }
    async fn preempted(&self, _: WorkflowId) -> Result<Vec<Preempted>, StoreError> {
        Ok(self.called("preempted")?.preempted.clone())
    }

    async fn submit(&self, new: NewWorkflow, key: IdempotencyKey) -> Result<Submitted, StoreError> {
        let mut held = self.called("submit")?;
        let same = |known: &&(NewWorkflow, IdempotencyKey)| {
            known.1.principal == key.principal && known.1.key == key.key
        };
        if let Some((known, used)) = held.submitted.iter().find(same) {
            let workflow = held.workflows.iter().find(|workflow| workflow.id == known.id);
            return Ok(match used.request_hash == key.request_hash {
                true => Submitted::Replayed(workflow.cloned().unwrap_or_else(|| queued(known))),
                false => Submitted::Conflict(known.id),
            });
        }
        let workflow = queued(&new);
        held.workflows.push(workflow.clone());
        held.submitted.push((new, key));
        Ok(Submitted::New(workflow))
    }
    async fn children(&self, parent: WorkflowId) -> Result<Vec<Workflow>, StoreError> {
        let held = self.called("children")?;
        Ok(held.workflows.iter().filter(|workflow| workflow.parent == Some(parent)).cloned().collect())
    }
    async fn workflow(&self, id: WorkflowId) -> Result<Option<Workflow>, StoreError> {
        Ok(self.called("workflow")?.workflows.iter().find(|workflow| workflow.id == id).cloned())
    }
}
