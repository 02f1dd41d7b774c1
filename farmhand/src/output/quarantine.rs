//! Hosts under quarantine, for people.

use std::fmt::Write as _;

use serde::Deserialize;
use store::{Denial, Quarantined};

use super::time::moment;
use super::{render, table};

/// As the server shows one host.
#[derive(Debug, Deserialize)]
pub struct Detail {
    quarantine: Quarantined,
    denials: Vec<Denial>,
}

/// One row for each host.
pub fn list(hosts: &[Quarantined]) -> String {
    if hosts.is_empty() {
        return "no host is under quarantine".to_owned();
    }
    let mut table =
        table(&["host", "SID", "directory", "since", "by", "computer", "released", "containment"]);
    for host in hosts {
        table.add_row([
            host.host_name.clone(),
            host.host_sid.to_string(),
            host.directory.to_string(),
            moment(Some(host.placed_at)),
            host.placed_by.clone(),
            computer(host).to_owned(),
            host.released.as_ref().map(|release| moment(Some(release.at))).unwrap_or_default(),
            host.workflow.to_string(),
        ]);
    }
    render(&table)
}

fn computer(host: &Quarantined) -> &'static str {
    if host.computer_disabled { "disabled by us" } else { "not disabled by us" }
}

/// One host with what a release takes back.
pub fn detail(Detail { quarantine: host, denials }: &Detail) -> String {
    let mut facts = table(&["", ""]);
    for (name, value) in [
        ("host", host.host_name.clone()),
        ("SID", host.host_sid.to_string()),
        ("DN", host.computer_dn.to_string()),
        ("directory", host.directory.to_string()),
        ("since", moment(Some(host.placed_at))),
        ("by", host.placed_by.clone()),
        ("reason", host.reason.clone().unwrap_or_default()),
        ("computer", computer(host).to_owned()),
        ("containment", host.workflow.to_string()),
    ] {
        if !value.is_empty() {
            facts.add_row([name.to_owned(), value]);
        }
    }
    let mut text = render(&facts);
    if denials.is_empty() {
        text.push_str("\nno deny entry of ours is on record: a release lifts none");
    } else {
        let mut entries = table(&["denied on", "SID", "written", "by workflow"]);
        for denial in denials {
            entries.add_row([
                denial.account_dn.to_string(),
                denial.account_sid.to_string(),
                moment(Some(denial.written_at)),
                denial.workflow.to_string(),
            ]);
        }
        let _ = write!(text, "\n{}", render(&entries));
    }
    let _ = write!(text, "\nlet it out with: farmhand quarantine release {} --reason ...", host.host_sid);
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn host() -> Quarantined {
        serde_json::from_value(json!({
            "id": "0199c0de-0000-7000-8000-000000000009", "directory": "default", "hostSid": "S-1-5-21-1-2-3-1601",
            "hostName": "Host1", "computerDn": "CN=Host1,CN=Computers,DC=contoso,DC=com",
            "workflow": "0199c0de-0000-7000-8000-000000000001", "placedBy": "rita", "reason": "beacon seen",
            "placedAt": "2026-11-22T12:00:00Z", "computerDisabled": true, "released": null
        }))
        .expect("a host")
    }

    #[test]
    fn hosts_are_shown_with_what_a_release_takes_back() {
        let denial = json!({
            "accountSid": "S-1-5-21-1-2-3-1104", "accountDn": "CN=ITFarm1,DC=contoso,DC=com",
            "workflow": "0199c0de-0000-7000-8000-000000000001", "writtenAt": "2026-11-22T12:00:01Z"
        });
        let denials = vec![serde_json::from_value(denial).expect("a denial")];
        let shown = detail(&Detail { quarantine: host(), denials });
        insta::assert_snapshot!(format!("{}\n\n{shown}", list(&[host()])));
        assert_eq!(list(&[]), "no host is under quarantine");
    }
}
