//! The Key Distribution Service forgets what it has cached only when it is restarted, on each DC.
//!
//! Nothing in the directory shows that; who resumes the workflow says that it is done.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use domain::Mode;
use serde::{Deserialize, Serialize};

use super::by_hand::{quoted, told};
use crate::steps::outputs::{count, list, to_value};
use crate::{Step, StepContext, StepError, StepPlan, Verified};

pub struct RestartKds {
    pub name: &'static str,
    /// What for.
    pub so_that: &'static str,
}

/// Output. Empty in a dry run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RestartedOutput {
    pub domain_controllers: Vec<String>,
    pub asked_at: Option<DateTime<Utc>>,
    pub told_at: Option<DateTime<Utc>>,
}

/// Put aside when people were asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    at: DateTime<Utc>,
    domain_controllers: Vec<String>,
}

#[async_trait]
impl Step for RestartKds {
    type Observed = RestartedOutput;

    fn name(&self) -> &'static str {
        self.name
    }

    async fn check(&self, cx: &StepContext) -> Result<RestartedOutput, StepError> {
        if cx.mode == Mode::Plan {
            return Ok(RestartedOutput::default());
        }
        let dcs: Vec<_> = cx.forest()?.writable_dcs().await?.into_iter().map(|dc| dc.name).collect();
        let now = cx.environment.clock.now();
        match cx.memo::<Asked>()? {
            Some(asked) if dcs.iter().all(|dc| asked.domain_controllers.contains(dc)) => {
                Ok(RestartedOutput { domain_controllers: dcs, asked_at: Some(asked.at), told_at: Some(now) })
            }
            // First time, or a DC has come that nobody was asked about.
            _ => Err(ask(self.so_that, dcs, now)?),
        }
    }

    fn plan(&self, _: &StepContext, said: &RestartedOutput) -> Result<StepPlan, StepError> {
        let detail = match said.domain_controllers.len() {
            0 => format!("people would restart KdsSvc on every DC {}", self.so_that),
            number => format!("a person says that KdsSvc was restarted on {}", count(number, "DC")),
        };
        Ok(StepPlan::nothing(detail, to_value(said)?))
    }

    async fn verify(&self, _: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        Ok(Verified { output: plan.expected.clone(), detail: plan.detail.clone() })
    }
}

fn ask(so_that: &str, dcs: Vec<String>, now: DateTime<Utc>) -> Result<StepError, StepError> {
    let message = format!("restart the Key Distribution Service on every DC {so_that}: {}", list(&dcs));
    let names: Vec<_> = dcs.iter().map(|dc| quoted(dc)).collect();
    let hint = format!(
        "Invoke-Command -ComputerName {} {{ Restart-Service KdsSvc }} and the same on the DCs of the forest's other \
         domains (a Samba DC has no such service: nothing to do); then resume the workflow, which is your word \
         that it is done",
        names.join(", ")
    );
    Ok(told(message, hint, to_value(&Asked { at: now, domain_controllers: dcs })?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dc_is_in_the_command_and_kept_for_whoever_resumes() {
        let now = DateTime::from_timestamp(1_700_000_000, 0).expect("a valid time");
        let dcs = vec!["dc1.contoso.com".to_owned(), "dc2.contoso.com".to_owned()];
        let StepError::Wait(wait) = ask("so", dcs.clone(), now).expect("a wait") else { panic!("no wait") };
        assert!(
            wait.problem.hint.contains("'dc1.contoso.com', 'dc2.contoso.com' { Restart-Service KdsSvc }")
        );
        let asked: Asked = serde_json::from_value(wait.memo.expect("a memo")).expect("reads back");
        assert_eq!((asked.domain_controllers, wait.until), (dcs, None));
    }
}
