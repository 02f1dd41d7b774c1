//! `ensure-membership`: every host of the request is in the farm's group, or in the reader list.

use async_trait::async_trait;
use directory::{DirectoryRead, Entry};
use domain::{Change, Dn, ErrorCode, Problem, Write};
use serde::{Deserialize, Serialize};

use super::joining::JoiningOutput;
use super::{PREFLIGHT, account, names};
use crate::steps::ensure_group::GroupOutput;
use crate::steps::find_farm::{self, FarmOutput};
use crate::steps::gmsa;
use crate::steps::members::{self, Standing};
use crate::steps::outputs::{count, list, to_value};
use crate::steps::preflight::HostTarget;
use crate::{Step, StepContext, StepError, StepPlan, Verified};

pub const NAME: &str = "ensure-membership";

/// Output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MembershipOutput {
    /// The group, or the account whose reader list it is.
    pub at: Dn,
    /// How many hosts of the request are in.
    pub hosts: usize,
}

/// Adds the hosts that are missing; whoever else is in stays.
#[derive(Debug)]
pub struct EnsureMembership;

pub struct Observed {
    farm: FarmOutput,
    hosts: Vec<HostTarget>,
    place: Place,
}

enum Place {
    Group { group: GroupOutput, missing: Vec<Dn> },
    Readers(Box<Entry>),
}

#[async_trait]
impl Step for EnsureMembership {
    type Observed = Observed;

    fn name(&self) -> &'static str {
        NAME
    }

    async fn check(&self, cx: &StepContext) -> Result<Observed, StepError> {
        let farm: FarmOutput = cx.output(find_farm::NAME)?;
        let hosts = cx.output::<JoiningOutput>(PREFLIGHT)?.targets();
        let dc: &dyn DirectoryRead = cx.dc().await?.as_ref();
        let place = match &farm.group {
            None => Place::Readers(Box::new(account(dc, &farm).await?)),
            Some(group) => {
                let members = super::standing_members(dc, &farm.domain, group).await?;
                let absent = hosts.iter().filter(|host| members.standing(&host.dn) == Standing::Absent);
                Place::Group { group: group.clone(), missing: absent.map(|host| host.dn.clone()).collect() }
            }
        };
        Ok(Observed { farm, hosts, place })
    }

    fn plan(&self, _: &StepContext, observed: &Observed) -> Result<StepPlan, StepError> {
        let Observed { farm, hosts, place } = observed;
        let (at, changes) = match place {
            Place::Group { group, missing } => (&group.dn, members::additions(&group.dn, missing)),
            Place::Readers(found) => (&found.dn, new_readers(farm, found, hosts)?.into_iter().collect()),
        };
        let missing = missing(observed)?;
        let detail = match missing.len() {
            0 => format!("{at} already holds {}", count(hosts.len(), "host")),
            number => format!("{at} lacks {number} of {}", count(hosts.len(), "host")),
        };
        let output = MembershipOutput { at: at.clone(), hosts: hosts.len() };
        Ok(StepPlan::new(changes, detail, to_value(&output)?))
    }

    async fn verify(&self, cx: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        let missing = missing(&self.check(cx).await?)?;
        if !missing.is_empty() {
            // Another program wrote a whole list that it had read before us. Ours is added again.
            return Err(StepError::ReadAgain(Problem::new(
                ErrorCode::VerificationFailed,
                format!("{} gone again right after being added", list(&missing)),
                "it is added again by itself; if it stays so, find out in the DC's security log what else writes there",
            )));
        }
        let detail = match plan.changes.is_empty() {
            true => plan.detail.clone(),
            false => format!("all hosts are in: {}", plan.detail),
        };
        Ok(Verified { output: plan.expected.clone(), detail })
    }

    async fn undo(&self, cx: &StepContext, writes: &[Write]) -> Result<(), StepError> {
        super::undo(cx, writes).await
    }
}

/// The one change of the reader list that lets all of `hosts` read; `None` where it does.
pub fn new_readers(
    farm: &FarmOutput,
    found: &Entry,
    hosts: &[HostTarget],
) -> Result<Option<Change>, StepError> {
    gmsa::change_readers(found, names(farm, hosts), |readers| {
        for host in hosts {
            readers.allow(&host.sid);
        }
    })
}

fn missing(observed: &Observed) -> Result<Vec<String>, StepError> {
    Ok(match &observed.place {
        Place::Group { missing, .. } => missing.iter().map(ToString::to_string).collect(),
        Place::Readers(found) => {
            let readers = gmsa::readers_of(found)?.map(|readers| readers.readers()).unwrap_or_default();
            let readers: std::collections::HashSet<_> = readers.into_iter().collect();
            let absent = observed.hosts.iter().filter(|host| !readers.contains(&host.sid));
            absent.map(|host| host.name.clone()).collect()
        }
    })
}
