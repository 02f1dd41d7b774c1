//! How gMSAs' passwords stand, for people.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use domain::RotationVerdict;
use domain::containment::KeyId;
use domain::rotation::{RotationChange, RotationEntry, RotationSummary};
use serde::Deserialize as _;

use super::{render, table};

/// One row for each account.
pub fn board(entries: &[RotationEntry]) -> String {
    if entries.is_empty() {
        return "no account; `farmhand rotation-check` looks at all of a directory".to_owned();
    }
    let mut table = table(&["account", "farm", "verdict", "next due", "interval", "readers", "findings"]);
    for entry in entries {
        let item = &entry.item;
        let codes: Vec<_> = item.codes().iter().map(ToString::to_string).collect();
        table.add_row([
            item.account.clone(),
            item.farm.as_ref().map(ToString::to_string).unwrap_or_default(),
            if entry.gone_at.is_some() { "gone".to_owned() } else { item.verdict.to_string() },
            hour(item.next_due),
            interval(entry),
            item.reader_count.to_string(),
            codes.join(", "),
        ]);
    }
    render(&table)
}

/// One account with all that is known of it.
pub fn detail(entry: &RotationEntry, history: &[RotationChange]) -> String {
    let item = &entry.item;
    let mut text = format!("{}  {}\n{}", item.account, item.verdict, item.why);
    let key = item.key_id.as_ref().map_or_else(|| "(not seen)".to_owned(), key);
    let mut facts = table(&["", ""]);
    for (name, value) in [
        ("DN", item.dn.to_string()),
        ("SID", item.sid.to_string()),
        ("farm", item.farm.as_ref().map_or_else(|| "(none on record)".to_owned(), ToString::to_string)),
        ("key", key),
        ("interval", interval(entry)),
        ("since", hour(item.slot_start)),
        ("next due", hour(item.next_due)),
        ("readers", readers(entry)),
        ("checked", hour(Some(entry.checked_at))),
        ("gone", hour(entry.gone_at)),
    ] {
        if !value.is_empty() {
            facts.add_row([name.to_owned(), value]);
        }
    }
    let _ = write!(text, "\n{}", render(&facts));
    for finding in &item.findings {
        let about = if finding.subjects.is_empty() {
            String::new()
        } else {
            format!(": {}", finding.subjects.join(", "))
        };
        let _ = write!(text, "\n- {}{about}\n  {}", finding.code, finding.text);
    }
    if item.copies.len() > 1 {
        let mut copies = table(&["DC", "key"]);
        for copy in &item.copies {
            copies.add_row([
                copy.dc.clone(),
                copy.key_id.as_ref().map_or_else(|| "(none)".to_owned(), self::key),
            ]);
        }
        let _ = write!(text, "\n{}", render(&copies));
    }
    if !history.is_empty() {
        let mut changes = table(&["changed", "verdict", "key", "why"]);
        for change in history {
            let verdict = if change.gone { "gone".to_owned() } else { change.verdict.to_string() };
            let key = change.key_id.as_ref().map(self::key).unwrap_or_default();
            changes.add_row([hour(Some(change.at)), verdict, key, change.why.clone()]);
        }
        let _ = write!(text, "\n{}", render(&changes));
    }
    if let Some(hint) = hint(entry) {
        let _ = write!(text, "\n{hint}");
    }
    text
}

/// What a person can do about the verdict.
fn hint(entry: &RotationEntry) -> Option<String> {
    let farm = entry.item.farm.as_ref();
    match (entry.item.verdict, farm) {
        (RotationVerdict::Due | RotationVerdict::Idle, _) => Some(
            "it rolls when a member host fetches it (Test-ADServiceAccount there); `spec.rotation.nudge: true` has \
             checks see to it"
                .to_owned(),
        ),
        (RotationVerdict::Current | RotationVerdict::Overdue, Some(farm)) => {
            Some(format!("to change it before it is due, or where it cannot roll: farmhand replace {farm}"))
        }
        _ => None,
    }
}

fn interval(entry: &RotationEntry) -> String {
    let Some(days) = entry.item.interval_days else { return String::new() };
    match entry.item.rollover_hours {
        Some(hours) if i64::from(hours) == days * 24 => format!("{days} d"),
        Some(hours) => format!("{days} d (rolls after {hours} h)"),
        None => format!("{days} d (invalid)"),
    }
}

