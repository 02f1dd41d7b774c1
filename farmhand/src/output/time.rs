//! Times and durations as people read them.

use chrono::{DateTime, SecondsFormat, Utc};

pub fn moment(time: Option<DateTime<Utc>>) -> String {
    time.map(|time| time.to_rfc3339_opts(SecondsFormat::Secs, true)).unwrap_or_default()
}

/// To the millisecond.
pub fn precise(time: Option<DateTime<Utc>>) -> String {
    time.map(|time| time.to_rfc3339_opts(SecondsFormat::Millis, true)).unwrap_or_default()
}

/// What is left of a time, in its two largest units, e.g. `3 d 4 h`.
pub fn left(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{minutes} min {} s", seconds % 60),
        3_600..86_400 => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// From start to end, e.g. `12 ms`, `3.4 s`, `2 min 5 s`.
pub fn took(start: Option<DateTime<Utc>>, end: Option<DateTime<Utc>>) -> String {
    let (Some(start), Some(end)) = (start, end) else { return String::new() };
    let millis = (end - start).num_milliseconds().max(0);
    match millis {
        0..1_000 => format!("{millis} ms"),
        1_000..60_000 => format!("{}.{} s", millis / 1_000, millis % 1_000 / 100),
        _ => format!("{} min {} s", millis / 60_000, millis % 60_000 / 1_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        let at = |millis: i64| DateTime::from_timestamp_millis(1_700_000_000_000 + millis);
        assert_eq!(took(at(0), at(12)), "12 ms");
        assert_eq!(took(at(0), at(3_450)), "3.4 s");
        assert_eq!(took(at(0), at(125_000)), "2 min 5 s");
        assert_eq!(took(at(0), None), "");
        assert_eq!(precise(at(7)), "2023-11-14T22:13:20.007Z");
    }

    #[test]
    fn what_is_left_is_told_in_its_two_largest_units() {
        for (seconds, expected) in
            [(-1, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (7_260, "2 h 1 min"), (273_600, "3 d 4 h")]
        {
            assert_eq!(left(seconds), expected);
        }
    }
}
