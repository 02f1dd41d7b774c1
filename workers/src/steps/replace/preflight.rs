//! `preflight-replace`: what can be known to go wrong, before anybody is asked to approve it.
//!
//! Read only. Whether we may rename and delete a DC does not say; a refused rename is the first write
//! of all, and a refused deletion waits for the right.

use async_trait::async_trait;
use directory::preflight::{Rights, rights_on};
use domain::ErrorCode;

use super::carry::{CONTROL, SAM};
use super::{BEFORE_APPROVAL, Survey, replaced_already};
use crate::steps::preflight::{judge_forest, report::Report, rights};
use crate::{Step, StepContext, StepError, StepPlan, Verified};

#[derive(Debug)]
pub struct PreflightReplace;

pub struct Observed {
    report: Report,
}

#[async_trait]
impl Step for PreflightReplace {
    type Observed = Option<Observed>;

    fn name(&self) -> &'static str {
        "preflight-replace"
    }

    async fn check(&self, cx: &StepContext) -> Result<Self::Observed, StepError> {
        let Some(survey) = cx.output::<Option<Survey>>(BEFORE_APPROVAL)? else { return Ok(None) };
        let mut report = Report::default();
        judge_forest(cx, &mut report).await?;
        let dc = cx.dc().await?.as_ref();
        let container = survey.new.dn.parent();
        let in_container = match &container {
            Some(container) => rights_on(dc, container).await?,
            None => None,
        };
        if let Some(container) = container.filter(|_| !in_container.is_some_and(|may| may.can_create_gmsa()))
        {
            let what = format!("make gMSAs in {container}");
            rights::missing(&mut report, "account", &what, rights::create_account(&container));
        }
        writable(&survey, rights_on(dc, &survey.old.dn).await?, &mut report);
        Ok(Some(Observed { report }))
    }

    fn plan(&self, cx: &StepContext, observed: &Self::Observed) -> Result<StepPlan, StepError> {
        let Some(Observed { report }) = observed else { return Ok(replaced_already()) };
        if let Some(error) = report.clone().into_error(cx.environment.clock.now()) {
            return Err(error);
        }
        let warnings = report.warnings().iter().map(|warning| format!("; {warning}")).collect::<String>();
        let detail = format!("the forest can make the account, and we may change the old one{warnings}");
        Ok(StepPlan::nothing(detail, serde_json::Value::Null))
    }

    async fn verify(&self, _: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        Ok(Verified { output: plan.expected.clone(), detail: plan.detail.clone() })
    }
}

/// Which attributes of the old account change, and may not.
fn writable(survey: &Survey, may: Option<Rights>, report: &mut Report) {
    let names = survey.names.iter().map(|attribute| attribute.attribute.as_str());
    let needed = names.chain([CONTROL]).chain(survey.parking.as_ref().map(|_| SAM));
    let missing: Vec<_> =
        needed.filter(|name| !may.as_ref().is_some_and(|may| may.can_write(name))).collect();
    if missing.is_empty() {
        return;
    }
    let message =
        format!("Farmhand's account has no right to write {} of {}", missing.join(", "), survey.old.dn);
    let grants: Vec<_> = missing
        .iter()
        .map(|name| format!("dsacls \"{}\" /G \"ACCOUNT:RPWP;{name}\"", survey.old.dn))
        .collect();
    report.fail(ErrorCode::RightsMissing, "account", message, grants.join("; "));
}
