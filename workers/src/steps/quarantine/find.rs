//! `find-quarantine`: what is to be released, and from when on nothing of before its removal can be alive.

use std::collections::BTreeSet;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use directory::Base;
use domain::request::QuarantineReleaseRequest;
use domain::{Dn, ErrorCode, Sid, Workflow, WorkflowId, WorkflowKind};
use serde::{Deserialize, Serialize};
use store::{Denial, Quarantined};

use crate::steps::outputs::{count, list, to_value};
use crate::{Step, StepContext, StepError, StepPlan, Verified};

pub const NAME: &str = "find-quarantine";

/// Output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    pub quarantine: Quarantined,
    /// How many accounts have a deny entry of ours for it.
    pub denials: usize,
    /// `null`: the computer account is gone.
    pub computer: Option<Dn>,
    /// The last moment at which a DC may have issued a ticket as if nothing had happened.
    pub contained_at: DateTime<Utc>,
    /// When this was read: what is denied later is another containment's.
    pub read_at: DateTime<Utc>,
}

#[derive(Debug)]
pub struct FindQuarantine;

#[async_trait]
impl Step for FindQuarantine {
    type Observed = Found;

    fn name(&self) -> &'static str {
        NAME
    }

    async fn check(&self, cx: &StepContext) -> Result<Found, StepError> {
        let host = cx.input::<QuarantineReleaseRequest>()?.host_sid;
        let records = cx.records()?;
        // Before the record is read: whatever is noted from here on is later.
        let read_at = cx.environment.clock.now();
        let open = records.quarantined(&cx.directory).await?;
        let quarantine = open.into_iter().find(|one| one.host_sid == host).ok_or_else(|| unknown(&host))?;
        let denials = records.denials(&cx.directory, &host).await?;
        let containments = containments(cx, &quarantine, &denials).await?;
        finished(&containments)?;
        let computer = cx.dc().await?.read(&Base::from(&host), &["objectSid"]).await?;
        Ok(Found {
            contained_at: contained_at(&quarantine, &denials, &containments),
            quarantine,
            denials: denials.len(),
            computer: computer.map(|computer| computer.dn),
            read_at,
        })
    }

    fn plan(&self, _: &StepContext, found: &Found) -> Result<StepPlan, StepError> {
        let Quarantined { host_name, placed_at, placed_by, .. } = &found.quarantine;
        let gone = if found.computer.is_none() { "; its computer account is gone" } else { "" };
        let detail = format!(
            "{host_name} is under quarantine since {} (by {placed_by}), denied by {}{gone}",
            placed_at.to_rfc3339(),
            count(found.denials, "account"),
        );
        Ok(StepPlan::nothing(detail, to_value(found)?))
    }

    async fn verify(&self, _: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        Ok(Verified { output: plan.expected.clone(), detail: plan.detail.clone() })
    }
}

fn unknown(host: &Sid) -> StepError {
    StepError::fail(
        ErrorCode::NotQuarantined,
        format!("no host with the SID {host} is under quarantine"),
        "`farmhand quarantine list` shows those that are; a rebuilt host has another SID than the one that was \
         contained, and needs no release",
    )
}

/// The workflows that keep the host out.
async fn containments(
    cx: &StepContext,
    quarantine: &Quarantined,
    denials: &[Denial],
) -> Result<Vec<Workflow>, StepError> {
    let ids = denials.iter().map(|denial| denial.workflow).chain([quarantine.workflow]);
    let mut found = writers(cx, ids).await?;
    found.retain(is_containment);
    Ok(found)
}

/// Each once.
pub(super) async fn writers(
    cx: &StepContext,
    ids: impl Iterator<Item = WorkflowId>,
) -> Result<Vec<Workflow>, StepError> {
    let ids: BTreeSet<_> = ids.collect();
    let mut found = Vec::new();
    for id in ids {
        found.extend(cx.records()?.workflow(id).await?);
    }
    Ok(found)
}

/// A deploy denies the hosts under quarantine too, in the account that it makes.
pub(super) fn is_containment(workflow: &Workflow) -> bool {
    workflow.kind == WorkflowKind::COMPROMISE_REMOVAL
}

