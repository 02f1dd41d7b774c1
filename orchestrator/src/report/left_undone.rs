//! What a workflow did not do, by its own word and by its steps.

use domain::{HostTaskState, StepState, Workflow};
use serde_json::Value;

/// Fields of results that list what was left: of a containment, a replacement, a release.
const LISTED: [&str; 3] = ["notDone", "notCarriedOver", "left"];

pub(super) fn left_undone(workflow: &Workflow) -> Vec<String> {
    let mut left = Vec::new();
    if let Some(result) = &workflow.result {
        left.extend(LISTED.iter().flat_map(|field| texts(result, field)));
    }
    for step in &workflow.steps {
        let name = &step.name;
        match step.state {
            StepState::Skipped => {
                let why = step.detail.clone().unwrap_or_else(|| "it was not needed".to_owned());
                left.push(format!("step {name} was skipped: {why}"));
            }
            StepState::Undone => left.push(format!("what step {name} had changed was taken back")),
            StepState::Failed => left.push(format!("step {name} failed")),
            StepState::Pending if workflow.state.is_finished() => {
                left.push(format!("step {name} was not begun"));
            }
            StepState::Running | StepState::Waiting if workflow.state.is_finished() => {
                left.push(format!("step {name} was begun and not finished"));
            }
            _ => {}
        }
        let hosts = step.outcome.as_ref().map(|outcome| outcome.hosts.as_slice()).unwrap_or_default();
        for task in hosts {
            let word = match task.state {
                HostTaskState::Failed => "failed",
                HostTaskState::Skipped => "was let go",
                _ => continue,
            };
            let detail = task.detail.as_ref().map(|text| format!(": {text}")).unwrap_or_default();
            left.push(format!("step {name} on host {} {word}{detail}", task.work.host.name));
        }
    }
    left
}

/// A list of texts of a result; what is no text is written as JSON, so that nothing is left out.
pub(super) fn texts(result: &Value, field: &str) -> Vec<String> {
    let items = result[field].as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned)).collect()
}
