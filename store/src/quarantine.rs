//! The quarantine: hosts that no workflow lets in, and the deny entries that we wrote for them.

use chrono::{DateTime, Utc};
use domain::{DirectoryName, Dn, Sid, WorkflowId};

use crate::{Denial, NewQuarantine, Page, QuarantineFilter, Quarantined, Release, Store, StoreError};

fn unwritten() -> StoreError {
    StoreError::Statement("skeleton".into())
}

impl Store {
    /// Puts a host on the list; one whose quarantine is open already stays as it is (the earlier
    /// row is the answer).
    pub async fn quarantine(
        &self,
        _new: &NewQuarantine,
        _now: DateTime<Utc>,
    ) -> Result<Quarantined, StoreError> {
        Err(unwritten())
    }

    /// Every open quarantine of a directory.
    pub async fn quarantined(&self, _directory: &DirectoryName) -> Result<Vec<Quarantined>, StoreError> {
        Err(unwritten())
    }

    /// By page, newest first.
    pub async fn quarantines(
        &self,
        _filter: &QuarantineFilter,
        _cursor: Option<&str>,
        _limit: u64,
    ) -> Result<Page<Quarantined>, StoreError> {
        Err(unwritten())
    }

    /// The open quarantine of that computer account disabled it (or did not).
    pub async fn note_computer_disabled(
        &self,
        _directory: &DirectoryName,
        _host: &Sid,
    ) -> Result<(), StoreError> {
        Err(unwritten())
    }

    /// Ends the open quarantine of a host and forgets its denials. Whether there was one.
    pub async fn release_quarantine(
        &self,
        _directory: &DirectoryName,
        _host: &Sid,
        _release: &Release,
    ) -> Result<bool, StoreError> {
        Err(unwritten())
    }

    /// Deny entries for that host that this workflow wrote; one that is known stays as it is.
    pub async fn note_denials(
        &self,
        _directory: &DirectoryName,
        _host: &Sid,
        _accounts: &[(Sid, Dn)],
        _workflow: WorkflowId,
        _now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        Err(unwritten())
    }

    /// The deny entries that we wrote for that host.
    pub async fn denials(&self, _directory: &DirectoryName, _host: &Sid) -> Result<Vec<Denial>, StoreError> {
        Err(unwritten())
    }
}
