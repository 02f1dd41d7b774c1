//! `await-tickets`: no ticket from before the containment is alive any more.
//!
//! Until then only the deny entries keep out who holds one: its groups are those of the hour in which it
//! was issued.

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use domain::request::QuarantineReleaseRequest;
use domain::{ErrorCode, Mode, Problem, WaitReason};
use serde_json::Value;

use super::find::{self, Found};
use crate::{PlannedWait, Step, StepContext, StepError, StepPlan, Verified};

/// A ticket is renewed for up to seven days, and the last one then lives for ten hours: the default
/// Kerberos policy of a domain (MS-GPSB 2.2.2).
const LIFE: TimeDelta = TimeDelta::hours(7 * 24 + 10);

#[derive(Debug, Clone)]
pub struct AwaitTickets {
    pub life: TimeDelta,
}

impl Default for AwaitTickets {
    fn default() -> Self {
        Self { life: LIFE }
    }
}

pub enum Observed {
    Forced(String),
    /// A dry run.
    Until(DateTime<Utc>),
    Dead(DateTime<Utc>),
}

#[async_trait]
impl Step for AwaitTickets {
    type Observed = Observed;

    fn name(&self) -> &'static str {
        "await-tickets"
    }

    async fn check(&self, cx: &StepContext) -> Result<Observed, StepError> {
        let found: Found = cx.output(find::NAME)?;
        if let Some(why) = forced(&cx.input()?) {
            return Ok(Observed::Forced(why));
        }
        let until = found.contained_at + self.life;
        match (cx.mode, cx.environment.clock.now() < until) {
            (Mode::Plan, true) => Ok(Observed::Until(until)),
            (Mode::Apply, true) => Err(wait(&found, until)),
            (_, false) => Ok(Observed::Dead(until)),
        }
    }

    fn plan(&self, _: &StepContext, observed: &Observed) -> Result<StepPlan, StepError> {
        Ok(match observed {
            Observed::Forced(why) => StepPlan::skip(format!(
                "not waited for: released while tickets of before the containment may be alive, since {why}"
            )),
            Observed::Until(until) => {
                let detail = format!("tickets of before the containment are dead at {}", until.to_rfc3339());
                StepPlan::nothing(format!("{detail}; it would be waited for"), Value::Null)
            }
            Observed::Dead(until) => {
                let detail =
                    format!("tickets of before the containment are dead since {}", until.to_rfc3339());
                StepPlan::nothing(detail, Value::Null)
            }
        })
    }

    async fn verify(&self, _: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        Ok(Verified { output: Value::Null, detail: plan.detail.clone() })
    }
}

/// The reason not to wait; an empty one is none.
pub fn forced(request: &QuarantineReleaseRequest) -> Option<String> {
    request.force.as_deref().map(str::trim).filter(|why| !why.is_empty()).map(str::to_owned)
}

fn wait(found: &Found, until: DateTime<Utc>) -> StepError {
    let message = format!(
        "tickets that {} got before it was contained may be alive until {}",
        found.quarantine.host_name,
        until.to_rfc3339()
    );
    let hint = "nothing to do: the release goes on by itself; where the host is known to be clean or wiped, cancel it \
                and ask for the release with a reason (`--force`)";
    PlannedWait {
        reason: WaitReason::Timer,
        until: Some(until),
        problem: Problem::new(ErrorCode::CoolingDown, message, hint),
        memo: None,
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::quarantine::find::tests::{at, quarantine};
    use crate::steps::testing::{context, sid};

    fn found() -> Found {
        Found { quarantine: quarantine(), denials: 1, computer: None, contained_at: at(0), read_at: at(1) }
    }
    fn request(force: Option<&str>) -> QuarantineReleaseRequest {
        QuarantineReleaseRequest { host_sid: sid(1101), force: force.map(str::to_owned) }
    }

    #[test]
    fn a_reason_of_blanks_is_none() {
        assert_eq!(forced(&request(Some(" it is wiped "))).as_deref(), Some("it is wiped"));
        assert_eq!(forced(&request(Some("  "))).or(forced(&request(None))), None);
    }

    #[test]
    fn seven_days_and_ten_hours_are_waited_by_the_clock() {
        let until = at(0) + AwaitTickets::default().life;
        assert_eq!(until, at(7 * 86_400 + 10 * 3_600));
        let StepError::Wait(wait) = wait(&found(), until) else { panic!("no wait") };
        assert_eq!((wait.reason, wait.until), (WaitReason::Timer, Some(until)));
        assert!(wait.problem.message.contains("Host1"));
    }

    #[tokio::test]
    async fn a_dry_run_says_until_when_and_waits_for_nothing() {
        let input = serde_json::to_value(request(None)).expect("serialises");
        let cx = context();
        let mut cx = StepContext::new(cx.workflow_id, cx.directory, Mode::Plan, cx.environment, input, None);
        cx.set_output(find::NAME, serde_json::to_value(found()).expect("serialises"));
        let step = AwaitTickets::default();
        let observed = step.check(&cx).await.expect("no wait");
        let plan = step.plan(&cx, &observed).expect("a plan");
        assert!(plan.detail.ends_with("it would be waited for"), "{}", plan.detail);
    }
}
