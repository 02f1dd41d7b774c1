//! `farmhand workflow`.

use domain::{Workflow as Record, WorkflowId};
use serde_json::json;
use store::Page;

use super::farm::{parse, with_next};
use super::{Context, decide, report};
use crate::cli::{Act, Workflow, WorkflowList};
use crate::client::{follow, query};
use crate::failure::{Exit, Failure};
use crate::output::workflow;

pub async fn run(cx: Context, command: Workflow) -> Result<Exit, Failure> {
    match command {
        Workflow::List(filter) => list(&cx, filter).await,
        Workflow::Show { id } => {
            let followed = follow::parse(cx.client.get(&path(id)).await?.document)?;
            cx.output.answer(&followed.document, || workflow::text(&followed.workflow))?;
            Ok(Exit::Done)
        }
        Workflow::Watch { id } => {
            let answer = cx.client.get(&path(id)).await?;
            cx.conclude(answer.document, answer.embedded, true).await
        }
        Workflow::Cancel(act) => ask(&cx, "cancel", act).await,
        Workflow::Pause(act) => ask(&cx, "pause", act).await,
        Workflow::Resume(act) => ask(&cx, "resume", act).await,
        Workflow::Retry(act) => ask(&cx, "retry", act).await,
        Workflow::Report(args) => report::run(&cx, args).await,
        Workflow::Approve(args) => decide::approve(&cx, args).await,
        Workflow::Reject(args) => decide::reject(&cx, args).await,
        Workflow::Ack(args) => decide::ack(&cx, args).await,
    }
}

pub fn path(id: WorkflowId) -> String {
    format!("/api/v1/workflows/{id}")
}

async fn ask(cx: &Context, action: &str, act: Act) -> Result<Exit, Failure> {
    let answer = cx.client.post(&format!("{}/{action}", path(act.id)), &json!({})).await?;
    cx.conclude(answer.document, answer.embedded, act.wait).await
}

async fn list(cx: &Context, filter: WorkflowList) -> Result<Exit, Failure> {
    let query = query(&[
        ("farm", filter.farm),
        ("kind", filter.kind.map(String::from)),
        ("state", filter.state.map(|state| state.to_string())),
        ("directory", filter.directory),
        ("host", filter.host),
        ("since", filter.since.map(|time| time.to_rfc3339())),
        ("until", filter.until.map(|time| time.to_rfc3339())),
        ("limit", Some(filter.paging.limit.to_string())),
        ("cursor", filter.paging.cursor),
    ]);
    let document = cx.client.get(&format!("/api/v1/workflows{query}")).await?.document;
    let page: Page<Record> = parse(&document)?;
    cx.output.answer(&document, || with_next(workflow::list(&page.items), page.next.as_deref()))?;
    Ok(Exit::Done)
}
