//! Incidents for people.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use domain::containment::{ContainedAccount, Containment};
use domain::{FarmName, Workflow, WorkflowId, WorkflowState};
use serde::Deserialize;

use super::time::{left, moment, precise};
use super::{render, table};

/// As the server shows it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Incident {
    workflow: Workflow,
    containment: Option<Containment>,
    exposures: Vec<Exposure>,
    children: Vec<Workflow>,
    next: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Exposure {
    account: String,
    farm: Option<FarmName>,
    stands: String,
    known: Vec<domain::containment::KnownPassword>,
    ends_at: Option<DateTime<Utc>>,
    ends_in_seconds: Option<i64>,
    rolled: Option<Over>,
    recovery: Option<Recovery>,
}

#[derive(Debug, Deserialize)]
struct Over {
    at: DateTime<Utc>,
    by: String,
}

#[derive(Debug, Deserialize)]
struct Recovery {
    choice: String,
    workflow: WorkflowId,
    state: WorkflowState,
}

pub fn text(incident: &Incident) -> String {
    let Incident { workflow, containment, exposures, children, next } = incident;
    let hosts = workflow.hosts.join(", ");
    let mut text = format!("incident {}: {hosts}\nstate {}", workflow.id, workflow.state);
    let _ = write!(text, "  directory {}  asked by {}", workflow.directory, workflow.requested_by);
    let _ = write!(text, "  at {}", precise(Some(workflow.created_at)));
    if let Some(reason) = &workflow.reason {
        let _ = write!(text, "\nreason: {reason}");
    }
    if let Some(found) = containment {
        let _ = write!(text, "\n{}", standing(found));
    }
    if !exposures.is_empty() {
        let _ = write!(text, "\n\n{}", of_exposures(exposures));
    }
    if !children.is_empty() {
        let _ = write!(text, "\n\nworkflows that came of it:\n{}", super::workflow::list(children));
    }
    for line in next {
        let _ = write!(text, "\n- {line}");
    }
    let _ = write!(text, "\nevidence: farmhand workflow report {}", workflow.id);
    text
}

/// What the host may still know, and until when it works.
fn of_exposures(exposures: &[Exposure]) -> String {
    let mut table = table(&["account", "farm", "known", "ends", "exposure", "recovery"]);
    for one in exposures {
        let known: Vec<_> = one.known.iter().map(|known| format!("{known:?}").to_lowercase()).collect();
        let stands = match (&one.rolled, one.stands.as_str()) {
            (Some(over), _) => format!("over since {} ({})", moment(Some(over.at)), over.by),
            (None, "due") => "due: it works until somebody who may asks for the next".to_owned(),
            (None, "open") => format!("ends in {}", left(one.ends_in_seconds.unwrap_or(0))),
            (None, _) => "cannot be told".to_owned(),
        };
        let recovery = match &one.recovery {
            Some(chosen) => format!("{}: {} ({})", chosen.choice, chosen.state, chosen.workflow),
            None => "(not chosen)".to_owned(),
        };
        table.add_row([
            one.account.clone(),
            one.farm.as_ref().map_or_else(|| "(none on record)".to_owned(), ToString::to_string),
            known.join(", "),
            moment(one.ends_at),
            stands,
            recovery,
        ]);
    }
    render(&table)
}

/// The result of a containment, with what was to do next when it ended.
pub fn summary(found: &Containment) -> String {
    let mut text = standing(found);
    for line in &found.next {
        let _ = write!(text, "\nnext: {line}");
    }
    text
}

fn standing(found: &Containment) -> String {
    let host = &found.host;
    let mut text = found.summary.clone();
    let computer = serde_json::to_value(host.computer).ok();
    let computer = computer.as_ref().and_then(|value| value.as_str()).unwrap_or_default();
    let _ = write!(text, "\nhost {} ({}), computer account {computer}", host.dn, host.sid);
    if let Some(before) = &host.rebuilt_from {
        let _ = write!(text, ", rebuilt: {before} is under quarantine as well");
    }
    if !found.accounts.is_empty() {
        let mut accounts = table(&["could read", "farm", "let in", "SPNs", "other hosts"]);
        for account in &found.accounts {
            accounts.add_row(row(account));
        }
        let _ = write!(text, "\n{}", render(&accounts));
    }
    if !found.domain_controllers.is_empty() {
        let mut dcs = table(&["domain controller", "denied", "verified"]);
        for dc in &found.domain_controllers {
            let denied = dc.denied_at.map_or_else(|| "(had them already)".to_owned(), |at| precise(Some(at)));
            dcs.add_row([dc.name.clone(), denied, precise(Some(dc.verified_at))]);
        }
        let _ = write!(text, "\n{}", render(&dcs));
    }
    let _ = write!(text, "\ngMSAs looked at: {}", found.swept);
    if !found.preempted.is_empty() {
        let _ = write!(text, "; workflows stopped meanwhile: {}", found.preempted.len());
    }
    for (word, lines) in [("not done", &found.not_done), ("warning", &found.warnings)] {
        for line in lines {
            let _ = write!(text, "\n{word}: {line}");
        }
    }
    text
}

