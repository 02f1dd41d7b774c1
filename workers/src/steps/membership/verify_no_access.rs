//! `verify-no-access`: no writable DC lets a host that left read the password.
//!
//! Judged by the host's whole token, since it may be let in by more than its place in the farm: a
//! nested group, a second group, Domain Computers. What a session that is open already may do is
//! another matter: it keeps the groups of its ticket.

use async_trait::async_trait;
use directory::preflight::{Token, token_of};
use directory::security::{Access, ReaderDescriptor};
use directory::{Base, DirectoryRead, Entry};
use domain::{ErrorCode, Mode, Sid};
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

use super::leaving::{Leaving, LeavingOutput};
use super::{PREFLIGHT, account};
use crate::steps::everywhere::{Lag, Look, every_dc};
use crate::steps::find_farm::{self, FarmOutput};
use crate::steps::gmsa;
use crate::steps::outputs::{count, list, to_value};
use crate::steps::ways::Ways;
use crate::{Step, StepContext, StepError, StepPlan, Verified};

pub const NAME: &str = "verify-no-access";

/// Tokens that are read side by side.
const AT_ONCE: usize = 8;
/// Hosts whose ways in are followed up for a message.
const FOLLOWED: usize = 5;

/// Output. Empty in a dry run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NoAccessOutput {
    pub domain_controllers: Vec<Seen>,
    /// Hosts of which nobody can tell from here.
    pub depends: Vec<Depends>,
}

/// What one DC showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    /// dNSHostName of the DC.
    pub name: String,
    /// uSNChanged of the account on this DC.
    pub account_usn: Option<i64>,
    /// The reader descriptor in words.
    pub readers: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Depends {
    pub host: String,
    pub why: String,
}

#[derive(Debug)]
pub struct VerifyNoAccess;

/// What no DC is to show any more.
struct Gone {
    farm: FarmOutput,
    hosts: Vec<Leaving>,
}

/// A host that is let in, by which token.
struct StillReads {
    host: Leaving,
    token: Token,
}

#[async_trait]
impl Step for VerifyNoAccess {
    /// `None`: a dry run, in which there is nothing to see yet.
    type Observed = Option<NoAccessOutput>;

    fn name(&self) -> &'static str {
        NAME
    }

    async fn check(&self, cx: &StepContext) -> Result<Self::Observed, StepError> {
        if cx.mode == Mode::Plan {
            return Ok(None);
        }
        let hosts = cx.output::<LeavingOutput>(PREFLIGHT)?.hosts;
        let gone = Gone { farm: cx.output(find_farm::NAME)?, hosts };
        // The DC that was written to knows of every change of ours: who gets in there has another way.
        let dc: &dyn DirectoryRead = cx.dc().await?.as_ref();
        let found = account(dc, &gone.farm).await?;
        let (still, depends) = judge(dc, &found, &gone.hosts).await?;
        if !still.is_empty() {
            return Err(parked(dc, &found, &still).await?);
        }
        let domain_controllers = every_dc(cx, &gone).await?;
        Ok(Some(NoAccessOutput { domain_controllers, depends }))
    }

    fn plan(&self, cx: &StepContext, observed: &Self::Observed) -> Result<StepPlan, StepError> {
        let Some(seen) = observed else {
            let dcs = cx.output::<FarmOutput>(find_farm::NAME)?.domain_controllers;
            let detail = format!("what each host may still do would be judged on {}", list(&dcs));
            return Ok(StepPlan::nothing(detail, to_value(&NoAccessOutput::default())?));
        };
        let names: Vec<_> = seen.domain_controllers.iter().map(|seen| &seen.name).collect();
        let mut detail = format!("no host is let in on {}: {}", count(names.len(), "DC"), list(&names));
        if !seen.depends.is_empty() {
            detail.push_str(&format!(
                "; of {} that cannot be told from here",
                count(seen.depends.len(), "host")
            ));
        }
        Ok(StepPlan::nothing(detail, to_value(seen)?))
    }

    /// `check` has just read everything back, and nothing was written since.
    async fn verify(&self, _: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        Ok(Verified { output: plan.expected.clone(), detail: plan.detail.clone() })
    }
}

#[async_trait]
impl Look for Gone {
    type Seen = Seen;

