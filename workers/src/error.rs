//! What a step's error means for the workflow.

use std::time::Duration;

use chrono::{DateTime, Utc};
use directory::{Decision, DirectoryError};
use domain::{ErrorCode, Problem, WaitReason};

/// A step's error says what happens next.
#[derive(Debug, Clone, PartialEq)]
pub enum StepError {
    /// Passing trouble: the workflow waits and the step is tried again. The engine lengthens the
    /// wait with each attempt.
    Retry { after: Duration, problem: Problem },
    /// The write may have happened: read again at once, in the same run.
    ReadAgain(Problem),
    /// Planned waiting: for a person's word, a host's answer, a moment. No fault.
    Wait(Box<PlannedWait>),
    /// A person must do something first; then they resume the workflow.
    Park(Problem),
    /// It can never work as asked: what this workflow changed is undone.
    Fail(Problem),
}

/// What a step waits for by plan.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedWait {
    pub reason: WaitReason,
    /// When it is looked at again by itself.
    pub until: Option<DateTime<Utc>>,
    /// What is awaited, and what a person can do about it.
    pub problem: Problem,
    /// What the step wants to find again with [`crate::StepContext::memo`]; `None` keeps what it has.
    pub memo: Option<serde_json::Value>,
}

impl From<PlannedWait> for StepError {
    fn from(wait: PlannedWait) -> Self {
        Self::Wait(Box::new(wait))
    }
}

impl StepError {
    pub fn fail(code: ErrorCode, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Fail(Problem::new(code, message, hint))
    }

    pub fn park(code: ErrorCode, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Park(Problem::new(code, message, hint))
    }

    /// For steps behind a point of no return: what failed is left to a person instead of undoing
    /// all that went before.
    #[must_use]
    pub fn or_park(self) -> Self {
        match self {
            Self::Fail(problem) => Self::Park(problem),
            other => other,
        }
    }

    pub fn problem(&self) -> &Problem {
        match self {
            Self::Wait(wait) => &wait.problem,
            Self::Retry { problem, .. }
            | Self::ReadAgain(problem)
            | Self::Park(problem)
            | Self::Fail(problem) => problem,
        }
    }
}

impl From<DirectoryError> for StepError {
    fn from(error: DirectoryError) -> Self {
        match directory::decide(&error) {
            Decision::Retry { after, problem } => Self::Retry { after, problem },
            Decision::ReadAgain(problem) => Self::ReadAgain(problem),
            Decision::Park(problem) => Self::Park(problem),
            Decision::Fail(problem) => Self::Fail(problem),
        }
    }
}
