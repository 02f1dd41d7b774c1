//! A cron expression as people write it, made unambiguous before the `cron` crate reads it.
//!
//! That crate wants a field for seconds and numbers weekdays from Sunday = 1. A person who has
//! written crontabs for years means Monday by `1`, so in the five fields of a crontab numbers are
//! read as there, and with a field for seconds, where conventions differ, weekdays are names.

use std::fmt;

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::{Deserialize, Serialize};

const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
const FIELDS: [&str; 7] = ["second", "minute", "hour", "day of the month", "month", "weekday", "year"];
const MAX_LENGTH: usize = 200;

/// Why a text is no cron expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CronError(String);

/// When something is due, by wall clock. Kept as written.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CronExpression {
    text: String,
    schedule: cron::Schedule,
}

impl CronExpression {
    /// Five fields as in a crontab, six with seconds before them, seven with years behind, or
    /// `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`.
    pub fn parse(text: &str) -> Result<Self, CronError> {
        if text.len() > MAX_LENGTH {
            return Err(CronError(format!("a cron expression has at most {MAX_LENGTH} characters")));
        }
        let fields = fields(text)?;
        let schedule = read(&fields).ok_or_else(|| misread(&fields))?;
        Ok(Self { text: text.trim().to_owned(), schedule })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is due when a wall clock shows this.
    pub fn names(&self, wall: NaiveDateTime) -> bool {
        self.schedule.includes(wall.and_utc())
    }

    /// What a wall clock shows when it is due, strictly after what it shows now.
    pub fn wall_times_after(&self, now: NaiveDateTime) -> impl Iterator<Item = NaiveDateTime> + '_ {
        // UTC has every time once: the crate's own handling of zones leaves out what a zone leaves out.
        self.schedule.after::<Utc>(&now.and_utc()).map(|time: DateTime<Utc>| time.naive_utc())
    }
}

/// Seconds first, weekdays as a list of names, in the words of the crate.
fn fields(text: &str) -> Result<Vec<String>, CronError> {
    let text = match text.trim().to_ascii_lowercase().as_str() {
        "@hourly" => "0 * * * *",
        "@daily" | "@midnight" => "0 0 * * *",
        "@weekly" => "0 0 * * SUN",
        "@monthly" => "0 0 1 * *",
        "@yearly" | "@annually" => "0 0 1 1 *",
        _ => text,
    };
    let mut fields: Vec<String> = text.split_ascii_whitespace().map(str::to_owned).collect();
    let numbers = match fields.len() {
        5 => {
            fields.insert(0, "0".to_owned());
            true
        }
        6 | 7 => false,
        other => {
            return Err(CronError(format!(
                "a cron expression has five fields (minute, hour, day of the month, month, weekday), or six with \
                 seconds before them; this has {other}"
            )));
        }
    };
    fields[5] = weekdays(&fields[5], numbers)?;
    Ok(fields)
}

fn read(fields: &[String]) -> Option<cron::Schedule> {
    fields.join(" ").parse().ok()
}

/// Names the field that is to blame: each is read alone.
fn misread(fields: &[String]) -> CronError {
    let alone = |at: usize| {
        let mut others = vec!["*".to_owned(); fields.len()];
        others[at].clone_from(&fields[at]);
        read(&others).is_none()
    };
    let found = (0..fields.len()).find(|at| alone(*at)).map(|at| (FIELDS[at], &fields[at]));
    let (name, text) = found.unwrap_or((FIELDS[0], &fields[0]));
    CronError(format!("the field for the {name}, {text:?}, is not understood"))
}

/// `1-5` becomes `MON,TUE,WED,THU,FRI`: the crate refuses `FRI-SUN` and counts from another day.
fn weekdays(text: &str, numbers: bool) -> Result<String, CronError> {
    if matches!(text, "*" | "?") {
        return Ok(text.to_owned());
    }
    let mut chosen = [false; 7];
    for part in text.split(',') {
        let (range, step) = part.split_once('/').unwrap_or((part, ""));
        let bad = || CronError(format!("the field for the weekday, {text:?}, is not understood at {part:?}"));
        let day = |name: &str| weekday(name, numbers).ok_or_else(bad_or_ambiguous(text, part, numbers));
        let (first, last) = match range.split_once('-') {
            Some((first, last)) => (day(first)?, day(last)?),
            None if range == "*" => (0, 6),
            None if step.is_empty() => (day(range)?, day(range)?),
            None => (day(range)?, 6),
        };
        // Sunday ends a week as well as it begins one.
        let last = if last < first && last == 0 { 7 } else { last };
        let step: usize = if step.is_empty() { 1 } else { step.parse().map_err(|_| bad())? };
        if step == 0 || last < first {
            return Err(bad());
        }
        (first..=last).step_by(step).for_each(|day| chosen[day % 7] = true);
    }
    let names = DAYS.iter().zip(chosen).filter(|(_, chosen)| *chosen).map(|(name, _)| *name);
    Ok(names.collect::<Vec<_>>().join(","))
}

