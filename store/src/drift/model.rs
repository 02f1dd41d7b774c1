//! What goes in and out.

use chrono::{DateTime, Utc};
use domain::drift::DriftState;
use domain::{DirectoryName, Dn, DriftItem, FarmName, FarmSpec, Sid, WorkflowId, WorkflowKind};
use serde::{Deserialize, Serialize};

use crate::Farm;

/// Up to which change of which DC it is known how the farms of a directory stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriftMark {
    /// dNSHostName.
    pub dc: String,
    /// Of that DC's database: USNs count within it, and a restored one has another.
    pub invocation: String,
    /// highestCommittedUSN before anything was read.
    pub usn: i64,
    /// Names the list of hosts under quarantine that was judged by.
    pub quarantine: String,
    /// When every farm was last compared.
    pub full_at: DateTime<Utc>,
    pub checked_at: DateTime<Utc>,
}

/// A deployed farm that is to be compared.
#[derive(Debug, Clone, PartialEq)]
pub struct DriftSubject {
    pub farm: Farm,
    /// What was asked for since the record was written, and was not reached.
    pub asked: Option<AskedFor>,
    pub at_work: Option<AtWork>,
    /// The newest lifecycle workflow on the farm.
    pub newest: Option<Newest>,
    pub known: Option<DriftRow>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct AskedFor {
    pub workflow: WorkflowId,
    pub spec: FarmSpec,
}

/// A workflow that may be writing to the farm at this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AtWork {
    pub workflow: WorkflowId,
    pub kind: WorkflowKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Newest {
    pub workflow: WorkflowId,
    /// Grows with everything that happens to the workflow.
    pub revision: i64,
}

/// What was found last time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriftRow {
    pub state: DriftState,
    /// `None`: nothing was found.
    pub hash: Option<String>,
    pub newest: Option<Newest>,
    pub mend: Option<Mend>,
}

/// An update that was asked for to mend a drift.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mend {
    pub workflow: WorkflowId,
    /// Of the drift.
    pub hash: String,
    pub at: DateTime<Utc>,
}

/// An object that a result rests on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Object(pub Sid, pub Dn);

/// What a farm's last result rests on.
#[derive(Debug, Clone, PartialEq)]
pub struct RestsOn {
    pub farm: FarmName,
    pub objects: Vec<Object>,
}

/// A farm as it was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared {
    pub farm: FarmName,
    pub state: DriftState,
    pub why: Option<String>,
    pub items: Vec<DriftItem>,
    pub rests_on: Vec<Object>,
    /// Nothing else than a change of those objects can change the result.
    pub settled: bool,
    pub farm_updated_at: DateTime<Utc>,
    pub newest: Option<Newest>,
    pub mend: Option<Mend>,
}

/// What a check found of some farms, each once.
#[derive(Debug, Clone, PartialEq)]
pub struct DriftBatch {
    pub directory: DirectoryName,
    /// The check.
    pub workflow: WorkflowId,
    pub dc: String,
    pub invocation: String,
    /// highestCommittedUSN before anything was read.
    pub usn: i64,
    pub farms: Vec<Compared>,
    pub now: DateTime<Utc>,
}

/// A farm whose items are others than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriftChange {
    pub farm: FarmName,
    /// `None`: it was never compared.
    pub before: Option<DriftState>,
    pub after: DriftState,
    /// Whether there were any before, and are now.
    pub had_items: bool,
    pub has_items: bool,
}

/// Which farms to list; everything left out matches all.
#[derive(Debug, Clone, Default)]
pub struct DriftFilter {
    pub directory: Option<DirectoryName>,
    pub state: Option<DriftState>,
    pub farm: Option<FarmName>,
}
