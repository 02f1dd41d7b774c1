//! `farmhand rule`.

use std::path::Path;

use domain::rule::RuleManifest;
use reqwest::Method;
use serde_json::{Map, Value, json};
use store::{Firing, Page, Rule as Record};

use super::Context;
use super::farm::{parse, with_next};
use crate::cli::{Rule, RuleFirings, RuleList, RuleTest};
use crate::client::{document, query, segment};
use crate::failure::{Exit, Failure};
use crate::output::rule;

const PATH: &str = "/api/v1/rules";
const SHOWN_FIRINGS: u32 = 10;

pub async fn run(cx: Context, command: Rule) -> Result<Exit, Failure> {
    match command {
        Rule::List(args) => list(&cx, args).await,
        Rule::Show { name } => show(&cx, &name).await,
        Rule::Create(args) => {
            let body = definition(&args.file)?;
            let document = cx.client.post(PATH, &to_json(&body)?).await?.document;
            answer(&cx, document, "made")
        }
        Rule::Update(args) => {
            let body = definition(&args.file)?;
            let (path, body) = (path(&body.name), to_json(&body)?);
            let document = cx.client.ask(Method::PUT, &path, &body, None).await?.document;
            answer(&cx, document, "changed")
        }
        Rule::Delete { name } => {
            cx.client.delete(&path(&name)).await?;
            cx.output
                .answer(&json!({ "name": name, "deleted": true }), || format!("rule {name} is deleted"))?;
            Ok(Exit::Done)
        }
        Rule::Pause(args) => {
            let body = args.reason.map_or_else(|| json!({}), |reason| json!({ "reason": reason }));
            let document = cx.client.post(&format!("{}/pause", path(&args.name)), &body).await?.document;
            answer(&cx, document, "paused")
        }
        Rule::Resume { name } => {
            let document = cx.client.post(&format!("{}/resume", path(&name)), &json!({})).await?.document;
            answer(&cx, document, "resumed")
        }
        Rule::Test(args) => test(&cx, args).await,
        Rule::Firings(args) => firings(&cx, args).await,
    }
}

fn path(name: &str) -> String {
    format!("{PATH}/{}", segment(name))
}

fn definition(file: &Path) -> Result<RuleManifest, Failure> {
    document::read(file, "invalid-request", "see docs/rules.md")
}

fn to_json(manifest: &RuleManifest) -> Result<Value, Failure> {
    serde_json::to_value(manifest).map_err(|e| Failure::internal(e.to_string()))
}

fn answer(cx: &Context, document: Value, done: &str) -> Result<Exit, Failure> {
    let record: Record = parse(&document)?;
    cx.output.answer(&document, || format!("{done}\n{}", rule::text(&record, &[])))?;
    Ok(Exit::Done)
}

async fn list(cx: &Context, args: RuleList) -> Result<Exit, Failure> {
    let query = query(&[
        ("state", args.state.map(|state| state.to_string())),
        ("limit", Some(args.paging.limit.to_string())),
        ("cursor", args.paging.cursor),
    ]);
    let document = cx.client.get(&format!("{PATH}{query}")).await?.document;
    let page: Page<Record> = parse(&document)?;
    cx.output.answer(&document, || with_next(rule::list(&page.items), page.next.as_deref()))?;
    Ok(Exit::Done)
}

async fn show(cx: &Context, name: &str) -> Result<Exit, Failure> {
    let document = cx.client.get(&path(name)).await?.document;
    let record: Record = parse(&document)?;
    let firings = cx.client.get(&format!("{}/firings?limit={SHOWN_FIRINGS}", path(name))).await?.document;
    let firings: Page<Firing> = parse(&firings)?;
    cx.output.answer(&document, || rule::text(&record, &firings.items))?;
    Ok(Exit::Done)
}

async fn test(cx: &Context, args: RuleTest) -> Result<Exit, Failure> {
    let event: Map<String, Value> = document::read(&args.file, "invalid-request", "see docs/rules.md")?;
    let mut body = json!({ "event": event });
    if let Some(publisher) = args.publisher {
        body["publisher"] = Value::from(publisher);
    }
    let document = cx.client.post(&format!("{}/test", path(&args.name)), &body).await?.document;
    cx.output.answer(&document, || rule::test(&document))?;
    Ok(Exit::Done)
}

async fn firings(cx: &Context, args: RuleFirings) -> Result<Exit, Failure> {
    let query = query(&[
        ("outcome", args.outcome.map(|outcome| outcome.to_string())),
        ("limit", Some(args.paging.limit.to_string())),
        ("cursor", args.paging.cursor),
    ]);
    let document = cx.client.get(&format!("{}/firings{query}", path(&args.name))).await?.document;
    let page: Page<Firing> = parse(&document)?;
    cx.output.answer(&document, || with_next(rule::firings(&page.items), page.next.as_deref()))?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_is_a_valid_rule() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/samples/rules");
        let mut seen = 0;
        for file in std::fs::read_dir(folder).expect("samples") {
            let path = file.expect("a file").path();
            if path.extension().is_some_and(|extension| extension == "yaml") {
                let manifest = definition(&path).expect("a rule");
                manifest.validate().unwrap_or_else(|problem| panic!("{}: {problem}", path.display()));
                seen += 1;
            }
        }
        assert!(seen >= 3, "{seen}");
    }
}
