//! How farms stand to what was asked for, for people.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use domain::DriftState;
use domain::drift::{DriftEntry, DriftSummary};
use serde::Deserialize as _;

use super::{render, table};

/// One row for each farm.
pub fn list(entries: &[DriftEntry]) -> String {
    if entries.is_empty() {
        return "no farm; `farmhand drift-check` compares all of a directory".to_owned();
    }
    let mut table = table(&["farm", "state", "differences", "since", "checked", "why"]);
    for entry in entries {
        table.add_row([
            entry.farm.to_string(),
            entry.state.to_string(),
            entry.item_count.to_string(),
            minute(entry.changed_at),
            minute(entry.checked_at),
            entry.why.clone().unwrap_or_default(),
        ]);
    }
    render(&table)
}

/// One farm with all that differs.
pub fn detail(entry: &DriftEntry) -> String {
    let mut text = format!(
        "{}  {}\nchecked {} on {}; compared {}; so since {}",
        entry.farm,
        entry.state,
        minute(entry.checked_at),
        entry.domain_controller,
        minute(entry.compared_at),
        minute(entry.changed_at),
    );
    if let Some(why) = &entry.why {
        let _ = write!(text, "\n{why}");
    }
    if !entry.items.is_empty() {
        let mut items = table(&["", "what", "attribute", "asked", "recorded", "found"]);
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        for item in &entry.items {
            items.add_row([
                item.kind.to_string(),
                item.subject.clone(),
                item.attribute.clone(),
                shown(&item.asked),
                shown(&item.recorded),
                shown(&item.found),
            ]);
        }
        let _ = write!(text, "\n{}", render(&items));
        let more = usize::try_from(entry.item_count).unwrap_or(usize::MAX).saturating_sub(entry.items.len());
        if more > 0 {
            let _ = write!(text, "\nand {more} more");
        }
        // The same advice for a hundred hosts is one line.
        let mut hints: Vec<&str> = Vec::new();
        for item in &entry.items {
            if !hints.contains(&item.hint.as_str()) {
                hints.push(&item.hint);
            }
        }
        for hint in hints {
            let _ = write!(text, "\n- {hint}");
        }
    }
    if let (DriftState::Mending, Some(workflow)) = (entry.state, entry.mended_by) {
        let _ = write!(text, "\nmended by {workflow}: farmhand workflow show {workflow}");
    }
    text
}

fn minute(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%MZ").to_string()
}

/// The result of a check.
pub fn summary(result: &serde_json::Value) -> Option<String> {
    // Of a server of another version it may look otherwise; then it is not shown.
    let result = DriftSummary::deserialize(result).ok()?;
    let mut text = result.summary.clone();
    if let Some(why) = &result.full {
        let _ = write!(text, "\nevery farm was compared: {why}");
    }
    if !result.drifted.is_empty() {
        let farms: Vec<_> = result.drifted.iter().map(ToString::to_string).collect();
        let _ = write!(text, "\nnot as asked for: {}", farms.join(", "));
    }
    for id in &result.mending {
        let _ = write!(text, "\nan update that mends waits for approval: farmhand workflow show {id}");
    }
    for warning in &result.warnings {
        let _ = write!(text, "\nwarning: {warning}");
    }
    Some(format!("{text}\nall of them: farmhand drift list; one: farmhand drift show FARM"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry() -> DriftEntry {
        serde_json::from_value(json!({
            "directory": "default", "farm": "ITFarm1", "state": "mending", "why": null,
            "items": [
                {"kind": "changed", "subject": "ITFarm1$", "attribute": "msDS-SupportedEncryptionTypes",
                 "asked": "AES128, AES256", "recorded": "AES128, AES256", "found": "RC4", "mendable": true,
                 "hint": "`farmhand update -f FILE` puts it right"},
                {"kind": "extra", "subject": "Host9", "attribute": "member", "asked": null, "recorded": null,
                 "found": "CN=Host9,OU=Servers,DC=contoso,DC=com", "mendable": false,
                 "hint": "`farmhand remove-host ITFarm1 Host9`"},
            ],
            "itemCount": 2, "domainController": "dc1.contoso.com", "checkedAt": "2026-01-02T03:04:05Z",
            "comparedAt": "2026-01-02T03:04:05Z", "changedAt": "2026-01-01T03:04:05Z",
            "mendedBy": "0199c0de-0000-7000-8000-000000000001",
        }))
        .expect("an entry")
    }

    #[test]
    fn farms_have_one_row_each() {
        insta::assert_snapshot!(list(&[entry()]));
        assert!(list(&[]).contains("drift-check"));
    }

    #[test]
    fn a_farm_is_shown_with_what_differs_and_what_to_do() {
        insta::assert_snapshot!(detail(&entry()));
    }

    #[test]
    fn a_summary_of_another_version_is_not_shown() {
        assert_eq!(summary(&json!({"summary": "3 farms"})), None);
    }
}
