//! `verify-gone`: no writable DC has the account any more, nor the group if it was deleted.
//!
//! Read only. By SID: an object that has taken a name since is another one.

use async_trait::async_trait;
use directory::DirectoryRead;
use domain::{Mode, Sid};
use serde::{Deserialize, Serialize};

use crate::steps::everywhere::{Lag, Look, every_dc};
use crate::steps::outputs::{list, to_value};
use crate::{Step, StepContext, StepError, StepPlan, Verified};

pub struct VerifyGone {
    pub name: &'static str,
    /// The SIDs that are to be nowhere; none: there is nothing to verify.
    pub what: fn(&StepContext) -> Result<Vec<Sid>, StepError>,
}

/// Output. Empty in a dry run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GoneOutput {
    /// dNSHostName of each DC that was asked; none has it.
    pub domain_controllers: Vec<String>,
}

pub enum Observed {
    Nothing,
    /// A dry run.
    Later,
    Gone(GoneOutput),
}

#[async_trait]
impl Step for VerifyGone {
    type Observed = Observed;

    fn name(&self) -> &'static str {
        self.name
    }

    async fn check(&self, cx: &StepContext) -> Result<Observed, StepError> {
        let what = (self.what)(cx)?;
        match (what.is_empty(), cx.mode) {
            (true, _) => return Ok(Observed::Nothing),
            (false, Mode::Plan) => return Ok(Observed::Later),
            (false, Mode::Apply) => {}
        }
        let domain_controllers = every_dc(cx, &HasNone(&what)).await.map_err(StepError::or_park)?;
        Ok(Observed::Gone(GoneOutput { domain_controllers }))
    }

    fn plan(&self, _: &StepContext, observed: &Observed) -> Result<StepPlan, StepError> {
        match observed {
            Observed::Nothing => Ok(StepPlan::skip("there was nothing to delete")),
            Observed::Later => {
                let detail = "every writable DC would be seen to have them no more";
                Ok(StepPlan::nothing(detail, to_value(&GoneOutput::default())?))
            }
            Observed::Gone(gone) => {
                let detail = format!("gone from {}", list(&gone.domain_controllers));
                Ok(StepPlan::nothing(detail, to_value(gone)?))
            }
        }
    }

    /// `check` has just read it, and nothing was written since.
    async fn verify(&self, _: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        Ok(Verified { output: plan.expected.clone(), detail: plan.detail.clone() })
    }
}

struct HasNone<'a>(&'a [Sid]);

#[async_trait]
impl Look for HasNone<'_> {
    type Seen = String;

    async fn look(&self, dc: &dyn DirectoryRead) -> Result<String, Lag> {
        for sid in self.0 {
            if let Some(found) = dc.read(&sid.into(), &["objectSid"]).await? {
                return Err(Lag::Behind(format!("{} is still there", found.dn)));
            }
        }
        Ok(dc.dc().to_owned())
    }
}
