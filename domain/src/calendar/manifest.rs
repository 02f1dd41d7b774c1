//! A calendar as people write it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::{Calendar, CalendarEffect, Period};
use crate::schedule::{CronExpression, Findings, Timing};
use crate::{CalendarName, DirectoryName, FarmName, Problem, WorkflowKind};

const MAX_PERIODS: usize = 100;
const MAX_DURATION: Duration = Duration::from_secs(31 * 24 * 60 * 60);

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CalendarManifest {
    pub name: String,
    pub effect: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kinds: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub farm: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    pub periods: Vec<PeriodManifest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `from` and `until`, or `cron` and `duration`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PeriodManifest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
}

impl CalendarManifest {
    /// The calendar, or everything that is wrong with it. One whose last period is over by `now` is
    /// refused.
    pub fn validate(&self, now: DateTime<Utc>) -> Result<Calendar, Problem> {
        let mut found = Findings::default();
        let name = found.name("name", CalendarName::parse(&self.name));
        let effect = found.parsed("effect", "value", self.effect.parse::<CalendarEffect>());
        let kinds = self.kinds(&mut found);
        let directory =
            self.directory.as_ref().map(|text| found.name("directory", DirectoryName::parse(text)));
        let farm = self.farm.as_ref().map(|text| found.name("farm", FarmName::parse(text)));
        let timezone = found.timezone("timezone", self.timezone.as_ref());
        let reason = found.text("reason", self.reason.as_ref());
        let count = self.periods.len();
        if !(1..=MAX_PERIODS).contains(&count) {
            found.add("periods", "length", format!("1 to {MAX_PERIODS} periods, these are {count}"));
        }
        let periods = self.periods.iter().take(MAX_PERIODS).enumerate();
        let periods: Vec<_> =
            periods.filter_map(|(at, period)| period.read(&mut found, at, timezone, now)).collect();
        match (name, effect) {
            (Some(name), Some(effect)) if found.0.is_empty() => Ok(Calendar {
                name,
                effect,
                kinds,
                directory: directory.flatten(),
                farm: farm.flatten(),
                timezone,
                periods,
                reason,
            }),
            _ => Err(found.problem("calendar")),
        }
    }

    fn kinds(&self, found: &mut Findings) -> Vec<WorkflowKind> {
        let Some(kinds) = &self.kinds else {
            return vec![WorkflowKind::DECOMMISSION, WorkflowKind::REPLACE, WorkflowKind::REMOVE_HOST];
        };
        if kinds.is_empty() {
            found.add("kinds", "length", "at least one kind, or leave it out");
        }
        let kinds = kinds.iter().enumerate();
        kinds
            .filter_map(|(at, kind)| {
                found.parsed(&format!("kinds[{at}]"), "value", WorkflowKind::parse(kind))
            })
            .collect()
    }
}

impl PeriodManifest {
    fn read(&self, found: &mut Findings, at: usize, timezone: Tz, now: DateTime<Utc>) -> Option<Period> {
        let field = |name: &str| format!("periods[{at}].{name}");
        match self {
            Self { from: Some(_), until: Some(_), cron: None, duration: None } => {
                let from = found.moment(&field("from"), self.from.as_ref())?;
                let until = found.moment(&field("until"), self.until.as_ref())?;
                if until <= from {
                    found.add(&field("until"), "order", "it ends before it begins");
                } else if until <= now {
                    found.add(&field("until"), "past", "it is over already");
                }
                Some(Period::Once { from, until })
            }
            Self { from: None, until: None, cron: Some(cron), duration: Some(_) } => {
                let cron = found.parsed(&field("cron"), "cron", CronExpression::parse(cron))?;
                let duration = found.duration(&field("duration"), self.duration.as_ref(), MAX_DURATION)?;
                if duration.is_zero() {
                    found.add(&field("duration"), "range", "longer than nothing");
                }
                let timing = Timing { cron, timezone, start: None, end: None, jitter: Duration::ZERO };
                let begins: Vec<_> = timing.upcoming(now).take(50).collect();
                if begins.is_empty() {
                    found.add(&field("cron"), "never", "it never begins from now on");
                }
                // Whether work is held is asked with every claim: a month of minutes is too much to look at.
                if begins.windows(2).any(|pair| pair[1] - pair[0] < chrono::Duration::hours(1)) {
                    found.add(&field("cron"), "often", "it begins at most once an hour");
                }
                Some(Period::Again { cron: timing.cron, duration })
            }
            _ => {
                let message = "either `from` and `until`, or `cron` and `duration`";
                found.add(&format!("periods[{at}]"), "form", message);
                None
            }
        }
    }
}
