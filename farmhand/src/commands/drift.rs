//! `farmhand drift list`, `farmhand drift show`: how farms stand to what was asked for.

use domain::drift::DriftEntry;
use store::Page;

use super::Context;
use super::farm::{parse, with_next};
use crate::cli::{Drift, DriftList, DriftShow};
use crate::client::{query, segment};
use crate::failure::{Exit, Failure};
use crate::output::drift;

pub async fn run(cx: Context, command: Drift) -> Result<Exit, Failure> {
    match command {
        Drift::List(args) => list(&cx, args).await,
        Drift::Show(args) => show(&cx, args).await,
    }
}

async fn list(cx: &Context, args: DriftList) -> Result<Exit, Failure> {
    let query = query(&[
        ("directory", args.directory),
        ("state", args.state.map(|state| state.to_string())),
        ("limit", Some(args.paging.limit.to_string())),
        ("cursor", args.paging.cursor),
    ]);
    let document = cx.client.get(&format!("/api/v1/drift{query}")).await?.document;
    let page: Page<DriftEntry> = parse(&document)?;
    cx.output.answer(&document, || with_next(drift::list(&page.items), page.next.as_deref()))?;
    Ok(Exit::Done)
}

async fn show(cx: &Context, args: DriftShow) -> Result<Exit, Failure> {
    let path = format!("/api/v1/drift/{}{}", segment(&args.farm), query(&[("directory", args.directory)]));
    let document = cx.client.get(&path).await?.document;
    let entry: DriftEntry = parse(&document)?;
    cx.output.answer(&document, || drift::detail(&entry))?;
    Ok(Exit::Done)
}
