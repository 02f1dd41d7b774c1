//! What workflows are asked to do, as their `input` holds it. A deploy's input is a [`crate::FarmSpec`],
//! an update's one with more beside it.
//!
//! What is on record about the farm is no part of a request: between the request and its turn at
//! the farm's lock another workflow may have changed it.

use serde::{Deserialize, Serialize};

use uuid::Uuid;

use crate::containment::KeyId;
use crate::{AccountName, FarmName, FarmSpec, ManagedPasswordInterval, PrincipalRef, Sid, WorkflowId};

/// `add-host` and `remove-host`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostsRequest {
    /// Each once.
    pub hosts: Vec<PrincipalRef>,
}

/// `decommission`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DecommissionRequest {
    /// How long the account stays disabled before it is deleted.
    pub cool_down_seconds: u64,
}

/// `replace`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplaceRequest {
    /// The account that was on record when it was asked: a request that is carried out twice
    /// replaces it once.
    pub account_sid: Sid,
    /// Side by side under this name; `None`: under the same name.
    #[serde(default)]
    pub new_account: Option<AccountName>,
    /// The new account's; `None`: as the old one's.
    #[serde(default)]
    pub managed_password_interval_in_days: Option<ManagedPasswordInterval>,
    /// How long the old account stays, disabled, before it is deleted.
    pub cool_down_seconds: u64,
}

/// `import`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportRequest {
    /// The gMSA; `None`: the one of the farm's name.
    #[serde(default)]
    pub account: Option<PrincipalRef>,
    /// Which of several groups that may read holds the farm's hosts.
    #[serde(default)]
    pub group: Option<PrincipalRef>,
}

/// `inspect` of a farm.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InspectRequest {}

/// `compromise-removal`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CompromiseRequest {
    pub host: PrincipalRef,
    /// Cut off from these farms only; empty: from everything that it can read.
    #[serde(default)]
    pub farms: Vec<FarmName>,
    /// The computer account is not disabled.
    #[serde(default)]
    pub keep_computer_enabled: bool,
    /// Why a domain controller's own account is meant nevertheless.
    #[serde(default)]
    pub force: Option<String>,
}

/// `quarantine-release`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuarantineReleaseRequest {
    /// Of the computer account that was quarantined; a rebuilt host has another.
    pub host_sid: Sid,
    /// Why it is released before tickets from the time before its removal must be dead.
    #[serde(default)]
    pub force: Option<String>,
}

/// `quarantine-check`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuarantineCheckRequest {}

/// `await-roll`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AwaitRollRequest {
    pub account_sid: Sid,
    /// The key id (bytes of msDS-ManagedPasswordId, base64) whose password is known to others.
    pub exposed_key_id: String,
    /// The containment that found the exposure.
    pub compromise: WorkflowId,
}

/// `kds-root-key-recovery`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KdsRootKeyRecoveryRequest {
    /// The exposed key.
    pub root_key: Uuid,
    /// How long replaced accounts stay, disabled, before they are deleted.
    pub cool_down_seconds: u64,
}

/// `rotation-check`. What the request leaves out is the orchestrator's configuration, so that every
/// check of a fleet of workers judges by one policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RotationCheckRequest {
    /// Every writable DC is asked, not only the one that answers.
    #[serde(default)]
    pub every_dc: bool,
    /// An interval above this is a finding.
    pub max_interval_days: u32,
    /// How long changes are kept.
    pub keep_days: u32,
}

/// `update`: the farm's manifest, and how it comes about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpdateRequest {
    #[serde(flatten)]
    pub spec: FarmSpec,
    /// A second person approves it first: nobody asked for this update but a check that found drift.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub approval: bool,
}

/// `drift-check`. What the request leaves out is the orchestrator's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DriftCheckRequest {
    /// Every farm is compared, whether or not anything has changed about it.
    #[serde(default)]
    pub full: bool,
    /// So long after the last time that every farm was compared it is done again anyway.
    pub full_every_seconds: u64,
}

/// `nudge`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NudgeRequest {
    pub account_sid: Sid,
    /// The key that was found due; once the account has another there is nothing to do.
    pub due_key: KeyId,
}
