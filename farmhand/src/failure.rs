//! How a command ends when it does not end well.

use std::fmt;
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::config::ConfigError;

/// Exit statuses of the interface contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    Done = 0,
    /// The workflow did not succeed, or the command itself failed.
    Unsuccessful = 1,
    Usage = 2,
    /// The server (or what a server needs) is not reachable.
    Unreachable = 3,
    /// Conflict, validation, forbidden.
    Refused = 4,
    /// `--wait` met something that only a person can move on.
    WaitingForPerson = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// What happened and what to do, as a person reads it and as a problem document (RFC 9457).
#[derive(Debug, Clone)]
pub struct Failure {
    pub exit: Exit,
    pub code: String,
    pub message: String,
    pub hint: String,
    /// One line for each finding.
    pub details: Vec<String>,
    /// The server's own problem document, passed on as it came.
    pub document: Option<Box<Value>>,
}

impl Failure {
    pub fn new(exit: Exit, code: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        let (message, hint) = (message.into(), hint.into());
        Self { exit, code: code.to_owned(), message, hint, details: Vec::new(), document: None }
    }

    pub fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "usage", message, hint)
    }

    pub fn refused(code: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Exit::Refused, code, message, hint)
    }

    pub fn unreachable(code: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Exit::Unreachable, code, message, hint)
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Exit::Unsuccessful, "internal", message, "")
    }

    /// The one JSON document of a command that failed.
    pub fn to_document(&self) -> Value {
        self.document.as_deref().cloned().unwrap_or_else(|| {
            json!({
                "type": "about:blank",
                "title": self.code,
                "code": self.code,
                "detail": self.message,
                "hint": self.hint,
                "errors": self.details,
            })
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error[{}]: {}", self.code, self.message)?;
        for detail in &self.details {
            write!(f, "\n  - {detail}")?;
        }
        if !self.hint.is_empty() {
            write!(f, "\nhint: {}", self.hint)?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let hint = "`farmhand config check` explains every value and where it came from";
        let mut failure = Self::refused("invalid-configuration", "the configuration is not valid", hint);
        failure.details = error.to_string().lines().map(str::to_owned).collect();
        failure
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(failure) => failure,
            Err(error) => Self::internal(format!("{error:#}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_statuses_are_those_of_the_interface_contract() {
        let all = [
            (Exit::Done, 0),
            (Exit::Unsuccessful, 1),
            (Exit::Usage, 2),
            (Exit::Unreachable, 3),
            (Exit::Refused, 4),
            (Exit::WaitingForPerson, 5),
        ];
        for (exit, status) in all {
            assert_eq!(exit as u8, status);
        }
    }

    #[test]
    fn a_person_reads_what_happened_and_what_to_do() {
        let mut failure = Failure::refused("invalid-manifest", "two rules are broken", "mend them");
        failure.details = vec!["spec.hosts: required".into()];
        insta::assert_snapshot!(failure, @r"
        error[invalid-manifest]: two rules are broken
          - spec.hosts: required
        hint: mend them
        ");
    }
}
