//! An incident: a containment with what came of it. Pure: from what is on record and the time.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use domain::containment::{ContainedAccount, ContainedHost, Containment, KnownPassword};
use domain::{FarmName, Mode, Sid, Wait, Workflow, WorkflowId, WorkflowKind, WorkflowState};
use serde::Serialize;

/// From here on the old account of a `replace` is disabled: its passwords open nothing.
const OLD_IS_DISABLED: &str = "disable-old-account";

/// As the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Incident {
    pub workflow: Workflow,
    /// `null` until the containment is done.
    pub containment: Option<Containment>,
    /// One for each account that the host could read.
    pub exposures: Vec<AccountExposure>,
    /// Workflows that came of it, without their steps; dry runs are left out.
    pub children: Vec<Workflow>,
    /// What is to be decided now.
    pub next: Vec<String>,
}

/// Where the exposure of one account stands at this moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AccountExposure {
    pub account: String,
    pub sid: Sid,
    pub farm: Option<FarmName>,
    pub stands: Standing,
    pub known: Vec<KnownPassword>,
    pub ends_at: Option<DateTime<Utc>>,
    /// Counts down to 0; `null` where the end cannot be told.
    pub ends_in_seconds: Option<i64>,
    /// `null` until it was seen that the known password works no more.
    pub rolled: Option<Over>,
    /// What was chosen for its farm: the choice that stands, else the last that came to nothing.
    pub recovery: Option<Recovery>,
    pub assumptions: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Standing {
    /// The known password works.
    Open,
    /// It is due to roll, and rolls when somebody who may asks for it: until that was seen it is
    /// taken to work.
    Due,
    /// It was seen to work no more.
    Over,
    /// When it ends cannot be told from here.
    Unknown,
}

/// How an exposure was seen to end.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Over {
    pub at: DateTime<Utc>,
    /// `await-roll`: every DC showed another key. `replace`: the exposed account is disabled or gone.
    pub by: WorkflowKind,
    pub workflow: WorkflowId,
}

/// The workflow that was chosen for a farm.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Recovery {
    /// `replace` or `wait`.
    pub choice: &'static str,
    pub workflow: WorkflowId,
    pub state: WorkflowState,
    pub waiting: Option<Wait>,
}

/// `children`: those of a `replace` with their steps, where they are to be had.
pub(crate) fn incident(workflow: Workflow, children: Vec<Workflow>, now: DateTime<Utc>) -> Incident {
    let children: Vec<_> = children.into_iter().filter(|child| child.mode == Mode::Apply).collect();
    // What another version wrote is to be seen in the workflow itself.
    let containment: Option<Containment> =
        workflow.result.clone().and_then(|result| serde_json::from_value(result).ok());
    let accounts = containment.as_ref().map(|found| found.accounts.as_slice()).unwrap_or_default();
    let exposures: Vec<_> = accounts.iter().map(|account| exposure(account, &children, now)).collect();
    let next = next(&workflow, containment.as_ref(), &exposures);
    let children = children.into_iter().map(|child| Workflow { steps: Vec::new(), ..child }).collect();
    Incident { workflow, containment, exposures, children, next }
}

fn exposure(account: &ContainedAccount, children: &[Workflow], now: DateTime<Utc>) -> AccountExposure {
    let of_farm: Vec<_> =
        children.iter().filter(|child| child.farm.is_some() && child.farm == account.farm).collect();
    let rolled = of_farm.iter().filter_map(|child| over(child)).min_by_key(|over| over.at);
    let ends_at = account.exposure.ends_at;
    let left = ends_at.map(|end| (end - now).num_seconds().max(0));
    let stands = match (&rolled, left) {
        (Some(_), _) => Standing::Over,
        (None, None) => Standing::Unknown,
        (None, Some(0)) => Standing::Due,
        (None, Some(_)) => Standing::Open,
    };
    AccountExposure {
        account: account.account.clone(),
        sid: account.sid.clone(),
        farm: account.farm.clone(),
        stands,
        known: account.exposure.known.clone(),
        ends_at,
        ends_in_seconds: if rolled.is_some() { Some(0) } else { left },
        rolled,
        recovery: recovery(&of_farm),
        assumptions: account.exposure.assumptions.clone(),
    }
}

