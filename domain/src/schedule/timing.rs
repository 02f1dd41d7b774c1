//! When a schedule is due: a pure function of the schedule and a moment.
//!
//! A due time is the first instant at which the zone's wall clock shows the time asked for, or a
//! later one. So a time that a change to summer time leaves out is due at the next minute that
//! there is, and one that occurs twice is due once, the first time.

use std::time::Duration;

use chrono::{DateTime, MappedLocalTime, NaiveDateTime, Offset, TimeZone, Timelike, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::cron::CronExpression;
use crate::ScheduleId;

/// No zone ever left out more than a day.
const LONGEST_GAP_MINUTES: i64 = 2 * 24 * 60;
/// A zone that changes its clocks does so within a year.
const LOOK_AHEAD_DAYS: i64 = 366;
/// Enough for what is due each second, each minute, each day.
const LOOK_BACK_HOURS: [i64; 3] = [1, 24, 62 * 24];

/// The part of a schedule that time depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Timing {
    pub cron: CronExpression,
    /// Of the IANA database.
    pub timezone: Tz,
    /// Not due before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<DateTime<Utc>>,
    /// Not due at this time or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<DateTime<Utc>>,
    /// Each due time is fired up to this much later, by an amount that is always the same for it.
    #[serde(with = "super::duration_text")]
    pub jitter: Duration,
}

impl Timing {
    /// The next due time, strictly after `after`.
    pub fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let before_start = self.start.map(|start| start - chrono::Duration::microseconds(1));
        let after = before_start.map_or(after, |start| start.max(after));
        let shown = after.with_timezone(&self.timezone).naive_local();
        let due = self
            .cron
            .wall_times_after(shown)
            // In the second of two equal hours those of the first one are over.
            .filter_map(|wall| first_instant(self.timezone, wall))
            .find(|due| *due > after)?;
        self.end.is_none_or(|end| due < end).then_some(due)
    }

    /// All due times after `after`, in order.
    pub fn upcoming(&self, after: DateTime<Utc>) -> impl Iterator<Item = DateTime<Utc>> + '_ {
        std::iter::successors(self.next_after(after), |due| self.next_after(*due))
    }

    /// What a change of the zone's clocks did to a due time, if anything.
    pub fn remark(&self, due: DateTime<Utc>) -> Option<&'static str> {
        let wall = due.with_timezone(&self.timezone).naive_local();
        if !self.cron.names(wall) {
            return Some("what was asked for does not exist on this day; the next minute that does");
        }
        let twice = matches!(self.timezone.from_local_datetime(&wall), MappedLocalTime::Ambiguous(..));
        twice.then_some("occurs twice on this day; the first time")
    }

    /// When the zone's clocks change next: the first second with another offset from UTC.
    pub fn next_change(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let offset = |at: DateTime<Utc>| at.with_timezone(&self.timezone).offset().fix();
        let before = offset(after);
        let day =
            (1..=LOOK_AHEAD_DAYS).map(chrono::Duration::days).find(|days| offset(after + *days) != before)?;
        let (mut same, mut other) = (after + day - chrono::Duration::days(1), after + day);
        while other - same > chrono::Duration::seconds(1) {
            let middle = same + (other - same) / 2;
            if offset(middle) == before { same = middle } else { other = middle }
        }
        DateTime::from_timestamp(other.timestamp(), 0)
    }

    /// `count` due times with the next change of the zone's clocks in their middle; without one,
    /// the next.
    pub fn around_change(&self, after: DateTime<Utc>, count: usize) -> Vec<DateTime<Utc>> {
        let Some(change) = self.next_change(after) else { return self.upcoming(after).take(count).collect() };
        let wanted = count / 2;
        let mut due = Vec::new();
        // No further back than needed: a schedule of every second has millions of due times in a year.
        for back in LOOK_BACK_HOURS.map(chrono::Duration::hours) {
            due = self.upcoming(change - back).take_while(|due| *due < change).collect();
            if due.len() >= wanted {
                break;
            }
        }
        due.drain(..due.len().saturating_sub(wanted));
        let rest = count - due.len();
        due.extend(self.upcoming(change - chrono::Duration::microseconds(1)).take(rest));
        due
    }

    /// When a due time is to be fired: the same on every orchestrator and after every restart.
    pub fn moment(&self, id: ScheduleId, due: DateTime<Utc>) -> DateTime<Utc> {
        let window = u64::try_from(self.jitter.as_millis()).unwrap_or(0);
        if window == 0 {
            return due;
        }
        let digest = Sha256::new().chain_update(id.0.as_bytes()).chain_update(due.timestamp().to_be_bytes());
        let digest: [u8; 32] = digest.finalize().into();
        let number = u64::from_be_bytes(std::array::from_fn(|at| digest[at]));
        due + Duration::from_millis(number % (window + 1))
    }
}

/// The first instant at which a clock of the zone shows `wall` or later.
fn first_instant(zone: Tz, wall: NaiveDateTime) -> Option<DateTime<Utc>> {
    let at = |wall: NaiveDateTime| zone.from_local_datetime(&wall).earliest().map(|time| time.to_utc());
    if let Some(found) = at(wall) {
        return Some(found);
    }
    let minute = wall.with_second(0)?.with_nanosecond(0)?;
    (1..=LONGEST_GAP_MINUTES).find_map(|later| at(minute + chrono::Duration::minutes(later)))
}

#[cfg(test)]
#[path = "timing_tests.rs"]
mod tests;
