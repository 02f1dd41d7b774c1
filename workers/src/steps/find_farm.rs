//! `find-farm`: the account and the group of a farm on record, as the directory has them now.
//!
//! Read only. Both are looked up by SID, so that a rename or a move by somebody else is followed;
//! an object with another SID is not the farm's, whatever its name.

use async_trait::async_trait;
use directory::preflight::principal_at;
use directory::{Base, DirectoryRead, Entry};
use domain::{Dn, ErrorCode, Sid};
use serde::{Deserialize, Serialize};

use super::ensure_group::GroupOutput;
use super::gmsa;
use super::outputs::to_value;
use crate::{Step, StepContext, StepError, StepPlan, Verified};

pub const NAME: &str = "find-farm";

/// Output: where the farm is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FarmOutput {
    /// The domain's naming context.
    pub domain: Dn,
    pub account: FarmAccount,
    /// `null` where membership is direct.
    pub group: Option<GroupOutput>,
    /// dNSHostName of every writable DC of the domain.
    pub domain_controllers: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FarmAccount {
    pub dn: Dn,
    pub sid: Sid,
    /// With its `$`.
    pub sam_account_name: String,
}

#[derive(Debug)]
pub struct FindFarm;

#[async_trait]
impl Step for FindFarm {
    type Observed = FarmOutput;

    fn name(&self) -> &'static str {
        NAME
    }

    async fn check(&self, cx: &StepContext) -> Result<FarmOutput, StepError> {
        find(cx).await
    }

    fn plan(&self, _: &StepContext, found: &FarmOutput) -> Result<StepPlan, StepError> {
        let group = found.group.as_ref().map_or_else(String::new, |group| format!(", group {}", group.dn));
        let detail = format!("account {}{group}", found.account.dn);
        Ok(StepPlan::nothing(detail, to_value(found)?))
    }

    async fn verify(&self, _: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        Ok(Verified { output: plan.expected.clone(), detail: plan.detail.clone() })
    }
}

async fn find(cx: &StepContext) -> Result<FarmOutput, StepError> {
    let facts = cx.facts()?;
    let dc: &dyn DirectoryRead = cx.dc().await?.as_ref();
    let root = dc.root_dse().await?;
    let account = read_account(dc, &facts.account_sid).await?.ok_or_else(|| gone(&facts.account_dn))?;
    let group = match &facts.group_sid {
        None => None,
        Some(sid) => {
            let found = principal_at(dc, &sid.into()).await?;
            let found = found.ok_or_else(|| group_gone(facts.group_dn.as_ref(), sid))?;
            let name = found.sam_account_name.unwrap_or_else(|| found.dn.rdn().value.clone());
            Some(GroupOutput { name, dn: found.dn, sid: Some(sid.clone()) })
        }
    };
    let domain_controllers = cx.forest()?.writable_dcs().await?.into_iter().map(|dc| dc.name).collect();
    let sam_account_name = account
        .text("sAMAccountName")
        .map_or_else(|| facts.spec.account.sam_account_name.sam_account_name(), str::to_owned);
    let account = FarmAccount { dn: account.dn, sid: facts.account_sid.clone(), sam_account_name };
    Ok(FarmOutput { domain: root.default_naming_context.clone(), account, group, domain_controllers })
}

/// The gMSA of that SID with [`gmsa::ATTRIBUTES`]; `None` where the DC has none.
pub async fn read_account(dc: &dyn DirectoryRead, sid: &Sid) -> Result<Option<Entry>, StepError> {
    let found = dc.read(&Base::from(sid), gmsa::ATTRIBUTES).await?;
    Ok(found.filter(|entry| entry.is_class(gmsa::CLASS)))
}

/// The error of an account that is not there.
pub fn gone(dn: &Dn) -> StepError {
    StepError::fail(
        ErrorCode::AccountNotFound,
        format!("the farm's account {dn} is not there any more, or another object has its place"),
        "if it is gone for good, deploy the farm again; if another gMSA is the farm's now, import it",
    )
}

fn group_gone(dn: Option<&Dn>, sid: &Sid) -> StepError {
    let name = dn.map_or_else(|| sid.to_string(), ToString::to_string);
    StepError::fail(
        ErrorCode::GroupNotFound,
        format!("the farm's group {name} is not there any more"),
        "deploy the farm again to make a new one, or import the farm as it stands now",
    )
}
