//! A schedule as people write it. Loose types, so that every broken rule is reported at once and by
//! the name of its field.

use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{CronExpression, Misfire, Overlap, ScheduleSpec, Target, Timing};
use crate::name::NameError;
use crate::{DirectoryName, ErrorCode, FarmName, Problem, ScheduleName, Violation, WorkflowKind};

/// Generous: being late is no reason to drop a run.
const DEFAULT_LATENESS: Duration = Duration::from_secs(5 * 60);
const MAX_LATENESS: Duration = Duration::from_secs(7 * 24 * 60 * 60);
const MAX_JITTER: Duration = Duration::from_secs(24 * 60 * 60);
const MAX_TEXT: usize = 1024;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ScheduleManifest {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    pub kind: String,
    pub target: TargetManifest,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
    pub plan: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub cron: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlap: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub misfire: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lateness: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TargetManifest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub farm: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
}

/// Collects what is wrong while the rest goes on being looked at.
#[derive(Default)]
pub(crate) struct Findings(pub Vec<Violation>);

impl Findings {
    pub fn add(&mut self, field: &str, rule: &str, message: impl Into<String>) {
        self.0.push(Violation::new(field, rule, message));
    }

    pub fn name<T>(&mut self, field: &str, parsed: Result<T, NameError>) -> Option<T> {
        parsed.map_err(|error| self.add(field, error.rule, error.message)).ok()
    }

    pub fn parsed<T, E: std::fmt::Display>(
        &mut self,
        field: &str,
        rule: &str,
        parsed: Result<T, E>,
    ) -> Option<T> {
        parsed.map_err(|error| self.add(field, rule, error.to_string())).ok()
    }

    pub fn timezone(&mut self, field: &str, text: Option<&String>) -> Tz {
        let Some(text) = text else { return Tz::UTC };
        let known = text
            .parse()
            .map_err(|_| format!("{text:?} is no time zone of the IANA database, e.g. Europe/Berlin"));
        self.parsed(field, "timezone", known).unwrap_or(Tz::UTC)
    }

    pub fn moment(&mut self, field: &str, text: Option<&String>) -> Option<DateTime<Utc>> {
        let parsed = DateTime::parse_from_rfc3339(text?)
            .map_err(|error| format!("a time with its zone, e.g. 2026-12-24T18:00:00+01:00 ({error})"));
        self.parsed(field, "time", parsed).map(|time| time.to_utc())
    }

    pub fn duration(&mut self, field: &str, text: Option<&String>, most: Duration) -> Option<Duration> {
        let text = text?;
        match humantime::parse_duration(text) {
            Ok(duration) if duration <= most => Some(duration),
            Ok(_) => {
                let most = humantime::format_duration(most);
                self.add(field, "range", format!("at most {most}, this is {text}"));
                None
            }
            Err(error) => {
                self.add(field, "duration", format!("a duration like 15m or 2h, this is {text:?}: {error}"));
                None
            }
        }
    }

    pub fn text(&mut self, field: &str, text: Option<&String>) -> Option<String> {
        let text = text.filter(|text| !text.trim().is_empty())?;
        let length = text.chars().count();
        if length > MAX_TEXT {
            self.add(field, "length", format!("at most {MAX_TEXT} characters, this has {length}"));
        }
        Some(text.clone())
    }

    /// The problem with everything that was found.
    pub fn problem(self, what: &str) -> Problem {
        let told: Vec<_> = self.0.iter().map(|v| format!("{}: {}", v.field, v.message)).collect();
        Problem::new(
            ErrorCode::InvalidRequest,
            format!("the {what} breaks {} rule(s): {}", self.0.len(), told.join("; ")),
            "correct the named fields and send it again; nothing was written",
        )
        .with_violations(self.0)
    }
}

impl ScheduleManifest {
    /// The schedule, or everything that is wrong with it. One that is never due after `now` is
    /// refused: it would be on record and do nothing.
    pub fn validate(&self, now: DateTime<Utc>) -> Result<ScheduleSpec, Problem> {
        let mut found = Findings::default();
        let name = found.name("name", ScheduleName::parse(&self.name));
        let kind = found.parsed("kind", "value", WorkflowKind::parse(&self.kind));
        let target = self.target(&mut found);
        let timing = self.timing(&mut found, now);
        let misfire = self.misfire.as_deref().unwrap_or("run-once").parse();
        let misfire = found.parsed("misfire", "value", misfire).unwrap_or(Misfire::RunOnce);
        // Runs that are made up for all come at once: skipping would leave one of them.
        let default = if misfire == Misfire::RunAll { "queue" } else { "skip" };
        let overlap = self.overlap.as_deref().unwrap_or(default).parse();
        let overlap = found.parsed("overlap", "value", overlap).unwrap_or(Overlap::Skip);
        let lateness = found.duration("lateness", self.lateness.as_ref(), MAX_LATENESS);
        let description = found.text("description", self.description.as_ref());
        let reason = found.text("reason", self.reason.as_ref());
        let input = self.input.clone().unwrap_or_else(|| Value::Object(serde_json::Map::new()));
        if !input.is_object() {
            found.add("input", "form", "an object: what the HTTP request of this kind has as its body");
        }
        match (name, kind, timing) {
            (Some(name), Some(kind), Some(timing)) if found.0.is_empty() => Ok(ScheduleSpec {
                name,
                description,
                kind,
                target,
                input,
                plan: self.plan,
                reason,
                timing,
                overlap,
                misfire,
                lateness: lateness.unwrap_or(DEFAULT_LATENESS),
            }),
            _ => Err(found.problem("schedule")),
        }
    }

