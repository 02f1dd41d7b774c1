//! What a step's error means for the workflow.

use std::time::Duration;

use directory::{Decision, DirectoryError};
use domain::{ErrorCode, Problem};

/// A step's error says what happens next.
#[derive(Debug, Clone, PartialEq)]
pub enum StepError {
    /// Passing trouble: the workflow waits and the step is tried again. The engine lengthens the
    /// wait with each attempt.
    Retry { after: Duration, problem: Problem },
    /// The write may have happened: read again at once, in the same run.
    ReadAgain(Problem),
    /// A person must do something first; then they resume the workflow.
    Park(Problem),
    /// It can never work as asked: what this workflow changed is undone.
    Fail(Problem),
}

impl StepError {
    pub fn fail(code: ErrorCode, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Fail(Problem::new(code, message, hint))
    }

    pub fn park(code: ErrorCode, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Park(Problem::new(code, message, hint))
    }

    pub fn problem(&self) -> &Problem {
        match self {
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
