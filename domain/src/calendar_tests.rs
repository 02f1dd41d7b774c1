use serde_json::{Value, json};

use super::*;

fn utc(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).expect("a time").to_utc()
}

fn calendar(document: Value) -> Calendar {
    let manifest: CalendarManifest = serde_json::from_value(document).expect("well formed");
    manifest.validate(utc("2026-01-01T00:00:00Z")).expect("valid")
}

fn freeze(from: &str, until: &str) -> Calendar {
    calendar(json!({"name": "year-end", "effect": "freeze", "periods": [{"from": from, "until": until}]}))
}

/// Saturdays from 22:00 to 2:00, by Berlin's clocks.
fn saturdays() -> Calendar {
    calendar(json!({
        "name": "saturdays", "effect": "window", "timezone": "Europe/Berlin",
        "periods": [{"cron": "0 22 * * SAT", "duration": "4h"}]
    }))
}

fn work(kind: WorkflowKind) -> PlannedWork {
    PlannedWork { kind, directory: DirectoryName::default(), farm: FarmName::parse("ITFarm1").ok() }
}

fn until(calendars: &[Calendar], now: &str) -> Option<Option<DateTime<Utc>>> {
    held(calendars, &work(WorkflowKind::DECOMMISSION), utc(now)).map(|hold| hold.until)
}

#[test]
fn destructive_work_waits_for_the_end_of_a_freeze() {
    let calendars = [freeze("2026-12-20T00:00:00Z", "2027-01-03T00:00:00Z")];
    assert_eq!(until(&calendars, "2026-12-19T23:59:59Z"), None);
    assert_eq!(until(&calendars, "2026-12-20T00:00:00Z"), Some(Some(utc("2027-01-03T00:00:00Z"))));
    assert_eq!(until(&calendars, "2027-01-03T00:00:00Z"), None);
    for kind in [WorkflowKind::REPLACE, WorkflowKind::REMOVE_HOST] {
        assert!(held(&calendars, &work(kind), utc("2026-12-24T00:00:00Z")).is_some());
    }
    for kind in [WorkflowKind::DEPLOY, WorkflowKind::ADD_HOST, WorkflowKind::COMPROMISE_REMOVAL] {
        assert_eq!(held(&calendars, &work(kind), utc("2026-12-24T00:00:00Z")), None);
    }
}

#[test]
fn destructive_work_waits_for_a_window_and_goes_on_while_it_is_open() {
    let calendars = [saturdays()];
    // A Wednesday; 22:00 in Berlin is 21:00 UTC in winter and 20:00 in summer.
    assert_eq!(until(&calendars, "2026-01-07T12:00:00Z"), Some(Some(utc("2026-01-10T21:00:00Z"))));
    assert_eq!(until(&calendars, "2026-01-10T21:00:00Z"), None);
    assert_eq!(until(&calendars, "2026-01-11T00:59:59Z"), None, "past midnight");
    assert_eq!(until(&calendars, "2026-01-11T01:00:00Z"), Some(Some(utc("2026-01-17T21:00:00Z"))));
    assert_eq!(until(&calendars, "2026-07-08T12:00:00Z"), Some(Some(utc("2026-07-11T20:00:00Z"))));
}

#[test]
fn a_window_within_a_freeze_does_not_open() {
    let calendars = [saturdays(), freeze("2026-01-09T00:00:00Z", "2026-01-20T00:00:00Z")];
    assert_eq!(until(&calendars, "2026-01-07T12:00:00Z"), Some(Some(utc("2026-01-24T21:00:00Z"))));
    assert_eq!(until(&calendars, "2026-01-10T22:00:00Z"), Some(Some(utc("2026-01-24T21:00:00Z"))));
    // The freeze ends while a window is open.
    let calendars = [saturdays(), freeze("2026-01-09T00:00:00Z", "2026-01-10T23:00:00Z")];
    assert_eq!(until(&calendars, "2026-01-07T12:00:00Z"), Some(Some(utc("2026-01-10T23:00:00Z"))));
}

