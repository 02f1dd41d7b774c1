use chrono::Duration;
use serde_json::json;

use super::*;
use crate::SystemRng;
use crate::schedule::ScheduleManifest;

fn utc(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).expect("a time").to_utc()
}

/// Due at each full hour, allowed to be five minutes late.
fn hourly(overlap: &str, misfire: &str) -> ScheduleSpec {
    let manifest = json!({
        "name": "s", "kind": "inspect", "cron": "0 * * * *", "lateness": "5m",
        "overlap": overlap, "misfire": misfire,
    });
    let manifest: ScheduleManifest = serde_json::from_value(manifest).expect("a manifest");
    manifest.validate(utc("2026-01-01T00:00:00Z")).expect("valid")
}

fn id() -> ScheduleId {
    ScheduleId::new(utc("2026-01-01T00:00:00Z"), &SystemRng)
}

fn verdicts(spec: &ScheduleSpec, standing: Standing, now: &str) -> Vec<Verdict> {
    let round = spec.round(id(), utc("2026-01-01T01:00:00Z"), standing, utc(now), 100);
    round.due.iter().map(|due| due.verdict).collect()
}

use FireReason as R;
use Verdict::{Miss, Queue, Run, Skip};

#[test]
fn what_is_on_time_or_allowed_to_be_late_runs_whatever_the_misfire_policy() {
    for misfire in ["run-once", "run-all", "skip"] {
        let spec = hourly("skip", misfire);
        assert_eq!(verdicts(&spec, Standing::default(), "2026-01-01T00:59:59Z"), []);
        assert_eq!(verdicts(&spec, Standing::default(), "2026-01-01T01:00:00Z"), [Run]);
        assert_eq!(
            verdicts(&spec, Standing::default(), "2026-01-01T01:05:00Z"),
            [Run],
            "1.7 s late is no reason"
        );
    }
}

#[test]
fn after_a_day_of_standstill_each_policy_does_what_it_says() {
    let now = "2026-01-02T00:30:00Z";
    let runs = |verdicts: &[Verdict]| verdicts.iter().filter(|verdict| **verdict == Run).count();
    let once = verdicts(&hourly("allow", "run-once"), Standing::default(), now);
    assert_eq!((once.len(), runs(&once), once[23]), (24, 1, Run), "the last one runs");
    assert!(once[..23].iter().all(|verdict| *verdict == Miss(R::Superseded)));
    let all = verdicts(&hourly("allow", "run-all"), Standing::default(), now);
    assert_eq!((all.len(), runs(&all)), (24, 24));
    let none = verdicts(&hourly("allow", "skip"), Standing::default(), now);
    assert_eq!((none.len(), runs(&none)), (24, 0));
    assert!(none.iter().all(|verdict| *verdict == Miss(R::Late)));
}

#[test]
fn the_one_run_for_all_is_the_one_that_is_on_time_where_there_is_one() {
    let now = "2026-01-01T03:01:00Z";
    let late = Miss(R::Superseded);
    assert_eq!(verdicts(&hourly("allow", "run-once"), Standing::default(), now), [late, late, Run]);
    let late = Miss(R::Late);
    assert_eq!(verdicts(&hourly("allow", "skip"), Standing::default(), now), [late, late, Run]);
}

#[test]
fn all_that_are_made_up_for_meet_the_overlap_policy() {
    let now = "2026-01-01T03:30:00Z";
    let skipped = Skip(R::Overlap);
    assert_eq!(verdicts(&hourly("skip", "run-all"), Standing::default(), now), [Run, skipped, skipped]);
    assert_eq!(verdicts(&hourly("queue", "run-all"), Standing::default(), now), [Run, Queue, Queue]);
}

#[test]
fn while_the_last_run_goes_on_the_overlap_policy_decides() {
    let now = "2026-01-01T01:00:01Z";
    let running = Standing { running: true, ..Standing::default() };
    assert_eq!(verdicts(&hourly("skip", "skip"), running.clone(), now), [Skip(R::Overlap)]);
    assert_eq!(verdicts(&hourly("queue", "skip"), running.clone(), now), [Queue]);
    assert_eq!(verdicts(&hourly("allow", "skip"), running, now), [Run]);
    let in_line = Standing { queued: 1, ..Standing::default() };
    assert_eq!(verdicts(&hourly("queue", "skip"), in_line, now), [Queue], "not past those in line");
    let full = Standing { queued: MAX_QUEUED, ..Standing::default() };
    assert_eq!(verdicts(&hourly("queue", "skip"), full, now), [Skip(R::QueueFull)]);
}

#[test]
fn a_pause_is_not_made_up_for_and_a_time_after_it_is_not_lost() {
    let pause = |until: Option<&str>| Standing {
        pause: Some(Pause { from: utc("2026-01-01T01:30:00Z"), until: until.map(utc) }),
        ..Standing::default()
    };
    let spec = hourly("allow", "run-all");
    let paused = Skip(R::Paused);
    assert_eq!(verdicts(&spec, pause(None), "2026-01-01T03:00:00Z"), [Run, paused, paused]);
    assert_eq!(
        verdicts(&spec, pause(Some("2026-01-01T03:00:00Z")), "2026-01-01T03:00:00Z"),
        [Run, paused, Run]
    );
}

#[test]
fn a_round_is_bounded_and_the_next_one_goes_on_where_it_ended() {
    let spec = hourly("allow", "run-once");
    let (id, now) = (id(), utc("2026-01-02T00:30:00Z"));
    let mut next = utc("2026-01-01T01:00:00Z");
    let mut seen = Vec::new();
    loop {
        let round = spec.round(id, next, Standing::default(), now, 10);
        if round.due.is_empty() {
            break;
        }
        seen.extend(round.due.iter().map(|due| (due.at, due.verdict)));
        next = round.next.expect("there is always a next hour");
    }
    assert_eq!(seen.len(), 24);
    assert_eq!(seen.iter().filter(|(_, verdict)| *verdict == Run).count(), 1);
    assert_eq!(next, utc("2026-01-02T01:00:00Z"));
}

#[test]
fn a_due_time_waits_for_its_jitter_and_keeps_its_name() {
    let mut spec = hourly("allow", "skip");
    spec.timing.jitter = std::time::Duration::from_secs(1200);
    let (id, due) = (id(), utc("2026-01-01T01:00:00Z"));
    let moment = spec.timing.moment(id, due);
    let before = spec.round(id, due, Standing::default(), moment - Duration::milliseconds(1), 10);
    assert_eq!((before.due.len(), before.next), (0, Some(due)));
    let round = spec.round(id, due, Standing::default(), moment, 10);
    assert_eq!(round.due, [Due { at: due, moment, verdict: Run }]);
}

#[test]
fn a_clock_that_was_set_back_finds_nothing_due() {
    let round = hourly("allow", "run-all").round(
        id(),
        utc("2026-01-01T05:00:00Z"),
        Standing::default(),
        utc("2026-01-01T02:00:00Z"),
        10,
    );
    assert_eq!((round.due.len(), round.next), (0, Some(utc("2026-01-01T05:00:00Z"))));
}

#[test]
fn the_last_due_time_has_no_next() {
    let mut spec = hourly("allow", "skip");
    spec.timing.end = Some(utc("2026-01-01T02:00:00Z"));
    let round =
        spec.round(id(), utc("2026-01-01T01:00:00Z"), Standing::default(), utc("2026-01-01T01:00:00Z"), 10);
    assert_eq!((round.due.len(), round.next), (1, None));
}
