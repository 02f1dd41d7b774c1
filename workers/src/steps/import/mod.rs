//! `read-account`: an existing gMSA as a farm. Read only.

mod readers;
mod spec;

use async_trait::async_trait;
use directory::preflight::{self, Preferred, PrincipalKind};
use directory::{Base, DirectoryRead, Entry};
use domain::farm::{FarmSpec, MembershipSpec};
use domain::request::ImportRequest;
use domain::{Dn, ErrorCode, MembershipMode, PrincipalRef, Problem};
use serde::{Deserialize, Serialize};
use store::FarmFacts;

use self::readers::Asked;
use super::ensure_group;
use super::gmsa;
use super::inspect::{self, Names};
use super::outputs::{count, to_value};
use super::principals;
use crate::{Step, StepContext, StepError, StepPlan, Verified};

pub const NAME: &str = "read-account";

/// Output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportOutput {
    pub facts: FarmFacts,
    pub warnings: Vec<String>,
}

#[derive(Debug)]
pub struct ReadAccount;

#[async_trait]
impl Step for ReadAccount {
    type Observed = ImportOutput;

    fn name(&self) -> &'static str {
        NAME
    }

    async fn check(&self, cx: &StepContext) -> Result<ImportOutput, StepError> {
        read(cx, &cx.input()?).await
    }

    fn plan(&self, _: &StepContext, found: &ImportOutput) -> Result<StepPlan, StepError> {
        let spec = &found.facts.spec;
        let way = match (spec.membership.mode, &spec.membership.group) {
            (MembershipMode::Group, Some(group)) => format!("by the group {group}"),
            _ => "by entries of their own".to_owned(),
        };
        let mut detail =
            format!("{}: {} read {way}", found.facts.account_dn, count(spec.hosts.len(), "host"));
        if !found.warnings.is_empty() {
            detail.push_str(&format!("; {}", found.warnings.join("; ")));
        }
        Ok(StepPlan::nothing(detail, to_value(found)?))
    }

    async fn verify(&self, _: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        Ok(Verified { output: plan.expected.clone(), detail: plan.detail.clone() })
    }
}

async fn read(cx: &StepContext, request: &ImportRequest) -> Result<ImportOutput, StepError> {
    let dc: &dyn DirectoryRead = cx.dc().await?.as_ref();
    let domain = dc.root_dse().await?.default_naming_context;
    let found = find(cx, dc, request).await?;
    let sid = found.sid("objectSid").ok_or_else(|| unreadable(&found.dn, "its SID cannot be read"))?;
    if let Some(other) = cx.farm_of_account(&sid).await? {
        return Err(others(&found.dn, &other));
    }
    let entries = inspect::readers(&found).map_err(|error| unreadable(&found.dn, &error))?;
    let names = Names(principals::by_sid(dc, inspect::named(&found)).await?);
    let asked = asked_group(dc, request).await?;
    let mut warnings = Vec::new();
    let quarantined = cx.quarantined().await?;
    let entries = readers::without_quarantined(entries, &quarantined, &mut warnings);
    let membership = readers::judge(&entries, &names, &asked, &mut warnings)?;
    let account = spec::account(&found, &mut warnings).map_err(|violations| {
        let message = format!("{} cannot be expressed as a farm", found.dn);
        let hint = "see each violation; nothing was put on record and nothing was written";
        StepError::Fail(Problem::new(ErrorCode::ImportRefused, message, hint).with_violations(violations))
    })?;
    let well_known = Base::WellKnown { guid: Base::MANAGED_SERVICE_ACCOUNTS, domain: domain.clone() };
    let usual = dc.read(&well_known, &["objectClass"]).await?.map(|entry| entry.dn);
    let container = found.dn.parent().filter(|parent| usual.as_ref() != Some(parent));
    let (group, hosts) = match membership.group {
        None => (None, membership.hosts),
        Some(group) => {
            let members = principals::computers_of(dc, &domain, &group.dn, group.sid.as_ref()).await?;
            let members = readers::members_without_quarantined(members, &quarantined, &mut warnings);
            readers::warn_of_group(&group, members.len(), &mut warnings);
            let hosts = members.into_iter().map(|member| PrincipalRef::Name(member.name)).collect();
            (Some(group), hosts)
        }
    };
    let recorded = cx.farm();
    let spec = FarmSpec {
        name: cx.farm_name()?.clone(),
        directory: cx.directory.clone(),
        account: domain::farm::AccountSpec { container, ..account },
        membership: MembershipSpec {
            mode: if group.is_some() { MembershipMode::Group } else { MembershipMode::Direct },
            group: group.as_ref().map(|group| PrincipalRef::Name(readers::group_name(group))),
            create_group: true,
            group_container: None,
        },
        hosts,
        host_actions: recorded.map(|farm| farm.spec.host_actions.clone()).unwrap_or_default(),
        rotation: recorded.map(|farm| farm.spec.rotation).unwrap_or_default(),
        drift: recorded.map(|farm| farm.spec.drift).unwrap_or_default(),
    };
    warnings.extend(spec.warnings());
    let group_made = ensure_group::is_ours(cx, group.as_ref().and_then(|group| group.sid.as_ref()));
    let facts = FarmFacts {
        spec,
        account_dn: found.dn,
        account_sid: sid,
        group_dn: group.as_ref().map(|group| group.dn.clone()),
        group_sid: group.and_then(|group| group.sid),
        group_made,
        foreign_readers: membership.foreign,
    };
    Ok(ImportOutput { facts, warnings })
}

