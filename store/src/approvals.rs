//! A second person approves or rejects what a workflow shows.

use chrono::{DateTime, Utc};
use domain::approval::Verdict;
use domain::{ErrorCode, Problem, StepRecord, StepState, WaitReason, WorkflowId, WorkflowState};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect,
};
use tracing::instrument;

use crate::act::{Decision, has_written};
use crate::entity::{steps, to_json, workflows};
use crate::store::timed;
use crate::workflows::with_all_steps;
use crate::{Control, Decided, Ruling, Store, StoreError};

impl Store {
    /// Records the ruling of `by`. Nothing is written unless the answer is [`Decided::Done`].
    #[instrument(name = "db.workflows.decide", skip_all, fields(workflow = %id, approve = ruling.approve))]
    pub async fn decide(
        &self,
        id: WorkflowId,
        ruling: Ruling,
        now: DateTime<Utc>,
    ) -> Result<Decided, StoreError> {
        let _time = timed("decide");
        let tx = self.begin().await?;
        let Some(row) = workflows::Entity::find_by_id(id.0).lock_exclusive().one(&tx).await? else {
            return Ok(Decided::NotFound);
        };
        if row.state()? != WorkflowState::Waiting || !row.waits_for(WaitReason::Approval) {
            return Ok(Decided::NotAwaited(row.state()?));
        }
        if row.requested_by.eq_ignore_ascii_case(&ruling.by) {
            return Ok(Decided::Own);
        }
        // A schedule or a rule asks in its own name; who defined it is the one who asks.
        let owner = match self.owner_of(&tx, row.id).await? {
            Some(owner) => Some(owner),
            None => self.rule_owner_of(&tx, row.id).await?,
        };
        if owner.is_some_and(|owner| owner.eq_ignore_ascii_case(&ruling.by)) {
            return Ok(Decided::Own);
        }
        let waiting = steps::Entity::find()
            .filter(steps::Column::WorkflowId.eq(row.id))
            .filter(steps::Column::State.eq(StepState::Waiting.as_str()));
        let Some(step_row) = waiting.one(&tx).await? else {
            return Ok(Decided::NotAwaited(row.state()?));
        };
        let mut step = StepRecord::try_from(step_row.clone())?;
        let Some(approval) = step.outcome.as_mut().and_then(|outcome| outcome.approval.as_mut()) else {
            return Ok(Decided::NotAwaited(row.state()?));
        };
        if approval.plan_hash != ruling.plan_hash {
            return Ok(Decided::OtherPlan { waiting: approval.plan_hash.clone() });
        }
        if now >= approval.expires_at {
            return Ok(Decided::Expired { at: approval.expires_at });
        }
        let Ruling { approve, by, reason, .. } = ruling;
        approval.decision =
            Some(Verdict { approved: approve, by: by.clone(), at: now, reason: reason.clone() });
        let outcome = step.outcome.as_ref().map(to_json).transpose()?;
        let mut change = step_row.into_active_model();
        change.outcome = Set(outcome);
        change.update(&tx).await?;
        let row = if approve {
            self.carry_out(&tx, row, Decision::Queue(None), &by, now).await?
        } else if has_written(&tx, &row).await? {
            // Only a worker can take back what was written before it asked.
            self.carry_out(&tx, row, Decision::Queue(Some(Control::Cancel)), &by, now).await?
        } else {
            self.carry_out(&tx, row, Decision::Cancel(rejected(&by, reason.as_deref())), &by, now).await?
        };
        let workflow = with_all_steps(&tx, &row).await?;
        tx.commit().await?;
        self.wake_relay();
        self.wake_announcer(workflow.state.is_finished());
        tracing::info!(workflow = %id, approve, by, "decided by a person");
        Ok(Decided::Done(Box::new(workflow)))
    }
}

fn rejected(by: &str, reason: Option<&str>) -> Problem {
    let why = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    Problem::new(
        ErrorCode::ApprovalRejected,
        format!("rejected by {by}{why}"),
        "nothing had been changed; ask for it again when what speaks against it is settled",
    )
}
