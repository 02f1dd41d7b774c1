//! `none-left`: no DC shows an account whose password is made from the exposed key.

use async_trait::async_trait;
use directory::DirectoryRead;
use domain::Mode;
use domain::request::KdsRootKeyRecoveryRequest;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::sweep::sweep;
use crate::steps::everywhere::{Lag, Look, every_dc};
use crate::steps::outputs::{count, list, to_value};
use crate::{Step, StepContext, StepError, StepPlan, Verified};

pub const NAME: &str = "none-left";

/// Output. Empty in a dry run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NoneLeftOutput {
    /// dNSHostName of each DC that was swept.
    pub domain_controllers: Vec<String>,
    /// The most gMSAs that any of them showed.
    pub looked_at: u64,
    pub warnings: Vec<String>,
}

#[derive(Debug)]
pub struct NoneLeft;

#[async_trait]
impl Step for NoneLeft {
    type Observed = NoneLeftOutput;

    fn name(&self) -> &'static str {
        NAME
    }

    async fn check(&self, cx: &StepContext) -> Result<NoneLeftOutput, StepError> {
        if cx.mode == Mode::Plan {
            return Ok(NoneLeftOutput::default());
        }
        let key = cx.input::<KdsRootKeyRecoveryRequest>()?.root_key;
        let seen = every_dc(cx, &NoneOn(key)).await?;
        Ok(NoneLeftOutput {
            looked_at: seen.iter().map(|dc| dc.looked_at).max().unwrap_or(0),
            warnings: seen.iter().filter_map(|dc| dc.warning.clone()).collect(),
            domain_controllers: seen.into_iter().map(|dc| dc.name).collect(),
        })
    }

    fn plan(&self, _: &StepContext, seen: &NoneLeftOutput) -> Result<StepPlan, StepError> {
        let detail = match seen.domain_controllers.len() {
            0 => "every DC would be swept for accounts on the exposed key".to_owned(),
            _ => {
                let (number, dcs) = (seen.looked_at, list(&seen.domain_controllers));
                format!("none of {number} gMSAs is on the exposed key, on {dcs}")
            }
        };
        Ok(StepPlan::nothing(detail, to_value(seen)?))
    }

    async fn verify(&self, _: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        Ok(Verified { output: plan.expected.clone(), detail: plan.detail.clone() })
    }
}

struct NoneOn(Uuid);

struct Seen {
    name: String,
    looked_at: u64,
    warning: Option<String>,
}

#[async_trait]
impl Look for NoneOn {
    type Seen = Seen;

    async fn look(&self, dc: &dyn DirectoryRead) -> Result<Seen, Lag> {
        let swept = sweep(dc, self.0).await?;
        let name = dc.dc().to_owned();
        let left: Vec<_> = swept.on_key.iter().map(|one| &one.account).collect();
        if !left.is_empty() {
            return Err(Lag::Behind(format!(
                "{} on the exposed key: {}",
                count(left.len(), "account"),
                list(&left)
            )));
        }
        let warning = (swept.unreadable > 0).then(|| {
            format!(
                "{name}: of {} gMSAs nothing shows the root key: {}",
                swept.unreadable,
                list(&swept.named)
            )
        });
        Ok(Seen { name, looked_at: swept.looked_at, warning })
    }
}