fn row(account: &ContainedAccount) -> [String; 5] {
    [
        account.account.clone(),
        account.farm.as_ref().map_or_else(|| "(none on record)".to_owned(), ToString::to_string),
        account.paths.join("\n"),
        account.service_principal_names.join("\n"),
        account.other_hosts.join(", "),
    ]
}

/// One row for each containment.
pub fn list(workflows: &[Workflow]) -> String {
    let mut table = table(&["id", "host", "state", "asked by", "asked", "result"]);
    for workflow in workflows {
        let summary = workflow.result.as_ref().and_then(|result| result["summary"].as_str());
        let plan = if workflow.mode == domain::Mode::Plan { " (plan)" } else { "" };
        table.add_row([
            workflow.id.to_string(),
            workflow.hosts.join(", "),
            format!("{}{plan}", workflow.state),
            workflow.requested_by.clone(),
            moment(Some(workflow.created_at)),
            summary.unwrap_or_default().to_owned(),
        ]);
    }
    render(&table)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::output::workflow::tests::sample;

    fn containment() -> Value {
        json!({
            "summary": "Host1 is cut off from 1 gMSA on 2 domain controllers", "changed": true,
            "host": {
                "name": "Host1", "dn": "CN=Host1,CN=Computers,DC=contoso,DC=com", "sid": "S-1-5-21-1-2-3-1601",
                "dnsHostName": "host1.contoso.com", "computer": "disabled", "rebuiltFrom": null
            },
            "accounts": [{
                "account": "ITFarm1$", "dn": "CN=ITFarm1,DC=contoso,DC=com", "sid": "S-1-5-21-1-2-3-1104",
                "farm": "ITFarm1", "paths": ["as a member of CN=ITFarmHosts,DC=contoso,DC=com"],
                "servicePrincipalNames": ["http/ITFarm1.contoso.com"], "delegation": [], "memberOf": [],
                "otherHosts": ["Host2"],
                "exposure": {
                    "keyId": null, "exposedKeyId": null, "intervalDays": 30, "slotStart": null,
                    "known": ["current"], "endsAt": null, "assumptions": []
                }
            }],
            "domainControllers": [
                {"name": "dc1.contoso.com", "deniedAt": "2026-11-22T12:00:00.021Z", "verifiedAt": "2026-11-22T12:00:00.085Z"},
                {"name": "dc2.contoso.com", "deniedAt": null, "verifiedAt": "2026-11-22T12:00:00.084Z"}
            ],
            "preempted": [], "swept": 2000, "notDone": ["it stays in CN=All,DC=contoso,DC=com"], "warnings": [],
            "next": ["take the host off the network"], "embeddedDirectory": false
        })
    }

    #[test]
    fn an_incident_shows_what_was_done_and_what_counts_down() {
        let workflow = serde_json::to_value(sample("succeeded", json!([]))).expect("serialises");
        let exposure = |account: &str, stands: &str, seconds: Value, rolled: Value, recovery: Value| {
            json!({
                "account": account, "sid": "S-1-5-21-1-2-3-1104", "farm": "ITFarm1", "stands": stands,
                "known": ["previous", "current"], "endsAt": "2026-12-01T08:00:00Z", "endsInSeconds": seconds,
                "rolled": rolled, "recovery": recovery, "assumptions": []
            })
        };
        let id = "0199c0de-0000-7000-8000-000000000002";
        let shown: Incident = serde_json::from_value(json!({
            "workflow": workflow, "containment": containment(),
            "exposures": [
                exposure("ITFarm1$", "open", json!(90_061), json!(null), json!(null)),
                exposure("ITFarm2$", "due", json!(0), json!(null),
                         json!({"choice": "wait", "workflow": id, "state": "waiting", "waiting": null})),
                exposure("ITFarm3$", "over", json!(0),
                         json!({"at": "2026-11-23T00:00:00Z", "by": "replace", "workflow": id}), json!(null)),
                exposure("ITFarm4$", "unknown", json!(null), json!(null), json!(null))
            ],
            "children": [], "next": ["choose for each farm"]
        }))
        .expect("an incident");
        insta::assert_snapshot!(text(&shown));
    }

    #[test]
    fn a_list_has_one_row_for_each_containment() {
        let mut done = sample("succeeded", json!([]));
        done.result = Some(containment());
        insta::assert_snapshot!(list(&[done, sample("running", json!([]))]));
    }
}
