//! Evidence: one workflow as an auditor reads it. Pure, from what is on record.
//!
//! For every kind of workflow: what was asked and by whom, when each thing happened, every write with
//! what was there before and after, who approved, what was left undone.

mod html;
mod left_undone;
mod timeline;
mod writes;

use chrono::{DateTime, Utc};
use domain::{
    DirectoryName, FarmName, HostTask, Lane, Mode, Plan, Problem, StepRecord, StepState, Workflow,
    WorkflowId, WorkflowKind, WorkflowState,
};
use serde::Serialize;
use serde_json::Value;

pub(crate) use html::page;
pub(crate) use timeline::Event;
pub(crate) use writes::ReportedWrite;

/// As the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    /// When this report was made: what is not finished by then goes on.
    pub generated_at: DateTime<Utc>,
    /// Version of the program that made it.
    pub farmhand: &'static str,
    /// The directory is Farmhand's own small one: nothing here happened to a real domain.
    pub embedded_directory: bool,
    pub workflow: Subject,
    pub timeline: Vec<Event>,
    pub steps: Vec<ReportedStep>,
    pub writes: Vec<ReportedWrite>,
    pub approvals: Vec<ReportedApproval>,
    pub host_actions: Vec<ReportedHost>,
    pub not_done: Vec<String>,
    pub warnings: Vec<String>,
    pub children: Vec<Child>,
    /// The plan of a dry run, or the one that waits for approval.
    pub plan: Option<Plan>,
    pub error: Option<Problem>,
    /// As the workflow left it.
    pub result: Option<Value>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Subject {
    pub id: WorkflowId,
    pub kind: WorkflowKind,
    pub directory: DirectoryName,
    pub farm: Option<FarmName>,
    pub hosts: Vec<String>,
    pub lane: Lane,
    pub mode: Mode,
    pub state: WorkflowState,
    pub parent: Option<WorkflowId>,
    pub requested_by: String,
    pub reason: Option<String>,
    pub created_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReportedStep {
    /// From 1, as people count.
    pub number: u16,
    pub name: String,
    pub state: StepState,
    pub changed: Option<bool>,
    pub attempts: u32,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    pub detail: Option<String>,
    pub error: Option<Problem>,
}

/// A decision of a second person, or that one is awaited.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReportedApproval {
    pub step: String,
    /// Of exactly what was approved.
    pub plan_hash: String,
    pub requested_at: Option<DateTime<Utc>>,
    /// `null`: nobody has decided.
    pub approved: Option<bool>,
    pub by: Option<String>,
    pub at: Option<DateTime<Utc>>,
    pub reason: Option<String>,
    /// When another plan was noticed, so that it counted no more.
    pub void_since: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ReportedHost {
    pub step: String,
    #[serde(flatten)]
    pub task: HostTask,
}

/// A workflow that this one, or a person on its account, asked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Child {
    pub id: WorkflowId,
    pub kind: WorkflowKind,
    pub farm: Option<FarmName>,
    pub hosts: Vec<String>,
    pub mode: Mode,
    pub state: WorkflowState,
    pub requested_by: String,
    pub created_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
}

/// `embedded`: whether the program that is asked works on its own directory.
pub(crate) fn report(
    workflow: &Workflow,
    children: &[Workflow],
    now: DateTime<Utc>,
    embedded: bool,
) -> Report {
    let result = workflow.result.as_ref();
    let said = result.and_then(|result| result["embeddedDirectory"].as_bool());
    Report {
        generated_at: now,
        farmhand: env!("CARGO_PKG_VERSION"),
        embedded_directory: said.unwrap_or(embedded),
        workflow: subject(workflow),
        timeline: timeline::timeline(workflow, children),
        steps: workflow.steps.iter().map(step).collect(),
        writes: writes::writes(workflow),
        approvals: workflow.steps.iter().flat_map(approvals).collect(),
        host_actions: workflow.steps.iter().flat_map(hosts).collect(),
        not_done: left_undone::left_undone(workflow),
        warnings: result.map(|result| left_undone::texts(result, "warnings")).unwrap_or_default(),
        children: children.iter().map(child).collect(),
        plan: workflow.plan.clone(),
        error: workflow.error.clone(),
        result: workflow.result.clone(),
    }
}

fn subject(workflow: &Workflow) -> Subject {
    Subject {
        id: workflow.id,
        kind: workflow.kind.clone(),
        directory: workflow.directory.clone(),
        farm: workflow.farm.clone(),
        hosts: workflow.hosts.clone(),
        lane: workflow.lane,
        mode: workflow.mode,
        state: workflow.state,
        parent: workflow.parent,
        requested_by: workflow.requested_by.clone(),
        reason: workflow.reason.clone(),
        created_at: workflow.created_at,
        started_at: workflow.started_at,
        finished_at: workflow.finished_at,
    }
}

fn step(step: &StepRecord) -> ReportedStep {
    ReportedStep {
        number: step.index + 1,
        name: step.name.clone(),
        state: step.state,
        changed: step.changed,
        attempts: step.attempts,
        started_at: step.started_at,
        finished_at: step.finished_at,
        detail: step.detail.clone(),
        error: step.error.clone(),
    }
}

/// The void ones first: they came before.
fn approvals(step: &StepRecord) -> Vec<ReportedApproval> {
    let Some(approval) = step.outcome.as_ref().and_then(|outcome| outcome.approval.as_ref()) else {
        return Vec::new();
    };
    let of = |hash: &str, decision: Option<&domain::Verdict>| ReportedApproval {
        step: step.name.clone(),
        plan_hash: hash.to_owned(),
        requested_at: None,
        approved: decision.map(|verdict| verdict.approved),
        by: decision.map(|verdict| verdict.by.clone()),
        at: decision.map(|verdict| verdict.at),
        reason: decision.and_then(|verdict| verdict.reason.clone()),
        void_since: None,
    };
    let voided = approval.voided.iter().map(|void| ReportedApproval {
        void_since: Some(void.at),
        ..of(&void.plan_hash, void.decision.as_ref())
    });
    let current = ReportedApproval {
        requested_at: Some(approval.requested_at),
        ..of(&approval.plan_hash, approval.decision.as_ref())
    };
    voided.chain([current]).collect()
}

fn hosts(step: &StepRecord) -> Vec<ReportedHost> {
    let tasks = step.outcome.as_ref().map(|outcome| outcome.hosts.as_slice()).unwrap_or_default();
    tasks.iter().map(|task| ReportedHost { step: step.name.clone(), task: task.clone() }).collect()
}

fn child(child: &Workflow) -> Child {
    Child {
        id: child.id,
        kind: child.kind.clone(),
        farm: child.farm.clone(),
        hosts: child.hosts.clone(),
        mode: child.mode,
        state: child.state,
        requested_by: child.requested_by.clone(),
        created_at: child.created_at,
        finished_at: child.finished_at,
    }
}

#[cfg(test)]
mod tests;
