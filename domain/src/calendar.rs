//! Calendars: freezes in which no destructive lifecycle work begins, and maintenance windows
//! outside of which none does.
//!
//! Pure: the calendars and a moment in, until when the work is held back out. What is urgent is
//! never asked about (`store/src/hold.rs` is the one place that asks).

use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::schedule::{CronExpression, Timing, duration_text};
use crate::workflow::text_enum;
use crate::{CalendarName, DirectoryName, FarmName, WorkflowKind};

mod manifest;

pub use manifest::{CalendarManifest, PeriodManifest};

/// More changes of open and closed than any calendar has before the work is free.
const MAX_TURNS: usize = 1_000;

text_enum! {
    /// What a calendar's periods mean.
    CalendarEffect, "calendar effect" {
        /// Within them the work is held back.
        Freeze = "freeze",
        /// Outside of them the work is held back.
        Window = "window",
    }
}

/// A calendar, judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Calendar {
    pub name: CalendarName,
    pub effect: CalendarEffect,
    /// The kinds of workflow that it holds back.
    pub kinds: Vec<WorkflowKind>,
    /// `None`: of every directory.
    pub directory: Option<DirectoryName>,
    /// `None`: of every farm.
    pub farm: Option<FarmName>,
    pub timezone: Tz,
    pub periods: Vec<Period>,
    pub reason: Option<String>,
}

/// One time, or one that comes again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
#[expect(clippy::large_enum_variant, reason = "a calendar has a handful of periods, read once")]
pub enum Period {
    Once {
        from: DateTime<Utc>,
        until: DateTime<Utc>,
    },
    Again {
        /// When it begins, in the calendar's zone.
        cron: CronExpression,
        #[serde(with = "duration_text")]
        duration: Duration,
    },
}

/// Work that a calendar may hold back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedWork {
    pub kind: WorkflowKind,
    pub directory: DirectoryName,
    pub farm: Option<FarmName>,
}

/// Why work does not begin now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// When it may begin; `None`: not before a calendar changes.
    pub until: Option<DateTime<Utc>>,
    pub calendar: CalendarName,
    pub detail: String,
}

impl Calendar {
    pub fn covers(&self, work: &PlannedWork) -> bool {
        self.kinds.contains(&work.kind)
            && self.directory.as_ref().is_none_or(|directory| *directory == work.directory)
            && self.farm.as_ref().is_none_or(|farm| work.farm.as_ref() == Some(farm))
    }

    /// The end of the period that `now` lies in, if it lies in one.
    pub fn within(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.periods.iter().filter_map(|period| period.end_of(self.timezone, now)).max()
    }

    /// When the next period begins.
    pub fn next_begin(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.periods.iter().filter_map(|period| period.next_begin(self.timezone, now)).min()
    }
}

impl Period {
    fn timing(cron: &CronExpression, timezone: Tz) -> Timing {
        Timing { cron: cron.clone(), timezone, start: None, end: None, jitter: Duration::ZERO }
    }

    fn end_of(&self, timezone: Tz, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Once { from, until } => (*from <= now && now < *until).then_some(*until),
            Self::Again { cron, duration } => {
                let begun = Self::timing(cron, timezone);
                begun
                    .upcoming(now - *duration)
                    .take_while(|begin| *begin <= now)
                    .last()
                    .map(|begin| begin + *duration)
            }
        }
    }

    fn next_begin(&self, timezone: Tz, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Once { from, .. } => (now < *from).then_some(*from),
            Self::Again { cron, .. } => Self::timing(cron, timezone).next_after(now),
        }
    }
}

/// Whether the calendars hold the work back now, and until when.
pub fn held(calendars: &[Calendar], work: &PlannedWork, now: DateTime<Utc>) -> Option<Hold> {
    let covering: Vec<&Calendar> = calendars.iter().filter(|calendar| calendar.covers(work)).collect();
    let (first, _) = blocked(&covering, now)?;
    let mut at = now;
    let mut until = None;
    for _ in 0..MAX_TURNS {
        match blocked(&covering, at) {
            None => {
                until = Some(at);
                break;
            }
            Some((_, Some(next))) => at = next,
            Some((_, None)) => break,
        }
    }
    let why = match first.effect {
        CalendarEffect::Freeze => format!("the freeze {} is on", first.name),
        CalendarEffect::Window => format!("no maintenance window is open (calendar {})", first.name),
    };
    let reason = first.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let then = match until {
        Some(until) => {
            format!("goes on by itself at {}", until.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
        }
        None => {
            "no moment is known at which it may begin; it goes on when the calendar is changed".to_owned()
        }
    };
    Some(Hold { until, calendar: first.name.clone(), detail: format!("{why}{reason}; {then}") })
}

/// What holds the work back at `at`, and when to look again.
fn blocked<'a>(
    covering: &[&'a Calendar],
    at: DateTime<Utc>,
) -> Option<(&'a Calendar, Option<DateTime<Utc>>)> {
    let of = |effect| covering.iter().copied().filter(move |calendar: &&Calendar| calendar.effect == effect);
    let frozen = of(CalendarEffect::Freeze).filter_map(|calendar| Some((calendar, calendar.within(at)?)));
    if let Some((calendar, end)) = frozen.max_by_key(|(_, end)| *end) {
        return Some((calendar, Some(end)));
    }
    let mut windows = of(CalendarEffect::Window).peekable();
    let first = *windows.peek()?;
    let windows: Vec<_> = windows.collect();
    if windows.iter().any(|calendar| calendar.within(at).is_some()) {
        return None;
    }
    let next = windows.iter().filter_map(|calendar| Some((*calendar, calendar.next_begin(at)?)));
    match next.min_by_key(|(_, begin)| *begin) {
        Some((calendar, begin)) => Some((calendar, Some(begin))),
        None => Some((first, None)),
    }
}

#[cfg(test)]
#[path = "calendar_tests.rs"]
mod tests;
