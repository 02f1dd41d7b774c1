//! What is wrong with a configuration: all of it at once, never with a secret in it.

use std::fmt;

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Dotted key, e.g. `worker.lease_seconds`, or the name of an environment variable.
    pub key: String,
    pub message: String,
    pub hint: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(pub Vec<Finding>);

impl ConfigError {
    pub fn one(key: impl Into<String>, message: impl Into<String>, hint: impl Into<String>) -> Self {
        let mut findings = Findings::default();
        findings.add(key, message, hint);
        Self(findings.0)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, finding) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{}: {}", finding.key, finding.message)?;
            if !finding.hint.is_empty() {
                write!(f, " ({})", finding.hint)?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// Collects findings while the rest goes on being looked at.
#[derive(Debug, Default)]
pub struct Findings(Vec<Finding>);

impl Findings {
    pub fn add(&mut self, key: impl Into<String>, message: impl Into<String>, hint: impl Into<String>) {
        self.0.push(Finding { key: key.into(), message: message.into(), hint: hint.into() });
    }

    pub fn absorb<T>(&mut self, result: Result<T, ConfigError>) -> Option<T> {
        result.map_err(|error| self.0.extend(error.0)).ok()
    }

    /// Says when a number is outside of what makes sense.
    pub fn range(&mut self, key: &str, value: u64, allowed: std::ops::RangeInclusive<u64>) {
        if !allowed.contains(&value) {
            let (low, high) = (allowed.start(), allowed.end());
            self.add(key, format!("{value} is not within {low} to {high}"), "");
        }
    }

    pub fn into_result(self) -> Result<(), ConfigError> {
        if self.0.is_empty() { Ok(()) } else { Err(ConfigError(self.0)) }
    }
}
