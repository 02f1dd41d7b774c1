//! How the JSON looks, for the OpenAPI document. `domain` and `store` know nothing of OpenAPI, so
//! their shapes are written down here once more; `contract_tests.rs` compares both.
#![expect(dead_code, reason = "read by the ToSchema derive, never built")]

use chrono::{DateTime, Utc};
use serde_json::Value;
use utoipa::ToSchema;

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Workflow {
    /// UUIDv7.
    id: String,
    #[schema(example = "deploy")]
    kind: String,
    #[schema(example = "default")]
    directory: String,
    farm: Option<String>,
    hosts: Vec<String>,
    lane: Lane,
    mode: Mode,
    state: WorkflowState,
    /// The workflow that it came of. Left out where a request came from outside.
    #[schema(required = false)]
    parent: Option<String>,
    /// The containment that stopped it. Left out otherwise.
    #[schema(required = false)]
    preempted_by: Option<String>,
    requested_by: String,
    reason: Option<String>,
    created_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    waiting: Option<Wait>,
    plan: Option<Plan>,
    steps: Vec<Step>,
    error: Option<Problem>,
    result: Option<Value>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum Lane {
    Urgent,
    Lifecycle,
    Checks,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum Mode {
    Apply,
    Plan,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum WorkflowState {
    Queued,
    Running,
    Waiting,
    Paused,
    Succeeded,
    Failed,
    Unwound,
    Cancelled,
}

#[derive(ToSchema)]
pub(crate) struct Wait {
    /// approval, host, timer, retry, lock, operator or calendar
    r#for: String,
    until: Option<DateTime<Utc>>,
    detail: String,
}

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Plan {
    changes: Vec<Change>,
    /// What would be done on hosts. Left out when empty.
    #[schema(required = false)]
    host_actions: Vec<HostWork>,
    /// SHA-256 over changes and host actions; an approval is bound to it.
    hash: String,
}

/// What is done on one host, in order.
#[derive(ToSchema)]
pub(crate) struct HostWork {
    host: MemberHost,
    account: String,
    /// Each `{action}`: purge-tickets, install, test, uninstall, or restart-service with `service`.
    actions: Vec<Value>,
}

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct MemberHost {
    name: String,
    sid: String,
    dns_host_name: Option<String>,
}

/// The work on one host with its outcome.
#[derive(ToSchema)]
pub(crate) struct HostTask {
    host: MemberHost,
    account: String,
    actions: Vec<Value>,
    /// What a person runs there.
    powershell: Vec<String>,
    state: HostTaskState,
    #[schema(required = false)]
    detail: Option<String>,
    #[schema(required = false)]
    by: Option<String>,
    #[schema(required = false)]
    at: Option<DateTime<Utc>>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum HostTaskState {
    Pending,
    Asked,
    Succeeded,
    Failed,
    Skipped,
}

/// What a person says of hosts whose answer is awaited.
#[derive(ToSchema)]
pub(crate) struct HostAck {
    /// sAMAccountName, with or without `$`; left out: every host that is awaited.
    host: Option<String>,
    outcome: AckOutcome,
    detail: Option<String>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum AckOutcome {
    Succeeded,
    Failed,
    Skipped,
}

/// A second person's approval, bound to a plan's hash.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Approval {
    plan_hash: String,
    requested_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    #[schema(required = false)]
    decision: Option<Verdict>,
    /// Earlier ones; void since the plan changed. Left out when empty.
    #[schema(required = false)]
    voided: Vec<Value>,
}

#[derive(ToSchema)]
pub(crate) struct Verdict {
    approved: bool,
    by: String,
    at: DateTime<Utc>,
    #[schema(required = false)]
    reason: Option<String>,
}

/// One LDAP write. A `rename` gives the object another name in its container: the attribute `name`.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Change {
    kind: ChangeKind,
    dn: String,
    /// Left out when empty.
    #[schema(required = false)]
    attributes: Vec<AttributeChange>,
    /// Of a rename: the object under either name.
    #[schema(required = false)]
    object_guid: Option<String>,
    /// The domain controller that it is sent to. Left out: the one that the workflow stays on.
    #[schema(required = false)]
    dc: Option<String>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum ChangeKind {
    Add,
    Modify,
    Delete,
    Rename,
}

/// `set` has `before` and `after`, `values` has `added` and `removed`. A value is a text, or
/// `{base64, meaning}`, or `{pending}` while it is not known yet.
#[derive(ToSchema)]
pub(crate) struct AttributeChange {
    attribute: String,
    op: AttributeOp,
    before: Option<Vec<Value>>,
    after: Option<Vec<Value>>,
    added: Option<Vec<Value>>,
    removed: Option<Vec<Value>>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum AttributeOp {
    Set,
    Values,
}

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Step {
    index: u16,
    name: String,
    state: StepState,
    /// Known once the step has succeeded.
    changed: Option<bool>,
    attempts: u32,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    detail: Option<String>,
    error: Option<Problem>,
    /// What it was about to write.
    #[schema(required = false)]
    intent: Option<Intent>,
    /// What it found and wrote.
    #[schema(required = false)]
    outcome: Option<StepOutcome>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum StepState {
    Pending,
    Running,
    Succeeded,
    Waiting,
    Failed,
    Undone,
    Skipped,
}

#[derive(ToSchema)]
pub(crate) struct Intent {
    dc: String,
    changes: Vec<Change>,
    at: DateTime<Utc>,
}

#[derive(ToSchema)]
pub(crate) struct StepOutcome {
    output: Value,
    writes: Vec<Write>,
    /// Left out when empty.
    #[schema(required = false)]
    hosts: Vec<HostTask>,
    #[schema(required = false)]
    approval: Option<Approval>,
    /// What a waiting step keeps for its next attempt.
    #[schema(required = false)]
    memo: Option<Value>,
}

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Write {
    dc: String,
    change: Change,
    usn: Option<i64>,
    object_guid: Option<String>,
    at: DateTime<Utc>,
}

/// What went wrong inside a workflow.
#[derive(ToSchema)]
pub(crate) struct Problem {
    /// Explained under `/errors/{code}`.
    code: String,
    message: String,
    hint: String,
    /// Left out when empty.
    #[schema(required = false)]
    violations: Vec<Violation>,
}

/// One field that breaks one rule.
#[derive(ToSchema)]
pub(crate) struct Violation {
    #[schema(example = "spec.account.samAccountName")]
    field: String,
    #[schema(example = "length")]
    rule: String,
    message: String,
}

#[derive(ToSchema)]
pub(crate) struct WorkflowPage {
    items: Vec<Workflow>,
    next: Option<String>,
}

/// What a person asks for; unknown keys are refused.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct FarmManifest {
    #[schema(example = "farmhand/v1")]
    api_version: String,
    #[schema(example = "Farm")]
    kind: String,
    metadata: Metadata,
    spec: FarmManifestSpec,
}

#[derive(ToSchema)]
pub(crate) struct Metadata {
    #[schema(example = "ITFarm1")]
    name: String,
}

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct FarmManifestSpec {
    #[schema(default = "default")]
    directory: Option<String>,
    #[schema(required = false)]
    account: AccountManifest,
    #[schema(required = false)]
    membership: MembershipManifest,
    /// `Host1`, `Host1$`, a DN or a SID.
    #[schema(required = false)]
    hosts: Vec<String>,
    host_actions: Option<HostActionsManifest>,
    rotation: Option<RotationManifest>,
}

/// How the password's rolling is helped along.
#[derive(ToSchema)]
pub(crate) struct RotationManifest {
    /// A check that finds the password due has a member host fetch it, so that it rolls.
    #[schema(required = false, default = false)]
    nudge: bool,
}

/// How things are done on the farm's hosts.
#[derive(ToSchema)]
pub(crate) struct HostActionsManifest {
    /// none, manual or command. Left out: as the workers are configured.
    adapter: Option<String>,
    /// Windows services that run as the account.
    #[schema(required = false)]
    services: Vec<String>,
    /// Hosts at a time: 1 to 1000.
    wave: Option<u16>,
}

/// Named after the parameters of New-ADServiceAccount.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct AccountManifest {
    /// At most 15 characters, without the `$`. Left out: `metadata.name`.
    sam_account_name: Option<String>,
    /// Required unless `outboundOnly`.
    dns_host_name: Option<String>,
    display_name: Option<String>,
    description: Option<String>,
    /// Left out: the domain's container for managed service accounts.
    container: Option<String>,
    #[schema(required = false)]
    service_principal_names: Vec<String>,
    /// Of RC4, AES128, AES256; or Default alone: the attribute is not set. Left out: AES128 and AES256.
    kerberos_encryption_types: Option<Vec<String>>,
    /// Fixed when the account is made.
    #[schema(minimum = 1, maximum = 365, default = 30)]
    managed_password_interval_in_days: Option<i64>,
    #[schema(required = false)]
    outbound_only: bool,
    /// Left out: an account is made enabled, and one that stands is left as it is.
    #[schema(required = false)]
    enabled: Option<bool>,
    /// wWWHomePage.
    #[schema(required = false)]
    home_page: Option<String>,
    /// RFC 3339; in a manifest also a date alone.
    #[schema(required = false)]
    account_expiration_date: Option<String>,
    #[schema(required = false)]
    account_not_delegated: Option<bool>,
    /// Never together with `trustedToAuthForDelegation`.
    #[schema(required = false)]
    trusted_for_delegation: Option<bool>,
    #[schema(required = false)]
    trusted_to_auth_for_delegation: Option<bool>,
    /// SPNs of the services to which the account may delegate.
    #[schema(required = false)]
    allowed_to_delegate_to: Option<Vec<String>>,
    #[schema(required = false)]
    compound_identity_supported: Option<bool>,
}

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct MembershipManifest {
    #[schema(required = false)]
    mode: MembershipMode,
    /// Required when the mode is `group`.
    group: Option<String>,
    #[schema(default = true)]
    create_group: Option<bool>,
    group_container: Option<String>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum MembershipMode {
    Group,
    Direct,
}

/// A farm on record.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Farm {
    name: String,
    directory: String,
    state: FarmState,
    spec: FarmSpec,
    /// What the last successful deploy left in the directory.
    recorded: Option<FarmFacts>,
    last_workflow: Option<String>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum FarmState {
    Requested,
    Deployed,
    Decommissioned,
}

/// The manifest, judged, with its defaults filled in.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct FarmSpec {
    name: String,
    directory: String,
    account: AccountSpec,
    membership: MembershipSpec,
    hosts: Vec<String>,
    /// Left out where nothing is said.
    #[schema(required = false)]
    host_actions: Option<HostActionsManifest>,
    /// Left out where nothing is said.
    #[schema(required = false)]
    rotation: Option<RotationManifest>,
}

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct AccountSpec {
    sam_account_name: String,
    dns_host_name: Option<String>,
    display_name: Option<String>,
    description: Option<String>,
    container: Option<String>,
    service_principal_names: Vec<String>,
    kerberos_encryption_types: Vec<String>,
    managed_password_interval_in_days: u16,
    outbound_only: bool,
    /// Left out: an account is made enabled, and one that stands is left as it is.
    #[schema(required = false)]
    enabled: Option<bool>,
    /// wWWHomePage.
    #[schema(required = false)]
    home_page: Option<String>,
    /// RFC 3339; in a manifest also a date alone.
    #[schema(required = false)]
    account_expiration_date: Option<String>,
    #[schema(required = false)]
    account_not_delegated: Option<bool>,
    /// Never together with `trustedToAuthForDelegation`.
    #[schema(required = false)]
    trusted_for_delegation: Option<bool>,
    #[schema(required = false)]
    trusted_to_auth_for_delegation: Option<bool>,
    /// SPNs of the services to which the account may delegate.
    #[schema(required = false)]
    allowed_to_delegate_to: Option<Vec<String>>,
    #[schema(required = false)]
    compound_identity_supported: Option<bool>,
}

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct MembershipSpec {
    mode: MembershipMode,
    group: Option<String>,
    create_group: bool,
    group_container: Option<String>,
}

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct FarmFacts {
    spec: FarmSpec,
    account_dn: String,
    account_sid: String,
    group_dn: Option<String>,
    group_sid: Option<String>,
    /// A deploy of this farm made the group: a decommission deletes it with the farm.
    group_made: bool,
    /// Others whom the reader list names; their entries stay. Left out when empty.
    #[schema(required = false)]
    foreign_readers: Vec<ForeignReader>,
}

#[derive(ToSchema)]
pub(crate) struct ForeignReader {
    sid: String,
    /// The entry denies instead of allowing.
    denied: bool,
    #[schema(required = false)]
    name: Option<String>,
}

#[derive(ToSchema)]
pub(crate) struct FarmPage {
    items: Vec<Farm>,
    next: Option<String>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum Role {
    Viewer,
    Operator,
    Responder,
    Approver,
    Admin,
}

/// A token without its secret.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Token {
    id: String,
    principal: String,
    roles: Vec<Role>,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
}

/// A token with its secret, which is shown only now.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct CreatedToken {
    id: String,
    principal: String,
    roles: Vec<Role>,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
    #[schema(example = "fh_...")]
    secret: String,
}

#[derive(ToSchema)]
pub(crate) struct TokenPage {
    items: Vec<Token>,
    next: Option<String>,
}

/// How the password of a gMSA stands, as the last check found it.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct RotationEntry {
    directory: String,
    /// sAMAccountName, with its `$`.
    #[schema(example = "ITFarm1$")]
    account: String,
    sid: String,
    dn: String,
    /// The farm on record whose account it is.
    farm: Option<String>,
    verdict: RotationVerdict,
    /// What the verdict rests on, in one line.
    why: String,
    key_id: Option<KeyId>,
    interval_days: Option<i64>,
    /// After how many hours the password rolls in truth.
    rollover_hours: Option<u32>,
    /// What the password's life is counted from.
    slot_start: Option<DateTime<Utc>>,
    /// From then on the first authorised read makes a DC roll it.
    next_due: Option<DateTime<Utc>>,
    /// pwdLastSet; decides nothing.
    password_set: Option<DateTime<Utc>>,
    enabled: bool,
    /// The first 20 entries of the reader list, in its order.
    readers: Vec<RotationReader>,
    reader_count: u32,
    findings: Vec<RotationFinding>,
    /// What each DC that was asked shows.
    copies: Vec<RotationCopy>,
    checked_at: DateTime<Utc>,
    /// Since when verdict and key are as they are.
    changed_at: DateTime<Utc>,
    /// A check of the whole directory did not find it any more.
    gone_at: Option<DateTime<Utc>>,
}

#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
pub(crate) enum RotationVerdict {
    Current,
    Rolling,
    Due,
    Idle,
    Never,
    Overdue,
    CannotTell,
}

#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
pub(crate) enum FindingCode {
    NoReaderDescriptor,
    ReaderDescriptorBroken,
    NobodyMayRead,
    BroadReader,
    OrphanReader,
    DistributionGroupReader,
    HostCannotRead,
    HostNotFound,
    ReaderNotOnRecord,
    Rc4Allowed,
    DesAllowed,
    EncryptionUnset,
    IntervalOverPolicy,
    IntervalInvalid,
    DisabledYetReadable,
    OldRootKey,
    RootKeyMissing,
    NoUsableRootKey,
    KeyIdAhead,
    DcClocksApart,
    DcsDisagree,
    DcSilent,
}

/// Names a key of the key distribution service.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct KeyId {
    l0: u32,
    l1: u32,
    l2: u32,
    /// GUID of the KDS root key.
    root_key: String,
}

#[derive(ToSchema)]
pub(crate) struct RotationReader {
    sid: String,
    /// `null`: not found in this domain.
    name: Option<String>,
    /// The entry denies instead of allowing. Left out when false.
    #[schema(required = false)]
    denied: bool,
}

#[derive(ToSchema)]
pub(crate) struct RotationFinding {
    code: FindingCode,
    text: String,
    /// The first 20 hosts, readers or DCs that it is about.
    #[schema(required = false)]
    subjects: Vec<String>,
    /// When it bites, where that is known.
    #[schema(required = false)]
    at: Option<DateTime<Utc>>,
}

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct RotationCopy {
    dc: String,
    key_id: Option<KeyId>,
}

#[derive(ToSchema)]
pub(crate) struct RotationPage {
    items: Vec<RotationEntry>,
    next: Option<String>,
}

/// One account with its changes, newest first.
#[derive(ToSchema)]
pub(crate) struct RotationDetail {
    entry: RotationEntry,
    history: Vec<RotationChange>,
}

/// A moment at which verdict or key had changed.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct RotationChange {
    at: DateTime<Utc>,
    verdict: RotationVerdict,
    why: String,
    key_id: Option<KeyId>,
    /// The account was gone. Left out when false.
    #[schema(required = false)]
    gone: bool,
    /// The check that saw it.
    workflow: String,
}

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
