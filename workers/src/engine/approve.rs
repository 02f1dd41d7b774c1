//! An approval step: a second person approves exactly what would be done.

use domain::approval::Standing;
use domain::{Approval, ErrorCode, Plan, Problem, StepEvent, StepRecord, StepState, Wait, WaitReason};
use serde_json::json;
use store::WorkflowChange;

use super::run::{Attempt, Run};
use crate::StepError;
use crate::step::DynStep;

impl Run<'_> {
    /// Rehearses the steps that follow and asks for approval of their plan, or goes on where it has
    /// been given for this very plan.
    pub(super) async fn approve(
        &mut self,
        step: &dyn DynStep,
        record: &mut StepRecord,
    ) -> Result<(), Attempt> {
        let plan = self.rehearse(usize::from(record.index) + 1).await?;
        if plan.is_empty() && !step.approves_anything() {
            self.conclude(record, StepEvent::Skip, "nothing would be done that wants approval".to_owned());
            return Ok(());
        }
        let now = self.shared.clock.now();
        let expires = now + self.shared.timing.approval;
        let outcome = record.outcome.get_or_insert_default();
        let known = outcome.approval.take();
        let approval = match known {
            None => Approval::asked(plan.hash.clone(), now, expires),
            Some(known) => match known.standing(&plan.hash, now) {
                Standing::Approved(verdict) => {
                    outcome.output = json!({ "approvedBy": verdict.by, "planHash": plan.hash });
                    outcome.approval = Some(known);
                    record.changed = Some(false);
                    self.conclude(record, StepEvent::Succeed, format!("approved by {}", verdict.by));
                    return Ok(());
                }
                // It had failed for that, and a person wants it tried again.
                Standing::Expired if has_expired(record.error.as_ref()) => {
                    known.renewed(plan.hash.clone(), now, expires)
                }
                Standing::Expired => {
                    let error = expired(&known);
                    outcome.approval = Some(known);
                    return Err(error.into());
                }
                Standing::Open => known,
                Standing::Void => known.renewed(plan.hash.clone(), now, expires),
            },
        };
        outcome.approval = Some(approval.clone());
        self.await_approval(record, approval, plan).await
    }

    async fn await_approval(
        &mut self,
        record: &mut StepRecord,
        approval: Approval,
        plan: Plan,
    ) -> Result<(), Attempt> {
        let again = match approval.voided.last() {
            Some(_) => "; an earlier approval is void, since what would be done has changed",
            None => "",
        };
        // A runbook that writes nothing itself is approved as such; what it asks for is approved on its own.
        let what = match plan.is_empty() {
            true => "that it goes on".to_owned(),
            false => format!(
                "{} directory change(s) and work on {} host(s)",
                plan.changes.len(),
                plan.host_actions.len()
            ),
        };
        let id = self.cx.workflow_id;
        let detail = format!("a second person must approve {what}{again} (farmhand workflow approve {id})");
        record.state = record.state.next(StepEvent::Wait).unwrap_or(StepState::Waiting);
        record.detail = Some(detail.clone());
        record.error = None;
        let wait = Wait { reason: WaitReason::Approval, until: Some(approval.expires_at), detail };
        self.commit(vec![record.clone()], WorkflowChange::AwaitApproval { wait, plan })
            .await
            .map_err(Attempt::Stop)?;
        Err(Attempt::Stop(super::run::Stop::AtRest))
    }

    /// What the steps from `first` on would do if they ran now.
    async fn rehearse(&self, first: usize) -> Result<Plan, StepError> {
        let mut cx = self.cx.rehearsal();
        let (mut changes, mut hosts) = (Vec::new(), Vec::new());
        for step in self.runbook.steps.iter().skip(first) {
            let plan = step.assess(&cx).await?;
            changes.extend(plan.changes);
            hosts.extend(plan.host_actions);
            cx.set_output(step.name(), plan.expected);
        }
        Ok(Plan::new(changes, hosts))
    }
}

fn has_expired(error: Option<&Problem>) -> bool {
    error.is_some_and(|problem| problem.code == ErrorCode::ApprovalExpired)
}

/// The word of a second person against it, where that is why the workflow is cancelled.
pub(super) fn rejection(records: &[StepRecord]) -> Option<Problem> {
    let approvals = records.iter().filter_map(|record| record.outcome.as_ref()?.approval.as_ref());
    let verdict =
        approvals.filter_map(|approval| approval.decision.as_ref()).find(|verdict| !verdict.approved)?;
    let why = verdict.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    Some(Problem::new(
        ErrorCode::ApprovalRejected,
        format!("rejected by {}{why}", verdict.by),
        "what had been changed before is undone; ask for it again when what speaks against it is settled",
    ))
}

fn expired(approval: &Approval) -> StepError {
    StepError::Fail(Problem::new(
        ErrorCode::ApprovalExpired,
        format!("nobody approved it before {}", approval.expires_at.to_rfc3339()),
        "ask for the workflow again when somebody is there to approve it",
    ))
}
