//! `farmhand farm list|show`.

use serde_json::Value;
use store::{Farm as Record, Page};

use super::Context;
use crate::cli::{Farm, Paging};
use crate::client::{query, segment};
use crate::failure::{Exit, Failure};
use crate::output::time::moment;
use crate::output::{render, table};

pub async fn run(cx: Context, command: Farm) -> Result<Exit, Failure> {
    match command {
        Farm::List(paging) => list(&cx, paging).await,
        Farm::Show { name, directory } => {
            let path = format!("/api/v1/farms/{}{}", segment(&name), query(&[("directory", directory)]));
            let document = cx.client.get(&path).await?.document;
            let farm: Record = parse(&document)?;
            cx.output.answer(&document, || show(&farm))?;
            Ok(Exit::Done)
        }
    }
}

async fn list(cx: &Context, Paging { limit, cursor }: Paging) -> Result<Exit, Failure> {
    let path = format!("/api/v1/farms{}", query(&[("limit", Some(limit.to_string())), ("cursor", cursor)]));
    let document = cx.client.get(&path).await?.document;
    let page: Page<Record> = parse(&document)?;
    cx.output.answer(&document, || {
        let mut table = table(&["farm", "directory", "state", "account", "hosts", "updated"]);
        for farm in &page.items {
            table.add_row([
                farm.name.to_string(),
                farm.directory.to_string(),
                format!("{:?}", farm.state).to_lowercase(),
                farm.spec.account.sam_account_name.to_string(),
                farm.spec.hosts.len().to_string(),
                moment(Some(farm.updated_at)),
            ]);
        }
        with_next(render(&table), page.next.as_deref())
    })?;
    Ok(Exit::Done)
}

/// Says how to see more.
pub fn with_next(text: String, next: Option<&str>) -> String {
    next.map_or(text.clone(), |next| format!("{text}\nmore with: --cursor {next}"))
}

/// Out of an answer, or a failure that says which side is newer.
pub fn parse<T: serde::de::DeserializeOwned>(document: &Value) -> Result<T, Failure> {
    T::deserialize(document)
        .map_err(|e| Failure::internal(format!("the server's answer cannot be read (another version?): {e}")))
}

fn show(farm: &Record) -> String {
    let spec = &farm.spec;
    let list = |items: Vec<String>| if items.is_empty() { "(none)".to_owned() } else { items.join("\n") };
    let mut rows = vec![
        ("farm", farm.name.to_string()),
        ("directory", farm.directory.to_string()),
        ("state", format!("{:?}", farm.state).to_lowercase()),
        ("account", spec.account.sam_account_name.to_string()),
        ("dnsHostName", spec.account.dns_host_name.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("SPNs", list(spec.account.service_principal_names.iter().map(ToString::to_string).collect())),
        ("encryption", spec.account.kerberos_encryption_types.to_string()),
        ("password interval", spec.account.managed_password_interval_in_days.to_string()),
        ("hosts", list(spec.hosts.iter().map(ToString::to_string).collect())),
    ];
    if let Some(group) = &spec.membership.group {
        rows.push(("group", group.to_string()));
    }
    if let Some(facts) = &farm.recorded {
        rows.push(("account DN", facts.account_dn.to_string()));
        rows.push(("account SID", facts.account_sid.to_string()));
    }
    if let Some(id) = farm.last_workflow {
        rows.push(("last workflow", id.to_string()));
    }
    let mut table = table(&["", ""]);
    for (name, value) in rows {
        table.add_row([name.to_owned(), value]);
    }
    render(&table)
}
