//! `farmhand farm show`: the record, and what the directory holds now.

use std::time::Duration;

use domain::WorkflowState;
use reqwest::Method;
use serde_json::{Value, json};
use store::{Farm as Record, FarmState};

use super::Context;
use super::farm::parse;
use super::wait::EMBEDDED_NOTICE;
use crate::cli::FarmShow;
use crate::client::follow::{self, Followed};
use crate::client::{query, segment};
use crate::failure::{Exit, Failure};
use crate::output::progress::Progress;
use crate::output::{inspection, render, table, workflow};

/// How long a worker may take to look; a person waits at the screen.
const PATIENCE: Duration = Duration::from_secs(10);

pub async fn run(cx: &Context, args: FarmShow) -> Result<Exit, Failure> {
    let query = query(&[("directory", args.directory.clone())]);
    let path = format!("/api/v1/farms/{}{query}", segment(&args.name));
    let mut document = cx.client.get(&path).await?.document;
    let farm: Record = parse(&document)?;
    let live = match farm.state {
        FarmState::Decommissioned => None,
        _ if args.recorded => None,
        FarmState::Requested | FarmState::Deployed => inspect(cx, &farm).await?,
    };
    if let Some(fields) = document.as_object_mut() {
        fields.insert("live".to_owned(), live.as_ref().map_or(Value::Null, live_document));
    }
    cx.output.answer(&document, || {
        let mut text = show(&farm);
        if let Some(live) = &live {
            text = format!("{text}\n\n{}", live_text(live));
        }
        text
    })?;
    // The record is the answer; that the look failed is said with it.
    Ok(Exit::Done)
}

struct Silent;

impl Progress for Silent {
    fn update(&mut self, _: &domain::Workflow) {}
    fn notice(&mut self, _: &str) {}
}

/// The ended inspection; `None`, and a note on standard error, when no worker answers in time.
async fn inspect(cx: &Context, farm: &Record) -> Result<Option<Followed>, Failure> {
    let body = json!({ "farm": farm.name, "directory": farm.directory });
    let answer = cx.client.ask(Method::POST, "/api/v1/inspections", &body, None).await?;
    if answer.embedded {
        eprintln!("{EMBEDDED_NOTICE}");
    }
    let id = follow::parse(answer.document)?.workflow.id;
    match tokio::time::timeout(PATIENCE, follow::follow(&cx.client, id, &mut Silent)).await {
        Ok(followed) => followed.map(Some),
        Err(_) => {
            eprintln!(
                "note: no worker has looked at the directory in {} s; this is what is on record \
                 (the answer will be in: farmhand workflow show {id})",
                PATIENCE.as_secs()
            );
            Ok(None)
        }
    }
}

fn live_document(live: &Followed) -> Value {
    let workflow = &live.document;
    json!({
        "workflow": workflow["id"], "state": workflow["state"],
        "result": workflow["result"], "error": workflow["error"],
    })
}

fn live_text(live: &Followed) -> String {
    match (&live.workflow.result, live.workflow.state) {
        (Some(result), WorkflowState::Succeeded) => inspection::text(result),
        _ => format!("the directory could not be looked at:\n{}", workflow::text(&live.workflow)),
    }
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
