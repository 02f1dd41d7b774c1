use chrono::{Datelike, NaiveDate, Weekday};
use proptest::prelude::*;

use super::*;
use crate::SystemRng;

const ZONES: [Tz; 3] = [Tz::Europe__Berlin, Tz::America__New_York, Tz::Australia__Lord_Howe];

fn timing(cron: &str, timezone: Tz) -> Timing {
    let cron = CronExpression::parse(cron).expect("an expression");
    Timing { cron, timezone, start: None, end: None, jitter: Duration::ZERO }
}

fn utc(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).expect("a time").to_utc()
}

/// The next due times as the zone's clocks show them, with their offset.
fn shown(cron: &str, zone: Tz, after: &str, count: usize) -> Vec<String> {
    let timing = timing(cron, zone);
    let times = timing.upcoming(utc(after)).take(count);
    times.map(|due| due.with_timezone(&zone).format("%d %H:%M %z").to_string()).collect()
}

#[test]
fn berlin_in_spring_runs_what_is_left_out_at_the_next_minute_that_there_is() {
    let zone = Tz::Europe__Berlin;
    assert_eq!(
        shown("30 2 * * *", zone, "2026-03-27T12:00:00Z", 3),
        ["28 02:30 +0100", "29 03:00 +0200", "30 02:30 +0200"]
    );
    // 2:00, 2:15, 2:30 and 2:45 are all due at 3:00, which is due once.
    assert_eq!(
        shown("*/15 * * * *", zone, "2026-03-29T00:30:00Z", 3),
        ["29 01:45 +0100", "29 03:00 +0200", "29 03:15 +0200"]
    );
}

#[test]
fn berlin_in_autumn_runs_what_occurs_twice_once_the_first_time() {
    let zone = Tz::Europe__Berlin;
    assert_eq!(shown("30 2 * * *", zone, "2026-10-24T12:00:00Z", 2), ["25 02:30 +0200", "26 02:30 +0100"]);
    assert_eq!(
        shown("*/30 * * * *", zone, "2026-10-24T23:45:00Z", 4),
        ["25 02:00 +0200", "25 02:30 +0200", "25 03:00 +0100", "25 03:30 +0100"]
    );
    // Asked in the middle of the second of both hours.
    assert_eq!(shown("*/30 * * * *", zone, "2026-10-25T01:10:00Z", 1), ["25 03:00 +0100"]);
}

#[test]
fn new_york_and_lord_howe_change_at_other_hours_and_by_half_an_hour() {
    let york = Tz::America__New_York;
    assert_eq!(shown("30 2 * * *", york, "2026-03-07T12:00:00Z", 2), ["08 03:00 -0400", "09 02:30 -0400"]);
    assert_eq!(shown("30 1 * * *", york, "2026-10-31T12:00:00Z", 2), ["01 01:30 -0400", "02 01:30 -0500"]);
    let howe = Tz::Australia__Lord_Howe;
    assert_eq!(shown("15 2 * * *", howe, "2026-10-03T03:00:00Z", 2), ["04 02:30 +1100", "05 02:15 +1100"]);
    assert_eq!(shown("45 1 * * *", howe, "2026-04-04T03:00:00Z", 2), ["05 01:45 +1100", "06 01:45 +1030"]);
}

#[test]
fn a_day_that_a_zone_left_out_is_made_up_for_at_its_end() {
    // Samoa went from 29 to 31 December 2011.
    assert_eq!(
        shown("0 12 * * *", Tz::Pacific__Apia, "2011-12-29T12:00:00Z", 3),
        ["29 12:00 -1000", "31 00:00 +1400", "31 12:00 +1400"]
    );
}

