use chrono::TimeDelta;
use domain::{StepRecord, StepState};
use serde_json::{Value, json};

use super::*;
use crate::http::testing::containment;

const COMPROMISE: &str = "0199c0de-0000-7000-8000-000000000001";

fn now() -> DateTime<Utc> {
    "2026-11-22T12:00:00Z".parse().expect("a time")
}

fn workflow(kind: &str, number: u32, state: &str, farm: Option<&str>) -> Workflow {
    serde_json::from_value(json!({
        "id": format!("0199c0de-0000-7000-8000-{number:012}"), "kind": kind, "directory": "default",
        "farm": farm, "hosts": ["Host1"], "lane": "urgent", "mode": "apply", "state": state,
        "requestedBy": "rita", "reason": null, "createdAt": now(), "startedAt": now(), "finishedAt": now(),
        "waiting": null, "plan": null, "steps": [], "error": null, "result": null
    }))
    .expect("a workflow")
}

fn contained() -> Workflow {
    let result = containment(now() + TimeDelta::hours(2));
    Workflow { result: Some(result), ..workflow("compromise-removal", 1, "succeeded", None) }
}

fn of(children: Vec<Workflow>, now: DateTime<Utc>) -> Incident {
    incident(contained(), children, now)
}

/// Of ITFarm1, the first account.
fn first(incident: &Incident) -> (Standing, Option<i64>) {
    (incident.exposures[0].stands, incident.exposures[0].ends_in_seconds)
}

#[test]
fn the_countdown_ends_at_0_and_turns_only_when_the_roll_is_seen() {
    for (later, stands, left) in [
        (TimeDelta::zero(), Standing::Open, 7_200),
        (TimeDelta::seconds(7_199), Standing::Open, 1),
        (TimeDelta::hours(2), Standing::Due, 0),
        (TimeDelta::days(30), Standing::Due, 0),
    ] {
        assert_eq!(first(&of(vec![], now() + later)), (stands, Some(left)), "{later}");
    }
    let other = &of(vec![], now()).exposures[1];
    assert_eq!((other.stands, other.ends_in_seconds), (Standing::Unknown, None), "its key could not be read");
}

fn disabled(number: u32, state: &str, step: StepState) -> Workflow {
    let finished_at = Some(now() - TimeDelta::minutes(1));
    let step = StepRecord { state: step, finished_at, ..StepRecord::pending(15, "disable-old-account") };
    Workflow { steps: vec![step], ..workflow("replace", number, state, Some("ITFarm1")) }
}

#[test]
fn only_a_roll_that_was_seen_or_an_old_account_that_is_disabled_ends_an_exposure() {
    let rolled = |state: &str, farm: &str| Workflow {
        result: Some(json!({ "seenAt": now() - TimeDelta::minutes(3) })),
        ..workflow("await-roll", 2, state, Some(farm))
    };
    let dry = Workflow { mode: Mode::Plan, ..workflow("replace", 2, "succeeded", Some("ITFarm1")) };
    for (what, child, over) in [
        ("seen by await-roll", rolled("succeeded", "itfarm1"), Some(("await-roll", 3))),
        ("still waiting", rolled("waiting", "ITFarm1"), None),
        ("of another farm", rolled("succeeded", "ITFarm2"), None),
        (
            "the old account disabled, in its cool-down",
            disabled(2, "waiting", StepState::Succeeded),
            Some(("replace", 1)),
        ),
        ("disabled when it was parked", disabled(2, "waiting", StepState::Skipped), Some(("replace", 1))),
        ("put back by a cancel", disabled(2, "cancelled", StepState::Undone), None),
        ("replaced before", workflow("replace", 2, "succeeded", Some("ITFarm1")), Some(("replace", 0))),
        ("waits for approval", workflow("replace", 2, "waiting", Some("ITFarm1")), None),
        ("a dry run", dry, None),
        ("another kind", workflow("update", 2, "succeeded", Some("ITFarm1")), None),
    ] {
        let found = of(vec![child], now());
        let seen = found.exposures[0].rolled.as_ref();
        let seen = seen.map(|over| (over.by.as_str(), (now() - over.at).num_minutes()));
        assert_eq!(seen, over, "{what}");
        let left = if over.is_some() { 0 } else { 7_200 };
        assert_eq!(found.exposures[0].ends_in_seconds, Some(left), "{what}");
    }
}

#[test]
fn the_choice_that_stands_is_shown_and_what_has_none_is_asked_for() {
    let chosen = |children: Vec<Workflow>| {
        let found = of(children, now());
        let choice = found.exposures[0].recovery.as_ref().map(|r| (r.choice, r.state.as_str().to_owned()));
        let asked =
            found.next.iter().any(|line| line.contains(&format!("recover {COMPROMISE} ITFarm1=wait")));
        (choice, asked)
    };
    let some = |choice, state: &str| Some((choice, state.to_owned()));
    let child = |kind, number, state| workflow(kind, number, state, Some("ITFarm1"));
    assert_eq!(chosen(vec![]), (None, true));
    let rest = &of(vec![child("await-roll", 2, "waiting")], now()).next;
    assert!(rest[0].starts_with("take "), "what no directory can do is said until the end: {rest:?}");
    assert_eq!(chosen(vec![child("await-roll", 2, "waiting")]), (some("wait", "waiting"), false));
    assert_eq!(chosen(vec![child("replace", 2, "cancelled")]), (some("replace", "cancelled"), true));
    let both = vec![child("await-roll", 2, "waiting"), child("replace", 3, "waiting")];
    assert_eq!(chosen(both), (some("replace", "waiting"), false));
    let back = vec![child("replace", 2, "cancelled"), child("await-roll", 3, "waiting")];
    assert_eq!(chosen(back), (some("wait", "waiting"), false));
    let others = &of(vec![], now()).next;
    assert!(others.iter().any(|line| line.starts_with("svc-other$ is no farm on record")), "{others:?}");
}

#[test]
fn a_containment_that_is_not_done_says_so_and_shows_no_exposure() {
    for (state, says) in
        [("waiting", "not done yet"), ("failed", "NOT done"), ("cancelled", "what it wrote stays")]
    {
        let found = incident(workflow("compromise-removal", 1, state, None), vec![], now());
        assert!(found.containment.is_none() && found.exposures.is_empty(), "{state}");
        assert!(found.next.len() == 1 && found.next[0].contains(says), "{state}: {:?}", found.next);
    }
    let strange = Workflow { result: Some(json!({"summary": "of another version"})), ..contained() };
    let found = incident(strange, vec![], now());
    assert_eq!(found.workflow.result, Some(json!({"summary": "of another version"})));
    assert_eq!(found.containment, None);
}

#[test]
fn children_are_shown_without_their_steps() {
    let found = of(vec![disabled(2, "waiting", StepState::Succeeded)], now());
    assert!(found.children.len() == 1 && found.children[0].steps.is_empty());
    let json = serde_json::to_value(&found).expect("serialises");
    assert_eq!(json["exposures"][0]["rolled"]["by"], "replace");
    assert_eq!(json["exposures"][1]["endsInSeconds"], Value::Null);
}
