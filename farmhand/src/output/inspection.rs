//! The result of an `inspect` workflow for people: what was asked beside what is there.
//!
//! Read as plain JSON and field by field: a worker of another version may leave some out.

use std::fmt::Write as _;

use serde_json::Value;

use super::{render, table};

pub fn text(result: &Value) -> String {
    let mut text = match result["summary"].as_str() {
        Some(summary) => format!("in the directory: {summary}"),
        None => "in the directory:".to_owned(),
    };
    let parts = [
        differences(result),
        account(result),
        dcs(result),
        hosts(result),
        contained(result),
        warnings(result),
    ];
    for part in parts.into_iter().flatten() {
        let _ = write!(text, "\n{part}");
    }
    text
}

/// What is there in few words; lists by line, nothing for null.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join("\n"),
        other => other.to_string(),
    }
}

fn items<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn differences(result: &Value) -> Option<String> {
    let differences = items(result, "differences");
    if differences.is_empty() {
        return None;
    }
    let mut table = table(&["field", "attribute", "asked", "found"]);
    for difference in differences {
        table.add_row(["field", "attribute", "asked", "found"].map(|key| shown(&difference[key])));
    }
    Some(format!("differs from what was asked:\n{}", render(&table)))
}

/// On record beside found.
fn account(result: &Value) -> Option<String> {
    let (recorded, found) = (&result["recorded"], &result["found"]);
    let (account, group) = (&found["account"], &found["group"]);
    let interval = &account["managedPasswordInterval"];
    let rows = [
        ("asked of", Value::Null, found["dc"].clone()),
        ("account DN", recorded["accountDn"].clone(), account["dn"].clone()),
        ("account SID", recorded["accountSid"].clone(), account["sid"].clone()),
        ("enabled", Value::Null, account["enabled"].clone()),
        ("interval in days", Value::Null, interval["days"].clone()),
        ("password since", Value::Null, account["passwordSince"].clone()),
        ("password due", Value::Null, account["passwordDue"].clone()),
        ("readers", Value::Null, Value::Array(items(account, "readers").iter().map(reader).collect())),
        ("readers unreadable", Value::Null, account["readersUnreadable"].clone()),
        ("group DN", recorded["groupDn"].clone(), group["dn"].clone()),
        ("group SID", recorded["groupSid"].clone(), group["sid"].clone()),
        ("members", Value::Null, group["memberCount"].clone()),
        ("missing members", Value::Null, group["missing"].clone()),
        ("members not asked for", Value::Null, group["unasked"].clone()),
    ];
    let mut table = table(&["", "on record", "found"]);
    let mut some = false;
    for (name, recorded, found) in rows {
        let (recorded, found) = (shown(&recorded), shown(&found));
        if !(recorded.is_empty() && found.is_empty()) {
            some = true;
            let found = if found.is_empty() { "(not there)".to_owned() } else { found };
            table.add_row([name.to_owned(), recorded, found]);
        }
    }
    some.then(|| render(&table))
}

fn reader(reader: &Value) -> Value {
    let name = if reader["name"].is_null() { &reader["sid"] } else { &reader["name"] };
    let foreign = if reader["foreign"] == true { " (not the farm's)" } else { "" };
    format!("{} {}{foreign}", shown(&reader["effect"]), shown(name)).into()
}

fn dcs(result: &Value) -> Option<String> {
    let dcs = items(&result["found"], "perDc");
    if dcs.is_empty() {
        return None;
    }
    let mut table = table(&["domain controller", "account", "members", "differs"]);
    for dc in dcs {
        let account = match (&dc["error"], dc["accountFound"].as_bool()) {
            (Value::String(error), _) => error.clone(),
            (_, Some(true)) => "there".to_owned(),
            (_, Some(false)) => "not there".to_owned(),
            _ => String::new(),
        };
        let differs: Vec<_> = items(dc, "differences").iter().map(|one| shown(&one["attribute"])).collect();
        table.add_row([shown(&dc["name"]), account, shown(&dc["memberCount"]), differs.join("\n")]);
    }
    Some(render(&table))
}

fn hosts(result: &Value) -> Option<String> {
    let hosts = items(result, "hosts");
    if hosts.is_empty() {
        return None;
    }
    let mut table = table(&["host", "on record", "can read", "through"]);
    for host in hosts {
        table.add_row(["name", "onRecord", "canRead", "through"].map(|key| shown(&host[key])));
    }
    Some(render(&table))
}

fn contained(result: &Value) -> Option<String> {
    let hosts = items(result, "contained");
    if hosts.is_empty() {
        return None;
    }
    let mut table = table(&["under quarantine", "since", "containment", "denied first"]);
    for host in hosts {
        table.add_row(["name", "since", "workflow", "deniedFirst"].map(|key| shown(&host[key])));
    }
    Some(render(&table))
}

fn warnings(result: &Value) -> Option<String> {
    let lines: Vec<_> =
        items(result, "warnings").iter().map(|text| format!("warning: {}", shown(text))).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_person_sees_what_differs_and_who_can_read() {
        let result = json!({
            "summary": "1 attribute differs", "warnings": ["RC4 is allowed"],
            "recorded": {"accountDn": "CN=ITFarm1,DC=x", "accountSid": "S-1-5-21-1-2-3-1104"},
            "differences": [{
                "field": "description", "attribute": "description", "asked": "web", "found": "old"
            }],
            "found": {
                "dc": "dc1.x",
                "account": {
                    "dn": "CN=ITFarm1,OU=New,DC=x", "sid": "S-1-5-21-1-2-3-1104", "enabled": true,
                    "managedPasswordInterval": {"days": 30},
                    "readers": [
                        {"effect": "allow", "sid": "S-1-5-21-1-2-3-9", "name": "Hosts", "foreign": false},
                        {"effect": "deny", "sid": "S-1-5-21-1-2-3-8", "name": null, "foreign": true}
                    ]
                },
                "perDc": [{"name": "dc1.x", "accountFound": true, "memberCount": 2, "differences": []},
                          {"name": "dc2.x", "error": "does not answer"}]
            },
            "hosts": [{"name": "Host1", "onRecord": true, "canRead": "yes", "through": "Hosts"}]
        });
        let shown = text(&result);
        insta::assert_snapshot!(shown);
    }

    #[test]
    fn hosts_under_quarantine_have_a_table_of_their_own() {
        let host = json!({"name": "Host2", "since": "2026-11-27T16:00:00Z", "workflow": "0190", "deniedFirst": true});
        let shown = text(&json!({"summary": "as asked", "contained": [host]}));
        let cells = ["under quarantine", "Host2", "2026-11-27T16:00:00Z", "0190", "yes"];
        assert!(cells.iter().all(|cell| shown.contains(cell)), "{shown}");
    }

    #[test]
    fn what_is_left_out_or_of_another_form_is_passed_over() {
        assert_eq!(text(&json!({})), "in the directory:");
        assert_eq!(text(&json!({"summary": "gone", "found": 3, "hosts": "?"})), "in the directory: gone");
    }
}