async fn find(cx: &StepContext, dc: &dyn DirectoryRead, request: &ImportRequest) -> Result<Entry, StepError> {
    let asked = match &request.account {
        Some(account) => account.clone(),
        None => PrincipalRef::Name(cx.farm_name()?.to_string()),
    };
    let found = preflight::find_principal(dc, &asked, Preferred::Computer).await?;
    let Some(found) = found else {
        let hint = "say which account it is: `farmhand farm import FARM --account NAME`, a DN or a SID";
        return Err(StepError::fail(
            ErrorCode::AccountNotFound,
            format!("there is no account {asked}"),
            hint,
        ));
    };
    if found.kind != PrincipalKind::Gmsa {
        return Err(StepError::fail(
            ErrorCode::AccountNotFound,
            format!("{} is no group managed service account", found.dn),
            "name a gMSA: Get-ADServiceAccount -Filter * lists them",
        ));
    }
    let entry = dc.read(&(&found.dn).into(), gmsa::ATTRIBUTES).await?;
    entry.ok_or_else(|| unreadable(&found.dn, "it is gone since it was found"))
}

/// The group that was named in the request.
async fn asked_group(dc: &dyn DirectoryRead, request: &ImportRequest) -> Result<Asked, StepError> {
    let Some(asked) = &request.group else { return Ok(Asked::Any) };
    let found = preflight::find_principal(dc, asked, Preferred::Group).await?;
    let group = found.filter(|found| matches!(found.kind, PrincipalKind::Group { .. }));
    group.map(Asked::Group).ok_or_else(|| {
        StepError::fail(
            ErrorCode::GroupNotFound,
            format!("there is no group {asked}"),
            "name one of the groups that the account's reader list holds",
        )
    })
}

fn unreadable(dn: &Dn, why: &str) -> StepError {
    StepError::fail(
        ErrorCode::DirectoryMalformed,
        format!("{dn} cannot be read: {why}"),
        "set PrincipalsAllowedToRetrieveManagedPassword anew with Set-ADServiceAccount, then import again",
    )
}

fn others(dn: &Dn, farm: &domain::FarmName) -> StepError {
    StepError::fail(
        ErrorCode::ImportRefused,
        format!("{dn} is the account of the farm {farm}"),
        format!("one account is one farm: work with {farm}, or import it again under that name"),
    )
}
