//! Reports of workflows.

use chrono::{DateTime, Utc};
use serde_json::Value;
use utoipa::ToSchema;

use super::{HostTaskState, Lane, MemberHost, Mode, Plan, Problem, StepState, WorkflowState};

/// Evidence about one workflow.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Report {
    generated_at: DateTime<Utc>,
    /// Version of the program that made it.
    farmhand: String,
    /// Nothing here happened to a real domain.
    embedded_directory: bool,
    workflow: ReportSubject,
    timeline: Vec<ReportEvent>,
    steps: Vec<ReportStep>,
    writes: Vec<ReportWrite>,
    approvals: Vec<ReportApproval>,
    host_actions: Vec<ReportHost>,
    not_done: Vec<String>,
    warnings: Vec<String>,
    children: Vec<ReportChild>,
    plan: Option<Plan>,
    error: Option<Problem>,
    result: Option<Value>,
}

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct ReportSubject {
    id: String,
    kind: String,
    directory: String,
    farm: Option<String>,
    hosts: Vec<String>,
    lane: Lane,
    mode: Mode,
    state: WorkflowState,
    parent: Option<String>,
    requested_by: String,
    reason: Option<String>,
    created_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
}

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct ReportEvent {
    at: DateTime<Utc>,
    /// Since the request.
    after_ms: i64,
    /// asked, claimed, step-started, intended, written, host-answered, denied, verified, step-ended,
    /// approval-asked, approval-void, approved, rejected, child-asked, child-ended or ended
    what: String,
    text: String,
    #[schema(required = false)]
    step: Option<String>,
    #[schema(required = false)]
    dc: Option<String>,
    #[schema(required = false)]
    by: Option<String>,
}

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct ReportStep {
    /// From 1.
    number: u16,
    name: String,
    state: StepState,
    changed: Option<bool>,
    attempts: u32,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    detail: Option<String>,
    error: Option<Problem>,
}

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct ReportWrite {
    /// From 1, in the order of time.
    number: u32,
    at: DateTime<Utc>,
    after_ms: i64,
    step: String,
    dc: String,
    /// add, modify, delete or rename
    kind: String,
    dn: String,
    usn: Option<i64>,
    object_guid: Option<String>,
    attributes: Vec<ReportAttribute>,
    /// The step was taken back afterwards.
    undone: bool,
}

#[derive(ToSchema)]
pub(crate) struct ReportAttribute {
    attribute: String,
    /// `set`: the whole attribute; `values`: single ones that went and came.
    op: String,
    before: Vec<ReportValue>,
    after: Vec<ReportValue>,
}

#[derive(ToSchema)]
pub(crate) struct ReportValue {
    words: String,
    raw: String,
    /// How `raw` is written: text, base64, or pending.
    encoding: String,
}

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct ReportApproval {
    step: String,
    plan_hash: String,
    requested_at: Option<DateTime<Utc>>,
    approved: Option<bool>,
    by: Option<String>,
    at: Option<DateTime<Utc>>,
    reason: Option<String>,
    void_since: Option<DateTime<Utc>>,
}

#[derive(ToSchema)]
pub(crate) struct ReportHost {
    step: String,
    host: MemberHost,
    account: String,
    actions: Vec<Value>,
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
#[schema(rename_all = "camelCase")]
pub(crate) struct ReportChild {
    id: String,
    kind: String,
    farm: Option<String>,
    hosts: Vec<String>,
    mode: Mode,
    state: WorkflowState,
    requested_by: String,
    created_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
}
