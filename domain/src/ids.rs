//! Identifiers. All of ours are UUIDv7: they sort by creation, which keyset paging uses.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Rng, name::NameError};

/// Names one workflow for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkflowId(pub Uuid);

/// Names one API token; the secret itself is never stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenId(pub Uuid);

/// Names one schedule for ever; another one of the same name has another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ScheduleId(pub Uuid);

/// Names one rule for ever; another one of the same name has another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RuleId(pub Uuid);

/// Names one webhook for ever; another one of the same name has another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WebhookId(pub Uuid);

/// Names one delivery to a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeliveryId(pub Uuid);

/// A UUIDv7 (RFC 9562, 5.7) of the given moment.
pub fn uuid_v7(now: DateTime<Utc>, rng: &dyn Rng) -> Uuid {
    let mut random = [0; 10];
    rng.fill(&mut random);
    let millis = u64::try_from(now.timestamp_millis()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

macro_rules! uuid_id {
    ($name:ident) => {
        impl $name {
            pub fn new(now: DateTime<Utc>, rng: &dyn Rng) -> Self {
                Self(uuid_v7(now, rng))
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}
uuid_id!(WorkflowId);
uuid_id!(TokenId);
uuid_id!(ScheduleId);
uuid_id!(RuleId);
uuid_id!(WebhookId);
uuid_id!(DeliveryId);

/// A name that a person gives to a thing of ours: a configured directory, a farm, a schedule.
/// 1 to 64 of `[A-Za-z0-9_.-]`, compared without regard to case, kept as written.
macro_rules! label {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            pub fn parse(text: &str) -> Result<Self, NameError> {
                let ok = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
                if text.is_empty() || text.len() > 64 {
                    return Err(NameError::length($what, 1, 64, text.len()));
                }
                match text.chars().find(|c| !ok(*c)) {
                    Some(c) => Err(NameError::character($what, c, "A-Z a-z 0-9 _ - .")),
                    None => Ok(Self(text.to_owned())),
                }
            }
            pub fn as_str(&self) -> &str {
                &self.0
            }
            /// The form that is compared and stored as a key.
            pub fn key(&self) -> String {
                self.0.to_ascii_lowercase()
            }
        }
        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.0.eq_ignore_ascii_case(&other.0)
            }
        }
        impl Eq for $name {}
        impl std::hash::Hash for $name {
            fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
                self.key().hash(state);
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::parse(&text)
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::parse(text)
            }
        }
    };
}
label!(
    /// A configured directory: a domain that Farmhand works in. `default` unless said otherwise.
    DirectoryName,
    "directory name"
);
label!(
    /// A farm as people call it (`metadata.name` of the manifest).
    FarmName,
    "farm name"
);
label!(
    /// A schedule as people call it.
    ScheduleName,
    "schedule name"
);
label!(
    /// A calendar as people call it.
    CalendarName,
    "calendar name"
);
label!(
    /// A rule as people call it.
    RuleName,
    "rule name"
);
label!(
    /// A webhook as people call it.
    WebhookName,
    "webhook name"
);

impl Default for DirectoryName {
    fn default() -> Self {
        Self("default".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemRng;

    #[test]
    fn ids_sort_by_the_moment_they_were_made() {
        let early = DateTime::from_timestamp(1_700_000_000, 0).expect("a valid time");
        let late = DateTime::from_timestamp(1_700_000_001, 0).expect("a valid time");
        assert!(WorkflowId::new(early, &SystemRng) < WorkflowId::new(late, &SystemRng));
        assert_eq!(WorkflowId::new(early, &SystemRng).0.get_version_num(), 7);
    }

    #[test]
    fn labels_are_compared_without_regard_to_case_and_kept_as_written() {
        let name = FarmName::parse("ITFarm1").expect("a valid name");
        assert_eq!(name, FarmName::parse("itfarm1").expect("a valid name"));
        assert_eq!(name.to_string(), "ITFarm1");
        assert!(FarmName::parse("a b").is_err());
        assert!(FarmName::parse("").is_err());
    }
}
