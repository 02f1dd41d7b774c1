//! `farmhand workflow approve|reject|ack`.

use std::io::{BufRead, IsTerminal, Write};

use domain::host::{AckOutcome, HostAck};
use domain::{WaitReason, Workflow, WorkflowId};
use serde_json::{Value, json};

use super::Context;
use super::workflow::path;
use crate::cli::{Ack, Approve, Reject};
use crate::client::follow;
use crate::failure::{Exit, Failure};
use crate::output::workflow;

pub async fn approve(cx: &Context, args: Approve) -> Result<Exit, Failure> {
    let hash = match args.plan_hash {
        Some(hash) => hash,
        None => {
            let (workflow, hash) = awaited(cx, args.id).await?;
            // On standard error: standard output is the answer's.
            eprintln!("{}\n", workflow::text(&workflow));
            if !args.yes && !confirmed(&workflow, &hash)? {
                return Err(Failure::refused("not-confirmed", "nothing was approved", ""));
            }
            hash
        }
    };
    let body = json!({ "planHash": hash, "reason": args.reason });
    let answer = cx.client.post(&format!("{}/approve", path(args.id)), &body).await?;
    cx.conclude(answer.document, answer.embedded, args.wait).await
}

pub async fn reject(cx: &Context, args: Reject) -> Result<Exit, Failure> {
    let hash = match args.plan_hash {
        Some(hash) => hash,
        None => awaited(cx, args.id).await?.1,
    };
    let body = json!({ "planHash": hash, "reason": args.reason });
    let answer = cx.client.post(&format!("{}/reject", path(args.id)), &body).await?;
    cx.conclude(answer.document, answer.embedded, false).await
}

pub async fn ack(cx: &Context, args: Ack) -> Result<Exit, Failure> {
    let found = follow::parse(cx.client.get(&path(args.id)).await?.document)?;
    let index = step_index(&found.workflow, &args.step)?;
    let body = acks(args.host, args.outcome.into(), args.detail);
    let answer = cx.client.post(&format!("{}/steps/{index}/ack", path(args.id)), &body).await?;
    cx.conclude(answer.document, answer.embedded, args.wait).await
}

/// The workflow as it is now, and the hash of the plan that it waits with.
async fn awaited(cx: &Context, id: WorkflowId) -> Result<(Workflow, String), Failure> {
    let workflow = follow::parse(cx.client.get(&path(id)).await?.document)?.workflow;
    let waits = workflow.waiting.as_ref().is_some_and(|wait| wait.reason == WaitReason::Approval);
    match workflow.plan.as_ref().filter(|_| waits).map(|plan| plan.hash.clone()) {
        Some(hash) => Ok((workflow, hash)),
        None => Err(Failure::refused(
            "illegal-transition",
            format!("workflow {id} is {} and waits for no approval", workflow.state),
            format!("look at it as it stands now: farmhand workflow show {id}"),
        )),
    }
}

fn confirmed(workflow: &Workflow, hash: &str) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        let hint = format!("name the plan with --plan-hash {hash}, or approve what is shown with --yes");
        return Err(Failure::usage("there is no terminal to ask on", hint));
    }
    let farm = workflow.farm.as_ref().map(ToString::to_string).unwrap_or_default();
    eprint!("approve {} {farm} with plan {hash}? [y/N] ", workflow.kind);
    let mut answer = String::new();
    let read = std::io::stderr().flush().and_then(|()| std::io::stdin().lock().read_line(&mut answer));
    read.map_err(|e| Failure::internal(format!("the terminal cannot be read: {e}")))?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

fn acks(hosts: Vec<String>, outcome: AckOutcome, detail: Option<String>) -> Value {
    let ack = |host| HostAck { host, outcome, detail: detail.clone() };
    if hosts.is_empty() {
        return json!([ack(None)]);
    }
    json!(hosts.into_iter().map(|host| ack(Some(host))).collect::<Vec<_>>())
}

/// By number, as tables show it (from 1), else by name. No step's name is a number.
fn step_index(workflow: &Workflow, step: &str) -> Result<u16, Failure> {
    let found = match step.parse::<u16>() {
        Ok(number) => workflow.steps.iter().find(|known| known.index + 1 == number),
        Err(_) => workflow.steps.iter().find(|known| known.name.eq_ignore_ascii_case(step)),
    };
    found.map(|step| step.index).ok_or_else(|| {
        let names: Vec<_> =
            workflow.steps.iter().map(|step| format!("{} {}", step.index + 1, step.name)).collect();
        let known = if names.is_empty() { "none yet".to_owned() } else { names.join(", ") };
        Failure::usage(
            format!("workflow {} has no step {step:?}", workflow.id),
            format!("its steps are: {known}"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::workflow::tests::{sample, step};

    #[test]
    fn a_step_is_meant_by_its_number_from_1_or_by_its_name() {
        let steps =
            json!([step(0, "find-farm", "succeeded", Some(false)), step(1, "uninstall", "waiting", None)]);
        let workflow = sample("waiting", steps);
        for (text, index) in [("1", 0), ("2", 1), ("Uninstall", 1), ("find-farm", 0)] {
            assert_eq!(step_index(&workflow, text).expect(text), index);
        }
        for text in ["0", "3", "install", "-1", ""] {
            let failure = step_index(&workflow, text).expect_err(text);
            assert_eq!(failure.exit, Exit::Usage);
            assert!(failure.hint.contains("2 uninstall"), "{failure}");
        }
    }

    #[test]
    fn without_a_host_every_awaited_one_is_meant() {
        assert_eq!(acks(vec![], AckOutcome::Succeeded, None), json!([{"outcome": "succeeded"}]));
        assert_eq!(
            acks(vec!["a".into(), "b".into()], AckOutcome::Skipped, Some("gone".into())),
            json!([
                {"host": "a", "outcome": "skipped", "detail": "gone"},
                {"host": "b", "outcome": "skipped", "detail": "gone"}
            ])
        );
    }
}