    async fn look(&self, dc: &dyn DirectoryRead) -> Result<Seen, Lag> {
        let Some(found) = find_farm::read_account(dc, &self.farm.account.sid).await? else {
            return Err(Lag::Behind(format!("{} is not there", self.farm.account.dn)));
        };
        let (still, _) = judge(dc, &found, &self.hosts).await?;
        if !still.is_empty() {
            let names: Vec<_> = still.iter().map(|still| &still.host.name).collect();
            return Err(Lag::Behind(format!("it still lets in {}", list(&names))));
        }
        let readers = gmsa::readers_of(&found)?;
        let readers =
            readers.map_or_else(String::new, |readers| readers.describe(super::names(&self.farm, &[])));
        Ok(Seen { name: dc.dc().to_owned(), account_usn: found.int("uSNChanged"), readers })
    }
}

/// Who would get in at its next logon, and of whom that cannot be told.
async fn judge(
    dc: &dyn DirectoryRead,
    found: &Entry,
    hosts: &[Leaving],
) -> Result<(Vec<StillReads>, Vec<Depends>), StepError> {
    let Some(readers) = gmsa::readers_of(found)? else { return Ok((Vec::new(), Vec::new())) };
    // By value: a stream of futures that borrow their items is not Send for every lifetime.
    let known = hosts.iter().filter_map(|host| Some((host.clone(), host.sid.clone()?)));
    let tokens: Vec<_> = known.map(|(host, sid)| token(dc, host, sid)).collect();
    let tokens: Vec<_> = stream::iter(tokens).buffered(AT_ONCE).try_collect().await?;
    let (mut still, mut depends) = (Vec::new(), Vec::new());
    for StillReads { host, token } in tokens {
        match readers.may_read(&token.sids) {
            Access::Granted => still.push(StillReads { host, token }),
            Access::Depends(why) => depends.push(Depends { host: host.name, why }),
            Access::Denied => {}
        }
    }
    Ok((still, depends))
}

/// A computer that is gone logs on nowhere; its own SID must not be let in all the same.
async fn token(dc: &dyn DirectoryRead, host: Leaving, sid: Sid) -> Result<StillReads, StepError> {
    let token = match host.computer {
        Some(_) => token_of(dc, &Base::from(&sid)).await?,
        None => None,
    };
    let token = token.unwrap_or_else(|| Token { sids: vec![sid.clone()], sid });
    Ok(StillReads { host, token })
}

async fn parked(dc: &dyn DirectoryRead, found: &Entry, still: &[StillReads]) -> Result<StepError, StepError> {
    let readers = gmsa::readers_of(found)?.unwrap_or_else(|| ReaderDescriptor::allowing([]));
    let mut said = Vec::new();
    for one in still.iter().take(FOLLOWED) {
        let known = Ways::read(dc, &one.token).await?;
        let by = one.token.sids.iter().filter(|sid| lets_in(&readers, sid));
        let mut ways: Vec<_> = by.map(|sid| known.of(sid)).collect();
        if ways.is_empty() {
            ways.push("as everyone does: the reader list is NULL".to_owned());
        }
        said.push(format!("{} {}", one.host.name, ways.join(" and ")));
    }
    if let more @ 1.. = still.len().saturating_sub(FOLLOWED) {
        said.push(format!("and {more} more"));
    }
    Ok(StepError::park(
        ErrorCode::HostStillReads,
        format!(
            "{} can still read the password of {} after leaving the farm: {}",
            count(still.len(), "host"),
            found.dn,
            said.join("; ")
        ),
        "others may need that way in, so it is not touched: take the host out of the group, or the group out of the \
         reader list, then resume the workflow; a cancellation puts back what was taken. A compromised host is cut \
         off by compromise-removal, whatever lets it in",
    ))
}

fn lets_in(readers: &ReaderDescriptor, sid: &Sid) -> bool {
    readers.may_read(std::slice::from_ref(sid)) == Access::Granted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing;

    #[test]
    fn a_dry_run_says_where_it_would_look() {
        let mut cx = testing::context();
        cx.set_output(find_farm::NAME, to_value(&testing::farm_output(true)).expect("serialises"));
        let planned = VerifyNoAccess.plan(&cx, &None).expect("a plan");
        assert!(
            planned.changes.is_empty() && planned.detail.contains("dc1.contoso.com"),
            "{}",
            planned.detail
        );
    }
}
