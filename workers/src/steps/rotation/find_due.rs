//! `find-due`: is the password still due, and which host can fetch it?

use async_trait::async_trait;
use directory::preflight::{self, Principal, PrincipalKind};
use directory::security::Access;
use directory::{DirectoryRead, Entry};
use domain::containment::KeyId;
use domain::request::NudgeRequest;
use domain::{DnsHostName, ErrorCode, Sid};
use serde::{Deserialize, Serialize};
use store::FarmFacts;

use super::key_id;
use super::observe::{Account, DcCopy, Readers};
use crate::steps::find_farm::{gone, read_account};
use crate::steps::outputs::to_value;
use crate::steps::preflight::HostTarget;
use crate::steps::principals;
use crate::{Step, StepContext, StepError, StepPlan, Verified};

pub const NAME: &str = "find-due";

/// Hosts that are looked at for one that can read.
const TRIED: usize = 20;

/// Output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DueFarm {
    /// sAMAccountName, with its `$`.
    pub account: String,
    pub sid: Sid,
    pub due_key: KeyId,
    /// Who is asked; `null`: it has rolled by itself.
    pub host: Option<HostTarget>,
}

#[derive(Debug)]
pub struct FindDue;

#[async_trait]
impl Step for FindDue {
    type Observed = DueFarm;

    fn name(&self) -> &'static str {
        NAME
    }

    async fn check(&self, cx: &StepContext) -> Result<DueFarm, StepError> {
        let NudgeRequest { account_sid, due_key } = cx.input()?;
        let facts = cx.facts()?;
        let dc: &dyn DirectoryRead = cx.dc().await?.as_ref();
        let found = match account_sid == facts.account_sid {
            true => read_account(dc, &account_sid).await?,
            false => None,
        };
        let found = found.ok_or_else(|| gone(&facts.account_dn))?;
        let shown = shown(&found);
        let account = Account::of(&found).ok_or_else(|| gone(&facts.account_dn))?;
        let host = match shown.as_ref() == Some(&due_key) {
            true => Some(readable_host(cx, dc, facts, &account).await?),
            false => None,
        };
        Ok(DueFarm { account: account.name, sid: account_sid, due_key, host })
    }

    fn plan(&self, _: &StepContext, due: &DueFarm) -> Result<StepPlan, StepError> {
        let detail = match &due.host {
            Some(host) => format!("{} is due; {} can fetch its password", due.account, host.name),
            None => format!("{} has another key by now: nothing is due", due.account),
        };
        Ok(StepPlan::nothing(detail, to_value(due)?))
    }

    async fn verify(&self, _: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        Ok(Verified { output: plan.expected.clone(), detail: plan.detail.clone() })
    }
}

fn shown(entry: &Entry) -> Option<KeyId> {
    DcCopy::of("", chrono::DateTime::UNIX_EPOCH, entry).id().map(key_id)
}

/// The first host on record that is there, enabled, not under quarantine, and whose token lets it
/// read.
async fn readable_host(
    cx: &StepContext,
    dc: &dyn DirectoryRead,
    facts: &FarmFacts,
    account: &Account,
) -> Result<HostTarget, StepError> {
    let root = match dc.known_root_dse() {
        Some(root) => root,
        None => dc.root_dse().await?.into(),
    };
    let hosts = principals::by_reference(dc, &facts.spec.hosts, &root.default_naming_context).await?;
    let quarantined = cx.quarantined().await?;
    let usable = hosts.into_iter().flatten().filter(|host| {
        let held_back = quarantined.iter().any(|other| host.sid.as_ref() == Some(&other.host_sid));
        host.kind == PrincipalKind::Computer && !host.disabled && !held_back
    });
    for host in usable.take(TRIED) {
        if let (true, Some(target)) = (can_read(dc, account, &host).await?, target(&host)) {
            return Ok(target);
        }
    }
    Err(StepError::fail(
        ErrorCode::PasswordNotRolled,
        format!("no host on record can read the password of {}, so nobody can make it roll", account.name),
        "`farmhand rotation` shows which hosts cannot read and why; let one in, or retire the farm",
    ))
}

async fn can_read(dc: &dyn DirectoryRead, account: &Account, host: &Principal) -> Result<bool, StepError> {
    let Readers::List(list) = &account.readers else { return Ok(false) };
    let token =
        preflight::token_of(dc, &(&host.dn).into()).await?.map(|token| token.sids).unwrap_or_default();
    Ok(list.may_read(&token) == Access::Granted)
}

fn target(host: &Principal) -> Option<HostTarget> {
    Some(HostTarget {
        name: principals::host_name(host.sam_account_name.as_deref(), &host.dn),
        dn: host.dn.clone(),
        sid: host.sid.clone()?,
        dns_host_name: host.dns_host_name.as_deref().and_then(|name| DnsHostName::parse(name).ok()),
    })
}
