//! What each announcement says. Texts and lists are cut to a length that always fits in an event: who
//! wants all of it asks the API for the workflow, the account or the host that is named.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use super::{Announcement, AnnouncementKind as Kind};
use crate::{
    DirectoryName, Dn, FarmName, FireOutcome, Mode, Problem, RotationItem, ScheduleName, Sid, Wait,
    WaitReason, Workflow, WorkflowId, WorkflowKind, WorkflowState,
};

/// Characters of a text.
const LONGEST: usize = 1_000;
/// Characters of a name.
const LONGEST_NAME: usize = 300;
/// Entries of a list; the number of all stands beside it.
const LISTED: usize = 20;

/// How a workflow ended.
#[derive(Debug, Clone, Copy)]
pub struct Ending<'a> {
    pub state: WorkflowState,
    pub error: Option<&'a Problem>,
    /// What it had changed could not be undone: somebody must put it right.
    pub needs_operator: bool,
    pub at: DateTime<Utc>,
}

impl<'a> Ending<'a> {
    /// Of a workflow that is at its end.
    pub fn of(workflow: &'a Workflow, now: DateTime<Utc>) -> Self {
        Self {
            state: workflow.state,
            error: workflow.error.as_ref(),
            needs_operator: needs_operator(workflow.result.as_ref()),
            at: workflow.finished_at.unwrap_or(now),
        }
    }
}

/// Whether a workflow's result says that somebody must put it right.
pub fn needs_operator(result: Option<&Value>) -> bool {
    result.is_some_and(|result| result["needsOperator"] == Value::Bool(true))
}

/// A host on the list of the quarantine.
#[derive(Debug, Clone, Copy)]
pub struct QuarantinedHost<'a> {
    pub directory: &'a DirectoryName,
    /// sAMAccountName without its `$`.
    pub host: &'a str,
    pub sid: &'a Sid,
}

/// A gMSA that a host under quarantine was seen to be let in to.
#[derive(Debug, Clone)]
pub struct LetIn<'a> {
    pub account: &'a Dn,
    pub domain_controllers: &'a [String],
    /// How, in words.
    pub paths: &'a [String],
}

/// How the exposure of an account was seen to end.
#[derive(Debug, Clone)]
pub struct ExposureEnd<'a> {
    pub directory: &'a DirectoryName,
    /// The compromised host.
    pub host: &'a str,
    /// With its `$`.
    pub account: &'a str,
    pub sid: &'a Sid,
    pub farm: Option<&'a FarmName>,
    pub at: DateTime<Utc>,
    /// What was seen, in words.
    pub evidence: &'a str,
    /// The workflow that saw it.
    pub workflow: WorkflowId,
    /// The containment.
    pub compromise: WorkflowId,
}

impl Announcement {
    /// `None` for a dry run and for a question: nothing came of them that others need to know.
    pub fn workflow_finished(workflow: &Workflow, ending: &Ending<'_>) -> Option<Self> {
        if !is_worth_it(workflow) {
            return None;
        }
        let mut data = about(workflow);
        data.insert("state".to_owned(), json!(ending.state));
        data.insert("needsOperator".to_owned(), json!(ending.needs_operator));
        if let Some(error) = ending.error {
            data.insert("error".to_owned(), json!({ "code": error.code, "message": short(&error.message) }));
        }
        data.insert("finishedAt".to_owned(), time(ending.at));
        Some(Self::new(Kind::WorkflowFinished, workflow.id.to_string(), data))
    }

    /// `None` where it goes on without a person.
    pub fn workflow_waiting(workflow: &Workflow, wait: &Wait) -> Option<Self> {
        let for_a_person =
            matches!(wait.reason, WaitReason::Approval | WaitReason::Host | WaitReason::Operator);
        if !for_a_person || !is_worth_it(workflow) {
            return None;
        }
        let mut data = about(workflow);
        data.insert("waitingFor".to_owned(), json!(wait.reason));
        data.insert("toDo".to_owned(), short(&wait.detail));
        if let Some(until) = wait.until {
            data.insert("until".to_owned(), time(until));
        }
        Some(Self::new(Kind::WorkflowWaiting, workflow.id.to_string(), data))
    }

    /// `before`: a verdict, `gone`, or `None` where the account was not known. `after`: a verdict or
    /// `gone`.
    pub fn verdict_changed(
        item: &RotationItem,
        before: Option<&str>,
        after: &str,
        why: &str,
        workflow: WorkflowId,
    ) -> Self {
        let mut data = Map::new();
        data.insert("directory".to_owned(), json!(item.directory));
        data.insert("account".to_owned(), name(&item.account));
        data.insert("sid".to_owned(), json!(item.sid));
        if let Some(farm) = &item.farm {
            data.insert("farm".to_owned(), json!(farm));
        }
        data.insert("before".to_owned(), json!(before));
        data.insert("after".to_owned(), json!(after));
        data.insert("why".to_owned(), short(why));
        if let Some(due) = item.next_due {
            data.insert("nextDue".to_owned(), time(due));
        }
        data.insert("workflowId".to_owned(), json!(workflow));
        Self::new(Kind::VerdictChanged, item.account.clone(), data)
    }

