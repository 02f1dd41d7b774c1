//! A workflow for people.

use std::fmt::Write as _;

use domain::{Mode, Problem, StepRecord, StepState, Workflow, WorkflowKind, WorkflowState};

use super::time::{moment, took};
use super::{drift, incident, person, plan, render, rotation, table};

/// Everything about one workflow.
pub fn text(workflow: &Workflow) -> String {
    let mut text = head(workflow);
    if !workflow.steps.is_empty() {
        let mut steps = table(&["#", "step", "state", "changed", "attempts", "took", "detail"]);
        for step in &workflow.steps {
            steps.add_row(step_row(step));
        }
        let _ = write!(text, "\n{}", render(&steps));
    }
    if let Some(asked) = person::asked(workflow) {
        let _ = write!(text, "\n{asked}");
    }
    if workflow.mode == Mode::Plan && workflow.state == WorkflowState::Succeeded {
        let _ = write!(text, "\n{}", plan::text(workflow.plan.as_ref()));
    }
    if let Some(error) = &workflow.error {
        let _ = write!(text, "\n{}", problem(error));
    }
    if let Some(summary) = summary(workflow) {
        let _ = write!(text, "\n{summary}");
    }
    let _ = write!(text, "\n{}", conclusion(workflow));
    text
}

/// Kinds whose result says in one line what came of it.
const SUMMED_UP: [WorkflowKind; 5] = [
    WorkflowKind::NUDGE,
    WorkflowKind::QUARANTINE_RELEASE,
    WorkflowKind::QUARANTINE_CHECK,
    WorkflowKind::AWAIT_ROLL,
    WorkflowKind::KDS_ROOT_KEY_RECOVERY,
];

/// What a check found, where that is what it was asked for.
fn summary(workflow: &Workflow) -> Option<String> {
    let result = workflow.result.as_ref()?;
    match &workflow.kind {
        kind if *kind == WorkflowKind::ROTATION_CHECK => rotation::summary(result),
        kind if *kind == WorkflowKind::DRIFT_CHECK => drift::summary(result),
        kind if *kind == WorkflowKind::COMPROMISE_REMOVAL => {
            // Of a server of another version it may look otherwise; then it is not shown.
            let found = serde_json::from_value(result.clone()).ok()?;
            Some(format!(
                "{}\nexposure and recovery: farmhand incident show {}",
                incident::summary(&found),
                workflow.id
            ))
        }
        kind if SUMMED_UP.contains(kind) => Some(result["summary"].as_str()?.to_owned()),
        _ => None,
    }
}

fn head(workflow: &Workflow) -> String {
    let farm = workflow.farm.as_ref().map(ToString::to_string).unwrap_or_default();
    let Workflow { id, kind, directory, lane, requested_by, .. } = workflow;
    let mut text = format!("{kind} {farm}  ({id})\n");
    let _ =
        write!(text, "state {}  directory {directory}  lane {lane}  asked by {requested_by}", workflow.state);
    let _ = write!(text, "  at {}", moment(Some(workflow.created_at)));
    if let Some(reason) = &workflow.reason {
        let _ = write!(text, "\nreason: {reason}");
    }
    if let Some(wait) = &workflow.waiting {
        let until = wait.until.map(|until| format!(" until {}", moment(Some(until)))).unwrap_or_default();
        let _ = write!(text, "\nwaits for {}{until}: {}", wait.reason, wait.detail);
    }
    text
}

fn step_row(step: &StepRecord) -> [String; 7] {
    let changed = match step.changed {
        Some(true) => "yes",
        Some(false) => "no",
        None => "",
    };
    [
        (step.index + 1).to_string(),
        step.name.clone(),
        step.state.to_string(),
        changed.to_owned(),
        if step.attempts == 0 { String::new() } else { step.attempts.to_string() },
        took(step.started_at, step.finished_at),
        step_detail(step),
    ]
}

/// One line: the error where there is one, else what was found or done, with how far its hosts are.
pub fn step_detail(step: &StepRecord) -> String {
    let detail = match &step.error {
        Some(error) if step.state != StepState::Succeeded => format!("{}: {}", error.code, error.message),
        _ => step.detail.clone().unwrap_or_default(),
    };
    match person::hosts_done(step) {
        Some(done) if detail.is_empty() => done,
        Some(done) => format!("{detail} ({done})"),
        None => detail,
    }
}

pub fn problem(problem: &Problem) -> String {
    let mut text = format!("error[{}]: {}", problem.code, problem.message);
    for violation in &problem.violations {
        let _ = write!(text, "\n  - {}: {}", violation.field, violation.message);
    }
    if !problem.hint.is_empty() {
        let _ = write!(text, "\nhint: {}", problem.hint);
    }
    text
}

