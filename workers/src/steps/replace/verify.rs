//! `verify-new-account` and `verify-switch`: every writable DC shows the new account as it is to be.

use async_trait::async_trait;
use directory::DirectoryRead;
use domain::{Mode, Sid};
use serde::{Deserialize, Serialize};

use super::create::{NewOutput, differing, differing_of};
use super::{CREATE, Survey, find, replaced_already, surveyed};
use crate::steps::everywhere::{Lag, Look, every_dc};
use crate::steps::outputs::{count, list, to_value};
use crate::{Step, StepContext, StepError, StepPlan, Verified};

pub const VERIFY: &str = "verify-new-account";

/// Output: the DCs that show it. Empty in a dry run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EverywhereOutput {
    pub domain_controllers: Vec<String>,
}

#[derive(Debug)]
pub struct VerifyReplacement {
    pub name: &'static str,
    /// SPNs and dNSHostName too, side by side as well.
    pub switched: bool,
}

struct Expected {
    survey: Survey,
    sid: Option<Sid>,
    switched: bool,
}

#[async_trait]
impl Look for Expected {
    type Seen = String;

    async fn look(&self, dc: &dyn DirectoryRead) -> Result<String, Lag> {
        let survey = &self.survey;
        let behind = |what: String| Err(Lag::Behind(what));
        let addition: Vec<_> = survey.carried.iter().chain(&survey.names).collect();
        let names: Vec<_> = addition.iter().map(|a| a.attribute.as_str()).chain(["memberOf"]).collect();
        let Some(new) = find::new(dc, survey, &names).await? else {
            return behind(format!("{} is not there", survey.new.dn));
        };
        if new.sid("objectSid") != self.sid {
            return behind(format!("{} is another object there", survey.new.dn));
        }
        let named = self.switched.then(|| differing_of(survey.names.iter(), &new)).flatten();
        if let Some(attribute) = differing(survey, &new).or(named) {
            return behind(format!("{attribute} of {} is not there", survey.new.dn));
        }
        let groups = new.dns("memberOf");
        if let Some(group) = survey.groups.iter().find(|group| !groups.contains(group)) {
            return behind(format!("{} is not in {group}", survey.new.dn));
        }
        Ok(dc.dc().to_owned())
    }
}

#[async_trait]
impl Step for VerifyReplacement {
    /// `None`: nothing to look at yet, or at all.
    type Observed = Option<Vec<String>>;

    fn name(&self) -> &'static str {
        self.name
    }

    async fn check(&self, cx: &StepContext) -> Result<Self::Observed, StepError> {
        let Some(survey) = surveyed(cx)?.filter(|_| cx.mode == Mode::Apply) else { return Ok(None) };
        let sid = cx.output::<NewOutput>(CREATE)?.sid;
        every_dc(cx, &Expected { survey, sid, switched: self.switched }).await.map(Some)
    }

    fn plan(&self, cx: &StepContext, seen: &Self::Observed) -> Result<StepPlan, StepError> {
        let Some(survey) = surveyed(cx)? else { return Ok(replaced_already()) };
        let Some(dcs) = seen else {
            let detail = format!("{} would be read back on every writable DC", survey.new.dn);
            return Ok(StepPlan::nothing(detail, to_value(&EverywhereOutput::default())?));
        };
        let detail = format!("{} show {}: {}", count(dcs.len(), "DC"), survey.new.dn, list(dcs));
        Ok(StepPlan::nothing(detail, to_value(&EverywhereOutput { domain_controllers: dcs.clone() })?))
    }

    /// `check` has just read everything back, and nothing was written since.
    async fn verify(&self, _: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        Ok(Verified { output: plan.expected.clone(), detail: plan.detail.clone() })
    }
}
