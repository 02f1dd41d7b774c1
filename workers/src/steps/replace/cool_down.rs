//! `cool-down-old-account`: the old account stays, disabled, for as long as going back may be wanted.

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use domain::request::ReplaceRequest;
use domain::{ErrorCode, Mode, Problem, WaitReason};
use serde::{Deserialize, Serialize};

use super::{replaced_already, surveyed};
use crate::steps::outputs::to_value;
use crate::{PlannedWait, Step, StepContext, StepError, StepPlan, Verified};

#[derive(Debug)]
pub struct CoolDown;

/// Kept while the step waits: a worker that takes over begins no new cool-down.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Memo {
    until: DateTime<Utc>,
}

#[async_trait]
impl Step for CoolDown {
    type Observed = ();

    fn name(&self) -> &'static str {
        "cool-down-old-account"
    }

    async fn check(&self, cx: &StepContext) -> Result<(), StepError> {
        if cx.mode == Mode::Plan || surveyed(cx)?.is_none() {
            return Ok(());
        }
        let seconds = cx.input::<ReplaceRequest>()?.cool_down_seconds;
        let now = cx.environment.clock.now();
        let length = i64::try_from(seconds).ok().and_then(TimeDelta::try_seconds).unwrap_or(TimeDelta::MAX);
        let end = || now.checked_add_signed(length).unwrap_or(DateTime::<Utc>::MAX_UTC);
        let memo = cx.memo::<Memo>()?.unwrap_or_else(|| Memo { until: end() });
        if now >= memo.until {
            return Ok(());
        }
        let problem = Problem::new(
            ErrorCode::CoolingDown,
            format!("the old account is deleted at {}", memo.until.to_rfc3339()),
            "nothing to do; until then `farmhand workflow cancel` puts the old account back",
        );
        let until = Some(memo.until);
        Err(PlannedWait { reason: WaitReason::Timer, until, problem, memo: Some(to_value(&memo)?) }.into())
    }

    fn plan(&self, cx: &StepContext, (): &()) -> Result<StepPlan, StepError> {
        if surveyed(cx)?.is_none() {
            return Ok(replaced_already());
        }
        let seconds = cx.input::<ReplaceRequest>()?.cool_down_seconds;
        let detail = format!("the old account stays, disabled, for {seconds} s");
        Ok(StepPlan::nothing(detail, serde_json::Value::Null))
    }

    async fn verify(&self, _: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        Ok(Verified { output: plan.expected.clone(), detail: plan.detail.clone() })
    }
}
