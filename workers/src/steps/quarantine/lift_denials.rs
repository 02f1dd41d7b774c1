//! `lift-denials`: the deny entries that containments wrote for the host go, on every DC.
//!
//! Each DC is written to by itself, as the containment did: one that got the removal by replication only
//! would keep the host out for as long.

use async_trait::async_trait;
use domain::Dn;
use serde::{Deserialize, Serialize};

use super::find::{self, Found};
use super::lists::{self, Copies, lifts};
use crate::steps::outputs::{count, list, to_value};
use crate::{Step, StepContext, StepError, StepPlan, Verified};

pub const NAME: &str = "lift-denials";

/// Output.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LiftedOutput {
    pub accounts: Vec<Dn>,
    /// Deny entries that stay, in words.
    pub left: Vec<String>,
    pub domain_controllers: Vec<String>,
}

#[derive(Debug)]
pub struct LiftDenials;

pub struct Observed {
    found: Found,
    copies: Copies,
}

#[async_trait]
impl Step for LiftDenials {
    type Observed = Observed;

    fn name(&self) -> &'static str {
        NAME
    }

    async fn check(&self, cx: &StepContext) -> Result<Observed, StepError> {
        let denials = lists::denials(cx).await?;
        Ok(Observed { found: cx.output(find::NAME)?, copies: lists::copies(cx, &denials).await? })
    }

    fn plan(&self, _: &StepContext, observed: &Observed) -> Result<StepPlan, StepError> {
        let lifts = lifts(&observed.copies, &observed.found.quarantine);
        let detail = match lifts.accounts.len() {
            0 => "no deny entry of Farmhand's stands".to_owned(),
            number => format!("denied no more by {}: {}", count(number, "account"), list(&lifts.accounts)),
        };
        let output = LiftedOutput {
            accounts: lifts.accounts,
            left: lifts.left,
            domain_controllers: observed.copies.iter().map(|(dc, _)| dc.clone()).collect(),
        };
        Ok(StepPlan::new(lifts.changes, detail, to_value(&output)?))
    }

    /// Read back at the end, with all the rest.
    async fn verify(&self, cx: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        let mut output: LiftedOutput = serde_json::from_value(plan.expected.clone()).unwrap_or_default();
        // What an earlier attempt lifted is lifted too.
        output.accounts.extend(cx.written().iter().map(|write| write.change.dn.clone()));
        output.accounts.sort_by(|a, b| a.key().cmp(b.key()));
        output.accounts.dedup();
        Ok(Verified { output: to_value(&output)?, detail: plan.detail.clone() })
    }
}
