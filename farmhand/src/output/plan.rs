//! A plan: every attribute that would be written.

use std::fmt::Write as _;

use domain::{AttributeOp, AttributeValue, Change, ChangeKind, HostWork, Plan};

use super::{render, table};

/// One row for each attribute: object, operation, attribute, before and after.
pub fn text(plan: Option<&Plan>) -> String {
    if plan.is_none_or(Plan::is_empty) {
        return "No change: the directory is as wanted. Nothing was written.".to_owned();
    }
    format!("{}. Nothing was written.", rows_of(plan))
}

/// The same of a plan that is about to be carried out.
pub fn rows_of(plan: Option<&Plan>) -> String {
    let changes = plan.map(|plan| plan.changes.as_slice()).unwrap_or_default();
    let hosts = plan.map(|plan| plan.host_actions.as_slice()).unwrap_or_default();
    let named = changes.iter().any(|change| change.dc.is_some());
    let dc: &[&str] = if named { &["DC"] } else { &[] };
    let mut table = table(&[dc, &["DN", "operation", "attribute", "before → after"]].concat());
    for change in changes {
        // Without a name of its own: the DC that the workflow stays on.
        let dc = named.then(|| change.dc.clone().unwrap_or_default());
        for row in rows(change) {
            table.add_row(dc.iter().cloned().chain(row));
        }
    }
    let attributes: usize = changes.iter().map(|change| change.attributes.len()).sum();
    let (writes, values) = (count(changes.len(), "write"), count(attributes, "attribute"));
    let mut text = format!("{}\n{writes}, {values}", render(&table));
    if !hosts.is_empty() {
        let _ = write!(text, "\n{}\n{}", on_hosts(hosts), count(hosts.len(), "host"));
    }
    text
}

/// One row for each host: what is done there.
fn on_hosts(hosts: &[HostWork]) -> String {
    let mut table = table(&["host", "account", "done there"]);
    for work in hosts {
        let lines: Vec<_> = work.each().map(|action| action.powershell()).collect();
        table.add_row([work.host.name.clone(), work.account.to_string(), lines.join("\n")]);
    }
    render(&table)
}

fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

fn rows(change: &Change) -> Vec<[String; 4]> {
    let kind = match change.kind {
        ChangeKind::Add => "add",
        ChangeKind::Modify => "modify",
        ChangeKind::Delete => "delete",
        ChangeKind::Rename => "rename",
    };
    let row = |attribute: &str, values: String| {
        [change.dn.to_string(), kind.to_owned(), attribute.to_owned(), values]
    };
    if change.attributes.is_empty() {
        return vec![row("", String::new())];
    }
    let attributes = change.attributes.iter();
    attributes.map(|attribute| row(&attribute.attribute, values(&attribute.op))).collect()
}

fn values(op: &AttributeOp) -> String {
    match op {
        AttributeOp::Set { before, after } => format!("{} → {}", whole(before), whole(after)),
        AttributeOp::Values { added, removed } => {
            let added = added.iter().map(|value| format!("+ {value}"));
            let removed = removed.iter().map(|value| format!("- {value}"));
            removed.chain(added).collect::<Vec<_>>().join("\n")
        }
    }
}

fn whole(values: &[AttributeValue]) -> String {
    if values.is_empty() {
        return "(none)".to_owned();
    }
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use domain::{AttributeChange, Dn};

    use super::*;

    #[test]
    fn every_attribute_has_its_row_and_the_end_says_that_nothing_was_written() {
        let dn = |text: &str| Dn::parse(text).expect("valid");
        let plan = Plan::new(
            vec![
                Change::add(
                    dn("CN=G,DC=x"),
                    vec![
                        AttributeChange::new("objectClass", ["group"]),
                        AttributeChange::new(
                            "nTSecurityDescriptor",
                            [AttributeValue::bytes(vec![1], "read: Host1$")],
                        ),
                    ],
                ),
                Change::modify(
                    dn("CN=H,DC=x"),
                    vec![
                        AttributeChange::values("member", vec!["CN=b,DC=x".into()], vec!["CN=a,DC=x".into()]),
                        AttributeChange::set("description", vec!["old".into()], vec![]),
                    ],
                ),
                Change::rename(dn("CN=I,DC=x"), "04030201-0605-0807-090a-0b0c0d0e0f10", "J"),
            ],
            vec![],
        );
        insta::assert_snapshot!(text(Some(&plan)));
    }

    #[test]
    fn a_change_for_a_dc_of_its_own_is_shown_with_it() {
        let dn = Dn::parse("CN=ITFarm1,DC=x").expect("valid");
        let deny = AttributeValue::bytes(vec![1], "deny Host2");
        let change = Change::modify(dn, vec![AttributeChange::set("readers", vec![], vec![deny])]);
        let changes =
            vec![change.clone().at("dc1.contoso.com"), change.clone().at("dc2.contoso.com"), change];
        insta::assert_snapshot!(rows_of(Some(&Plan::new(changes, vec![]))));
    }

    #[test]
    fn an_empty_plan_says_so() {
        assert!(text(None).contains("No change") && text(None).ends_with("Nothing was written."));
    }
}