/// What this workflow has seen of the end.
fn over(child: &Workflow) -> Option<Over> {
    let at = match (&child.kind, child.state) {
        (kind, WorkflowState::Succeeded) if *kind == WorkflowKind::AWAIT_ROLL => {
            let seen = child.result.as_ref().and_then(|result| result["seenAt"].as_str());
            seen.and_then(|text| text.parse().ok()).or(child.finished_at)?
        }
        // Long before its end, which is after the cool-down.
        (kind, _) if *kind == WorkflowKind::REPLACE => {
            let disabled =
                child.steps.iter().find(|step| step.name == OLD_IS_DISABLED && step.state.is_done());
            let ended = child.finished_at.filter(|_| child.state == WorkflowState::Succeeded);
            disabled.and_then(|step| step.finished_at).or(ended)?
        }
        _ => return None,
    };
    Some(Over { at, by: child.kind.clone(), workflow: child.id })
}

/// The newest that is not over without success, else the newest. A replacement counts before a wait.
fn recovery(of_farm: &[&Workflow]) -> Option<Recovery> {
    let rank = |child: &Workflow| {
        use WorkflowState as S;
        let alive = !matches!(child.state, S::Failed | S::Unwound | S::Cancelled);
        (alive, child.kind == WorkflowKind::REPLACE, child.id)
    };
    let choice = |child: &Workflow| match &child.kind {
        kind if *kind == WorkflowKind::REPLACE => Some("replace"),
        kind if *kind == WorkflowKind::AWAIT_ROLL => Some("wait"),
        _ => None,
    };
    let choices = of_farm.iter().filter_map(|child| Some((*child, choice(child)?)));
    let (child, choice) = choices.max_by_key(|(child, _)| rank(child))?;
    Some(Recovery { choice, workflow: child.id, state: child.state, waiting: child.waiting.clone() })
}

fn next(
    workflow: &Workflow,
    containment: Option<&Containment>,
    exposures: &[AccountExposure],
) -> Vec<String> {
    let id = workflow.id;
    if workflow.mode == Mode::Plan {
        return vec!["this was a dry run: nothing was written and nobody is cut off".to_owned()];
    }
    let Some(containment) = containment else {
        return match workflow.state {
            state if !state.is_finished() => {
                vec![format!("the containment is not done yet: farmhand workflow watch {id}")]
            }
            WorkflowState::Failed => vec![format!(
                "the containment is NOT done; what it wrote stays. Mend what is named, then: farmhand workflow retry {id}"
            )],
            _ => vec!["the containment is NOT done; what it wrote stays. Ask for it again".to_owned()],
        };
    };
    let lost = |one: &&AccountExposure| {
        let ended = one.recovery.as_ref().is_none_or(|recovery| {
            matches!(
                recovery.state,
                WorkflowState::Failed | WorkflowState::Unwound | WorkflowState::Cancelled
            )
        });
        one.stands != Standing::Over && ended
    };
    let open: Vec<_> = exposures.iter().filter(lost).collect();
    let mut next = vec![ContainedHost::advice(&containment.host.name)];
    let farms: BTreeSet<_> = open.iter().filter_map(|one| Some(one.farm.as_ref()?.to_string())).collect();
    if !farms.is_empty() {
        let wait: Vec<_> = farms.iter().map(|farm| format!("{farm}=wait")).collect();
        next.push(format!(
            "choose for each farm: wait until its password has rolled, or replace its account now (a second person \
             approves): farmhand recover {id} {}",
            wait.join(" ")
        ));
    }
    let others: Vec<_> =
        open.iter().filter(|one| one.farm.is_none()).map(|one| one.account.as_str()).collect();
    if !others.is_empty() {
        next.push(format!(
            "{} {} no farm on record: put it on record (farmhand farm import) or watch and replace it by hand",
            others.join(", "),
            if others.len() == 1 { "is" } else { "are each" },
        ));
    }
    next
}

#[cfg(test)]
#[path = "incident_tests.rs"]
mod tests;
