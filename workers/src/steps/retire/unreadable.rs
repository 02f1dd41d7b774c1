//! Proof, on every writable DC, that nobody can read the password: the list lets nobody in, and the
//! whole token of each known host is denied. Read only.

use async_trait::async_trait;
use directory::DirectoryRead;
use directory::preflight::token_of;
use directory::security::{Access, ReaderDescriptor};
use domain::Mode;
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

use super::{WhichAccount, WhichHosts};

use crate::steps::everywhere::{Lag, Look, every_dc};
use crate::steps::find_farm::{FarmAccount, read_account};
use crate::steps::gmsa::readers_of;
use crate::steps::outputs::{count, list, to_value};
use crate::steps::preflight::HostTarget;
use crate::{Step, StepContext, StepError, StepPlan, Verified};

/// Hosts whose tokens are read side by side.
const AT_ONCE: usize = 8;

pub struct ProveUnreadable {
    pub name: &'static str,
    pub account: WhichAccount,
    pub hosts: WhichHosts,
}

/// Output. Empty in a dry run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UnreadableOutput {
    /// dNSHostName of each DC that was asked; each denies everybody.
    pub domain_controllers: Vec<String>,
    /// How many hosts were denied with their whole token.
    pub hosts: usize,
}

pub enum Observed {
    NoAccount,
    /// A dry run: the list is not empty yet.
    Later,
    Proven(UnreadableOutput),
}

#[async_trait]
impl Step for ProveUnreadable {
    type Observed = Observed;

    fn name(&self) -> &'static str {
        self.name
    }

    async fn check(&self, cx: &StepContext) -> Result<Observed, StepError> {
        let Some(account) = (self.account)(cx)? else { return Ok(Observed::NoAccount) };
        if cx.mode == Mode::Plan {
            return Ok(Observed::Later);
        }
        let hosts = (self.hosts)(cx)?;
        let domain_controllers = every_dc(cx, &DeniesAll { account: &account, hosts: &hosts }).await?;
        Ok(Observed::Proven(UnreadableOutput { domain_controllers, hosts: hosts.len() }))
    }

    fn plan(&self, _: &StepContext, observed: &Observed) -> Result<StepPlan, StepError> {
        match observed {
            Observed::NoAccount => Ok(StepPlan::skip("there is no account whose password could be read")),
            Observed::Later => {
                let detail = "every writable DC would be seen to let nobody read the password";
                Ok(StepPlan::nothing(detail, to_value(&UnreadableOutput::default())?))
            }
            Observed::Proven(proof) => {
                let (hosts, dcs) = (count(proof.hosts, "host"), list(&proof.domain_controllers));
                Ok(StepPlan::nothing(
                    format!("nobody can read it, {hosts} denied, on {dcs}"),
                    to_value(proof)?,
                ))
            }
        }
    }

    /// `check` has just read it, and nothing was written since.
    async fn verify(&self, _: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        Ok(Verified { output: plan.expected.clone(), detail: plan.detail.clone() })
    }
}

struct DeniesAll<'a> {
    account: &'a FarmAccount,
    hosts: &'a [HostTarget],
}

#[async_trait]
impl Look for DeniesAll<'_> {
    type Seen = String;

    async fn look(&self, dc: &dyn DirectoryRead) -> Result<String, Lag> {
        let Some(found) = read_account(dc, &self.account.sid).await? else { return Ok(dc.dc().to_owned()) };
        let Some(readers) = readers_of(&found)? else {
            return Err(Lag::Behind("the account has no reader list yet".to_owned()));
        };
        if readers.may_let_somebody_read() {
            return Err(Lag::Behind(format!("the list still says: {}", readers.describe(|_| None))));
        }
        let ask: Vec<_> = self.hosts.iter().map(|host| denied(dc, &readers, host)).collect();
        stream::iter(ask).buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await?;
        Ok(dc.dc().to_owned())
    }
}

async fn denied(dc: &dyn DirectoryRead, readers: &ReaderDescriptor, host: &HostTarget) -> Result<(), Lag> {
    // A host that is gone has no token.
    let Some(token) = token_of(dc, &(&host.sid).into()).await? else { return Ok(()) };
    match readers.may_read(&token.sids) {
        Access::Denied => Ok(()),
        Access::Granted => Err(Lag::Behind(format!("{} may still read", host.name))),
        Access::Depends(why) => Err(Lag::Behind(format!("{} may still read: {why}", host.name))),
    }
}
