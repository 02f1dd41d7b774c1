//! `farmhand webhook`.

use serde_json::{Value, json};
use store::{Delivery, Page, Webhook as Record};

use super::Context;
use super::farm::{parse, with_next};
use crate::cli::{Webhook, WebhookCreate, WebhookDeliveries, WebhookList};
use crate::client::{query, segment};
use crate::config::Secret;
use crate::failure::{Exit, Failure};
use crate::output::webhook;

const PATH: &str = "/api/v1/webhooks";

pub async fn run(cx: Context, command: Webhook) -> Result<Exit, Failure> {
    match command {
        Webhook::List(args) => list(&cx, args).await,
        Webhook::Show { name } => {
            let document = cx.client.get(&path(&name)).await?.document;
            let record: Record = parse(&document)?;
            cx.output.answer(&document, || webhook::text(&record))?;
            Ok(Exit::Done)
        }
        Webhook::Create(args) => create(&cx, args).await,
        Webhook::Delete { name } => {
            cx.client.delete(&path(&name)).await?;
            cx.output
                .answer(&json!({ "name": name, "deleted": true }), || format!("webhook {name} is deleted"))?;
            Ok(Exit::Done)
        }
        Webhook::Pause(args) => {
            let body = args.reason.map_or_else(|| json!({}), |reason| json!({ "reason": reason }));
            change(&cx, &args.name, "pause", &body).await
        }
        Webhook::Resume { name } => change(&cx, &name, "resume", &json!({})).await,
        Webhook::Deliveries(args) => deliveries(&cx, args).await,
        Webhook::Redeliver { name, delivery } => {
            sent(&cx, &name, &format!("deliveries/{delivery}/redeliver")).await
        }
        Webhook::Ping { name } => sent(&cx, &name, "ping").await,
    }
}

fn path(name: &str) -> String {
    format!("{PATH}/{}", segment(name))
}

async fn change(cx: &Context, name: &str, what: &str, body: &Value) -> Result<Exit, Failure> {
    let document = cx.client.post(&format!("{}/{what}", path(name)), body).await?.document;
    let record: Record = parse(&document)?;
    cx.output.answer(&document, || format!("{what}d\n{}", webhook::text(&record)))?;
    Ok(Exit::Done)
}

async fn sent(cx: &Context, name: &str, what: &str) -> Result<Exit, Failure> {
    let document = cx.client.post(&format!("{}/{what}", path(name)), &json!({})).await?.document;
    let delivery = document["delivery"].as_str().unwrap_or_default().to_owned();
    cx.output.answer(&document, || {
        format!("delivery {delivery} is sent; `farmhand webhook deliveries {name}` shows how it goes")
    })?;
    Ok(Exit::Done)
}

async fn list(cx: &Context, args: WebhookList) -> Result<Exit, Failure> {
    let query = query(&[
        ("direction", args.direction.map(|direction| direction.to_string())),
        ("limit", Some(args.paging.limit.to_string())),
        ("cursor", args.paging.cursor),
    ]);
    let document = cx.client.get(&format!("{PATH}{query}")).await?.document;
    let page: Page<Record> = parse(&document)?;
    cx.output.answer(&document, || with_next(webhook::list(&page.items), page.next.as_deref()))?;
    Ok(Exit::Done)
}

async fn create(cx: &Context, args: WebhookCreate) -> Result<Exit, Failure> {
    let body = definition(args)?;
    let document = cx.client.post(PATH, &body).await?.document;
    let Some(secret) = document["secret"].as_str().map(str::to_owned) else {
        return Err(Failure::internal("the server's answer holds no secret"));
    };
    cx.output.answer(&document, || secret)?;
    eprintln!("This secret is shown once.");
    Ok(Exit::Done)
}

fn definition(args: WebhookCreate) -> Result<Value, Failure> {
    let mut body = json!({ "name": args.name });
    match args.inbound {
        Some(auth) => {
            body["direction"] = json!("in");
            body["auth"] = json!(auth);
        }
        None => {
            body["direction"] = json!("out");
            body["url"] = json!(args.to);
            body["events"] = json!(args.events);
        }
    }
    if let Some(description) = args.description {
        body["description"] = json!(description);
    }
    if let Some(file) = args.secret_file {
        body["secret"] = json!(Secret::from_file("--secret-file", &file)?.expose());
    }
    Ok(body)
}

async fn deliveries(cx: &Context, args: WebhookDeliveries) -> Result<Exit, Failure> {
    let query = query(&[
        ("state", args.state.map(|state| state.to_string())),
        ("limit", Some(args.paging.limit.to_string())),
        ("cursor", args.paging.cursor),
    ]);
    let document = cx.client.get(&format!("{}/deliveries{query}", path(&args.name))).await?.document;
    let page: Page<Delivery> = parse(&document)?;
    cx.output.answer(&document, || with_next(webhook::deliveries(&page.items), page.next.as_deref()))?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use domain::webhook::{WebhookAuth, WebhookManifest};

    use super::*;

    #[test]
    fn flags_make_what_the_server_takes() {
        let outward = WebhookCreate {
            name: "siem".to_owned(),
            to: Some("https://siem/".to_owned()),
            events: vec!["farmhand.event.*".to_owned()],
            inbound: None,
            secret_file: None,
            description: Some("d".to_owned()),
        };
        let inward = WebhookCreate {
            to: None,
            events: Vec::new(),
            inbound: Some(WebhookAuth::Github),
            ..outward.clone()
        };
        for (args, direction) in [(outward, "out"), (inward, "in")] {
            let body = definition(args).expect("a body");
            assert_eq!(body["direction"], direction);
            let manifest: WebhookManifest = serde_json::from_value(body).expect("a manifest");
            manifest.validate().expect("valid");
        }
    }
}
