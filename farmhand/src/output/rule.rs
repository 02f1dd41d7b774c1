//! Rules for people.

use serde_json::Value;
use store::{Firing, Rule};

use super::time::moment;
use super::{render, table};

pub fn list(rules: &[Rule]) -> String {
    let mut table = table(&["name", "on", "asks for", "state", "last fired", "owner"]);
    for rule in rules {
        table.add_row([
            rule.spec.name.to_string(),
            types(rule),
            asks_for(rule),
            rule.state.to_string(),
            moment(rule.last_fired_at),
            rule.owner.clone(),
        ]);
    }
    render(&table)
}

fn types(rule: &Rule) -> String {
    let types: Vec<_> = rule.spec.on.types.iter().map(ToString::to_string).collect();
    types.join(", ")
}

fn asks_for(rule: &Rule) -> String {
    let kind = &rule.spec.action.kind;
    if rule.spec.dry_run { format!("{kind} (dry run)") } else { kind.to_string() }
}

/// All of a rule, and what became of the last events that it was for.
pub fn text(rule: &Rule, firings: &[Firing]) -> String {
    let spec = &rule.spec;
    let duration = |duration| humantime::format_duration(duration).to_string();
    let target = &spec.action.target;
    let about: Vec<_> = [("farm", &target.farm), ("directory", &target.directory)]
        .into_iter()
        .filter_map(|(what, name)| Some(format!("{what} {}", name.as_ref()?)))
        .collect();
    let dedupe =
        spec.dedupe.as_ref().map(|dedupe| format!("{} within {}", dedupe.key, duration(dedupe.within)));
    let mut lines = vec![
        ("rule", spec.name.to_string()),
        ("description", spec.description.clone().unwrap_or_default()),
        ("on", types(rule)),
        ("source", spec.on.source.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("publishers", spec.on.publishers.join(", ")),
        ("when", spec.when.clone().unwrap_or_default()),
        ("asks for", asks_for(rule)),
        ("about", about.join(", ")),
        ("input", spec.action.input.to_string()),
        ("dedupe", dedupe.unwrap_or_default()),
        ("rate", format!("at most {} in {}", spec.rate.most, duration(spec.rate.per))),
        ("state", state(rule)),
        ("last fired", moment(rule.last_fired_at)),
        ("owner", rule.owner.clone()),
        ("reason", spec.action.reason.clone().unwrap_or_default()),
    ];
    lines.retain(|(_, value)| !value.is_empty() && value != "{}");
    let mut text: Vec<_> = lines.into_iter().map(|(name, value)| format!("{name:<12} {value}")).collect();
    if !firings.is_empty() {
        text.push(String::new());
        text.push(self::firings(firings));
    }
    text.join("\n")
}

fn state(rule: &Rule) -> String {
    match &rule.paused {
        Some(paused) => {
            let why = paused.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            format!("{} since {} by {}{why}", rule.state, moment(Some(paused.at)), paused.by)
        }
        None => rule.state.to_string(),
    }
}

pub fn firings(firings: &[Firing]) -> String {
    let mut table = table(&["at", "event", "outcome", "code", "workflow", "detail"]);
    for firing in firings {
        let subject = firing.event.subject.as_ref().map(|subject| format!(" {subject}")).unwrap_or_default();
        table.add_row([
            moment(Some(firing.recorded_at)),
            format!("{}{subject}", firing.event.kind),
            firing.outcome.to_string(),
            firing.code.map(|code| code.to_string()).unwrap_or_default(),
            firing.workflow.map(|id| id.to_string()).unwrap_or_default(),
            firing.detail.clone().unwrap_or_default(),
        ]);
    }
    render(&table)
}

/// `{matched, why, asks, dedupeKey, outcome, code, detail}`.
pub fn test(document: &Value) -> String {
    let text = |name: &str| document[name].as_str().unwrap_or_default().to_owned();
    if document["matched"] != Value::Bool(true) {
        return format!("the rule is not for this event: {}", text("why"));
    }
    let asks = &document["asks"];
    let of = |value: &Value| if value.is_null() { String::new() } else { value.to_string() };
    let mut lines = vec![
        ("outcome", text("outcome")),
        ("code", text("code")),
        ("detail", text("detail")),
        ("asks for", asks["kind"].as_str().unwrap_or_default().to_owned()),
        ("farm", asks["target"]["farm"].as_str().unwrap_or_default().to_owned()),
        ("directory", asks["target"]["directory"].as_str().unwrap_or_default().to_owned()),
        ("input", of(&asks["input"])),
        ("reason", asks["reason"].as_str().unwrap_or_default().to_owned()),
        ("key", text("dedupeKey")),
    ];
    lines.retain(|(_, value)| !value.is_empty());
    let mut text: Vec<_> = lines.into_iter().map(|(name, value)| format!("{name:<12} {value}")).collect();
    text.push(
        "This is what would become of the event; nothing was recorded and nothing asked for.".to_owned(),
    );
    text.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rule_reads_like_this() {
        let rule: Rule = serde_json::from_value(json!({
            "id": "0199c0de-0000-7000-8000-000000000000", "name": "new-web-host", "description": null,
            "on": {"types": ["farmhand.event.webhook-received.v1"], "source": null, "publishers": ["cmdb"]},
            "when": "event.data.body.name is like('WEB-*')",
            "do": {
                "kind": "add-host", "target": {"farm": "ITFarm1"},
                "input": {"hosts": ["{{ event.data.body.name }}"]}, "reason": null
            },
            "dedupe": {"key": "{{ event.data.body.name }}", "within": "1h"}, "rate": {"most": 30, "per": "1h"},
            "dryRun": true, "state": "paused",
            "paused": {"at": "2026-11-27T08:00:00Z", "by": "ben", "reason": "holidays"},
            "lastFiredAt": "2026-11-27T07:00:00Z", "lastWorkflow": null, "owner": "ann", "ownerRoles": ["operator"],
            "createdBy": "ann", "createdAt": "2026-11-01T00:00:00Z", "updatedAt": "2026-11-27T08:00:00Z"
        }))
        .expect("as the server writes it");
        let firing = serde_json::from_value(json!({
            "id": "0199c0de-0000-7000-8000-000000000001", "outcome": "refused", "code": "farm-not-deployed",
            "detail": "no farm", "dedupeKey": "WEB-07", "workflow": null,
            "event": {"id": "7", "source": "farmhand", "type": "farmhand.event.webhook-received.v1", "subject": "cmdb"},
            "recordedAt": "2026-11-27T07:00:00Z"
        }))
        .expect("as the server writes it");
        insta::assert_snapshot!(text(&rule, &[firing]));
        insta::assert_snapshot!(list(&[rule]));
    }

    #[test]
    fn a_test_says_what_would_become_of_the_event() {
        insta::assert_snapshot!(test(&json!({
            "matched": true, "why": null, "dedupeKey": "WEB-07", "outcome": "rate-limited", "code": null,
            "detail": "30 within 1h, the most is 30",
            "asks": {
                "kind": "add-host", "plan": false, "target": {"farm": "ITFarm1", "directory": null},
                "input": {"hosts": ["WEB-07"]}, "reason": null
            }
        })));
        let not = json!({"matched": false, "why": "its condition does not hold"});
        assert_eq!(test(&not), "the rule is not for this event: its condition does not hold");
    }
}
