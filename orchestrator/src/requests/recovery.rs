//! What becomes of the farms that a compromised host could read: for each a workflow that replaces
//! its account, or one that waits for the password to roll.
//!
//! Asked again, a choice is the workflow that it became before, whoever asks; unless that came to
//! nothing (rejected, cancelled, failed), then it is asked for anew. Another choice for the same farm
//! is another workflow: who has begun by waiting may go on to replace.

use std::collections::BTreeMap;

use domain::containment::{ContainedAccount, Containment};
use domain::request::{AwaitRollRequest, ReplaceRequest};
use domain::{
    ErrorCode, FarmName, Lane, Mode, Principal, Problem, Role, Violation, Workflow, WorkflowId, WorkflowKind,
    WorkflowState,
};
use serde_json::Value;
use sha2::{Digest, Sha256};
use store::{Farm, IdempotencyKey, NewWorkflow, Submitted};

use super::bodies::{RecoveryBody, RecoveryChoice};
use super::refusal::{self, Refusal, RefusalKind, RequestError};
use super::{Requests, judge, key_conflict, reason};

/// Whose keys these are: two responders who choose the same ask for one workflow.
const PRINCIPAL: &str = "farmhand/recovery";

/// How a recovery is asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct RecoveryAsk {
    /// A dry run: the workflows end with the exact directory changes and write nothing.
    pub plan: bool,
    pub reason: Option<String>,
}

/// One farm with what is done about it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Chosen {
    pub farm: FarmName,
    pub choice: RecoveryChoice,
    pub account: ContainedAccount,
}

impl RecoveryChoice {
    pub(crate) fn kind(self) -> WorkflowKind {
        match self {
            Self::Replace => WorkflowKind::REPLACE,
            Self::Wait => WorkflowKind::AWAIT_ROLL,
        }
    }
}

impl Requests {
    /// All or nothing as far as rules go: a choice that cannot be is told before any is begun.
    pub(crate) async fn recover(
        &self,
        compromise: &Workflow,
        body: &RecoveryBody,
        ask: RecoveryAsk,
        by: &Principal,
    ) -> Result<Vec<Workflow>, RequestError> {
        refusal::require(by, Role::Responder)?;
        let reason = reason(ask.reason)?;
        let containment = containment(compromise)?;
        let chosen = choose(&containment, &body.farms)?;
        let mut inputs = Vec::with_capacity(chosen.len());
        for chosen in chosen {
            let input = self.input(compromise, &chosen).await?;
            inputs.push((chosen, input));
        }
        let children = self.store.children(compromise.id).await?;
        let mut asked = Vec::with_capacity(inputs.len());
        for (chosen, input) in inputs {
            let earlier = series(&children, &chosen);
            let new = self.child(compromise, &chosen, input, (ask.plan, reason.clone()), by);
            asked.push(match standing(&earlier).filter(|_| !ask.plan) {
                Some(standing) => standing.clone(),
                None => self.ask_once(new, (compromise.id, earlier.len())).await?,
            });
        }
        Ok(asked)
    }

    async fn input(&self, compromise: &Workflow, chosen: &Chosen) -> Result<Value, RequestError> {
        let directory = &compromise.directory;
        Ok(match chosen.choice {
            RecoveryChoice::Replace => {
                let farm = self.store.farm(directory, &chosen.farm).await?;
                let farm = refusal::deployed(refusal::on_record(farm, &chosen.farm, directory)?)?;
                exposed_still(&farm, chosen)?;
                serde_json::to_value(ReplaceRequest {
                    account_sid: chosen.account.sid.clone(),
                    new_account: None,
                    managed_password_interval_in_days: None,
                    cool_down_seconds: self.cool_down.as_secs(),
                })?
            }
            RecoveryChoice::Wait => serde_json::to_value(AwaitRollRequest {
                account_sid: chosen.account.sid.clone(),
                exposed_key_id: key_to_wait_for(chosen)?,
                compromise: compromise.id,
            })?,
        })
    }

    fn child(
        &self,
        compromise: &Workflow,
        chosen: &Chosen,
        input: Value,
        (plan, reason): (bool, Option<String>),
        by: &Principal,
    ) -> NewWorkflow {
        let now = self.clock.now();
        let why = format!("a compromised host could read its password: {}", compromise.hosts.join(", "));
        NewWorkflow {
            id: WorkflowId::new(now, self.rng.as_ref()),
            kind: chosen.choice.kind(),
            directory: compromise.directory.clone(),
            farm: Some(chosen.farm.clone()),
            hosts: Vec::new(),
            lane: match chosen.choice {
                RecoveryChoice::Replace => Lane::Lifecycle,
                RecoveryChoice::Wait => Lane::Checks,
            },
            mode: if plan { Mode::Plan } else { Mode::Apply },
            requested_by: by.name.clone(),
            reason: reason.or(Some(why)),
            input,
            traceparent: messages::trace::current(),
            parent: Some(compromise.id),
            farm_spec: None,
            now,
        }
    }

