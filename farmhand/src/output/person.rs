//! What a workflow wants of people: an approval, work on hosts, something to be mended.

use std::fmt::Write as _;

use domain::approval::Verdict;
use domain::{Approval, HostTask, HostTaskState, StepRecord, StepState, WaitReason, Workflow, WorkflowState};

use super::time::moment;
use super::{plan, render, table};

/// Hosts that are listed; the JSON holds all.
const LISTED: usize = 50;

/// Whether nothing but a person moves it on.
pub fn is_awaited(workflow: &Workflow) -> bool {
    let wait = workflow.waiting.as_ref().map(|wait| wait.reason);
    let awaited = matches!(wait, Some(WaitReason::Approval | WaitReason::Operator | WaitReason::Host));
    workflow.state == WorkflowState::Waiting && awaited
}

/// The approval with its plan, the hosts with their PowerShell, and what a parked step wants.
pub fn asked(workflow: &Workflow) -> Option<String> {
    let mut parts = Vec::new();
    for step in &workflow.steps {
        if let Some(approval) = step.outcome.as_ref().and_then(|outcome| outcome.approval.as_ref()) {
            parts.push(of_approval(workflow, approval));
        }
        parts.extend(of_hosts(step));
        let parked = step.state == StepState::Waiting && is_awaited(workflow);
        if let Some(error) = step.error.as_ref().filter(|error| parked && !error.hint.is_empty()) {
            parts.push(format!("to do for {}: {}", step.name, error.hint));
        }
    }
    (!parts.is_empty()).then(|| parts.join("\n"))
}

fn of_approval(workflow: &Workflow, approval: &Approval) -> String {
    let hash = &approval.plan_hash;
    let mut text = match &approval.decision {
        Some(verdict) => format!("plan {hash}: {}", said(verdict)),
        None => {
            let (since, until) = (moment(Some(approval.requested_at)), moment(Some(approval.expires_at)));
            let who = &workflow.requested_by;
            format!("plan {hash}: approval asked at {since}, until {until}, of anybody but {who}")
        }
    };
    for void in &approval.voided {
        let decision = void.decision.as_ref().map(|verdict| format!(", {}", said(verdict)));
        let at = moment(Some(void.at));
        let _ = write!(text, "\nvoid since {at}: plan {}{}", void.plan_hash, decision.unwrap_or_default());
    }
    if approval.decision.is_none() && is_awaited(workflow) {
        let _ = write!(text, "\n{}", plan::rows_of(workflow.plan.as_ref()));
    }
    text
}

fn said(Verdict { approved, by, at, reason }: &Verdict) -> String {
    let verb = if *approved { "approved" } else { "rejected" };
    let why = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("{verb} by {by} at {}{why}", moment(Some(*at)))
}

/// `3 of 10 hosts done`; nothing before the first of them was begun, as in a dry run.
pub fn hosts_done(step: &StepRecord) -> Option<String> {
    let tasks = tasks(step);
    let begun = tasks.iter().any(|task| task.state != HostTaskState::Pending);
    let done = tasks.iter().filter(|task| task.state.is_settled()).count();
    begun.then(|| format!("{done} of {} hosts done", tasks.len()))
}

fn tasks(step: &StepRecord) -> &[HostTask] {
    step.outcome.as_ref().map(|outcome| outcome.hosts.as_slice()).unwrap_or_default()
}

/// The hosts that are not done come first, with what is to be run on them: those are looked for.
fn of_hosts(step: &StepRecord) -> Option<String> {
    let all = tasks(step);
    if all.is_empty() {
        return None;
    }
    let mut tasks: Vec<_> = all.iter().collect();
    tasks.sort_by_key(|task| task.state.is_settled());
    let mut table = table(&["host", "state", "to be run there", "said"]);
    for task in tasks.iter().take(LISTED) {
        let by = task.by.as_deref();
        let said = match (&task.detail, by) {
            (Some(detail), Some(by)) => format!("{detail} ({by})"),
            (detail, by) => detail.as_deref().or(by).unwrap_or_default().to_owned(),
        };
        let to_run = if task.state.is_settled() { String::new() } else { task.powershell.join("\n") };
        table.add_row([task.work.host.name.clone(), state(task), to_run, said]);
    }
    let mut text = format!("hosts of {}:\n{}", step.name, render(&table));
    if all.len() > LISTED {
        let _ = write!(text, "\nand {} more: --output json lists all", all.len() - LISTED);
    }
    Some(text)
}

fn state(task: &HostTask) -> String {
    let text = match task.state {
        HostTaskState::Pending => "pending",
        HostTaskState::Asked => "asked",
        HostTaskState::Succeeded => "succeeded",
        HostTaskState::Failed => "failed",
        HostTaskState::Skipped => "skipped",
    };
    text.to_owned()
}

