//! `nudge-due`: for accounts that are due and whose farms want it, a workflow each that has a host
//! fetch the password.

use async_trait::async_trait;
use domain::request::NudgeRequest;
use domain::rotation::RotationSummary;
use domain::{HostAdapter, Lane, Mode, WorkflowId, WorkflowKind};
use store::{Farm, FarmState, IdempotencyKey, NewWorkflow, Submitted};

use super::sweep::{self, DueAccount, Swept};
use crate::steps::outputs::{count, list, to_value};
use crate::{Step, StepContext, StepError, StepPlan, Verified};

pub const NAME: &str = "nudge-due";

/// Keys of nudges do not meet those of people.
const PRINCIPAL: &str = "farmhand/rotation-check";

/// Output: the check's [`RotationSummary`], with the nudges.
#[derive(Debug)]
pub struct NudgeDue;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Due {
    accounts: Vec<DueAccount>,
    /// Farms that want a nudge and have nothing that could ask a host.
    mute: Vec<String>,
}

#[async_trait]
impl Step for NudgeDue {
    type Observed = Due;

    fn name(&self) -> &'static str {
        NAME
    }

    async fn check(&self, cx: &StepContext) -> Result<Due, StepError> {
        let swept: Swept = cx.output(sweep::NAME)?;
        let mut due = Due::default();
        for account in swept.due {
            let farm = cx.records()?.farm(&cx.directory, &account.farm).await?;
            match farm.as_ref().map(|farm| can_be_asked(cx, farm)) {
                Some(true) => due.accounts.push(account),
                Some(false) => due.mute.push(account.farm.to_string()),
                // Retired since it was looked at.
                None => {}
            }
        }
        Ok(due)
    }

    fn plan(&self, cx: &StepContext, due: &Due) -> Result<StepPlan, StepError> {
        let mut summary = cx.output::<Swept>(sweep::NAME)?.summary;
        if !due.mute.is_empty() {
            let farms = list(&due.mute);
            summary
                .warnings
                .push(format!("want a nudge and have no host adapter to ask a host with: {farms}"));
        }
        let detail = match due.accounts.len() {
            0 => "no account is due whose farm wants a nudge".to_owned(),
            number => format!("a host is asked to fetch the password of {}", count(number, "account")),
        };
        Ok(StepPlan::nothing(detail, to_value(&summary)?))
    }

    async fn verify(&self, cx: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        let mut summary: RotationSummary = serde_json::from_value(plan.expected.clone())
            .map_err(|error| super::unreadable("the check's summary", &error))?;
        // Read again: what was to be nudged is no part of the plan, which is kept for ever.
        for account in self.check(cx).await?.accounts {
            summary.nudges.extend(submit(cx, &account).await?);
        }
        Ok(Verified { output: to_value(&summary)?, detail: plan.detail.clone() })
    }
}

fn can_be_asked(cx: &StepContext, farm: &Farm) -> bool {
    let facts = farm.recorded.as_ref().filter(|_| farm.state == FarmState::Deployed);
    facts.is_some_and(|facts| cx.environment.hosts.adapter(&facts.spec.host_actions) != HostAdapter::None)
}

async fn submit(cx: &StepContext, due: &DueAccount) -> Result<Option<WorkflowId>, StepError> {
    let now = cx.environment.clock.now();
    let request = NudgeRequest { account_sid: due.sid.clone(), due_key: due.key.clone() };
    let input = to_value(&request)?;
    let new = NewWorkflow {
        id: WorkflowId::new(now, cx.environment.rng.as_ref()),
        kind: WorkflowKind::NUDGE,
        directory: cx.directory.clone(),
        farm: Some(due.farm.clone()),
        hosts: Vec::new(),
        // It writes nothing to the directory, so it needs no farm's lock, and a roll harms nobody's work.
        lane: Lane::Checks,
        mode: Mode::Apply,
        requested_by: cx.requested_by().to_owned(),
        reason: Some(format!("{} is due and nobody has asked for it", due.account)),
        traceparent: messages::trace::current(),
        parent: Some(cx.workflow_id),
        farm_spec: None,
        input,
        now,
    };
    // Once a day for one key: checks are many, and a nudge that did not help is no better an hour later.
    let key = format!("nudge/{}/{}/{}", due.sid, due.key.slot_number(), now.format("%Y-%m-%d"));
    // The key says all that is asked.
    let request_hash = key.clone();
    let key = IdempotencyKey { principal: format!("{PRINCIPAL}/{}", cx.directory.key()), key, request_hash };
    Ok(match cx.records()?.submit(new, key).await? {
        Submitted::New(workflow) | Submitted::Replayed(workflow) => Some(workflow.id),
        Submitted::Conflict(_) => None,
    })
}
