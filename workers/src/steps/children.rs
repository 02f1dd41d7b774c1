//! Workflows that a workflow asks for.

use domain::{ErrorCode, FarmName, Lane, Mode, Workflow, WorkflowId, WorkflowKind};
use serde_json::Value;
use sha2::{Digest, Sha256};
use store::{IdempotencyKey, NewWorkflow, Submitted};

use crate::{StepContext, StepError};

/// Whose keys these are; people's tokens have principals of their own.
const PRINCIPAL: &str = "farmhand";

/// What is asked for, on behalf of whoever asked for this workflow.
#[derive(Debug, Clone, PartialEq)]
pub struct Child {
    pub kind: WorkflowKind,
    pub lane: Lane,
    pub farm: Option<FarmName>,
    pub hosts: Vec<String>,
    pub input: Value,
    pub reason: String,
}

/// Asks for it once for each key: a second time gives the workflow of the first.
pub async fn ask(cx: &StepContext, child: &Child, key: &str) -> Result<Workflow, StepError> {
    let now = cx.environment.clock.now();
    let new = NewWorkflow {
        id: WorkflowId::new(now, cx.environment.rng.as_ref()),
        kind: child.kind.clone(),
        directory: cx.directory.clone(),
        farm: child.farm.clone(),
        hosts: child.hosts.clone(),
        lane: child.lane,
        mode: Mode::Apply,
        requested_by: cx.requested_by().to_owned(),
        reason: Some(child.reason.clone()),
        input: child.input.clone(),
        traceparent: None,
        parent: Some(cx.workflow_id),
        farm_spec: None,
        now,
    };
    let request_hash = hex::encode(Sha256::digest(format!("{} {}", child.kind, child.input)));
    let key = IdempotencyKey { principal: PRINCIPAL.to_owned(), key: key.to_owned(), request_hash };
    match cx.records()?.submit(new, key.clone()).await? {
        Submitted::New(workflow) | Submitted::Replayed(workflow) => Ok(workflow),
        Submitted::Conflict(other) => Err(StepError::park(
            ErrorCode::IdempotencyConflict,
            format!("the key {} stands for workflow {other}, which was asked for something else", key.key),
            "this is a defect of Farmhand: report it with the workflow's id",
        )),
    }
}

/// Asks for it again where those that were asked for before under `series` are all behind us: the
/// first of them that is not, or a new one.
pub async fn ask_again(
    cx: &StepContext,
    child: &Child,
    series: &str,
    is_behind_us: impl Fn(&Workflow) -> bool + Send + Sync,
) -> Result<Workflow, StepError> {
    let mut number = 0_u32;
    loop {
        let workflow = ask(cx, child, &format!("{series}/{number}")).await?;
        if !is_behind_us(&workflow) {
            return Ok(workflow);
        }
        number += 1;
    }
}
