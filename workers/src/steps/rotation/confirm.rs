//! `confirm-roll`: every writable DC shows the new key.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use directory::{Base, DirectoryRead};
use domain::containment::KeyId;
use domain::rotation::NudgedCopy;
use domain::{ErrorCode, Mode, Problem, Sid, WaitReason};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::find_due::{self, DueFarm};
use super::key_id;
use super::observe::DcCopy;
use crate::error::PlannedWait;
use crate::steps::everywhere::{Lag, Look, ask_every_dc, collect};
use crate::steps::outputs::{list, to_value};
use crate::{Step, StepContext, StepError, StepPlan, Verified};

pub const NAME: &str = "confirm-roll";

/// A DC writes the new key right after it has answered the read.
const NOBODY_ROLLED: TimeDelta = TimeDelta::minutes(10);
/// Replication between sites runs every three hours by default.
const NOT_EVERYWHERE: TimeDelta = TimeDelta::hours(6);

/// Output: what each DC shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Confirmed {
    pub copies: Vec<NudgedCopy>,
}

/// Put aside while it waits.
#[derive(Debug, Serialize, Deserialize)]
struct Memo {
    since: DateTime<Utc>,
}

#[derive(Debug)]
pub struct ConfirmRoll;

#[async_trait]
impl Step for ConfirmRoll {
    type Observed = Option<Confirmed>;

    fn name(&self) -> &'static str {
        NAME
    }

    /// `None` in a dry run, where nobody was asked.
    async fn check(&self, cx: &StepContext) -> Result<Option<Confirmed>, StepError> {
        let due: DueFarm = cx.output(find_due::NAME)?;
        if cx.mode == Mode::Plan && due.host.is_some() {
            return Ok(None);
        }
        let asked = ask_every_dc(cx, &Rolled { sid: &due.sid, before: &due.due_key }).await?;
        let rolled = asked.iter().any(|(_, answer)| answer.is_ok());
        let behind =
            asked.iter().filter(|(_, answer)| answer.is_err()).map(|(name, _)| name.clone()).collect();
        match collect(asked) {
            Ok(copies) => Ok(Some(Confirmed { copies })),
            Err(StepError::Retry { problem, .. }) => Err(later(cx, &due, rolled, behind, problem)?),
            Err(other) => Err(other),
        }
    }

    fn plan(&self, _: &StepContext, found: &Option<Confirmed>) -> Result<StepPlan, StepError> {
        let Some(found) = found else { return Ok(StepPlan::skip("shown once a host was asked")) };
        let dcs: Vec<_> = found.copies.iter().map(|copy| copy.dc.as_str()).collect();
        Ok(StepPlan::nothing(format!("the new key is on {}", list(&dcs)), to_value(found)?))
    }

    async fn verify(&self, _: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        Ok(Verified { output: plan.expected.clone(), detail: plan.detail.clone() })
    }
}

/// Waits on, at growing distances, or gives up.
fn later(
    cx: &StepContext,
    due: &DueFarm,
    rolled: bool,
    behind: Vec<String>,
    problem: Problem,
) -> Result<StepError, StepError> {
    let now = cx.environment.clock.now();
    let since = cx.memo::<Memo>()?.map_or(now, |memo| memo.since);
    let waited = now - since;
    let host = due.host.as_ref().map_or("it", |host| host.name.as_str());
    if waited > if rolled { NOT_EVERYWHERE } else { NOBODY_ROLLED } {
        let message = match rolled {
            true => format!("{} rolled, and {} do not show it", due.account, list(&behind)),
            false => format!("{host} fetched the password of {}, and no DC has rolled it", due.account),
        };
        let hint = "see the page of this code: a host that tests from its own store asks no DC, and a DC without a usable \
                    KDS root key cannot roll";
        return Ok(StepError::fail(ErrorCode::PasswordNotRolled, message, hint));
    }
    let pause = (waited / 4).clamp(TimeDelta::seconds(2), TimeDelta::minutes(5));
    let pause = pause.to_std().unwrap_or(Duration::from_secs(2));
    Ok(PlannedWait {
        reason: WaitReason::Timer,
        until: Some(now + pause),
        problem: Problem { code: ErrorCode::NotReplicated, ..problem },
        memo: Some(json!(Memo { since })),
    }
    .into())
}

struct Rolled<'a> {
    sid: &'a Sid,
    before: &'a KeyId,
}

#[async_trait]
impl Look for Rolled<'_> {
    type Seen = NudgedCopy;

    async fn look(&self, dc: &dyn DirectoryRead) -> Result<NudgedCopy, Lag> {
        let attributes = ["msDS-ManagedPasswordId", "msDS-KeyVersionNumber"];
        let found = dc.read(&Base::from(self.sid), &attributes).await?;
        let found = found.ok_or_else(|| Lag::Behind("no such account".to_owned()))?;
        let shown = DcCopy::of(dc.dc(), DateTime::UNIX_EPOCH, &found);
        match shown.id().map(key_id) {
            Some(key_id) if key_id.slot_number() > self.before.slot_number() => {
                Ok(NudgedCopy { dc: shown.dc, key_id, key_version: found.int("msDS-KeyVersionNumber") })
            }
            _ => Err(Lag::Behind("the key that was due".to_owned())),
        }
    }
}