#[test]
fn a_preview_finds_the_next_change_and_remarks_what_it_does() {
    let berlin = timing("30 2 * * *", Tz::Europe__Berlin);
    let change = berlin.next_change(utc("2026-01-15T08:13:07.5Z"));
    assert_eq!(change, Some(utc("2026-03-29T01:00:00Z")));
    assert_eq!(berlin.next_change(utc("2026-07-01T00:00:00Z")), Some(utc("2026-10-25T01:00:00Z")));
    assert_eq!(timing("30 2 * * *", Tz::UTC).next_change(utc("2026-01-01T00:00:00Z")), None);
    let days = |cron: &str| -> Vec<String> {
        let timing = timing(cron, Tz::Europe__Berlin);
        let due = timing.around_change(utc("2026-07-01T00:00:00Z"), 4);
        due.iter()
            .map(|due| due.with_timezone(&Tz::Europe__Berlin).format("%d %H:%M:%S %z").to_string())
            .collect()
    };
    let around = ["24 02:30:00 +0200", "25 02:30:00 +0200", "26 02:30:00 +0100", "27 02:30:00 +0100"];
    assert_eq!(days("30 2 * * *"), around);
    assert_eq!(days("*/30 * * * *")[..2], ["25 02:00:00 +0200", "25 02:30:00 +0200"]);
    assert_eq!(days("* * * * * *")[1..3], ["25 02:59:59 +0200", "25 03:00:00 +0100"]);
    let remarks: Vec<_> = ["2026-03-27T12:00:00Z", "2026-10-24T12:00:00Z"]
        .into_iter()
        .flat_map(|after| {
            berlin.upcoming(utc(after)).take(3).map(|due| berlin.remark(due).is_some()).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(remarks, [false, true, false, true, false, false]);
}

#[test]
fn start_and_end_bound_the_due_times() {
    let mut timing = timing("0 * * * *", Tz::UTC);
    timing.start = Some(utc("2026-01-01T10:00:00Z"));
    timing.end = Some(utc("2026-01-01T12:00:00Z"));
    let due: Vec<_> = timing.upcoming(utc("2025-01-01T00:00:00Z")).collect();
    assert_eq!(due, [utc("2026-01-01T10:00:00Z"), utc("2026-01-01T11:00:00Z")]);
    assert_eq!(timing.next_after(utc("2026-01-01T11:00:00Z")), None);
}

#[test]
fn a_date_that_never_comes_is_never_due_and_the_years_end_in_2100() {
    assert_eq!(timing("0 0 30 2 *", Tz::UTC).next_after(utc("2026-01-01T00:00:00Z")), None);
    assert_eq!(timing("0 0 1 1 *", Tz::UTC).next_after(utc("2100-06-01T00:00:00Z")), None);
}

#[test]
fn jitter_is_within_its_window_spread_and_the_same_every_time() {
    let mut timing = timing("0 2 * * *", Tz::UTC);
    timing.jitter = Duration::from_secs(600);
    let due = utc("2026-01-01T02:00:00Z");
    let ids: Vec<_> = (0..500).map(|_| ScheduleId::new(due, &SystemRng)).collect();
    let offsets: Vec<_> = ids.iter().map(|id| (timing.moment(*id, due) - due).num_seconds()).collect();
    assert!(offsets.iter().all(|offset| (0..=600).contains(offset)), "{offsets:?}");
    assert!(offsets.iter().any(|offset| *offset < 100) && offsets.iter().any(|offset| *offset > 500));
    assert!(ids.iter().all(|id| timing.moment(*id, due) == timing.moment(*id, due)));
    assert_ne!(timing.moment(ids[0], due) - due, {
        let next = utc("2026-01-02T02:00:00Z");
        timing.moment(ids[0], next) - next
    });
    timing.jitter = Duration::ZERO;
    assert_eq!(timing.moment(ids[0], due), due);
}

/// The Sunday that begins or ends summer time somewhere in these weeks.
fn around_changes() -> impl Strategy<Value = (Tz, NaiveDate)> {
    let zone = prop::sample::select(ZONES.to_vec());
    let week = prop::sample::select(vec![(3, 8), (3, 25), (4, 1), (10, 1), (10, 25), (11, 1)]);
    (zone, 2007i32..2060, week).prop_map(|(zone, year, (month, day))| {
        let first = NaiveDate::from_ymd_opt(year, month, day).expect("a day");
        let sunday = first.iter_days().find(|day| day.weekday() == Weekday::Sun).expect("within a week");
        (zone, sunday)
    })
}

/// Independent of how it is computed: walks minute by minute and notes when the wall clock first
/// shows each time or a later one.
fn oracle(
    zone: Tz,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    wanted: impl Fn(NaiveDateTime) -> bool,
) -> Vec<DateTime<Utc>> {
    let mut due = Vec::new();
    let mut furthest = from.with_timezone(&zone).naive_local();
    let mut at = from;
    while at < to {
        at += chrono::Duration::minutes(1);
        let shown = at.with_timezone(&zone).naive_local();
        let mut passed = furthest;
        let mut any = false;
        while passed < shown {
            passed += chrono::Duration::minutes(1);
            any |= wanted(passed);
        }
        if any {
            due.push(at);
        }
        furthest = furthest.max(shown);
    }
    due
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_daily_time_is_due_once_a_day_when_the_wall_clock_first_reaches_it(
        (zone, sunday) in around_changes(), hour in 0u32..24, minute in 0u32..60,
    ) {
        let from = zone.from_local_datetime(&(sunday - chrono::Days::new(1)).and_hms_opt(12, 0, 0).expect("noon"));
        let from = from.earliest().expect("noon is never left out").to_utc();
        let to = from + chrono::Duration::hours(48);
        let timing = timing(&format!("{minute} {hour} * * *"), zone);
        let due: Vec<_> = timing.upcoming(from).take_while(|due| *due <= to).collect();
        let expected = oracle(zone, from, to, |wall| (wall.hour(), wall.minute()) == (hour, minute));
        prop_assert_eq!(due, expected);
    }

    #[test]
    fn a_step_of_minutes_is_never_due_twice_and_never_left_out(
        (zone, sunday) in around_changes(), step in prop::sample::select(vec![1u32, 5, 7, 15, 20, 30]),
    ) {
        let from = zone.from_local_datetime(&sunday.and_hms_opt(0, 0, 0).expect("midnight"));
        let from = from.earliest().expect("not left out in these zones").to_utc();
        let to = from + chrono::Duration::hours(6);
        let timing = timing(&format!("*/{step} * * * *"), zone);
        let due: Vec<_> = timing.upcoming(from).take_while(|due| *due <= to).collect();
        prop_assert!(due.windows(2).all(|pair| pair[0] < pair[1]));
        prop_assert_eq!(due, oracle(zone, from, to, |wall| wall.minute() % step == 0));
    }

    #[test]
    fn the_next_due_time_does_not_depend_on_where_the_asking_began(
        (zone, sunday) in around_changes(), minute in 0u32..60, asked in 0i64..(36 * 60),
    ) {
        let from = sunday.and_hms_opt(0, 0, 0).expect("midnight").and_utc() - chrono::Duration::hours(18);
        let timing = timing(&format!("{minute} */2 * * *"), zone);
        let now = from + chrono::Duration::minutes(asked);
        prop_assert_eq!(timing.next_after(now), timing.upcoming(from).find(|due| *due > now));
    }
}
