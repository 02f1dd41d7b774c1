//! What goes in and out of the store, in the language of `domain`.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::{
    Announcement, DirectoryName, FarmName, FarmSpec, Lane, Mode, Plan, Problem, Role, RotationItem,
    RotationVerdict, StepRecord, TokenId, Wait, Workflow, WorkflowEvent, WorkflowId, WorkflowKind,
    WorkflowState,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A workflow that somebody asks for.
#[derive(Debug, Clone)]
pub struct NewWorkflow {
    /// Made of `now`: lists are ordered by it.
    pub id: WorkflowId,
    pub kind: WorkflowKind,
    pub directory: DirectoryName,
    pub farm: Option<FarmName>,
    pub hosts: Vec<String>,
    pub lane: Lane,
    pub mode: Mode,
    pub requested_by: String,
    pub reason: Option<String>,
    /// What the runbook works from; for `deploy` a [`FarmSpec`].
    pub input: Value,
    /// W3C trace context of the request.
    pub traceparent: Option<String>,
    /// The workflow that asks for it.
    pub parent: Option<WorkflowId>,
    /// Recorded as a farm that was asked for, if there is none of that name yet.
    pub farm_spec: Option<FarmSpec>,
    pub now: DateTime<Utc>,
}

/// Names one request for ever: the same key with the same request gives the same workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// Keys of one caller do not meet those of another.
    pub principal: String,
    pub key: String,
    /// SHA-256 of what was asked, so that a reused key with another request is noticed.
    pub request_hash: String,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Submitted {
    New(Workflow),
    /// The key was used before with the same request.
    Replayed(Workflow),
    /// The key was used before with another request.
    Conflict(WorkflowId),
}

/// An event ready to be published: the envelope's bytes are made when the state changes, so the
/// relay has nothing to decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// Also the event's id.
    pub id: uuid::Uuid,
    pub lane: Lane,
    pub body: Vec<u8>,
}

/// What is announced to other systems, ready to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnnouncementRow {
    /// Also the event's id.
    pub id: uuid::Uuid,
    /// The CloudEvents type, under which it is published.
    pub topic: String,
    pub body: Vec<u8>,
}

/// What the outbox needs to write an event in the same transaction as the change of state.
/// The composition hands in one that makes CloudEvents (`messages`), which `store` does not know.
pub trait EventWriter: Send + Sync + 'static {
    fn write(&self, event: &NewEvent) -> OutboxRow;

    /// `None` where nothing is announced.
    fn announce(&self, announcement: &Announcement, now: DateTime<Utc>) -> Option<AnnouncementRow>;
}

#[derive(Debug, Clone)]
pub struct NewEvent {
    pub workflow_id: WorkflowId,
    pub kind: WorkflowKind,
    pub lane: Lane,
    pub cause: domain::Cause,
    pub traceparent: Option<String>,
    pub now: DateTime<Utc>,
}

/// A worker's name and how long it may hold what it claims without a sign of life.
#[derive(Debug, Clone)]
pub struct Lessee {
    pub worker: String,
    pub lease: Duration,
}

/// What became of a claim.
#[derive(Debug, Clone)]
pub enum Claim {
    Claimed(Box<Claimed>),
    /// Another worker holds it, it is finished, paused or waiting: the event was late or doubled.
    NotClaimable(WorkflowState),
    /// Another workflow holds the farm's lock; this one now waits for it.
    WaitsForLock,
    /// There is no such workflow: the event was forged, or the database is another one.
    Unknown,
}

/// A workflow under lease.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// With the steps that have been begun.
    pub workflow: Workflow,
    pub input: Value,
    pub fencing_token: i64,
    pub lease_until: DateTime<Utc>,
    pub pinned_dc: Option<String>,
    /// Set once the workflow has failed and is being undone; it survives a crash.
    pub unwinding: Option<Problem>,
    /// The farm's lock is held with this workflow's fencing token.
    pub holds_lock: bool,
    pub traceparent: Option<String>,
    pub control: Option<Control>,
}

/// What was asked of a running workflow; obeyed at the next step boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Control {
    Pause,
    Cancel,
    /// A containment raised the farm's fence: paused until that is over.
    Preempt,
    /// The fence is down: what was only read is read and planned anew. Only with a claim; it has a
    /// column of its own, so a person's wish comes first and does not displace it.
    Replan,
}

impl Control {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Cancel => "cancel",
            Self::Preempt => "preempt",
            Self::Replan => "replan",
        }
    }
}

/// One durable write of a workflow under lease. Many of them, of different workflows, share a commit.
#[derive(Debug, Clone)]
pub struct JournalEntry {
    pub workflow_id: WorkflowId,
    /// The write counts only while the workflow's fencing token is this one and it is running.
    pub fencing_token: i64,
    /// Every write renews the lease.
    pub lease_until: DateTime<Utc>,
    /// Rows to insert or replace whole.
    pub steps: Vec<StepRecord>,
    pub change: WorkflowChange,
    /// What is announced with it, if the write counts. Of a change that puts the workflow to rest:
    /// only if it does come to rest, and nobody has asked for something else meanwhile.
    pub announcements: Vec<Announcement>,
    pub now: DateTime<Utc>,
}