fn readers(entry: &RotationEntry) -> String {
    let shown = entry.item.readers.iter().map(|reader| {
        let verb = if reader.denied { "deny " } else { "" };
        format!("{verb}{}", reader.name.clone().unwrap_or_else(|| reader.sid.to_string()))
    });
    let mut shown: Vec<_> = shown.collect();
    let more = usize::try_from(entry.item.reader_count).unwrap_or(usize::MAX).saturating_sub(shown.len());
    if more > 0 {
        shown.push(format!("and {more} more"));
    }
    if shown.is_empty() { "(nobody)".to_owned() } else { shown.join(", ") }
}

fn key(key: &KeyId) -> String {
    format!("({}, {}, {}) of {}", key.l0, key.l1, key.l2, key.root_key)
}

fn hour(time: Option<DateTime<Utc>>) -> String {
    time.map(|time| time.format("%Y-%m-%d %H:%MZ").to_string()).unwrap_or_default()
}

/// The result of a check.
pub fn summary(result: &serde_json::Value) -> Option<String> {
    // Of a server of another version it may look otherwise; then it is not shown.
    let result = RotationSummary::deserialize(result).ok()?;
    let mut text = result.summary.clone();
    for (code, number) in &result.findings {
        let _ = write!(text, "\n- {code}: {number}");
    }
    if !result.farms_without_account.is_empty() {
        let farms: Vec<_> = result.farms_without_account.iter().map(ToString::to_string).collect();
        let _ = write!(text, "\nfarms on record whose account is not there: {}", farms.join(", "));
    }
    for id in &result.nudges {
        let _ = write!(text, "\na host is asked to fetch a password that is due: workflow {id}");
    }
    for warning in &result.warnings {
        let _ = write!(text, "\nwarning: {warning}");
    }
    Some(format!("{text}\nthe board: farmhand rotation"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry() -> RotationEntry {
        serde_json::from_value(json!({
            "directory": "default", "account": "ITFarm1$", "sid": "S-1-5-21-1-2-3-1000",
            "dn": "CN=ITFarm1,CN=Managed Service Accounts,DC=contoso,DC=com", "farm": "ITFarm1",
            "verdict": "due", "why": "due at 2023-09-10 04:00Z, and nobody has asked for it since, on every DC",
            "keyId": {"l0": 361, "l1": 26, "l2": 24, "rootKey": "7dc95c96-fa85-183a-dff5-f70696bf0b11"},
            "intervalDays": 1, "rolloverHours": 20, "slotStart": "2023-09-09T08:00:00Z",
            "nextDue": "2023-09-10T04:00:00Z", "passwordSet": null, "enabled": true,
            "readers": [{"sid": "S-1-5-21-1-2-3-1200", "name": "ITFarmHosts"}], "readerCount": 3,
            "findings": [{"code": "host-cannot-read", "text": "1 host on record cannot read the password",
                          "subjects": ["Host2"], "at": "2023-09-10T04:00:00Z"}],
            "copies": [{"dc": "dc1.contoso.com", "keyId": null}], "checkedAt": "2023-09-10T06:00:00Z",
            "changedAt": "2023-09-10T06:00:00Z", "goneAt": null
        }))
        .expect("an entry")
    }

    #[test]
    fn a_board_has_one_row_for_each_account() {
        insta::assert_snapshot!(board(&[entry()]));
        assert!(board(&[]).contains("rotation-check"));
    }

    #[test]
    fn an_account_is_shown_with_what_follows() {
        let change = RotationChange {
            at: entry().changed_at,
            verdict: RotationVerdict::Due,
            why: entry().item.why,
            key_id: entry().item.key_id,
            gone: false,
            workflow: "0199c0de-0000-7000-8000-000000000001".parse().expect("an id"),
        };
        insta::assert_snapshot!(detail(&entry(), &[change]));
    }

    #[test]
    fn a_summary_of_another_version_is_not_shown() {
        assert_eq!(summary(&json!({"summary": "3 gMSAs"})), None);
    }
}
