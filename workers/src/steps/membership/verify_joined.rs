//! `verify-everywhere` of `add-host`: every writable DC shows the hosts in the group or reader list.

use std::collections::HashSet;

use async_trait::async_trait;
use directory::DirectoryRead;
use domain::Mode;

use super::joining::JoiningOutput;
use super::{PREFLIGHT, names};
use crate::steps::everywhere::{Lag, Look, every_dc};
use crate::steps::find_farm::{self, FarmOutput};
use crate::steps::outputs::{count, list, to_value};
use crate::steps::preflight::HostTarget;
use crate::steps::verify_everywhere::{EverywhereOutput, NAME, Seen};
use crate::steps::{gmsa, members};
use crate::{Step, StepContext, StepError, StepPlan, Verified};

#[derive(Debug)]
pub struct VerifyJoined;

/// What every DC is to show.
struct Expected {
    farm: FarmOutput,
    hosts: Vec<HostTarget>,
}

#[async_trait]
impl Step for VerifyJoined {
    /// `None`: a dry run, in which there is nothing to see yet.
    type Observed = Option<Vec<Seen>>;

    fn name(&self) -> &'static str {
        NAME
    }

    async fn check(&self, cx: &StepContext) -> Result<Self::Observed, StepError> {
        if cx.mode == Mode::Plan {
            return Ok(None);
        }
        let hosts = cx.output::<JoiningOutput>(PREFLIGHT)?.targets();
        every_dc(cx, &Expected { farm: cx.output(find_farm::NAME)?, hosts }).await.map(Some)
    }

    fn plan(&self, cx: &StepContext, observed: &Self::Observed) -> Result<StepPlan, StepError> {
        let Some(seen) = observed else {
            let dcs = cx.output::<FarmOutput>(find_farm::NAME)?.domain_controllers;
            let detail = format!("the hosts' access would be read back on {}", list(&dcs));
            return Ok(StepPlan::nothing(detail, to_value(&EverywhereOutput::default())?));
        };
        let names: Vec<_> = seen.iter().map(|seen| &seen.name).collect();
        let detail = format!("every host is in on {}: {}", count(names.len(), "DC"), list(&names));
        Ok(StepPlan::nothing(detail, to_value(&EverywhereOutput { domain_controllers: seen.clone() })?))
    }

    /// `check` has just read everything back, and nothing was written since.
    async fn verify(&self, _: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        Ok(Verified { output: plan.expected.clone(), detail: plan.detail.clone() })
    }
}

#[async_trait]
impl Look for Expected {
    type Seen = Seen;

    async fn look(&self, dc: &dyn DirectoryRead) -> Result<Seen, Lag> {
        let Self { farm, hosts } = self;
        let Some(account) = find_farm::read_account(dc, &farm.account.sid).await? else {
            return Err(Lag::Behind(format!("{} is not there", farm.account.dn)));
        };
        let readers = gmsa::readers_of(&account)?;
        let (lacking, absent): (_, Vec<_>) = match &farm.group {
            None => {
                let listed = readers.as_ref().map(|readers| readers.readers()).unwrap_or_default();
                let listed: HashSet<_> = listed.into_iter().collect();
                let absent = hosts.iter().filter(|host| !listed.contains(&host.sid));
                (&account.dn, absent.map(|host| host.dn.clone()).collect())
            }
            Some(group) => {
                let missing = members::missing(dc, &farm.domain, group, hosts.iter().map(|host| &host.dn));
                let gone = || Lag::Behind(format!("the group {} is not there", group.dn));
                (&group.dn, missing.await?.ok_or_else(gone)?)
            }
        };
        if !absent.is_empty() {
            return Err(Lag::Behind(format!("{lacking} lacks {}", list(&absent))));
        }
        let members = farm.group.as_ref().map(|_| hosts.len());
        let readers = readers.map_or_else(String::new, |readers| readers.describe(names(farm, hosts)));
        Ok(Seen { name: dc.dc().to_owned(), account_usn: account.int("uSNChanged"), members, readers })
    }
}
