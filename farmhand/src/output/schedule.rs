//! Schedules and calendars for people.

use domain::calendar::Period;
use serde_json::Value;
use store::{CalendarRecord, Fire, Schedule};

use super::time::moment;
use super::{render, table};

pub fn list(schedules: &[Schedule]) -> String {
    let mut table = table(&["name", "kind", "about", "cron", "zone", "state", "next due", "last due"]);
    for schedule in schedules {
        table.add_row([
            schedule.spec.name.to_string(),
            schedule.spec.kind.to_string(),
            about(schedule),
            schedule.spec.timing.cron.to_string(),
            schedule.spec.timing.timezone.to_string(),
            schedule.state.to_string(),
            moment(schedule.next_due),
            moment(schedule.last_due),
        ]);
    }
    render(&table)
}

fn about(schedule: &Schedule) -> String {
    let target = &schedule.spec.target;
    match (&target.farm, &target.directory) {
        (Some(farm), None) => farm.to_string(),
        (Some(farm), Some(directory)) => format!("{directory}/{farm}"),
        (None, Some(directory)) => format!("directory {directory}"),
        (None, None) => String::new(),
    }
}

/// All of a schedule, and what became of its last due times.
pub fn text(schedule: &Schedule, fires: &[Fire]) -> String {
    let spec = &schedule.spec;
    let seconds = |duration| humantime::format_duration(duration).to_string();
    let mut lines = vec![
        ("schedule", spec.name.to_string()),
        ("description", spec.description.clone().unwrap_or_default()),
        ("asks for", if spec.plan { format!("{} (dry run)", spec.kind) } else { spec.kind.to_string() }),
        ("about", about(schedule)),
        ("input", if spec.input == serde_json::json!({}) { String::new() } else { spec.input.to_string() }),
        ("cron", format!("{} ({})", spec.timing.cron, spec.timing.timezone)),
        ("start", moment(spec.timing.start)),
        ("end", moment(spec.timing.end)),
        ("jitter", if spec.timing.jitter.is_zero() { String::new() } else { seconds(spec.timing.jitter) }),
        (
            "policies",
            format!(
                "overlap {}, misfire {} when later than {}",
                spec.overlap,
                spec.misfire,
                seconds(spec.lateness)
            ),
        ),
        ("state", state(schedule)),
        ("next due", moment(schedule.next_due)),
        ("in line", if schedule.queued == 0 { String::new() } else { schedule.queued.to_string() }),
        ("owner", schedule.owner.clone()),
        ("reason", spec.reason.clone().unwrap_or_default()),
    ];
    lines.retain(|(_, value)| !value.is_empty());
    let mut text: Vec<_> = lines.into_iter().map(|(name, value)| format!("{name:<12} {value}")).collect();
    if !fires.is_empty() {
        text.push(String::new());
        text.push(self::fires(fires));
    }
    text.join("\n")
}

fn state(schedule: &Schedule) -> String {
    if let Some(paused) = &schedule.paused {
        let why = paused.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        return format!("{} since {} by {}{why}", schedule.state, moment(Some(paused.at)), paused.by);
    }
    match &schedule.ended_because {
        Some(because) => format!("{}: {because}", schedule.state),
        None => schedule.state.to_string(),
    }
}

pub fn fires(fires: &[Fire]) -> String {
    let mut table = table(&["due", "outcome", "reason", "workflow", "detail"]);
    for fire in fires {
        table.add_row([
            moment(Some(fire.due)),
            fire.outcome.to_string(),
            fire.reason.map(|reason| reason.to_string()).unwrap_or_default(),
            fire.workflow.map(|id| id.to_string()).unwrap_or_default(),
            fire.detail.clone().unwrap_or_default(),
        ]);
    }
    render(&table)
}

/// `{items: [{due, local, fireAt, remark}]}`.
pub fn preview(document: &Value) -> String {
    let mut table = table(&["local time", "due", "fires at", "remark"]);
    for item in document["items"].as_array().into_iter().flatten() {
        let text = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
        table.add_row([text("local"), text("due"), text("fireAt"), text("remark")]);
    }
    render(&table)
}

pub fn calendars(calendars: &[CalendarRecord]) -> String {
    let mut table = table(&["name", "effect", "holds back", "of", "periods", "reason"]);
    for record in calendars {
        let calendar = &record.calendar;
        let kinds: Vec<_> = calendar.kinds.iter().map(ToString::to_string).collect();
        let of: Vec<_> = [
            calendar.directory.as_ref().map(|directory| format!("directory {directory}")),
            calendar.farm.as_ref().map(|farm| format!("farm {farm}")),
        ]
        .into_iter()
        .flatten()
        .collect();
        let periods: Vec<_> = calendar.periods.iter().map(period).collect();
        table.add_row([
            calendar.name.to_string(),
            calendar.effect.to_string(),
            kinds.join(", "),
            if of.is_empty() { "everything".to_owned() } else { of.join(", ") },
            format!("{} ({})", periods.join("; "), calendar.timezone),
            calendar.reason.clone().unwrap_or_default(),
        ]);
    }
    render(&table)
}

fn period(period: &Period) -> String {
    match period {
        Period::Once { from, until } => format!("{} to {}", moment(Some(*from)), moment(Some(*until))),
        Period::Again { cron, duration } => format!("{cron} for {}", humantime::format_duration(*duration)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record() -> Schedule {
        serde_json::from_value(json!({
            "id": "0199c0de-0000-7000-8000-000000000000", "name": "Nightly", "description": null, "kind": "add-host",
            "target": {"farm": "ITFarm1", "directory": "lab"}, "input": {"hosts": ["Host1"]}, "plan": false,
            "reason": null, "cron": "30 2 * * *", "timezone": "Europe/Berlin", "jitter": "10m", "overlap": "skip",
            "misfire": "run-once", "lateness": "5m", "state": "paused", "nextDue": "2026-11-28T01:30:00Z",
            "fireAt": "2026-11-28T01:31:00Z", "endedBecause": null, "lastDue": null, "lastWorkflow": null, "queued": 2,
            "paused": {"at": "2026-11-27T08:00:00Z", "by": "ben", "reason": "holidays"}, "owner": "ann",
            "ownerRoles": ["operator"], "createdBy": "ann", "createdAt": "2026-11-01T00:00:00Z",
            "updatedAt": "2026-11-27T08:00:00Z"
        }))
        .expect("as the server writes it")
    }

    #[test]
    fn a_schedule_reads_like_this() {
        let fire = json!({
            "due": "2026-11-27T01:30:00Z", "outcome": "missed", "reason": "late", "detail": "1h late; the allowance is 5m",
            "workflow": null, "recordedAt": "2026-11-27T02:30:00Z"
        });
        let fires = vec![serde_json::from_value(fire).expect("as the server writes it")];
        insta::assert_snapshot!(text(&record(), &fires));
        insta::assert_snapshot!(list(&[record()]));
    }

    #[test]
    fn a_calendar_reads_like_this() {
        let calendar = json!({
            "name": "saturdays", "effect": "window", "kinds": ["decommission", "replace"], "directory": "lab", "farm": null,
            "timezone": "Europe/Berlin", "reason": "change board", "createdBy": "ann", "createdAt": "2026-11-01T00:00:00Z",
            "periods": [
                {"cron": "0 22 * * SAT", "duration": "4h"}, {"from": "2026-12-24T00:00:00Z", "until": "2026-12-27T00:00:00Z"}
            ]
        });
        insta::assert_snapshot!(calendars(&[
            serde_json::from_value(calendar).expect("as the server writes it")
        ]));
    }
}
