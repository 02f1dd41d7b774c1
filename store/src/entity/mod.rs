//! One file per table: the row as it is stored, and how it becomes a type of `domain`.

pub mod calendars;
pub mod drift;
pub mod drift_marks;
pub mod farms;
pub mod idempotency_keys;
pub mod locks;
pub mod outbox;
pub mod quarantine;
pub mod quarantine_denials;
pub mod rotation;
pub mod rotation_history;
pub mod rule_firings;
pub mod rules;
pub mod schedule_fires;
pub mod schedules;
pub mod steps;
pub mod tokens;
pub mod webhook_deliveries;
pub mod webhooks;
pub mod workflow_hosts;
pub mod workflows;

use std::str::FromStr;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::StoreError;

/// Names a cell, for the error about what stands in it.
pub struct Cell<'a> {
    pub table: &'static str,
    pub column: &'static str,
    pub row: &'a dyn std::fmt::Display,
}

impl Cell<'_> {
    pub fn inconsistent(&self) -> StoreError {
        StoreError::Inconsistent { table: self.table, column: self.column, row: self.row.to_string() }
    }

    /// A text that names a value, e.g. a state.
    pub fn parse<T: FromStr>(&self, text: &str) -> Result<T, StoreError> {
        text.parse().map_err(|_| self.inconsistent())
    }

    pub fn json<T: DeserializeOwned>(&self, text: &str) -> Result<T, StoreError> {
        serde_json::from_str(text).map_err(|_| self.inconsistent())
    }

    pub fn optional_json<T: DeserializeOwned>(&self, text: Option<&str>) -> Result<Option<T>, StoreError> {
        text.map(|text| self.json(text)).transpose()
    }

    pub fn number<A, B: TryFrom<A>>(&self, number: A) -> Result<B, StoreError> {
        B::try_from(number).map_err(|_| self.inconsistent())
    }
}

/// A document as it is stored.
pub fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Statement(error.into()))
}

/// Text that PostgreSQL takes: it knows no zero character, and a line of a person's or a DC's that
/// holds one must not fail the commit that it shares with others.
pub fn clean(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