fn bad_or_ambiguous<'a>(text: &'a str, part: &'a str, numbers: bool) -> impl Fn() -> CronError + 'a {
    move || {
        let digits = part.bytes().any(|byte| byte.is_ascii_digit());
        let why = if digits && !numbers {
            "with a field for seconds weekdays are written by name (MON), since their numbers differ between \
             cron implementations"
        } else {
            "a weekday is SUN to SAT, or 0 to 7 with Sunday as 0 and 7"
        };
        CronError(format!("the field for the weekday, {text:?}, is not understood: {why}"))
    }
}

/// 0 for Sunday; three letters or the whole name.
fn weekday(name: &str, numbers: bool) -> Option<usize> {
    if name.bytes().all(|byte| byte.is_ascii_digit()) {
        let day: usize = name.parse().ok().filter(|day| *day <= 7)?;
        return numbers.then_some(if day == 7 { 0 } else { day });
    }
    const WHOLE: [&str; 7] = ["SUNDAY", "MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY"];
    let name = name.to_ascii_uppercase();
    (0..7).find(|day| DAYS[*day] == name || WHOLE[*day] == name)
}

impl PartialEq for CronExpression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}
impl Eq for CronExpression {}

impl fmt::Display for CronExpression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
impl TryFrom<String> for CronExpression {
    type Error = CronError;
    fn try_from(text: String) -> Result<Self, CronError> {
        Self::parse(&text)
    }
}
impl From<CronExpression> for String {
    fn from(cron: CronExpression) -> String {
        cron.text
    }
}

#[cfg(test)]
mod tests {
    use chrono::{Datelike, NaiveDate};

    use super::*;

    fn first(text: &str) -> String {
        let now = NaiveDate::from_ymd_opt(2026, 11, 27).and_then(|day| day.and_hms_opt(12, 0, 0));
        let cron = CronExpression::parse(text).expect(text);
        let next = cron.wall_times_after(now.expect("a time")).next();
        next.map(|time| time.format("%a %F %T").to_string()).unwrap_or_default()
    }

    #[test]
    fn a_crontab_means_what_it_means_there() {
        for (text, next) in [
            ("30 2 * * *", "Sat 2026-11-28 02:30:00"),
            ("0 2 * * 1", "Mon 2026-11-30 02:00:00"),
            ("0 2 * * 0", "Sun 2026-11-29 02:00:00"),
            ("0 2 * * 7", "Sun 2026-11-29 02:00:00"),
            ("0 2 * * 1-5", "Mon 2026-11-30 02:00:00"),
            ("0 2 * * FRI-SUN", "Sat 2026-11-28 02:00:00"),
            ("0 2 * * mon,Wednesday", "Mon 2026-11-30 02:00:00"),
            ("*/15 * * * *", "Fri 2026-11-27 12:15:00"),
            ("0 2 8-14 * TUE", "Tue 2026-12-08 02:00:00"),
            ("0 0 1 jan *", "Fri 2027-01-01 00:00:00"),
            ("@daily", "Sat 2026-11-28 00:00:00"),
            ("@weekly", "Sun 2026-11-29 00:00:00"),
            ("15 0 3 * * *", "Sat 2026-11-28 03:00:15"),
            ("0 0 3 * * MON", "Mon 2026-11-30 03:00:00"),
            ("0 0 3 1 1 ? 2030", "Tue 2030-01-01 03:00:00"),
            ("0 0 30 2 *", ""),
        ] {
            assert_eq!(first(text), next, "{text}");
        }
    }

    #[test]
    fn every_second_weekday_is_counted_from_sunday_as_in_a_crontab() {
        let cron = CronExpression::parse("0 0 * * */2").expect("valid");
        let start =
            NaiveDate::from_ymd_opt(2026, 11, 22).and_then(|day| day.and_hms_opt(1, 0, 0)).expect("a time");
        let days: Vec<_> =
            cron.wall_times_after(start).take(4).map(|time| time.weekday().to_string()).collect();
        assert_eq!(days, ["Tue", "Thu", "Sat", "Sun"]);
    }

    #[test]
    fn what_is_not_understood_is_named_by_its_field() {
        for (text, named) in [
            ("", "has 0"),
            ("* * *", "has 3"),
            ("0 25 * * *", "hour, \"25\""),
            ("61 * * * *", "minute, \"61\""),
            ("0 0 32 * *", "day of the month, \"32\""),
            ("0 0 * 13 *", "month, \"13\""),
            ("0 0 * * 8", "0 to 7"),
            ("0 0 * * 5-2", "weekday, \"5-2\""),
            ("0 0 * * 1/0", "weekday, \"1/0\""),
            ("0 0 * * MON#1", "weekday"),
            ("0 0 3 * * 1", "by name"),
            ("@never", "has 1"),
        ] {
            let error = CronExpression::parse(text).expect_err(text);
            assert!(error.to_string().contains(named), "{text}: {error}");
        }
        assert!(CronExpression::parse(&"*".repeat(500)).is_err());
    }
}
