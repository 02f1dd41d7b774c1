//! `farmhand farm`.

use serde_json::Value;
use store::{Farm as Record, Page};

use super::{Context, asking, show_farm};
use crate::cli::{Farm, Paging};
use crate::client::query;
use crate::failure::{Exit, Failure};
use crate::output::time::moment;
use crate::output::{render, table};

pub async fn run(cx: Context, command: Farm) -> Result<Exit, Failure> {
    match command {
        Farm::List(paging) => list(&cx, paging).await,
        Farm::Show(args) => show_farm::run(&cx, args).await,
        Farm::Import(args) => asking::import(cx, args).await,
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
