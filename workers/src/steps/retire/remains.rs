//! `find-farm`, of a farm that is to end: what is left of it in the directory.
//!
//! Read only. Unlike a farm that is to be changed, one that is to end may be gone in part (somebody
//! deleted the account by hand, or an earlier decommission was cancelled behind its deletion) or as
//! a whole: then there is that much less to do.

use async_trait::async_trait;
use directory::DirectoryRead;
use directory::preflight::principal_at;
use serde::{Deserialize, Serialize};
use store::{Farm, FarmFacts, FarmState};

use crate::steps::ensure_group::GroupOutput;
use crate::steps::find_farm::{self, FarmAccount, read_account};
use crate::steps::outputs::to_value;
use crate::{Step, StepContext, StepError, StepPlan, Verified};

/// Output.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RemainsOutput {
    /// The farm is on record as decommissioned: nothing is looked for.
    pub decommissioned: bool,
    /// `null`: it is gone.
    pub account: Option<FarmAccount>,
    /// `null`: it is gone, or the farm had none.
    pub group: Option<GroupOutput>,
    /// dNSHostName of every writable DC of the domain.
    pub domain_controllers: Vec<String>,
}

impl RemainsOutput {
    /// As later steps find it.
    pub fn of(cx: &StepContext) -> Result<Self, StepError> {
        cx.output(find_farm::NAME)
    }

    /// A [`super::WhichAccount`].
    pub fn account(cx: &StepContext) -> Result<Option<FarmAccount>, StepError> {
        Ok(Self::of(cx)?.account)
    }
}

#[derive(Debug)]
pub struct FindRemains;

#[async_trait]
impl Step for FindRemains {
    type Observed = RemainsOutput;

    fn name(&self) -> &'static str {
        find_farm::NAME
    }

    async fn check(&self, cx: &StepContext) -> Result<RemainsOutput, StepError> {
        if cx.farm().is_some_and(is_decommissioned) {
            return Ok(RemainsOutput { decommissioned: true, ..RemainsOutput::default() });
        }
        find(cx, cx.facts()?).await
    }

    fn plan(&self, _: &StepContext, found: &RemainsOutput) -> Result<StepPlan, StepError> {
        Ok(StepPlan::nothing(detail(found), to_value(found)?))
    }

    async fn verify(&self, _: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        Ok(Verified { output: plan.expected.clone(), detail: plan.detail.clone() })
    }
}

fn is_decommissioned(farm: &Farm) -> bool {
    farm.state == FarmState::Decommissioned
}

async fn find(cx: &StepContext, facts: &FarmFacts) -> Result<RemainsOutput, StepError> {
    let dc: &dyn DirectoryRead = cx.dc().await?.as_ref();
    let name = |entry: &directory::Entry| {
        let recorded = || facts.spec.account.sam_account_name.sam_account_name();
        entry.text("sAMAccountName").map_or_else(recorded, str::to_owned)
    };
    let account = read_account(dc, &facts.account_sid).await?.map(|entry| FarmAccount {
        sam_account_name: name(&entry),
        dn: entry.dn,
        sid: facts.account_sid.clone(),
    });
    let group = match &facts.group_sid {
        None => None,
        Some(sid) => principal_at(dc, &sid.into()).await?.map(|found| GroupOutput {
            name: found.sam_account_name.unwrap_or_else(|| found.dn.rdn().value.clone()),
            dn: found.dn,
            sid: Some(sid.clone()),
        }),
    };
    let domain_controllers = cx.forest()?.writable_dcs().await?.into_iter().map(|dc| dc.name).collect();
    Ok(RemainsOutput { decommissioned: false, account, group, domain_controllers })
}

fn detail(found: &RemainsOutput) -> String {
    if found.decommissioned {
        return "the farm is decommissioned already".to_owned();
    }
    let account = found.account.as_ref();
    let account = account.map_or_else(|| "the account is gone".to_owned(), |a| format!("account {}", a.dn));
    let group = found.group.as_ref().map_or_else(|| "no group".to_owned(), |g| format!("group {}", g.dn));
    format!("{account}, {group}")
}
