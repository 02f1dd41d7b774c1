//! Incidents, containments and the quarantine.

use chrono::{DateTime, Utc};
use utoipa::ToSchema;

use super::{KeyId, Wait, Workflow, WorkflowState};

/// A containment with what came of it.
#[derive(ToSchema)]
pub(crate) struct Incident {
    workflow: Workflow,
    /// `null` until the containment is done.
    containment: Option<Containment>,
    /// One for each account that the host could read.
    exposures: Vec<AccountExposure>,
    /// Workflows that came of it, without their steps.
    children: Vec<Workflow>,
    /// What is to be decided now.
    next: Vec<String>,
}

/// Where the exposure of one account stands at this moment.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct AccountExposure {
    /// sAMAccountName, with its `$`.
    #[schema(example = "ITFarm1$")]
    account: String,
    sid: String,
    /// The farm on record whose account it is.
    farm: Option<String>,
    stands: ExposureStanding,
    known: Vec<KnownPassword>,
    ends_at: Option<DateTime<Utc>>,
    /// Counts down to 0; `null` where the end cannot be told.
    ends_in_seconds: Option<i64>,
    /// `null` until it was seen that the known password works no more.
    rolled: Option<ExposureOver>,
    recovery: Option<RecoveryChild>,
    assumptions: Vec<String>,
}

/// open: the known password works; due: it rolls when somebody who may asks for it; over: seen to work
/// no more; unknown: its end cannot be told.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum ExposureStanding {
    Open,
    Due,
    Over,
    Unknown,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum KnownPassword {
    Previous,
    Current,
    Next,
}

/// How an exposure was seen to end: the kind of workflow says by what.
#[derive(ToSchema)]
pub(crate) struct ExposureOver {
    at: DateTime<Utc>,
    #[schema(example = "await-roll")]
    by: String,
    workflow: String,
}

/// What was chosen for a farm.
#[derive(ToSchema)]
pub(crate) struct RecoveryChild {
    /// `replace` or `wait`.
    choice: String,
    workflow: String,
    state: WorkflowState,
    waiting: Option<Wait>,
}

/// The result of a containment.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Containment {
    summary: String,
    changed: bool,
    host: ContainedHost,
    /// Every gMSA that the host could read, farms on record first.
    accounts: Vec<ContainedAccount>,
    domain_controllers: Vec<ContainedDc>,
    /// Workflows that were stopped for it.
    preempted: Vec<String>,
    /// gMSAs that were looked at.
    swept: u64,
    not_done: Vec<String>,
    warnings: Vec<String>,
    next: Vec<String>,
    embedded_directory: bool,
}

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct ContainedHost {
    name: String,
    dn: String,
    sid: String,
    dns_host_name: Option<String>,
    /// e.g. `disabled`, `disabled-before`, `kept-enabled`
    computer: String,
    /// SID of another computer account of this name that is under quarantine.
    rebuilt_from: Option<String>,
}

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct ContainedAccount {
    account: String,
    dn: String,
    sid: String,
    farm: Option<String>,
    /// How the host was let in.
    paths: Vec<String>,
    service_principal_names: Vec<String>,
    delegation: Vec<String>,
    member_of: Vec<String>,
    other_hosts: Vec<String>,
    exposure: Exposure,
}

/// What the attacker may know of one account's passwords, and until when it works.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Exposure {
    key_id: Option<KeyId>,
    /// msDS-ManagedPasswordId, base64.
    exposed_key_id: Option<String>,
    interval_days: Option<u32>,
    slot_start: Option<DateTime<Utc>>,
    known: Vec<KnownPassword>,
    ends_at: Option<DateTime<Utc>>,
    assumptions: Vec<String>,
}

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct ContainedDc {
    name: String,
    /// When it acknowledged the last deny entry; `null`: it had them already.
    denied_at: Option<DateTime<Utc>>,
    verified_at: DateTime<Utc>,
}

/// A host under quarantine, or one that was.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Quarantined {
    id: String,
    directory: String,
    host_sid: String,
    /// sAMAccountName without its `$`.
    host_name: String,
    computer_dn: String,
    /// The containment that put it here first.
    workflow: String,
    placed_by: String,
    reason: Option<String>,
    placed_at: DateTime<Utc>,
    /// We disabled its computer account: a release enables it again.
    computer_disabled: bool,
    released: Option<QuarantineRelease>,
}

#[derive(ToSchema)]
pub(crate) struct QuarantineRelease {
    at: DateTime<Utc>,
    by: String,
    workflow: String,
    reason: Option<String>,
}

/// A deny entry that was written for a host under quarantine.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Denial {
    account_sid: String,
    account_dn: String,
    workflow: String,
    written_at: DateTime<Utc>,
}

#[derive(ToSchema)]
pub(crate) struct QuarantineDetail {
    quarantine: Quarantined,
    denials: Vec<Denial>,
}

#[derive(ToSchema)]
pub(crate) struct QuarantinePage {
    items: Vec<Quarantined>,
    next: Option<String>,
}
