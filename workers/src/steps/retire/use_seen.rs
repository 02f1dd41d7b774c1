//! What shows that an account is in use: a roll of its password, a logon, somebody enabling it.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use directory::Entry;
use serde::{Deserialize, Serialize};

use super::is_disabled;

/// What is read of the account on each DC. lastLogon is kept by each DC for itself;
/// msDS-KeyVersionNumber is computed, and absent where a DC does not.
pub const WATCHED: [&str; 5] =
    ["pwdLastSet", "lastLogonTimestamp", "lastLogon", "msDS-ManagedPasswordId", "msDS-KeyVersionNumber"];

/// A DC's clock may be this much behind ours and still be the clock of a healthy domain.
const CLOCK_SKEW: TimeDelta = TimeDelta::minutes(5);

/// Seconds from 1601 (FILETIME) to 1970.
const FILE_TIME_EPOCH: i64 = 11_644_473_600;

/// What one DC showed at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sighting {
    pub dc: String,
    /// Attribute to value; what was absent is not in it.
    pub values: BTreeMap<String, String>,
}

impl Sighting {
    pub fn of(dc: &str, account: &Entry) -> Self {
        let mut values = BTreeMap::new();
        for name in WATCHED {
            let Some(bytes) = account.bytes(name) else { continue };
            let text = match name {
                "msDS-ManagedPasswordId" => hex::encode(bytes),
                _ => String::from_utf8_lossy(bytes).into_owned(),
            };
            values.insert(name.to_owned(), text);
        }
        let enabled = if is_disabled(account) { "disabled" } else { "enabled" };
        values.insert("userAccountControl".to_owned(), enabled.to_owned());
        Self { dc: dc.to_owned(), values }
    }
}

/// A change that only a use of the account explains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Use {
    pub attribute: String,
    pub before: Option<String>,
    pub after: String,
    /// Where it was seen.
    pub dc: String,
}

impl std::fmt::Display for Use {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let show = |value: &str| match file_time(value) {
            Some(time) if is_time(&self.attribute) => time.to_rfc3339(),
            _ => value.to_owned(),
        };
        let before = self.before.as_deref().map_or_else(|| "nothing".to_owned(), show);
        write!(f, "{} went from {before} to {} on {}", self.attribute, show(&self.after), self.dc)
    }
}

/// What `seen` shows that no DC had shown before, and that happened after `since`.
///
/// A value that another DC had is replication. A time from before the account was disabled is one
/// that a DC had not heard of yet.
pub fn uses(baseline: &[Sighting], seen: &[Sighting], since: DateTime<Utc>) -> Vec<Use> {
    let mut uses = Vec::new();
    for sighting in seen {
        for (attribute, after) in &sighting.values {
            let known = baseline.iter().any(|known| known.values.get(attribute) == Some(after));
            if known || (is_time(attribute) && !happened_after(after, since - CLOCK_SKEW)) {
                continue;
            }
            // The last that was known of this DC.
            let before = baseline.iter().rev().find(|known| known.dc == sighting.dc);
            let before = before.and_then(|known| known.values.get(attribute).cloned());
            uses.push(Use {
                attribute: attribute.clone(),
                before,
                after: after.clone(),
                dc: sighting.dc.clone(),
            });
        }
    }
    uses
}

fn is_time(attribute: &str) -> bool {
    ["pwdLastSet", "lastLogonTimestamp", "lastLogon"].contains(&attribute)
}

fn happened_after(value: &str, moment: DateTime<Utc>) -> bool {
    // What is no time is taken for news rather than passed over.
    file_time(value).is_none_or(|time| time > moment)
}

/// Hundreds of nanoseconds since 1601; 0 is never.
fn file_time(value: &str) -> Option<DateTime<Utc>> {
    let ticks: i64 = value.parse().ok()?;
    let seconds = ticks.div_euclid(10_000_000) - FILE_TIME_EPOCH;
    DateTime::from_timestamp(seconds, u32::try_from(ticks.rem_euclid(10_000_000) * 100).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing::account;

    fn since() -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000, 0).expect("a valid time")
    }
    fn ticks(seconds_after: i64) -> String {
        ((1_700_000_000 + seconds_after + FILE_TIME_EPOCH) * 10_000_000).to_string()
    }
    fn sighting(dc: &str, values: &[(&str, &str)]) -> Sighting {
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Sighting { dc: dc.into(), values }
    }

    #[test]
    fn what_a_dc_shows_is_kept_as_text_and_what_it_lacks_is_not() {
        let entry = account(&[
            ("userAccountControl", vec![b"4098".to_vec()]),
            ("pwdLastSet", vec![b"7".to_vec()]),
            ("msDS-ManagedPasswordId", vec![vec![1, 255]]),
        ]);
        let expected =
            [("pwdLastSet", "7"), ("msDS-ManagedPasswordId", "01ff"), ("userAccountControl", "disabled")];
        assert_eq!(Sighting::of("dc1", &entry), sighting("dc1", &expected));
    }

    #[test]
    fn use_is_a_value_that_no_dc_had_and_that_is_newer_than_the_disabling() {
        let (old, older, new) = (ticks(-90_000), ticks(-99_000), ticks(3_600));
        let cases: [(&str, &str, &str, &str, bool); 8] = [
            ("the same", "pwdLastSet", &old, &old, false),
            ("replicated from another DC", "pwdLastSet", "dc2's", "dc2's", false),
            ("replicated late, from before", "pwdLastSet", &older, &old, false),
            ("a roll", "pwdLastSet", &old, &new, true),
            ("a logon", "lastLogon", "0", &new, true),
            ("a new key", "msDS-ManagedPasswordId", "aa", "bb", true),
            ("a new key's number", "msDS-KeyVersionNumber", "1", "2", true),
            ("enabled by somebody", "userAccountControl", "disabled", "enabled", true),
        ];
        for (what, attribute, before, after, expected) in cases {
            let baseline =
                [sighting("dc1", &[(attribute, before)]), sighting("dc2", &[("pwdLastSet", "dc2's")])];
            let found = uses(&baseline, &[sighting("dc1", &[(attribute, after)])], since());
            assert_eq!(!found.is_empty(), expected, "{what}");
            if let [found] = found.as_slice() {
                assert_eq!(
                    (found.before.as_deref(), found.after.as_str(), found.dc.as_str()),
                    (Some(before), after, "dc1")
                );
            }
        }
    }

    #[test]
    fn a_clock_that_is_minutes_behind_does_not_hide_a_use() {
        let baseline = [sighting("dc1", &[("lastLogon", "0")])];
        let found = uses(&baseline, &[sighting("dc1", &[("lastLogon", &ticks(-120))])], since());
        assert_eq!(found.len(), 1);
        let text = found[0].to_string();
        assert!(
            text.contains("lastLogon") && text.contains("2023-11-14T22:11:20") && text.contains("dc1"),
            "{text}"
        );
    }

    #[test]
    fn an_attribute_that_disappears_is_no_use() {
        let baseline = [sighting("dc1", &[("msDS-KeyVersionNumber", "2")])];
        assert_eq!(uses(&baseline, &[sighting("dc1", &[])], since()), []);
    }
}
