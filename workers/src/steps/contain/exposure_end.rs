//! The end of an exposure, told to other systems.
//!
//! That the password which a compromised host knew works no more is seen by the workflow that was
//! chosen for its farm; how the incident stands is derived from that workflow whenever somebody looks.
//! So it is announced with the success of the very step that the incident's clock looks at.

use domain::announcement::ExposureEnd;
use domain::containment::Containment;
use domain::{Announcement, Sid, WorkflowId, WorkflowKind};

use crate::{StepContext, StepError};

/// Says that the exposure of the account by the containment `compromise` is over, if it exposed it.
pub async fn announce(
    cx: &StepContext,
    compromise: WorkflowId,
    account: &Sid,
    evidence: &str,
) -> Result<(), StepError> {
    let Some(workflow) = cx.records()?.workflow(compromise).await? else { return Ok(()) };
    if workflow.kind != WorkflowKind::COMPROMISE_REMOVAL {
        return Ok(());
    }
    // What another version wrote is to be seen in the workflow itself.
    let found = workflow.result.and_then(|result| serde_json::from_value::<Containment>(result).ok());
    let Some(found) = found else { return Ok(()) };
    let Some(exposed) = found.accounts.iter().find(|one| one.sid == *account) else { return Ok(()) };
    cx.announce(Announcement::exposure_ended(&ExposureEnd {
        directory: &cx.directory,
        host: &found.host.name,
        account: &exposed.account,
        sid: account,
        farm: exposed.farm.as_ref(),
        at: cx.environment.clock.now(),
        evidence,
        workflow: cx.workflow_id,
        compromise,
    }));
    Ok(())
}
