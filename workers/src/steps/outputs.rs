//! How steps put their outputs into words that the database keeps.

use domain::ErrorCode;
use serde::Serialize;
use serde_json::Value;

use crate::StepError;

/// An output as it is persisted.
pub fn to_value<T: Serialize>(output: &T) -> Result<Value, StepError> {
    serde_json::to_value(output).map_err(|error| {
        StepError::fail(
            ErrorCode::StepFault,
            format!("an output cannot be written as JSON: {error}"),
            "this is a defect of Farmhand: report it with the workflow's id",
        )
    })
}

/// Reading back showed something else than what was acknowledged.
pub fn not_as_written(what: impl Into<String>) -> StepError {
    StepError::fail(
        ErrorCode::VerificationFailed,
        what,
        "something else changes this object at the same time: find out what it is in the DC's security log, \
         then ask for the workflow again",
    )
}

/// `1 host`, `2 hosts`.
pub fn count(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}

/// The first few of a list, for a message.
pub fn list(names: &[impl std::fmt::Display]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<_> = names.iter().take(SHOWN).map(ToString::to_string).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join("; "),
        more => format!("{}; and {more} more", shown.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_the_first_few_and_counts_the_rest() {
        assert_eq!(list(&["a", "b"]), "a; b");
        assert_eq!(list(&["a", "b", "c", "d", "e", "f", "g"]), "a; b; c; d; e; and 2 more");
    }
}
