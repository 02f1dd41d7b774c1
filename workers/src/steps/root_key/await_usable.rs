//! `await-usable`: until DCs make passwords from the new key. An account that is made earlier gets its
//! password from the exposed one again.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use directory::preflight::ROOT_KEY_SETTLING;
use domain::{ErrorCode, Mode, Problem, WaitReason};
use serde_json::Value;

use super::new_key::{self, NewKeyOutput};
use crate::{PlannedWait, Step, StepContext, StepError, StepPlan, Verified};

#[derive(Debug)]
pub struct AwaitUsable;

#[async_trait]
impl Step for AwaitUsable {
    /// `None`: a dry run.
    type Observed = Option<DateTime<Utc>>;

    fn name(&self) -> &'static str {
        "await-usable"
    }

    async fn check(&self, cx: &StepContext) -> Result<Self::Observed, StepError> {
        if cx.mode == Mode::Plan {
            return Ok(None);
        }
        let now = cx.environment.clock.now();
        let until = usable_at(&cx.output(new_key::NAME)?).unwrap_or(now);
        match now < until {
            true => Err(wait(until)),
            false => Ok(Some(until)),
        }
    }

    fn plan(&self, _: &StepContext, until: &Self::Observed) -> Result<StepPlan, StepError> {
        let detail = match until {
            Some(until) => format!("the new root key is usable since {}", until.to_rfc3339()),
            None => "a new root key would be waited for until it is usable (10 h 5 min)".to_owned(),
        };
        Ok(StepPlan::nothing(detail, Value::Null))
    }

    async fn verify(&self, _: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        Ok(Verified { output: Value::Null, detail: plan.detail.clone() })
    }
}

/// By its own times where they are to be seen, else from the moment when every DC had it.
fn usable_at(key: &NewKeyOutput) -> Option<DateTime<Utc>> {
    key.usable_at.or_else(|| Some(key.seen_at? + ROOT_KEY_SETTLING))
}

fn wait(until: DateTime<Utc>) -> StepError {
    PlannedWait {
        reason: WaitReason::Timer,
        until: Some(until),
        problem: Problem::new(
            ErrorCode::KdsRootKeyNotYetUsable,
            format!("DCs make passwords from the new root key from {} on", until.to_rfc3339()),
            "nothing to do: it goes on by itself",
        ),
        memo: None,
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_own_times_count_and_else_the_moment_when_it_was_seen() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().ok();
        let seen = NewKeyOutput { seen_at: at("2026-01-01T00:00:00Z"), ..NewKeyOutput::default() };
        assert_eq!(usable_at(&seen), at("2026-01-01T10:05:00Z"));
        let told = NewKeyOutput { usable_at: at("2026-01-01T02:00:00Z"), ..seen };
        assert_eq!(usable_at(&told), at("2026-01-01T02:00:00Z"));
    }
}
