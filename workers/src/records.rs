//! What a step may ask of, and put into, the record besides its own workflow: a port, so that steps
//! are tested without a database.

use std::collections::HashMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use domain::{DirectoryName, Dn, FarmName, Sid, Workflow, WorkflowId};
use store::{
    Denial, Farm, IdempotencyKey, NewQuarantine, NewWorkflow, Preempted, Preemption, Quarantined, Release,
    RotationBatch, RotationRecorded, Store, StoreError, Submitted,
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
}

fn without() -> StoreError {
    StoreError::Statement("this record holds no rotation".into())
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
}
