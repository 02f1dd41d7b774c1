//! `verify-released`: every DC lets go of the host, and then the record does.
//!
//! The record comes last: as long as it stands, no workflow lets the host in, and a release that is cut
//! short or cancelled leaves it under quarantine.

use async_trait::async_trait;
use directory::{DirectoryRead, Entry};
use domain::{ErrorCode, Mode, Problem};
use serde::{Deserialize, Serialize};
use store::Release;

use super::await_tickets::forced;
use super::enable_computer::{self, ComputerEnabled, enabling};
use super::find::{self, Found};
use super::lists::{self, Copies, lifts};
use crate::steps::contain::judge::{Verdict, judge};
use crate::steps::contain::token;
use crate::steps::outputs::{count, list, to_value};
use crate::{Step, StepContext, StepError, StepPlan, Verified};

pub const NAME: &str = "verify-released";

/// Output. Empty in a dry run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReleasedOutput {
    pub domain_controllers: Vec<String>,
    /// gMSAs that the host can read from now on, since something else lets it in.
    pub reads: Vec<String>,
}

/// What is missing on a DC (it came back, or somebody wrote meanwhile) is written here.
#[derive(Debug)]
pub struct VerifyReleased;

pub enum Observed {
    /// A dry run.
    Later,
    Seen(Box<Seen>),
}

pub struct Seen {
    found: Found,
    copies: Copies,
    computer: Vec<(String, Option<Entry>)>,
    reads: Vec<String>,
}

#[async_trait]
impl Step for VerifyReleased {
    type Observed = Observed;

    fn name(&self) -> &'static str {
        NAME
    }

    async fn check(&self, cx: &StepContext) -> Result<Observed, StepError> {
        match cx.mode {
            Mode::Plan => Ok(Observed::Later),
            Mode::Apply => Ok(Observed::Seen(Box::new(look(cx).await?))),
        }
    }

    fn plan(&self, _: &StepContext, observed: &Observed) -> Result<StepPlan, StepError> {
        let Observed::Seen(seen) = observed else {
            let detail = "every DC would be read back, and the host would leave the quarantine";
            return Ok(StepPlan::nothing(detail, to_value(&ReleasedOutput::default())?));
        };
        let mut changes = lifts(&seen.copies, &seen.found.quarantine).changes;
        changes.extend(enabling(&seen.computer)?);
        let output = ReleasedOutput {
            domain_controllers: seen.copies.iter().map(|(dc, _)| dc.clone()).collect(),
            reads: seen.reads.clone(),
        };
        Ok(StepPlan::new(changes, detail(&seen.found, &output), to_value(&output)?))
    }

    async fn verify(&self, cx: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        if !plan.changes.is_empty() {
            return Err(StepError::ReadAgain(Problem::new(
                ErrorCode::NotReplicated,
                format!("{} written anew, to be read back", count(plan.changes.len(), "value")),
                "nothing to do: it is read by itself",
            )));
        }
        let found: Found = cx.output(find::NAME)?;
        let release = Release {
            at: cx.environment.clock.now(),
            by: cx.requested_by().to_owned(),
            workflow: cx.workflow_id,
            reason: forced(&cx.input()?).or_else(|| cx.reason().map(str::to_owned)),
        };
        // `false`: an attempt before this one has released it.
        cx.records()?.release_quarantine(&cx.directory, &found.quarantine.host_sid, &release).await?;
        Ok(Verified { output: plan.expected.clone(), detail: plan.detail.clone() })
    }
}

async fn look(cx: &StepContext) -> Result<Seen, StepError> {
    let found: Found = cx.output(find::NAME)?;
    let denials = lists::denials(cx).await?;
    let copies = lists::copies(cx, &denials).await?;
    let computer = match cx.output(enable_computer::NAME)? {
        ComputerEnabled::Enabled => enable_computer::copies(cx, &found).await?,
        ComputerEnabled::LeftAsItIs | ComputerEnabled::Gone => Vec::new(),
    };
    let reads = reads(cx.dc().await?.as_ref(), &found, &copies).await?;
    Ok(Seen { found, copies, computer, reads })
}

/// Of the accounts that were denied, those that let the host in now.
async fn reads(
    dc: &dyn DirectoryRead,
    found: &Found,
    copies: &[(String, Vec<Entry>)],
) -> Result<Vec<String>, StepError> {
    let host = &found.quarantine.host_sid;
    let Some(copy) = token::read(dc, host).await? else { return Ok(Vec::new()) };
    let own = copies.iter().find(|(name, _)| name == dc.dc()).or(copies.first());
    let lets_in = |entry: &&Entry| {
        matches!(judge(entry, host, &copy.token).verdict, Verdict::LetIn | Verdict::Depends(_))
    };
    let entries = own.iter().flat_map(|(_, entries)| entries).filter(lets_in);
    Ok(entries.map(|entry| entry.dn.to_string()).collect())
}

fn detail(found: &Found, output: &ReleasedOutput) -> String {
    let (name, dcs) = (&found.quarantine.host_name, &output.domain_controllers);
    let reads = match output.reads.len() {
        0 => String::new(),
        number => format!("; it is let in by {}: {}", count(number, "account"), list(&output.reads)),
    };
    format!("{name} is out of quarantine on {}: {}{reads}", count(dcs.len(), "DC"), list(dcs))
}
