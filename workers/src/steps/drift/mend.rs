//! `ask-for-mending`: of farms that want it, an update each that puts right what an update can. It
//! waits for a second person.

use async_trait::async_trait;
use domain::drift::{DriftState, DriftSummary};
use domain::request::UpdateRequest;
use domain::{Lane, Mode, WorkflowId, WorkflowKind};
use store::{DriftSubject, IdempotencyKey, Mend, NewWorkflow, Submitted};

use super::observe::Farm;
use super::sweep::{COMPARE, Swept, ToMend, unreadable};
use crate::steps::outputs::{count, to_value};
use crate::{Step, StepContext, StepError, StepPlan, Verified};

pub const ASK: &str = "ask-for-mending";

/// Keys of mendings do not meet those of people.
const PRINCIPAL: &str = "farmhand/drift-check";

/// Output: the check's [`DriftSummary`], with the updates.
#[derive(Debug)]
pub struct AskForMending;

#[async_trait]
impl Step for AskForMending {
    type Observed = Swept;

    fn name(&self) -> &'static str {
        ASK
    }

    async fn check(&self, cx: &StepContext) -> Result<Swept, StepError> {
        cx.output(COMPARE)
    }

    fn plan(&self, _: &StepContext, swept: &Swept) -> Result<StepPlan, StepError> {
        let detail = match swept.mend.len() {
            0 => "no farm is to be mended".to_owned(),
            number => {
                format!("{} to be mended, each by an update that waits for approval", count(number, "farm"))
            }
        };
        Ok(StepPlan::nothing(detail, to_value(&swept.summary)?))
    }

    async fn verify(&self, cx: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        let mut summary: DriftSummary =
            serde_json::from_value(plan.expected.clone()).map_err(|error| unreadable(&error))?;
        for mend in self.check(cx).await?.mend {
            summary.mending.extend(ask(cx, &mend).await?);
        }
        for _ in &summary.mending {
            if summary.farms.drifted > 0 {
                summary.farms.drifted -= 1;
                summary.farms.mending += 1;
            }
        }
        Ok(Verified { output: to_value(&summary)?, detail: plan.detail.clone() })
    }
}

/// Asks, if the farm still stands as it was found. The key makes asking again after a crash asking once.
async fn ask(cx: &StepContext, mend: &ToMend) -> Result<Option<WorkflowId>, StepError> {
    let records = cx.records()?;
    let found = records.drift_subjects_named(&cx.directory, std::slice::from_ref(&mend.farm)).await?;
    let Some(subject) = found.into_iter().next().filter(|subject| stands(subject, mend)) else {
        return Ok(None);
    };
    let Some(new) = update(cx, &subject)? else { return Ok(None) };
    let at = new.now;
    let key = format!("drift/{}/{}/{}", cx.workflow_id, mend.farm.key(), mend.hash);
    // The key says all that is asked.
    let request_hash = key.clone();
    let key = IdempotencyKey { principal: format!("{PRINCIPAL}/{}", cx.directory.key()), key, request_hash };
    let workflow = match records.submit(new, key).await? {
        Submitted::New(workflow) | Submitted::Replayed(workflow) => workflow.id,
        Submitted::Conflict(_) => return Ok(None),
    };
    let noted = Mend { workflow, hash: mend.hash.clone(), at };
    records.note_mend(&cx.directory, &mend.farm, &noted).await?;
    Ok(Some(workflow))
}

fn stands(subject: &DriftSubject, mend: &ToMend) -> bool {
    let known = subject.known.as_ref();
    subject.at_work.is_none()
        && known.is_some_and(|known| {
            let open = matches!(known.state, DriftState::Drifted | DriftState::Mending);
            open && known.hash.as_deref() == Some(mend.hash.as_str())
        })
}

fn update(cx: &StepContext, subject: &DriftSubject) -> Result<Option<NewWorkflow>, StepError> {
    let Some(farm) = Farm::of(subject) else { return Ok(None) };
    let now = cx.environment.clock.now();
    let spec = farm.asked().clone();
    let hosts = spec.hosts.iter().map(ToString::to_string).collect();
    let input = to_value(&UpdateRequest { spec, approval: true })?;
    Ok(Some(NewWorkflow {
        id: WorkflowId::new(now, cx.environment.rng.as_ref()),
        kind: WorkflowKind::UPDATE,
        directory: cx.directory.clone(),
        farm: Some(subject.farm.name.clone()),
        hosts,
        lane: Lane::Lifecycle,
        mode: Mode::Apply,
        // Who has the check ask for it cannot be who approves it.
        requested_by: cx.requested_by().to_owned(),
        reason: Some(format!("drift-check {} found that the farm is not as asked for", cx.workflow_id)),
        traceparent: messages::trace::current(),
        parent: Some(cx.workflow_id),
        farm_spec: None,
        input,
        now,
    }))
}
