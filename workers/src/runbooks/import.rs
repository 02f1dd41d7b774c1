//! `import`: a gMSA that somebody made by other means comes on record as a farm.
//!
//! The directory is only read. What the account's lists name besides the farm's own hosts stays as
//! it is, byte for byte, in this and in every later workflow. Importing again refreshes the record.

use std::sync::Arc;

use domain::WorkflowKind;
use serde::Serialize;
use store::{FarmFacts, FarmRecord};

use crate::runbook::{Replan, RunResult, Runbook};
use crate::steps::import::{self, ReadAccount};
use crate::steps::outputs::{count, to_value};
use crate::{StepContext, StepError};

pub fn runbook() -> Runbook {
    // The record, where there is one, says what a directory does not: how things are done on hosts.
    Runbook {
        kind: WorkflowKind::IMPORT,
        needs_farm: true,
        replan: Replan::FromStart,
        steps: vec![Arc::new(ReadAccount)],
        result,
    }
}

/// The workflow's `result`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Imported {
    /// One line for people.
    summary: String,
    /// What is on record now; `spec` is the manifest that fits the account.
    recorded: FarmFacts,
    /// Whether this differs from what was on record before.
    refreshed: bool,
    warnings: Vec<String>,
}

fn result(cx: &StepContext) -> Result<RunResult, StepError> {
    let import::ImportOutput { facts, warnings } = cx.output(import::NAME)?;
    let before = cx.farm().and_then(|farm| farm.recorded.as_ref());
    let imported = Imported {
        summary: format!(
            "farm {} is on record: {} with {}; nothing was written",
            facts.spec.name,
            facts.account_dn,
            count(facts.spec.hosts.len(), "host")
        ),
        refreshed: before.is_some_and(|before| *before != facts),
        recorded: facts.clone(),
        warnings,
    };
    Ok(RunResult { result: to_value(&imported)?, farm: Some(FarmRecord::Deployed(facts)) })
}
