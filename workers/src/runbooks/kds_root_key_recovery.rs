//! `kds-root-key-recovery`: every gMSA moves off an exposed KDS root key ("golden gMSA").
//!
//! Over days: a new key is made and becomes usable, account after account is replaced, none is left on
//! the exposed key, and only then it is removed. Writes nothing itself: accounts are replaced by
//! workflows of their own, keys are people's.

use std::sync::Arc;

use domain::WorkflowKind;
use serde::Serialize;
use uuid::Uuid;

use crate::runbook::{Replan, RunResult, Runbook};
use crate::steps::approval::ApprovalOfAnything;
use crate::steps::outputs::{count, to_value};
use crate::steps::root_key::{
    AwaitUsable, INVENTORY, Inventory, InventoryOutput, NEW_KEY, NONE_LEFT, NewKeyOutput, NewRootKey,
    NoneLeft, NoneLeftOutput, Pace, REMOVE_KEY, REPLACE_ACCOUNTS, RemoveRootKey, RemovedOutput,
    ReplaceAccounts, ReplacedFarm, ReplacedOutput, RestartKds,
};
use crate::{StepContext, StepError};

pub fn runbook() -> Runbook {
    with(Pace::default())
}

/// At another pace.
pub fn with(pace: Pace) -> Runbook {
    Runbook {
        kind: WorkflowKind::KDS_ROOT_KEY_RECOVERY,
        needs_farm: false,
        replan: Replan::FromLastChange,
        steps: vec![
            Arc::new(Inventory),
            Arc::new(ApprovalOfAnything),
            Arc::new(NewRootKey),
            Arc::new(RestartKds { name: "restart-kds", so_that: "so that it knows the new root key" }),
            Arc::new(AwaitUsable),
            Arc::new(ReplaceAccounts { pace }),
            Arc::new(NoneLeft),
            Arc::new(RemoveRootKey),
            Arc::new(RestartKds { name: "restart-kds-again", so_that: "so that it forgets the exposed one" }),
        ],
        result,
    }
}

/// The workflow's `result`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Recovered {
    /// One line for people.
    summary: String,
    /// What it changed itself; the replacements changed the directory.
    changed: bool,
    /// Removed.
    exposed_root_key: Uuid,
    root_key: Option<Uuid>,
    farms: Vec<ReplacedFarm>,
    /// Accounts that were no farm's when it began; people saw to them.
    others: u64,
    /// That no longer have the exposed key.
    domain_controllers: Vec<String>,
    warnings: Vec<String>,
    /// The directory is Farmhand's own small one, for trying out.
    embedded_directory: bool,
}

fn result(cx: &StepContext) -> Result<RunResult, StepError> {
    let stock: InventoryOutput = cx.output(INVENTORY)?;
    let new: NewKeyOutput = cx.output(NEW_KEY)?;
    let replaced: ReplacedOutput = cx.output(REPLACE_ACCOUNTS)?;
    let none_left: NoneLeftOutput = cx.output(NONE_LEFT)?;
    let removed: RemovedOutput = cx.output(REMOVE_KEY)?;
    let recovered = Recovered {
        summary: format!(
            "no gMSA's password comes from {} any more, and it is removed; {} replaced",
            stock.root_key,
            count(replaced.replaced.len(), "farm")
        ),
        changed: cx.changed(),
        exposed_root_key: stock.root_key,
        root_key: new.root_key,
        farms: replaced.replaced,
        others: stock.others,
        domain_controllers: removed.domain_controllers,
        warnings: stock.warnings.into_iter().chain(none_left.warnings).collect(),
        embedded_directory: cx.forest()?.is_embedded(),
    };
    Ok(RunResult { result: to_value(&recovered)?, farm: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exposed_key_goes_last_and_only_when_nothing_is_left_on_it() {
        let names: Vec<_> = runbook().steps.iter().map(|step| step.name()).collect();
        let expected = [
            "inventory",
            "approval",
            "new-root-key",
            "restart-kds",
            "await-usable",
            "replace-accounts",
            "none-left",
            "remove-root-key",
            "restart-kds-again",
        ];
        assert_eq!(names, expected);
        assert!(runbook().steps[1].approves_anything());
    }
}
