//! Times and durations as people read them.

use chrono::{DateTime, SecondsFormat, Utc};

pub fn moment(time: Option<DateTime<Utc>>) -> String {
    time.map(|time| time.to_rfc3339_opts(SecondsFormat::Secs, true)).unwrap_or_default()
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
    }
}