/// What happens to the workflow's own row.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "made once for each commit and moved twice; a box is no cheaper"
)]
pub enum WorkflowChange {
    /// Nothing but the lease.
    None,
    /// The names of all steps (first commit of a workflow): what a reader shows as pending.
    Begin { step_names: Vec<String> },
    /// The DC that the workflow stays on from now on.
    Pin { dc: String },
    /// It failed; its own changes are undone from now on, by this worker or the next.
    Unwind { error: Problem },
    /// It waits; the lease is given up, the farm's lock is kept.
    Wait(Wait),
    /// The same, with the plan that a second person is to approve.
    AwaitApproval { wait: Wait, plan: Plan },
    /// A person paused it; the lease is given up, the farm's lock is kept.
    Pause,
    /// Back to the queue with an event (a worker that stops).
    Release,
    /// What was only read is to be read anew; the wish for it ([`Control::Replan`]) is done.
    Replanned,
    /// Its end: lease and lock are given up, the next workflow on the farm is woken.
    Finish(Finish),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Finish {
    /// `Succeed`, `Fail`, `Unwind` or `Cancel`; the state follows from the transition function.
    pub event: WorkflowEvent,
    pub error: Option<Problem>,
    pub result: Option<Value>,
    pub plan: Option<Plan>,
    /// What goes on record about the farm.
    pub farm: Option<FarmRecord>,
}

/// What the end of a workflow puts on record about a farm.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "made once for each workflow")]
pub enum FarmRecord {
    /// What the directory now holds of it.
    Deployed(FarmFacts),
    /// It is gone; its row stays, so that what was there can be looked up.
    Decommissioned { directory: DirectoryName, farm: FarmName },
}

/// What a successful deploy leaves on record about a farm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FarmFacts {
    pub spec: FarmSpec,
    pub account_dn: domain::Dn,
    pub account_sid: domain::Sid,
    pub group_dn: Option<domain::Dn>,
    pub group_sid: Option<domain::Sid>,
    /// A deploy of this farm made the group: it may go when the farm goes.
    #[serde(default)]
    pub group_made: bool,
    /// Whom the reader list names besides, and whose entries stay as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub foreign_readers: Vec<domain::farm::ForeignReader>,
}

/// The answer to a journal entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// Durable. `control` is what a person asked for meanwhile.
    Yes { control: Option<Control> },
    /// The lease is another's now: nothing was written, stop at once.
    LeaseLost,
}

/// What a person asks of a workflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Cancel,
    Pause,
    /// From paused, or from waiting for an operator.
    Resume,
    /// From failed: tried again from the failed step.
    Retry,
}

/// A farm on record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Farm {
    pub name: FarmName,
    pub directory: DirectoryName,
    pub state: FarmState,
    pub spec: FarmSpec,
    /// `None` until a deploy has succeeded.
    pub recorded: Option<FarmFacts>,
    pub last_workflow: Option<WorkflowId>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FarmState {
    /// Asked for; no deploy has succeeded yet.
    Requested,
    Deployed,
    /// Account and group are gone.
    Decommissioned,
}

/// Which workflows to list; everything left out matches all.
#[derive(Debug, Clone, Default)]
pub struct WorkflowFilter {
    pub kind: Option<WorkflowKind>,
    pub state: Option<WorkflowState>,
    pub directory: Option<DirectoryName>,
    pub farm: Option<FarmName>,
    pub host: Option<String>,
    /// The workflow that asked for them.
    pub parent: Option<WorkflowId>,
    pub since: Option<DateTime<Utc>>,
    pub until: Option<DateTime<Utc>>,
}

/// One page; `next` is an opaque cursor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next: Option<String>,
}

/// A token without its secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Token {
    pub id: TokenId,
    /// Who the caller is: recorded with everything they ask for.
    pub principal: String,
    pub roles: BTreeSet<Role>,
    pub created_at: DateTime<Utc>,
    pub expires_at: Option<DateTime<Utc>>,
    pub revoked_at: Option<DateTime<Utc>>,
    pub last_used_at: Option<DateTime<Utc>>,
}

/// How the tables stand to this program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemaStatus {
    Current,
    /// Migrations that this program has and the database lacks, in order.
    Behind {
        pending: Vec<String>,
    },
    /// Migrations that the database has and this program does not know: a newer one wrote them.
    Unknown {
        found: Vec<String>,
    },
}

/// What became of an [`Action`].
#[derive(Debug, Clone, PartialEq)]
pub enum ActOutcome {
    /// The state changed; the workflow as it is now.
    Done(Workflow),
    /// It is running (or must first be unwound): the wish is on record and a worker obeys it.
    Asked(Workflow),
    NotFound,
}