    /// Two who ask at the same moment have seen the same earlier ones, and so have the same key.
    async fn ask_once(
        &self,
        new: NewWorkflow,
        (compromise, earlier): (WorkflowId, usize),
    ) -> Result<Workflow, RequestError> {
        let farm = new.farm.as_ref().map(FarmName::key).unwrap_or_default();
        let key = (new.mode == Mode::Apply).then(|| IdempotencyKey {
            principal: PRINCIPAL.to_owned(),
            key: format!("{compromise}/{farm}/{}/{earlier}", new.kind),
            request_hash: hex::encode(Sha256::digest(new.input.to_string())),
        });
        match self.store.submit(new, key).await? {
            Submitted::New(workflow) | Submitted::Replayed(workflow) => Ok(workflow),
            Submitted::Conflict(id) => Err(key_conflict(id).into()),
        }
    }
}

/// Earlier workflows of the same choice for the same farm, oldest first.
fn series<'a>(children: &'a [Workflow], chosen: &Chosen) -> Vec<&'a Workflow> {
    let same = |child: &&Workflow| {
        child.mode == Mode::Apply
            && child.kind == chosen.choice.kind()
            && child.farm.as_ref() == Some(&chosen.farm)
    };
    children.iter().filter(same).collect()
}

/// The one that still counts.
fn standing<'a>(series: &[&'a Workflow]) -> Option<&'a Workflow> {
    let counts = |child: &&Workflow| {
        !matches!(child.state, WorkflowState::Failed | WorkflowState::Unwound | WorkflowState::Cancelled)
    };
    series.iter().copied().rev().find(counts)
}

/// What was found, of a containment that is done.
fn containment(compromise: &Workflow) -> Result<Containment, RequestError> {
    let id = compromise.id;
    let done = compromise.state == WorkflowState::Succeeded && compromise.mode == Mode::Apply;
    let found = compromise.result.clone().filter(|_| done);
    match found.map(serde_json::from_value) {
        Some(read) => Ok(read?),
        None => Err(Refusal {
            problem: Problem::new(
                ErrorCode::NotContained,
                format!("the containment {id} is {} and has no result yet", compromise.state),
                format!(
                    "recovery begins when the host is cut off on every domain controller; `farmhand incident show {id}` \
                     says what that waits for"
                ),
            ),
            kind: RefusalKind::Conflict,
        }
        .into()),
    }
}

/// Pure: each farm with its account as the containment found it, or everything that is wrong.
pub(super) fn choose(
    containment: &Containment,
    farms: &BTreeMap<String, String>,
) -> Result<Vec<Chosen>, Problem> {
    let (mut chosen, mut wrong, mut seen) = (Vec::new(), Vec::new(), Vec::new());
    if farms.is_empty() {
        wrong.push(Violation::new("farms", "required", "says for each farm `replace` or `wait`"));
    }
    for (name, choice) in farms {
        let field = format!("farms.{name}");
        let mut add = |rule: &str, message: String| wrong.push(Violation::new(&field, rule, message));
        let choice = match choice.as_str() {
            "replace" => Some(RecoveryChoice::Replace),
            "wait" => Some(RecoveryChoice::Wait),
            other => {
                add("value", format!("is `replace` or `wait`, not {other:?}"));
                None
            }
        };
        let farm = FarmName::parse(name).map_err(|error| add(error.rule, error.message)).ok();
        let Some(farm) = farm else { continue };
        if seen.contains(&farm) {
            add("duplicate", format!("{name} is listed twice"));
            continue;
        }
        seen.push(farm.clone());
        let account = containment.accounts.iter().find(|account| account.farm.as_ref() == Some(&farm));
        match (account, choice) {
            (Some(account), Some(choice)) => {
                // As it is on record, whatever the case it was asked in.
                let farm = account.farm.clone().unwrap_or(farm);
                chosen.push(Chosen { farm, choice, account: account.clone() });
            }
            (None, _) => {
                add(
                    "affected",
                    format!("{name} is no farm whose password the host could read: {}", those(containment)),
                );
            }
            (Some(_), None) => {}
        }
    }
    if wrong.is_empty() { Ok(chosen) } else { Err(judge::invalid(wrong)) }
}

fn those(containment: &Containment) -> String {
    let farms: Vec<_> =
        containment.accounts.iter().filter_map(|account| Some(account.farm.as_ref()?.to_string())).collect();
    if farms.is_empty() { "it could read none of a farm on record".to_owned() } else { farms.join(", ") }
}

/// The farm's account is the one that was exposed.
fn exposed_still(farm: &Farm, chosen: &Chosen) -> Result<(), Problem> {
    let now = farm.recorded.as_ref().map(|facts| &facts.account_sid);
    if now == Some(&chosen.account.sid) {
        return Ok(());
    }
    let now = now.map(ToString::to_string).unwrap_or_default();
    let message = format!(
        "{} has another account by now ({now}): what the host knew opens nothing of it any more",
        farm.name
    );
    Err(judge::invalid(vec![Violation::new(format!("farms.{}", farm.name), "replaced", message)]))
}

fn key_to_wait_for(chosen: &Chosen) -> Result<String, Problem> {
    chosen.account.exposure.exposed_key_id.clone().ok_or_else(|| {
        let message = format!(
            "the key of {}'s password could not be read, so that nobody can see it roll: choose replace",
            chosen.farm
        );
        judge::invalid(vec![Violation::new(format!("farms.{}", chosen.farm), "key-unknown", message)])
    })
}