#[test]
fn one_open_window_of_several_is_enough() {
    let extra = calendar(json!({
        "name": "extra", "effect": "window",
        "periods": [{"from": "2026-01-07T10:00:00Z", "until": "2026-01-07T14:00:00Z"}]
    }));
    assert_eq!(until(&[saturdays(), extra.clone()], "2026-01-07T12:00:00Z"), None);
    // Alone, once its only window is over, nothing says when the work may begin.
    assert_eq!(until(std::slice::from_ref(&extra), "2026-01-08T00:00:00Z"), Some(None));
    let hold = held(&[extra], &work(WorkflowKind::REPLACE), utc("2026-01-08T00:00:00Z")).expect("held");
    assert!(
        hold.detail.contains("extra") && hold.detail.contains("when the calendar is changed"),
        "{}",
        hold.detail
    );
}

#[test]
fn a_calendar_reaches_no_further_than_it_says() {
    let mut one = freeze("2026-12-20T00:00:00Z", "2027-01-03T00:00:00Z");
    one.farm = FarmName::parse("itfarm1").ok();
    let now = utc("2026-12-24T00:00:00Z");
    let at = |farm: Option<&str>, directory: &str| PlannedWork {
        kind: WorkflowKind::DECOMMISSION,
        directory: DirectoryName::parse(directory).expect("a name"),
        farm: farm.map(|farm| FarmName::parse(farm).expect("a name")),
    };
    assert!(held(std::slice::from_ref(&one), &at(Some("ITFarm1"), "default"), now).is_some());
    assert!(held(std::slice::from_ref(&one), &at(Some("ITFarm2"), "default"), now).is_none());
    assert!(held(std::slice::from_ref(&one), &at(None, "default"), now).is_none());
    one.farm = None;
    one.directory = DirectoryName::parse("emea").ok();
    assert!(held(std::slice::from_ref(&one), &at(Some("ITFarm1"), "default"), now).is_none());
    assert!(held(&[one], &at(Some("ITFarm1"), "EMEA"), now).is_some());
}

#[test]
fn the_reason_is_told_with_the_moment() {
    let mut one = freeze("2026-12-20T00:00:00Z", "2027-01-03T00:00:00Z");
    one.reason = Some("annual accounts".to_owned());
    let hold = held(&[one], &work(WorkflowKind::REPLACE), utc("2026-12-24T00:00:00Z")).expect("held");
    assert_eq!(
        hold.detail,
        "the freeze year-end is on: annual accounts; goes on by itself at 2027-01-03T00:00:00Z"
    );
}

#[test]
fn two_freezes_that_take_turns_for_ever_end_in_no_moment_instead_of_no_end() {
    let day = |name: &str, cron: &str| {
        let periods = json!([{"cron": cron, "duration": "12h"}]);
        calendar(json!({"name": name, "effect": "freeze", "periods": periods}))
    };
    let calendars = [day("a", "0 0 * * *"), day("b", "0 12 * * *")];
    assert_eq!(until(&calendars, "2026-01-07T12:00:00Z"), Some(None));
}

#[test]
fn every_broken_rule_of_a_calendar_is_named_at_once() {
    let manifest: CalendarManifest = serde_json::from_value(json!({
        "name": "", "effect": "sometimes", "kinds": ["Replace!"], "directory": "a b", "farm": "a b",
        "timezone": "Mars", "periods": [
            {"from": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"},
            {"from": "2025-01-02T00:00:00Z", "until": "2025-02-01T00:00:00Z"},
            {"cron": "0 0 * * *"},
            {"cron": "0 25 * * *", "duration": "1h"},
            {"cron": "0 0 * * *", "duration": "0s"},
            {"cron": "0 0 30 2 *", "duration": "1h"},
            {"cron": "*/5 2 * * *", "duration": "1h"}
        ]
    }))
    .expect("well formed");
    let problem = manifest.validate(utc("2026-01-01T00:00:00Z")).expect_err("refused");
    let found: Vec<_> = problem.violations.iter().map(|v| format!("{} {}", v.field, v.rule)).collect();
    assert_eq!(
        found,
        [
            "name length",
            "effect value",
            "kinds[0] value",
            "directory characters",
            "farm characters",
            "timezone timezone",
            "periods[0].until order",
            "periods[1].until past",
            "periods[2] form",
            "periods[3].cron cron",
            "periods[4].duration range",
            "periods[5].cron never",
            "periods[6].cron often",
        ]
    );
}
