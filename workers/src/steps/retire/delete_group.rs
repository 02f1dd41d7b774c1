//! `delete-group`: the farm's group goes with it if deploys of the farm made it and nothing else uses
//! it; else it is kept, and the reason said.

use async_trait::async_trait;
use domain::Change;
use serde::{Deserialize, Serialize};

use super::group_use::{self, HELD, Seen};
use super::{RemainsOutput, SurveyOutput, held};
use crate::steps::outputs::{not_as_written, to_value};
use crate::{Step, StepContext, StepError, StepPlan, Verified};

pub const NAME: &str = "delete-group";

#[derive(Debug)]
pub struct DeleteGroup;

/// Output.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeletedGroupOutput {
    /// It is not there any more, whoever deleted it.
    pub gone: bool,
    pub kept_because: Option<String>,
}

pub enum Observed {
    /// The farm had none, or it was gone before.
    NoGroup,
    Gone,
    Kept(String),
    Deletable(Seen),
}

#[async_trait]
impl Step for DeleteGroup {
    type Observed = Observed;

    fn name(&self) -> &'static str {
        NAME
    }

    async fn check(&self, cx: &StepContext) -> Result<Observed, StepError> {
        check(cx).await.map_err(StepError::or_park)
    }

    fn plan(&self, _: &StepContext, observed: &Observed) -> Result<StepPlan, StepError> {
        let gone = || to_value(&DeletedGroupOutput { gone: true, kept_because: None });
        match observed {
            Observed::NoGroup => Ok(StepPlan::skip("there is no group that could be deleted")),
            Observed::Gone => Ok(StepPlan::nothing("there is no group any more", gone()?)),
            Observed::Kept(reason) => {
                let output = DeletedGroupOutput { gone: false, kept_because: Some(reason.clone()) };
                Ok(StepPlan::nothing(format!("the group is kept: {reason}"), to_value(&output)?))
            }
            Observed::Deletable(seen) => {
                let change = Change::delete(seen.group.dn.clone(), held(&seen.group, &HELD)?);
                Ok(StepPlan::new(vec![change], format!("{} is deleted", seen.group.dn), gone()?))
            }
        }
    }

    async fn verify(&self, cx: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        let output: DeletedGroupOutput = serde_json::from_value(plan.expected.clone()).unwrap_or_default();
        match check(cx).await.map_err(StepError::or_park)? {
            Observed::Deletable(seen) if output.gone => {
                Err(not_as_written(format!("{} is still there", seen.group.dn)).or_park())
            }
            _ => Ok(Verified { output: plan.expected.clone(), detail: plan.detail.clone() }),
        }
    }
}

async fn check(cx: &StepContext) -> Result<Observed, StepError> {
    let remains = RemainsOutput::of(cx)?;
    let survey = SurveyOutput::of(cx)?;
    let Some(group) = &remains.group else { return Ok(Observed::NoGroup) };
    // What was to be kept when a person approved is not deleted, whatever has changed since.
    if let Some(reason) = survey.group_kept_because {
        return Ok(Observed::Kept(reason));
    }
    let seen = group_use::look(cx, Some(group), remains.account.as_ref(), &survey.hosts).await?;
    Ok(match seen {
        None => Observed::Gone,
        Some(seen) => match seen.kept_because() {
            Some(reason) => Observed::Kept(reason),
            None => Observed::Deletable(seen),
        },
    })
}