/// The last line: how it ended and whether anything was written.
pub fn conclusion(workflow: &Workflow) -> String {
    let changed = workflow.steps.iter().filter(|step| step.changed == Some(true)).count();
    let took = took(workflow.started_at.or(Some(workflow.created_at)), workflow.finished_at);
    let id = workflow.id;
    match workflow.state {
        WorkflowState::Succeeded if workflow.mode == Mode::Plan => format!("planned in {took}"),
        WorkflowState::Succeeded if changed == 0 => {
            format!("succeeded in {took}: nothing had to be changed")
        }
        WorkflowState::Succeeded => {
            let steps = if changed == 1 { "1 step".to_owned() } else { format!("{changed} steps") };
            format!("succeeded in {took}: {steps} made changes")
        }
        WorkflowState::Failed => {
            format!("failed; once the cause is mended: farmhand workflow retry {id}")
        }
        WorkflowState::Unwound => "failed; what it had changed was taken back".to_owned(),
        WorkflowState::Cancelled => "cancelled".to_owned(),
        WorkflowState::Paused => format!("paused; go on with: farmhand workflow resume {id}"),
        WorkflowState::Waiting if person::is_awaited(workflow) => person::next(workflow),
        WorkflowState::Waiting => format!("waiting; follow with: farmhand workflow watch {id}"),
        WorkflowState::Queued | WorkflowState::Running => {
            format!("under way; follow with: farmhand workflow watch {id}")
        }
    }
}

/// One row for each workflow.
pub fn list(workflows: &[Workflow]) -> String {
    let mut table = table(&["id", "kind", "farm", "state", "asked by", "created", "took"]);
    for workflow in workflows {
        let farm = workflow.farm.as_ref().map(ToString::to_string).unwrap_or_default();
        let kind = match workflow.mode {
            Mode::Plan => format!("{} (plan)", workflow.kind),
            Mode::Apply => workflow.kind.to_string(),
        };
        table.add_row([
            workflow.id.to_string(),
            kind,
            farm,
            workflow.state.to_string(),
            workflow.requested_by.clone(),
            moment(Some(workflow.created_at)),
            took(workflow.started_at, workflow.finished_at),
        ]);
    }
    render(&table)
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    pub(crate) fn sample(state: &str, steps: serde_json::Value) -> Workflow {
        serde_json::from_value(json!({
            "id": "0199c0de-0000-7000-8000-000000000001", "kind": "deploy", "directory": "default",
            "farm": "ITFarm1", "hosts": ["Host1"], "lane": "lifecycle", "mode": "apply", "state": state,
            "requestedBy": "admin", "reason": "first farm", "createdAt": "2026-01-01T10:00:00Z",
            "startedAt": "2026-01-01T10:00:00.100Z", "finishedAt": "2026-01-01T10:00:01.400Z",
            "waiting": null, "plan": null, "steps": steps, "error": null, "result": null
        }))
        .expect("a workflow")
    }

    pub(crate) fn step(index: u16, name: &str, state: &str, changed: Option<bool>) -> serde_json::Value {
        json!({
            "index": index, "name": name, "state": state, "changed": changed, "attempts": 1,
            "startedAt": "2026-01-01T10:00:00.100Z", "finishedAt": "2026-01-01T10:00:00.142Z",
            "detail": format!("{name} was looked at"), "error": null
        })
    }

    #[test]
    fn a_person_sees_steps_and_the_end() {
        let steps = json!([
            step(0, "preflight", "succeeded", Some(false)),
            step(1, "group", "succeeded", Some(true))
        ]);
        insta::assert_snapshot!(text(&sample("succeeded", steps)));
    }

    #[test]
    fn a_failure_says_what_to_do() {
        let mut failed = step(0, "preflight", "failed", None);
        failed["error"] =
            json!({"code": "host-not-found", "message": "no computer Host9", "hint": "join it"});
        let mut workflow = sample("failed", json!([failed]));
        workflow.error = workflow.steps[0].error.clone();
        insta::assert_snapshot!(text(&workflow));
    }

    #[test]
    fn a_second_deploy_says_that_nothing_changed() {
        let workflow = sample("succeeded", json!([step(0, "group", "succeeded", Some(false))]));
        assert_eq!(conclusion(&workflow), "succeeded in 1.3 s: nothing had to be changed");
    }

    #[test]
    fn a_list_has_one_row_each() {
        insta::assert_snapshot!(list(&[sample("failed", json!([])), sample("running", json!([]))]));
    }
}
