//! `verify-everywhere`: every writable DC of the domain shows the farm as it was asked for.
//! Read only.

use async_trait::async_trait;
use directory::{DirectoryRead, Entry};
use domain::{Dn, Mode, Sid};
use serde::{Deserialize, Serialize};

use super::ensure_gmsa::{self, AccountOutput};
use super::ensure_group::{self, GroupOutput};
use super::ensure_members;
use super::everywhere::{Lag, Look, every_dc};
use super::gmsa::{self, Wanted};
use super::outputs::{count, list, to_value};
use super::preflight::{self, HostTarget, PreflightOutput};
use crate::{Step, StepContext, StepError, StepPlan, Verified};

pub const NAME: &str = "verify-everywhere";

/// Output. Empty in a dry run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EverywhereOutput {
    pub domain_controllers: Vec<Seen>,
}

/// What one DC showed. Only DCs that show everything are listed: the step waits for the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    /// dNSHostName of the DC.
    pub name: String,
    /// uSNChanged of the account on this DC.
    pub account_usn: Option<i64>,
    /// How many of the farm's hosts the group holds there; `null` where the farm has no group.
    pub members: Option<usize>,
    /// The reader descriptor in words.
    pub readers: String,
}

#[derive(Debug)]
pub struct VerifyEverywhere;

/// What every DC is to show.
pub(super) struct Expected {
    pub wanted: Wanted,
    pub account_sid: Option<Sid>,
    pub domain: Dn,
    pub group: Option<GroupOutput>,
    /// Members of the group.
    pub hosts: Vec<HostTarget>,
    /// No members any more.
    pub gone: Vec<HostTarget>,
    /// Without an entry of their own that lets them read.
    pub closed: Vec<Sid>,
    /// What of the account is not there yet.
    pub lag: fn(&Wanted, &Entry) -> Result<Option<String>, StepError>,
}

#[async_trait]
impl Step for VerifyEverywhere {
    /// `None`: a dry run, in which there is nothing to see yet.
    type Observed = Option<Vec<Seen>>;

    fn name(&self) -> &'static str {
        NAME
    }

    async fn check(&self, cx: &StepContext) -> Result<Self::Observed, StepError> {
        if cx.mode == Mode::Plan {
            return Ok(None);
        }
        every_dc(cx, &expected(cx).await?).await.map(Some)
    }

    fn plan(&self, cx: &StepContext, observed: &Self::Observed) -> Result<StepPlan, StepError> {
        let Some(seen) = observed else {
            let dcs = cx.output::<PreflightOutput>(preflight::NAME)?.domain_controllers;
            let detail = format!("account, group and readers would be read back on {}", list(&dcs));
            return Ok(StepPlan::nothing(detail, to_value(&EverywhereOutput::default())?));
        };
        let names: Vec<_> = seen.iter().map(|seen| &seen.name).collect();
        let detail = format!("{} as asked: {}", count(names.len(), "DC"), list(&names));
        Ok(StepPlan::nothing(detail, to_value(&EverywhereOutput { domain_controllers: seen.clone() })?))
    }

    /// `check` has just read everything back, and nothing was written since.
    async fn verify(&self, _: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        Ok(Verified { output: plan.expected.clone(), detail: plan.detail.clone() })
    }
}

/// Everything in which the account differs from what is wanted.
fn differs(wanted: &Wanted, found: &Entry) -> Result<Option<String>, StepError> {
    let differences = gmsa::differences(wanted, found);
    Ok((!differences.is_empty()).then(|| gmsa::differences_text(&differences)))
}

async fn expected(cx: &StepContext) -> Result<Expected, StepError> {
    let PreflightOutput { domain, hosts, .. } = cx.output(preflight::NAME)?;
    Ok(Expected {
        wanted: ensure_gmsa::wanted_now(cx).await?,
        account_sid: cx.output::<AccountOutput>(ensure_gmsa::NAME)?.sid,
        domain,
        group: cx.output(ensure_group::NAME)?,
        hosts,
        gone: Vec::new(),
        closed: Vec::new(),
        lag: differs,
    })
}

#[async_trait]
impl Look for Expected {
    type Seen = Seen;

    async fn look(&self, dc: &dyn DirectoryRead) -> Result<Seen, Lag> {
        let members = members(dc, self).await?;
        let Some(found) = ensure_gmsa::read(dc, &self.wanted.dn).await? else {
            return Err(Lag::Behind(format!("{} is not there", self.wanted.dn)));
        };
        if found.sid("objectSid") != self.account_sid {
            return Err(Lag::Behind(format!("{} is another object there", self.wanted.dn)));
        }
        if let Some(lag) = (self.lag)(&self.wanted, &found)? {
            return Err(Lag::Behind(lag));
        }
        if !self.closed.is_empty() {
            let readers = gmsa::readers_of(&found)?.map(|readers| readers.readers()).unwrap_or_default();
            if let Some(sid) = self.closed.iter().find(|sid| readers.contains(sid)) {
                return Err(Lag::Behind(format!("the reader list still lets {sid} read")));
            }
        }
        let readers = self.wanted.readers.describe();
        Ok(Seen { name: dc.dc().to_owned(), account_usn: found.int("uSNChanged"), members, readers })
    }
}

async fn members(dc: &dyn DirectoryRead, expected: &Expected) -> Result<Option<usize>, Lag> {
    let Some(group) = &expected.group else { return Ok(None) };
    if !expected.gone.is_empty() {
        let members = dc.read(&(&group.dn).into(), &["member"]).await.map_err(StepError::from)?;
        let members = members.map(|entry| entry.dns("member")).unwrap_or_default();
        if let Some(left) = expected.gone.iter().find(|host| members.contains(&host.dn)) {
            return Err(Lag::Behind(format!("{} still holds {}", group.dn, left.name)));
        }
    }
    match ensure_members::missing(dc, &expected.domain, group, &expected.hosts).await? {
        None => Err(Lag::Behind(format!("the group {} is not there", group.dn))),
        Some(missing) if missing.is_empty() => Ok(Some(expected.hosts.len())),
        Some(missing) => Err(Lag::Behind(format!("{} lacks {}", group.dn, list(&missing)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing;

    #[test]
    fn a_dry_run_says_where_it_would_look() {
        let planned = VerifyEverywhere.plan(&testing::context(), &None).expect("a plan");
        assert!(planned.changes.is_empty());
        assert!(planned.detail.contains("dc1.contoso.com"), "{}", planned.detail);
    }
}