/// One that is not over would deny again what is lifted here.
pub(super) fn finished(containments: &[Workflow]) -> Result<(), StepError> {
    let open: Vec<_> = containments.iter().filter(|one| !one.state.is_finished()).map(|one| one.id).collect();
    match open.is_empty() {
        true => Ok(()),
        false => Err(StepError::fail(
            ErrorCode::NotContained,
            format!("the host is still being cut off: {}", list(&open)),
            "wait for the end of that workflow, or cancel it (what it wrote stays); then ask for the release again",
        )),
    }
}

/// A DC that was away during the containment issued tickets until it was reached, which is at the
/// latest when the containment was done.
fn contained_at(quarantine: &Quarantined, denials: &[Denial], containments: &[Workflow]) -> DateTime<Utc> {
    let is_theirs = |denial: &&Denial| containments.iter().any(|one| one.id == denial.workflow);
    let written = denials.iter().filter(is_theirs).map(|denial| denial.written_at);
    let done = containments.iter().filter_map(|workflow| workflow.finished_at);
    written.chain(done).fold(quarantine.placed_at, DateTime::max)
}

#[cfg(test)]
pub(super) mod tests {
    use domain::{Lane, Mode, WorkflowState};

    use super::*;
    use crate::steps::testing::{dn, sid};

    pub fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + seconds, 0).expect("a valid time")
    }
    pub fn id(number: u128) -> WorkflowId {
        WorkflowId(uuid::Uuid::from_u128(number))
    }
    pub fn quarantine() -> Quarantined {
        Quarantined {
            id: uuid::Uuid::from_u128(1),
            directory: Default::default(),
            host_sid: sid(1101),
            host_name: "Host1".into(),
            computer_dn: dn("CN=Host1,OU=Servers,DC=contoso,DC=com"),
            workflow: id(1),
            placed_by: "responder".into(),
            reason: None,
            placed_at: at(0),
            computer_disabled: true,
            released: None,
        }
    }
    pub fn denial(rid: u32, seconds: i64) -> Denial {
        let account_dn = dn(&format!("CN=F{rid},CN=Managed Service Accounts,DC=contoso,DC=com"));
        Denial { account_sid: sid(rid), account_dn, workflow: id(1), written_at: at(seconds) }
    }
    fn containment(state: WorkflowState, finished: Option<i64>) -> Workflow {
        Workflow {
            id: id(1),
            kind: WorkflowKind::COMPROMISE_REMOVAL,
            directory: Default::default(),
            farm: None,
            hosts: vec![],
            lane: Lane::Urgent,
            mode: Mode::Apply,
            state,
            parent: None,
            preempted_by: None,
            requested_by: "responder".into(),
            reason: None,
            created_at: at(0),
            started_at: None,
            finished_at: finished.map(at),
            waiting: None,
            plan: None,
            steps: vec![],
            error: None,
            result: None,
        }
    }

    #[test]
    fn the_last_denial_and_the_end_of_the_containment_count() {
        let since = |denials: &[Denial], done: &[Workflow]| contained_at(&quarantine(), denials, done);
        assert_eq!(since(&[], &[]), at(0));
        assert_eq!(since(&[denial(1, 5)], &[]), at(0), "a deploy's, of an account that it made");
        let under_way = containment(WorkflowState::Waiting, None);
        assert_eq!(since(&[denial(1, 5), denial(2, 3)], &[under_way]), at(5));
        let late = containment(WorkflowState::Succeeded, Some(600));
        assert_eq!(since(&[denial(1, 5)], &[late]), at(600), "a DC was away until then");
    }

    #[test]
    fn a_host_that_is_still_being_cut_off_is_not_released() {
        let error = finished(&[containment(WorkflowState::Waiting, None)]).expect_err("not yet");
        assert_eq!(error.problem().code, ErrorCode::NotContained);
        for state in [WorkflowState::Succeeded, WorkflowState::Cancelled, WorkflowState::Failed] {
            assert_eq!(finished(&[containment(state, None)]), Ok(()), "{state}");
        }
    }
}