/// The next command for whom it waits for.
pub fn next(workflow: &Workflow) -> String {
    let id = workflow.id;
    let waiting = workflow.steps.iter().find(|step| step.state == StepState::Waiting);
    let number = waiting.map_or(1, |step| step.index + 1);
    match workflow.waiting.as_ref().map(|wait| wait.reason) {
        Some(WaitReason::Approval) => format!(
            "waiting for a second person: farmhand workflow approve {id} (or reject {id} --reason ...)"
        ),
        Some(WaitReason::Host) => format!(
            "waiting for people; once it is done on a host: \
             farmhand workflow ack {id} {number} --host HOST --outcome succeeded"
        ),
        _ if waiting.is_some_and(|step| !tasks(step).is_empty()) => format!(
            "waiting for a person; once the cause is mended: farmhand workflow resume {id}; to leave a host out: \
             farmhand workflow ack {id} {number} --host HOST --outcome skipped"
        ),
        _ => format!("waiting for a person; once the cause is mended: farmhand workflow resume {id}"),
    }
}

#[cfg(test)]
mod tests {
    use domain::{Change, Dn, Plan};
    use serde_json::{Value, json};

    use super::super::workflow::tests::{sample, step};
    use super::super::workflow::text;
    use super::*;

    fn waiting(reason: WaitReason, step: Value) -> Workflow {
        let mut workflow = sample("waiting", json!([step]));
        workflow.finished_at = None;
        workflow.waiting = Some(domain::Wait { reason, until: None, detail: "as the step says".into() });
        workflow
    }

    fn task(host: &str, state: &str) -> Value {
        json!({
            "host": {"name": host, "sid": "S-1-5-21-1-2-3-1104"}, "account": "ITFarm1",
            "actions": [{"action": "purge-tickets"}, {"action": "install"}], "state": state,
            "powershell": ["klist -li 0x3e7 purge", "Install-ADServiceAccount -Identity ITFarm1"]
        })
    }

    #[test]
    fn who_approves_sees_the_plan_its_hash_and_until_when() {
        let mut step = step(1, "approval", "waiting", None);
        step["outcome"] = json!({"approval": {
            "planHash": "5f1e", "requestedAt": "2026-01-01T10:00:00Z", "expiresAt": "2026-01-04T10:00:00Z",
            "voided": [{
                "planHash": "beef", "at": "2026-01-01T10:00:00Z",
                "decision": {"approved": true, "by": "ben", "at": "2026-01-01T09:00:00Z"}
            }]
        }});
        let mut workflow = waiting(WaitReason::Approval, step);
        let dn = Dn::parse("CN=ITFarm1,DC=contoso,DC=com").expect("a DN");
        workflow.plan =
            Some(Plan { hash: "5f1e".into(), ..Plan::new(vec![Change::delete(dn, vec![])], vec![]) });
        insta::assert_snapshot!(text(&workflow));
    }

    #[test]
    fn who_works_on_hosts_sees_what_to_run_on_those_that_are_left() {
        let mut step = step(2, "install", "waiting", None);
        step["error"] =
            json!({"code": "hosts-awaited", "message": "1 of 2 hosts are awaited", "hint": "run it"});
        let mut done = task("Host1", "succeeded");
        done["detail"] = "installed".into();
        done["by"] = "ann".into();
        step["outcome"] = json!({"hosts": [done, task("Host2", "asked")]});
        insta::assert_snapshot!(text(&waiting(WaitReason::Host, step)));
    }

    #[test]
    fn a_parked_step_says_what_a_person_must_do() {
        let mut step = step(0, "preflight", "waiting", None);
        step["error"] =
            json!({"code": "rights-missing", "message": "no right", "hint": "grant it with dsacls"});
        let text = text(&waiting(WaitReason::Operator, step.clone()));
        assert!(text.contains("to do for preflight: grant it with dsacls"), "{text}");
        assert!(text.contains("farmhand workflow resume 0199c0de"), "{text}");
        step["outcome"] = json!({"hosts": [task("Host2", "failed")]});
        let next = next(&waiting(WaitReason::Operator, step));
        assert!(next.contains("ack 0199c0de-0000-7000-8000-000000000001 1 --host HOST --outcome skipped"));
    }

    #[test]
    fn of_thousands_of_hosts_the_first_that_are_left_are_listed() {
        let mut step = step(0, "install", "running", None);
        let done = (0..200).map(|at| task(&format!("h{at}"), "succeeded"));
        let tasks: Vec<_> = done.chain([task("last", "pending")]).collect();
        step["outcome"] = json!({ "hosts": tasks });
        let text = text(&sample("running", json!([step])));
        assert!(
            text.contains("last") && text.contains("and 151 more") && text.contains("200 of 201 hosts done")
        );
    }
}
