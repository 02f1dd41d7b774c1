//! The two looks of an update at every writable DC: that the new way in is open before the old one
//! is closed, and that all is as asked at the end.

use async_trait::async_trait;
use directory::Entry;
use domain::Mode;

use super::everywhere::every_dc;
use super::find_farm::{self, FarmOutput};
use super::gmsa::{self, Wanted};
use super::outputs::{count, to_value};
use super::preflight::{self, UpdateTargets};
use super::switch_readers::lacking;
use super::verify_everywhere::{EverywhereOutput, Expected, Seen};
use super::{ensure_gmsa, ensure_group};
use crate::{Step, StepContext, StepError, StepPlan, Verified};

pub const ADMITTED: &str = "verify-admitted";
pub const UPDATED: &str = "verify-everywhere";

/// Read only.
#[derive(Debug)]
pub struct VerifyUpdate {
    /// Where the old way in is still open.
    admitted: bool,
}

impl VerifyUpdate {
    /// Whoever is to read can, on every DC; the old way is still open. Only where it will be closed.
    pub const fn admitted() -> Self {
        Self { admitted: true }
    }

    pub const fn updated() -> Self {
        Self { admitted: false }
    }
}

#[async_trait]
impl Step for VerifyUpdate {
    /// `None`: a dry run, or nothing to see.
    type Observed = Option<Vec<Seen>>;

    fn name(&self) -> &'static str {
        if self.admitted { ADMITTED } else { UPDATED }
    }

    async fn check(&self, cx: &StepContext) -> Result<Self::Observed, StepError> {
        let targets: UpdateTargets = cx.output(preflight::NAME)?;
        if cx.mode == Mode::Plan || (self.admitted && targets.withdrawn.is_empty()) {
            return Ok(None);
        }
        let farm: FarmOutput = cx.output(find_farm::NAME)?;
        let expected = Expected {
            wanted: ensure_gmsa::wanted_now(cx).await?,
            account_sid: Some(farm.account.sid),
            domain: farm.domain,
            group: cx.output(ensure_group::NAME)?,
            hosts: targets.targets.hosts,
            gone: if self.admitted { Vec::new() } else { targets.gone },
            closed: match self.admitted {
                true => Vec::new(),
                false => targets.withdrawn.into_iter().map(|reader| reader.sid).collect(),
            },
            lag: if self.admitted { lets_in } else { is_as_asked },
        };
        every_dc(cx, &expected).await.map(Some)
    }

    fn plan(&self, cx: &StepContext, observed: &Self::Observed) -> Result<StepPlan, StepError> {
        let Some(seen) = observed else {
            if cx.mode == Mode::Apply {
                return Ok(StepPlan::skip("nobody's way in is closed"));
            }
            let detail = "account, group and readers would be read back on every writable DC";
            return Ok(StepPlan::nothing(detail, to_value(&EverywhereOutput::default())?));
        };
        let what = if self.admitted { "the new way in is open on" } else { "as asked on" };
        let detail = format!("{what} {}", count(seen.len(), "DC"));
        Ok(StepPlan::nothing(detail, to_value(&EverywhereOutput { domain_controllers: seen.clone() })?))
    }

    /// `check` has just read everything back, and nothing was written since.
    async fn verify(&self, _: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        Ok(Verified { output: plan.expected.clone(), detail: plan.detail.clone() })
    }
}

fn lets_in(wanted: &Wanted, found: &Entry) -> Result<Option<String>, StepError> {
    let lacking = lacking(&wanted.readers, found)?;
    Ok((!lacking.is_empty()).then(|| format!("the reader list does not name {}", lacking.join(", "))))
}

/// Entries that nobody asked for are no reason to wait: they are others', and were told of.
fn is_as_asked(wanted: &Wanted, found: &Entry) -> Result<Option<String>, StepError> {
    let mut differences = gmsa::differences(wanted, found);
    differences.retain(|difference| difference.attribute != gmsa::READERS);
    match differences.is_empty() {
        true => lets_in(wanted, found),
        false => Ok(Some(gmsa::differences_text(&differences))),
    }
}