    /// Only the part that time depends on, for a look at a schedule that is yet to be made.
    pub fn timing_alone(&self, now: DateTime<Utc>) -> Result<Timing, Problem> {
        let mut found = Findings::default();
        match self.timing(&mut found, now) {
            Some(timing) if found.0.is_empty() => Ok(timing),
            _ => Err(found.problem("schedule")),
        }
    }

    fn target(&self, found: &mut Findings) -> Target {
        let TargetManifest { farm, directory } = &self.target;
        Target {
            farm: farm.as_ref().and_then(|text| found.name("target.farm", FarmName::parse(text))),
            directory: directory
                .as_ref()
                .and_then(|text| found.name("target.directory", DirectoryName::parse(text))),
        }
    }

    fn timing(&self, found: &mut Findings, now: DateTime<Utc>) -> Option<Timing> {
        let before = found.0.len();
        let cron = found.parsed("cron", "cron", CronExpression::parse(&self.cron));
        let timing = Timing {
            cron: cron?,
            timezone: found.timezone("timezone", self.timezone.as_ref()),
            start: found.moment("start", self.start.as_ref()),
            end: found.moment("end", self.end.as_ref()),
            jitter: found.duration("jitter", self.jitter.as_ref(), MAX_JITTER).unwrap_or_default(),
        };
        if found.0.len() == before && timing.next_after(now).is_none() {
            let when = if timing.end.is_some() { "between now and its end" } else { "from now on" };
            found.add("cron", "never", format!("{} is never due {when}", timing.cron));
        }
        Some(timing)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000, 0).expect("a time")
    }

    fn validate(document: Value) -> Result<ScheduleSpec, Problem> {
        serde_json::from_value::<ScheduleManifest>(document).expect("well formed").validate(now())
    }

    #[test]
    fn what_is_left_out_has_a_default_that_drops_no_run() {
        let spec =
            validate(json!({"name": "nightly", "kind": "drift-check", "cron": "0 2 * * *"})).expect("valid");
        assert_eq!((spec.overlap, spec.misfire), (Overlap::Skip, Misfire::RunOnce));
        assert_eq!((spec.timing.timezone, spec.lateness), (Tz::UTC, DEFAULT_LATENESS));
        assert_eq!((spec.input, spec.target), (json!({}), Target::default()));
        let all = json!({"name": "n", "kind": "inspect", "cron": "0 2 * * *", "misfire": "run-all"});
        assert_eq!(validate(all).expect("valid").overlap, Overlap::Queue);
    }

    #[test]
    fn every_broken_rule_is_named_at_once() {
        let problem = validate(json!({
            "name": "a b", "kind": "Banana!", "cron": "0 25 * * *", "timezone": "Europe/Atlantis",
            "start": "tomorrow", "jitter": "2d", "lateness": "soon", "overlap": "maybe", "misfire": "never",
            "target": {"farm": "x y"}, "input": [], "reason": "x".repeat(2000),
        }))
        .expect_err("refused");
        let fields: Vec<_> = problem.violations.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(
            fields,
            ["name", "kind", "target.farm", "cron", "misfire", "overlap", "lateness", "reason", "input"],
            "{problem}"
        );
        let problem = validate(json!({
            "name": "a", "kind": "x", "cron": "0 2 * * *", "timezone": "Mars", "start": "t", "end": "t", "jitter": "2d"
        }));
        let fields: Vec<_> =
            problem.expect_err("refused").violations.iter().map(|v| v.field.clone()).collect();
        assert_eq!(fields, ["timezone", "start", "end", "jitter"]);
    }

    #[test]
    fn what_is_never_due_is_refused() {
        for (cron, end) in [("0 0 30 2 *", None), ("0 2 * * *", Some("2020-01-01T00:00:00Z"))] {
            let document = json!({"name": "a", "kind": "x", "cron": cron, "end": end});
            let problem = validate(document).expect_err("refused");
            assert_eq!(problem.violations[0].rule, "never", "{problem}");
        }
    }

    #[test]
    fn a_schedule_survives_its_way_through_the_database_and_can_be_sent_again() {
        let spec = validate(json!({
            "name": "Nightly", "kind": "add-host", "cron": "0 2 * * MON", "timezone": "Europe/Berlin",
            "start": "2030-01-01T00:00:00+01:00", "end": "2031-01-01T00:00:00Z", "jitter": "90s", "lateness": "1h",
            "target": {"farm": "ITFarm1", "directory": "lab"}, "input": {"hosts": ["Host1"]}, "reason": "why",
        }))
        .expect("valid");
        let stored = serde_json::to_value(&spec).expect("serialises");
        assert_eq!(serde_json::from_value::<ScheduleSpec>(stored.clone()).expect("the same"), spec);
        assert_eq!(
            (stored["jitter"].as_str(), stored["timezone"].as_str()),
            (Some("1m 30s"), Some("Europe/Berlin"))
        );
        let manifest: ScheduleManifest = serde_json::from_value(stored).expect("a manifest, too");
        assert_eq!(manifest.validate(now()).expect("valid"), spec);
    }
}