/// What a second person says of the plan that a workflow shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruling {
    pub approve: bool,
    /// Of the plan that they saw.
    pub plan_hash: String,
    pub by: String,
    pub reason: Option<String>,
}

/// What became of a [`Ruling`].
#[derive(Debug, Clone, PartialEq)]
pub enum Decided {
    Done(Box<Workflow>),
    NotFound,
    /// It waits for no approval.
    NotAwaited(WorkflowState),
    /// Who asked for it cannot decide.
    Own,
    /// It shows another plan by now.
    OtherPlan {
        waiting: String,
    },
    Expired {
        at: DateTime<Utc>,
    },
}

/// What became of the word of a person about hosts.
#[derive(Debug, Clone, PartialEq)]
pub enum Acked {
    Done(Box<Workflow>),
    NotFound,
    /// It waits for nobody's word about hosts.
    NotAwaited(WorkflowState),
    /// The step waits for no host.
    NoSuchStep,
    /// The step does not wait for this host.
    NoSuchHost(String),
}

/// The answer to a sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heartbeat {
    /// The lease runs on; `control` is what a person asked for meanwhile.
    Held { control: Option<Control> },
    /// The lease is another's now, or the workflow no longer runs: stop at once.
    Lost,
}

/// How much waits to be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxDepth {
    pub rows: u64,
    /// When the oldest of them was written.
    pub oldest: Option<DateTime<Utc>>,
}

/// A host that is put on the list which every workflow obeys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewQuarantine {
    pub directory: DirectoryName,
    /// Of the computer account; a rebuilt host has another.
    pub host_sid: domain::Sid,
    /// sAMAccountName without its `$`.
    pub host_name: String,
    pub computer_dn: domain::Dn,
    /// The containment.
    pub workflow: WorkflowId,
    pub placed_by: String,
    pub reason: Option<String>,
}

/// A host under quarantine, or one that was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Quarantined {
    pub id: uuid::Uuid,
    pub directory: DirectoryName,
    pub host_sid: domain::Sid,
    pub host_name: String,
    pub computer_dn: domain::Dn,
    /// The containment that put it here first.
    pub workflow: WorkflowId,
    pub placed_by: String,
    pub reason: Option<String>,
    pub placed_at: DateTime<Utc>,
    /// We disabled its computer account, so that a release enables it again.
    pub computer_disabled: bool,
    pub released: Option<Release>,
}

/// The end of a quarantine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    pub at: DateTime<Utc>,
    pub by: String,
    pub workflow: WorkflowId,
    pub reason: Option<String>,
}

/// A deny entry that we wrote for a quarantined host: what a release takes back, and no other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Denial {
    pub account_sid: domain::Sid,
    pub account_dn: domain::Dn,
    pub workflow: WorkflowId,
    pub written_at: DateTime<Utc>,
}

/// Whose work a containment stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preemption {
    pub by: WorkflowId,
    pub directory: DirectoryName,
    /// Lifecycle workflows on these farms ...
    pub farms: Vec<FarmName>,
    /// ... and those that name this host, in whatever form.
    pub hosts: Vec<String>,
}

/// A workflow that a containment stopped, and whether it has come to a stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Preempted {
    pub workflow: WorkflowId,
    pub kind: WorkflowKind,
    pub farm: Option<FarmName>,
    pub state: WorkflowState,
    /// While it runs: when it stops at the latest.
    pub lease_until: Option<DateTime<Utc>>,
}

/// Which quarantines to list.
#[derive(Debug, Clone, Default)]
pub struct QuarantineFilter {
    pub directory: Option<DirectoryName>,
    /// Also those that were released.
    pub released: bool,
}

/// What a check found of some gMSAs of one directory, each once.
#[derive(Debug, Clone, PartialEq)]
pub struct RotationBatch {
    pub directory: DirectoryName,
    /// The check.
    pub workflow: WorkflowId,
    pub items: Vec<RotationItem>,
    pub now: DateTime<Utc>,
}

/// What a batch changed on record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RotationRecorded {
    /// Accounts whose verdict or key is another, or that were not known.
    pub changed: u64,
    pub verdicts: Vec<VerdictChange>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerdictChange {
    /// sAMAccountName, with its `$`.
    pub account: String,
    /// `None`: the account was not known.
    pub before: Option<RotationVerdict>,
    pub after: RotationVerdict,
}

/// Which gMSAs to list; everything left out matches all that are there.
#[derive(Debug, Clone, Default)]
pub struct RotationFilter {
    pub directory: Option<DirectoryName>,
    pub verdict: Option<RotationVerdict>,
    pub farm: Option<FarmName>,
    pub finding: Option<domain::rotation::FindingCode>,
    /// Those that are gone, instead of those that are there.
    pub gone: bool,
}
