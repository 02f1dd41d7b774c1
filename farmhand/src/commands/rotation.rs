//! `farmhand rotation-check`, `farmhand rotation`: how the passwords of gMSAs stand.

use domain::rotation::{RotationChange, RotationEntry};
use serde::Deserialize;
use store::Page;

use super::Context;
use super::farm::{parse, with_next};
use crate::cli::Rotation;
use crate::client::{query, segment};
use crate::failure::{Exit, Failure};
use crate::output::rotation;

/// One account with its changes.
#[derive(Debug, Deserialize)]
struct Detail {
    entry: RotationEntry,
    history: Vec<RotationChange>,
}

pub async fn run(cx: Context, args: Rotation) -> Result<Exit, Failure> {
    match &args.account {
        Some(account) => show(&cx, account, args.directory.clone()).await,
        None => list(&cx, args).await,
    }
}

async fn show(cx: &Context, account: &str, directory: Option<String>) -> Result<Exit, Failure> {
    let path = format!("/api/v1/rotation/{}{}", segment(account), query(&[("directory", directory)]));
    let document = cx.client.get(&path).await?.document;
    let Detail { entry, history } = parse(&document)?;
    cx.output.answer(&document, || rotation::detail(&entry, &history))?;
    Ok(Exit::Done)
}

async fn list(cx: &Context, args: Rotation) -> Result<Exit, Failure> {
    let query = query(&[
        ("directory", args.directory),
        ("verdict", args.verdict.map(|verdict| verdict.to_string())),
        ("farm", args.farm),
        ("finding", args.finding.map(|finding| finding.to_string())),
        ("gone", args.gone.then(|| "true".to_owned())),
        ("limit", Some(args.paging.limit.to_string())),
        ("cursor", args.paging.cursor),
    ]);
    let document = cx.client.get(&format!("/api/v1/rotation{query}")).await?.document;
    let page: Page<RotationEntry> = parse(&document)?;
    cx.output.answer(&document, || with_next(rotation::board(&page.items), page.next.as_deref()))?;
    Ok(Exit::Done)
}
