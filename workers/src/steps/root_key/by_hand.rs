//! What people must do: said once, and looked at again by itself where the directory shows it.

use chrono::{DateTime, TimeDelta, Utc};
use domain::{ErrorCode, Problem, WaitReason};
use serde_json::Value;

use crate::{PlannedWait, StepError};

/// How often the directory is asked whether it is done; whoever resumes the workflow asks at once.
const LOOK: TimeDelta = TimeDelta::minutes(5);

/// The directory will show it.
pub fn seen_later(now: DateTime<Utc>, message: String, hint: String) -> StepError {
    wait(Some(now + LOOK), message, hint, None)
}

/// Nothing shows it but their word.
pub fn told(message: String, hint: String, memo: Value) -> StepError {
    wait(None, message, hint, Some(memo))
}

fn wait(until: Option<DateTime<Utc>>, message: String, hint: String, memo: Option<Value>) -> StepError {
    let problem = Problem::new(ErrorCode::ByHandAwaited, message, hint);
    PlannedWait { reason: WaitReason::Operator, until, problem, memo }.into()
}

/// A text between single quotes of PowerShell, in which a quote is written twice.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_directory_shows_is_looked_for_and_what_it_does_not_waits_for_people() {
        let now = DateTime::from_timestamp(1_700_000_000, 0).expect("a valid time");
        let until = |error: StepError| match error {
            StepError::Wait(wait) => (wait.reason, wait.until),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            until(seen_later(now, String::new(), String::new())),
            (WaitReason::Operator, Some(now + LOOK))
        );
        assert_eq!(until(told(String::new(), String::new(), Value::Null)), (WaitReason::Operator, None));
    }

    #[test]
    fn a_quote_in_a_name_does_not_end_the_text() {
        assert_eq!(quoted("CN=O'Neill"), "'CN=O''Neill'");
    }
}
