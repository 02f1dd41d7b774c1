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

    /// Of several that came at once the one that leaves the least to go on with, which then tells
    /// of the others too; the first of equals.
    pub fn worst(errors: impl IntoIterator<Item = Self>) -> Option<Self> {
        let mut errors: Vec<_> = errors.into_iter().collect();
        let worst = (0..errors.len()).rev().max_by_key(|index| errors[*index].severity())?;
        let mut worst = errors.remove(worst);
        for other in errors {
            let message = &mut worst.problem_mut().message;
            if !message.contains(&other.problem().message) {
                message.push_str("; also: ");
                message.push_str(&other.problem().message);
            }
        }
        Some(worst)
    }

    fn severity(&self) -> u8 {
        match self {
            Self::ReadAgain(_) => 0,
            Self::Retry { .. } => 1,
            Self::Wait(_) => 2,
            Self::Park(_) => 3,
            Self::Fail(_) => 4,
        }
    }

    fn problem_mut(&mut self) -> &mut Problem {
        match self {
            Self::Wait(wait) => &mut wait.problem,
            Self::Retry { problem, .. }
            | Self::ReadAgain(problem)
            | Self::Park(problem)
            | Self::Fail(problem) => problem,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(message: &str) -> Problem {
        Problem::new(ErrorCode::DirectoryBusy, message, "wait")
    }

    #[test]
    fn the_worst_of_several_decides_and_tells_of_the_others() {
        let errors = [
            StepError::ReadAgain(problem("dc1 gave no answer")),
            StepError::Fail(problem("dc2 refused")),
            StepError::Retry { after: Duration::from_secs(5), problem: problem("dc3 is away") },
            StepError::Fail(problem("dc4 refused")),
            StepError::ReadAgain(problem("dc1 gave no answer")),
        ];
        let told = "dc2 refused; also: dc1 gave no answer; also: dc3 is away; also: dc4 refused";
        assert_eq!(StepError::worst(errors), Some(StepError::Fail(problem(told))));
        assert_eq!(StepError::worst([]), None);
    }
}
