//! What a step may ask of, and put into, the record besides its own workflow: a port, so that steps
//! are tested without a database.

use std::collections::HashMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use domain::{DirectoryName, Dn, DriftState, FarmName, Sid, Workflow, WorkflowId};
use store::{
    Denial, DriftBatch, DriftChange, DriftMark, DriftSubject, Farm, IdempotencyKey, Mend, NewQuarantine,
    NewWorkflow, Preempted, Preemption, Quarantined, Release, RestsOn, RotationBatch, RotationRecorded,
    Store, StoreError, Submitted,
};
use uuid::Uuid;

/// See the methods of the same names of [`Store`].
#[async_trait]
pub trait Records: Send + Sync {
    /// The farm whose account has that SID.
    async fn farm_of_account(
        &self,
        directory: &DirectoryName,
        account: &Sid,
    ) -> Result<Option<FarmName>, StoreError>;
    async fn farm(&self, directory: &DirectoryName, farm: &FarmName) -> Result<Option<Farm>, StoreError>;
    async fn deployed_farms(&self, directory: &DirectoryName) -> Result<Vec<Farm>, StoreError>;

    async fn quarantined(&self, directory: &DirectoryName) -> Result<Vec<Quarantined>, StoreError>;
    async fn quarantine(&self, new: &NewQuarantine, now: DateTime<Utc>) -> Result<Quarantined, StoreError>;
    async fn note_computer_disabled(&self, directory: &DirectoryName, host: &Sid) -> Result<(), StoreError>;
    async fn release_quarantine(
        &self,
        directory: &DirectoryName,
        host: &Sid,
        release: &Release,
    ) -> Result<bool, StoreError>;
    async fn note_denials(
        &self,
        directory: &DirectoryName,
        host: &Sid,
        accounts: &[(Sid, Dn)],
        workflow: WorkflowId,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError>;
    async fn denials(&self, directory: &DirectoryName, host: &Sid) -> Result<Vec<Denial>, StoreError>;
    async fn hosts_being_released(&self, directory: &DirectoryName) -> Result<Vec<Sid>, StoreError>;

    async fn preempt(
        &self,
        preemption: &Preemption,
        now: DateTime<Utc>,
    ) -> Result<Vec<Preempted>, StoreError>;
    async fn preempted(&self, by: WorkflowId) -> Result<Vec<Preempted>, StoreError>;

    /// Asks for another workflow; the key makes asking twice asking once.
    async fn submit(&self, new: NewWorkflow, key: IdempotencyKey) -> Result<Submitted, StoreError>;
    async fn children(&self, parent: WorkflowId) -> Result<Vec<Workflow>, StoreError>;
    async fn workflow(&self, id: WorkflowId) -> Result<Option<Workflow>, StoreError>;

    // What rotation-check needs besides. A record made for the tests of other steps is without.
    async fn farms_of_accounts(
        &self,
        _directory: &DirectoryName,
        _accounts: &[Sid],
    ) -> Result<HashMap<Sid, Farm>, StoreError> {
        Err(without())
    }
    async fn record_rotation(&self, _batch: &RotationBatch) -> Result<RotationRecorded, StoreError> {
        Err(without())
    }
    async fn note_gone_accounts(
        &self,
        _directory: &DirectoryName,
        _since: DateTime<Utc>,
        _workflow: WorkflowId,
        _now: DateTime<Utc>,
    ) -> Result<u64, StoreError> {
        Err(without())
    }
    async fn prune_rotation(
        &self,
        _directory: &DirectoryName,
        _before: DateTime<Utc>,
    ) -> Result<u64, StoreError> {
        Err(without())
    }
    async fn newest_root_key_in_use(&self, _directory: &DirectoryName) -> Result<Option<Uuid>, StoreError> {
        Err(without())
    }
    async fn farms_without_account(
        &self,
        _directory: &DirectoryName,
        _limit: u32,
    ) -> Result<Vec<FarmName>, StoreError> {
        Err(without())
    }

    // What drift-check needs besides.
    async fn drift_mark(&self, _directory: &DirectoryName) -> Result<Option<DriftMark>, StoreError> {
        Err(without())
    }
    async fn drift_subjects(
        &self,
        _directory: &DirectoryName,
        _after: Option<&FarmName>,
        _limit: u32,
    ) -> Result<Vec<DriftSubject>, StoreError> {
        Err(without())
    }
    async fn drift_subjects_named(
        &self,
        _directory: &DirectoryName,
        _names: &[FarmName],
    ) -> Result<Vec<DriftSubject>, StoreError> {
        Err(without())
    }
    async fn drift_due(
        &self,
        _directory: &DirectoryName,
        _invocation: &str,
        _after: Option<&FarmName>,
        _limit: u32,
    ) -> Result<Vec<FarmName>, StoreError> {
        Err(without())
    }
    async fn drift_rests_on(
        &self,
        _directory: &DirectoryName,
        _after: Option<&FarmName>,
        _limit: u32,
    ) -> Result<Vec<RestsOn>, StoreError> {
        Err(without())
    }
    async fn record_drift(&self, _batch: &DriftBatch) -> Result<Vec<DriftChange>, StoreError> {
        Err(without())
    }
    async fn settle_drift(&self, _directory: &DirectoryName, _mark: &DriftMark) -> Result<(), StoreError> {
        Err(without())
    }
    async fn note_mend(
        &self,
        _directory: &DirectoryName,
        _farm: &FarmName,
        _mend: &Mend,
    ) -> Result<(), StoreError> {
        Err(without())
    }
    async fn count_by_drift(&self) -> Result<Vec<(DirectoryName, DriftState, u64)>, StoreError> {
        Err(without())
    }
    async fn drifted_farms(
        &self,
        _directory: &DirectoryName,
        _limit: u32,
    ) -> Result<Vec<FarmName>, StoreError> {
        Err(without())
    }
}

fn without() -> StoreError {
    StoreError::Statement("this record was made for other steps".into())
}

#[async_trait]
impl Records for Store {
    async fn farm_of_account(
        &self,
        directory: &DirectoryName,
        account: &Sid,
    ) -> Result<Option<FarmName>, StoreError> {
        Self::farm_of_account(self, directory, account).await
    }
    async fn farm(&self, directory: &DirectoryName, farm: &FarmName) -> Result<Option<Farm>, StoreError> {
        Self::farm(self, directory, farm).await
    }
    async fn deployed_farms(&self, directory: &DirectoryName) -> Result<Vec<Farm>, StoreError> {
        Self::deployed_farms(self, directory).await
    }
    async fn quarantined(&self, directory: &DirectoryName) -> Result<Vec<Quarantined>, StoreError> {
        Self::quarantined(self, directory).await
    }
    async fn quarantine(&self, new: &NewQuarantine, now: DateTime<Utc>) -> Result<Quarantined, StoreError> {
        Self::quarantine(self, new, now).await
    }
    async fn note_computer_disabled(&self, directory: &DirectoryName, host: &Sid) -> Result<(), StoreError> {
        Self::note_computer_disabled(self, directory, host).await
    }
    async fn release_quarantine(
        &self,
        directory: &DirectoryName,
        host: &Sid,
        release: &Release,
    ) -> Result<bool, StoreError> {
        Self::release_quarantine(self, directory, host, release).await
    }
    async fn note_denials(
        &self,
        directory: &DirectoryName,
        host: &Sid,
        accounts: &[(Sid, Dn)],
        workflow: WorkflowId,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        Self::note_denials(self, directory, host, accounts, workflow, now).await
    }
    async fn denials(&self, directory: &DirectoryName, host: &Sid) -> Result<Vec<Denial>, StoreError> {
        Self::denials(self, directory, host).await
    }
    async fn hosts_being_released(&self, directory: &DirectoryName) -> Result<Vec<Sid>, StoreError> {
        Self::hosts_being_released(self, directory).await
    }
    async fn preempt(
        &self,
        preemption: &Preemption,
        now: DateTime<Utc>,
    ) -> Result<Vec<Preempted>, StoreError> {
        Self::preempt(self, preemption, now).await
    }
    async fn preempted(&self, by: WorkflowId) -> Result<Vec<Preempted>, StoreError> {
        Self::preempted(self, by).await
    }
    async fn submit(&self, new: NewWorkflow, key: IdempotencyKey) -> Result<Submitted, StoreError> {
        Self::submit(self, new, Some(key)).await
    }
    async fn children(&self, parent: WorkflowId) -> Result<Vec<Workflow>, StoreError> {
        Self::children(self, parent).await
    }
    async fn workflow(&self, id: WorkflowId) -> Result<Option<Workflow>, StoreError> {
        Self::workflow(self, id).await
    }
    async fn farms_of_accounts(
        &self,
        directory: &DirectoryName,
        accounts: &[Sid],
    ) -> Result<HashMap<Sid, Farm>, StoreError> {
        Self::farms_of_accounts(self, directory, accounts).await
    }
    async fn record_rotation(&self, batch: &RotationBatch) -> Result<RotationRecorded, StoreError> {
        Self::record_rotation(self, batch).await
    }
    async fn note_gone_accounts(
        &self,
        directory: &DirectoryName,
        since: DateTime<Utc>,
        workflow: WorkflowId,
        now: DateTime<Utc>,
    ) -> Result<u64, StoreError> {
        Self::note_gone_accounts(self, directory, since, workflow, now).await
    }
    async fn prune_rotation(
        &self,
        directory: &DirectoryName,
        before: DateTime<Utc>,
    ) -> Result<u64, StoreError> {
        Self::prune_rotation(self, directory, before).await
    }
    async fn newest_root_key_in_use(&self, directory: &DirectoryName) -> Result<Option<Uuid>, StoreError> {
        Self::newest_root_key_in_use(self, directory).await
    }
    async fn farms_without_account(
        &self,
        directory: &DirectoryName,
        limit: u32,
    ) -> Result<Vec<FarmName>, StoreError> {
        Self::farms_without_account(self, directory, limit).await
    }
    async fn drift_mark(&self, directory: &DirectoryName) -> Result<Option<DriftMark>, StoreError> {
        Self::drift_mark(self, directory).await
    }
    async fn drift_subjects(
        &self,
        directory: &DirectoryName,
        after: Option<&FarmName>,
        limit: u32,
    ) -> Result<Vec<DriftSubject>, StoreError> {
        Self::drift_subjects(self, directory, after, limit).await
    }
    async fn drift_subjects_named(
        &self,
        directory: &DirectoryName,
        names: &[FarmName],
    ) -> Result<Vec<DriftSubject>, StoreError> {
        Self::drift_subjects_named(self, directory, names).await
    }
    async fn drift_due(
        &self,
        directory: &DirectoryName,
        invocation: &str,
        after: Option<&FarmName>,
        limit: u32,
    ) -> Result<Vec<FarmName>, StoreError> {
        Self::drift_due(self, directory, invocation, after, limit).await
    }
    async fn drift_rests_on(
        &self,
        directory: &DirectoryName,
        after: Option<&FarmName>,
        limit: u32,
    ) -> Result<Vec<RestsOn>, StoreError> {
        Self::drift_rests_on(self, directory, after, limit).await
    }
    async fn record_drift(&self, batch: &DriftBatch) -> Result<Vec<DriftChange>, StoreError> {
        Self::record_drift(self, batch).await
    }
    async fn settle_drift(&self, directory: &DirectoryName, mark: &DriftMark) -> Result<(), StoreError> {
        Self::settle_drift(self, directory, mark).await
    }
    async fn note_mend(
        &self,
        directory: &DirectoryName,
        farm: &FarmName,
        mend: &Mend,
    ) -> Result<(), StoreError> {
        Self::note_mend(self, directory, farm, mend).await
    }
    async fn count_by_drift(&self) -> Result<Vec<(DirectoryName, DriftState, u64)>, StoreError> {
        Self::count_by_drift(self).await
    }
    async fn drifted_farms(
        &self,
        directory: &DirectoryName,
        limit: u32,
    ) -> Result<Vec<FarmName>, StoreError> {
        Self::drifted_farms(self, directory, limit).await
    }
}
