//! `farmhand deploy`.

use super::Context;
use crate::cli::Deploy;
use crate::client::{manifest, query};
use crate::failure::{Exit, Failure};

pub async fn run(cx: Context, args: Deploy) -> Result<Exit, Failure> {
    let manifest = manifest::read(&args.file)?;
    let body = serde_json::to_value(&manifest)
        .map_err(|e| Failure::internal(format!("the manifest cannot be written as JSON: {e}")))?;
    let plan = args.ask.plan.then(|| "true".to_owned());
    let path = format!("/api/v1/farms{}", query(&[("plan", plan), ("reason", args.ask.reason.clone())]));
    let key = args.ask.idempotency_key.iter().map(|key| ("idempotency-key", key.as_str()));
    let headers: Vec<_> = key.collect();
    let answer = cx.client.post(&path, &body, &headers).await?;
    cx.conclude(answer.document, answer.embedded, args.ask.wait).await
}