    pub fn quarantine_added(
        host: &QuarantinedHost<'_>,
        workflow: WorkflowId,
        by: &str,
        reason: Option<&str>,
    ) -> Self {
        Self::quarantine(Kind::QuarantineAdded, host, workflow, by, reason)
    }

    pub fn quarantine_released(
        host: &QuarantinedHost<'_>,
        workflow: WorkflowId,
        by: &str,
        reason: Option<&str>,
    ) -> Self {
        Self::quarantine(Kind::QuarantineReleased, host, workflow, by, reason)
    }

    fn quarantine(
        kind: Kind,
        host: &QuarantinedHost<'_>,
        workflow: WorkflowId,
        by: &str,
        reason: Option<&str>,
    ) -> Self {
        let mut data = about_host(host);
        data.insert("workflowId".to_owned(), json!(workflow));
        data.insert("by".to_owned(), short(by));
        if let Some(reason) = reason {
            data.insert("reason".to_owned(), short(reason));
        }
        Self::new(kind, host.host, data)
    }

    /// `contained_by`: the containment that was asked for because of it.
    pub fn quarantined_host_can_read(
        host: &QuarantinedHost<'_>,
        workflow: WorkflowId,
        let_in: &[LetIn<'_>],
        enabled_again_on: &[String],
        contained_by: Option<WorkflowId>,
    ) -> Self {
        let mut data = about_host(host);
        let accounts = let_in.iter().take(LISTED).map(|one| {
            json!({
                "account": name(&one.account.to_string()),
                "domainControllers": names(one.domain_controllers),
                "paths": one.paths.iter().take(2).map(|path| name(path)).collect::<Vec<_>>(),
            })
        });
        data.insert("accounts".to_owned(), accounts.collect());
        data.insert("accountCount".to_owned(), json!(let_in.len()));
        data.insert("computerEnabledOn".to_owned(), names(enabled_again_on));
        data.insert("workflowId".to_owned(), json!(workflow));
        if let Some(containment) = contained_by {
            data.insert("containedBy".to_owned(), json!(containment));
        }
        Self::new(Kind::QuarantinedHostCanRead, host.host, data)
    }

    pub fn exposure_ended(end: &ExposureEnd<'_>) -> Self {
        let mut data = Map::new();
        data.insert("directory".to_owned(), json!(end.directory));
        data.insert("host".to_owned(), name(end.host));
        data.insert("account".to_owned(), name(end.account));
        data.insert("sid".to_owned(), json!(end.sid));
        if let Some(farm) = end.farm {
            data.insert("farm".to_owned(), json!(farm));
        }
        data.insert("at".to_owned(), time(end.at));
        data.insert("evidence".to_owned(), short(end.evidence));
        data.insert("workflowId".to_owned(), json!(end.workflow));
        data.insert("compromise".to_owned(), json!(end.compromise));
        Self::new(Kind::ExposureEnded, end.account, data)
    }

    /// `reason` is the stable word, `detail` says it in a sentence.
    pub fn fire_missed(
        schedule: &ScheduleName,
        due: DateTime<Utc>,
        reason: Option<&str>,
        detail: Option<&str>,
    ) -> Self {
        let mut data = Map::new();
        data.insert("schedule".to_owned(), json!(schedule));
        data.insert("dueAt".to_owned(), time(due));
        data.insert("outcome".to_owned(), json!(FireOutcome::Missed));
        data.insert("reason".to_owned(), json!(reason));
        data.insert("detail".to_owned(), detail.map_or(Value::Null, short));
        Self::new(Kind::FireMissed, schedule.to_string(), data)
    }
}

fn is_worth_it(workflow: &Workflow) -> bool {
    workflow.mode == Mode::Apply && workflow.kind != WorkflowKind::INSPECT
}

fn about(workflow: &Workflow) -> Map<String, Value> {
    let mut data = Map::new();
    data.insert("workflowId".to_owned(), json!(workflow.id));
    data.insert("kind".to_owned(), json!(workflow.kind));
    data.insert("directory".to_owned(), json!(workflow.directory));
    if let Some(farm) = &workflow.farm {
        data.insert("farm".to_owned(), json!(farm));
    }
    if !workflow.hosts.is_empty() {
        data.insert("hosts".to_owned(), names(&workflow.hosts));
        data.insert("hostCount".to_owned(), json!(workflow.hosts.len()));
    }
    data.insert("requestedBy".to_owned(), short(&workflow.requested_by));
    if let Some(reason) = &workflow.reason {
        data.insert("reason".to_owned(), short(reason));
    }
    data
}

fn about_host(host: &QuarantinedHost<'_>) -> Map<String, Value> {
    let mut data = Map::new();
    data.insert("directory".to_owned(), json!(host.directory));
    data.insert("host".to_owned(), name(host.host));
    data.insert("sid".to_owned(), json!(host.sid));
    data
}

fn cut(text: &str, longest: usize) -> Value {
    match text.char_indices().nth(longest) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()).into(),
        None => text.into(),
    }
}

fn short(text: &str) -> Value {
    cut(text, LONGEST)
}

fn name(text: &str) -> Value {
    cut(text, LONGEST_NAME)
}

fn names(all: &[String]) -> Value {
    all.iter().take(LISTED).map(|one| name(one)).collect()
}

fn time(at: DateTime<Utc>) -> Value {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true).into()
}

#[cfg(test)]
#[path = "kinds_tests.rs"]
mod tests;
