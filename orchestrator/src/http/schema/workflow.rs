//! Workflows, their steps and plans.

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
