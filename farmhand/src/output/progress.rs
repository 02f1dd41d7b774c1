//! Live progress on standard error.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::time::Duration;

use domain::{Mode, StepRecord, StepState, Workflow, WorkflowState};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::workflow::step_detail;

/// Told of every new picture of a workflow.
pub trait Progress: Send {
    fn update(&mut self, workflow: &Workflow);
    /// Something besides the workflow, e.g. that the server is away.
    fn notice(&mut self, text: &str);
}

/// Spinners on a terminal, else one line for each change.
pub fn for_stderr() -> Box<dyn Progress> {
    if std::io::stderr().is_terminal() { Box::new(Spinners::default()) } else { Box::new(Lines::new(Stderr)) }
}

/// Where plain lines go; a test collects them.
pub trait Sink: Send {
    fn line(&mut self, text: String);
}

pub struct Stderr;

impl Sink for Stderr {
    fn line(&mut self, text: String) {
        eprintln!("{text}");
    }
}

/// One line for each change of a step or of the workflow.
pub struct Lines<S> {
    sink: S,
    state: Option<(WorkflowState, Option<String>)>,
    steps: HashMap<u16, (StepState, u32)>,
}

impl<S: Sink> Lines<S> {
    pub fn new(sink: S) -> Self {
        Self { sink, state: None, steps: HashMap::new() }
    }
}

impl<S: Sink> Progress for Lines<S> {
    fn update(&mut self, workflow: &Workflow) {
        for step in &workflow.steps {
            let now = (step.state, step.attempts);
            let before = self.steps.insert(step.index, now);
            if step.state != StepState::Pending && before != Some(now) {
                self.sink.line(format!(
                    "[{}/{}] {}",
                    step.index + 1,
                    workflow.steps.len(),
                    line(step, workflow.mode)
                ));
            }
        }
        let now = (workflow.state, waits(workflow));
        if self.state.as_ref() != Some(&now) {
            let wait = now.1.as_ref().map(|wait| format!(" ({wait})")).unwrap_or_default();
            self.sink.line(format!("{}{wait}", workflow.state));
            self.state = Some(now);
        }
    }

    fn notice(&mut self, text: &str) {
        self.sink.line(text.to_owned());
    }
}

fn waits(workflow: &Workflow) -> Option<String> {
    workflow.waiting.as_ref().map(|wait| format!("for {}: {}", wait.reason, wait.detail))
}

fn line(step: &StepRecord, mode: Mode) -> String {
    let changed = match (step.changed, mode) {
        (Some(true), Mode::Apply) => ", changed",
        (Some(true), Mode::Plan) => ", would change",
        _ => "",
    };
    let detail = step_detail(step);
    let separator = if detail.is_empty() { "" } else { ": " };
    format!("{} {}{changed}{separator}{detail}", step.name, step.state)
}

/// A spinner for each step.
#[derive(Default)]
struct Spinners {
    screen: MultiProgress,
    bars: HashMap<u16, ProgressBar>,
    status: Option<ProgressBar>,
}

impl Spinners {
    fn bar(screen: &MultiProgress) -> ProgressBar {
        let bar = screen.add(ProgressBar::new_spinner());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
            bar.set_style(style);
        }
        bar
    }
}

impl Progress for Spinners {
    fn update(&mut self, workflow: &Workflow) {
        for step in &workflow.steps {
            let bar = self.bars.entry(step.index).or_insert_with(|| Self::bar(&self.screen));
            let mark = match step.state {
                StepState::Succeeded => "✓",
                StepState::Failed => "✗",
                StepState::Undone => "↶",
                StepState::Skipped => "-",
                StepState::Pending | StepState::Running | StepState::Waiting => "",
            };
            if mark.is_empty() {
                bar.set_message(line(step, workflow.mode));
                if step.state == StepState::Running {
                    bar.enable_steady_tick(Duration::from_millis(100));
                }
            } else if !bar.is_finished() {
                if let Ok(style) = ProgressStyle::with_template("{prefix} {wide_msg}") {
                    bar.set_style(style);
                }
                bar.set_prefix(mark);
                bar.finish_with_message(line(step, workflow.mode));
            }
        }
        if let Some(wait) = waits(workflow) {
            self.notice(&format!("waits {wait}"));
        } else if let Some(status) = self.status.take() {
            status.finish_and_clear();
        }
        if workflow.state.is_finished() {
            self.bars.values().filter(|bar| !bar.is_finished()).for_each(ProgressBar::abandon);
        }
    }

    fn notice(&mut self, text: &str) {
        self.status.get_or_insert_with(|| Self::bar(&self.screen)).set_message(text.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::workflow::tests::{sample, step};
    use super::*;

    impl Sink for Vec<String> {
        fn line(&mut self, text: String) {
            self.push(text);
        }
    }

    #[test]
    fn each_change_is_one_line_and_no_change_is_none() {
        let mut lines = Lines::new(Vec::new());
        let running =
            sample("running", json!([step(0, "group", "running", None), step(1, "gmsa", "pending", None)]));
        lines.update(&running);
        lines.update(&running);
        lines.update(&sample(
            "succeeded",
            json!([step(0, "group", "succeeded", Some(true)), step(1, "gmsa", "skipped", None)]),
        ));
        assert_eq!(
            lines.sink,
            [
                "[1/2] group running: group was looked at",
                "running",
                "[1/2] group succeeded, changed: group was looked at",
                "[2/2] gmsa skipped: gmsa was looked at",
                "succeeded",
            ]
        );
    }
}
