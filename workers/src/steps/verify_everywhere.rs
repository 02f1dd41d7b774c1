//! `verify-everywhere`: every writable DC of the domain shows the farm as it was asked for.
//!
//! Read only. A DC answers from its own copy, so a host that asks another one than the one that
//! was written to gets no password until the change has arrived there.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use directory::{Directory, DirectoryRead};
use domain::{Dn, ErrorCode, Mode, Problem};
use futures::future::join_all;
use serde::{Deserialize, Serialize};

use super::ensure_gmsa::{self, AccountOutput};
use super::ensure_group::{self, GroupOutput};
use super::ensure_members::{self, list};
use super::gmsa::{self, Wanted};
use super::outputs::{count, to_value};
use super::preflight::{self, HostTarget, PreflightOutput};
use crate::{Step, StepContext, StepError, StepPlan, Verified};

pub const NAME: &str = "verify-everywhere";

/// Replication within a site takes seconds.
const AGAIN: Duration = Duration::from_secs(2);

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
struct Expected {
    wanted: Wanted,
    account: AccountOutput,
    domain: Dn,
    group: Option<GroupOutput>,
    hosts: Vec<HostTarget>,
}

/// What one DC lacks.
enum Lag {
    /// It does not show this yet.
    Behind(String),
    Away(Problem),
    /// Not passing: whatever the decision table says.
    Other(StepError),
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
        let expected = expected(cx)?;
        let forest = cx.forest()?;
        // Asked anew each time: a DC that is demoted meanwhile is not waited for.
        let dcs = forest.writable_dcs().await?;
        let asked = dcs.iter().map(|dc| async { (dc.name.clone(), look(forest, &dc.name, &expected).await) });
        collect(join_all(asked).await).map(Some)
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

fn expected(cx: &StepContext) -> Result<Expected, StepError> {
    let PreflightOutput { domain, hosts, .. } = cx.output(preflight::NAME)?;
    Ok(Expected {
        wanted: ensure_gmsa::wanted(cx)?,
        account: cx.output(ensure_gmsa::NAME)?,
        domain,
        group: cx.output(ensure_group::NAME)?,
        hosts,
    })
}

async fn look(forest: &Arc<dyn Directory>, name: &str, expected: &Expected) -> Result<Seen, Lag> {
    let dc = forest.pin(Some(name)).await.map_err(|error| Lag::from(StepError::from(error)))?;
    let dc: &dyn DirectoryRead = dc.as_ref();
    let members = members(dc, expected).await?;
    let Some(found) = ensure_gmsa::read(dc, &expected.wanted.dn).await? else {
        return Err(Lag::Behind(format!("{} is not there", expected.wanted.dn)));
    };
    if found.sid("objectSid") != expected.account.sid {
        return Err(Lag::Behind(format!("{} is another object there", expected.wanted.dn)));
    }
    let differences = gmsa::differences(&expected.wanted, &found);
    if !differences.is_empty() {
        return Err(Lag::Behind(gmsa::differences_text(&differences)));
    }
    let readers = expected.wanted.readers.describe();
    Ok(Seen { name: name.to_owned(), account_usn: found.int("uSNChanged"), members, readers })
}

async fn members(dc: &dyn DirectoryRead, expected: &Expected) -> Result<Option<usize>, Lag> {
    let Some(group) = &expected.group else { return Ok(None) };
    match ensure_members::missing(dc, &expected.domain, group, &expected.hosts).await? {
        None => Err(Lag::Behind(format!("the group {} is not there", group.dn))),
        Some(missing) if missing.is_empty() => Ok(Some(expected.hosts.len())),
        Some(missing) => Err(Lag::Behind(format!("{} lacks {}", group.dn, list(&missing)))),
    }
}

impl From<StepError> for Lag {
    fn from(error: StepError) -> Self {
        match error {
            // A read has no outcome that could be unknown: it is simply asked again.
            StepError::Retry { problem, .. } | StepError::ReadAgain(problem) => Self::Away(problem),
            other => Self::Other(other),
        }
    }
}

/// All DCs, or why not: what cannot pass goes before what can.
fn collect(answers: Vec<(String, Result<Seen, Lag>)>) -> Result<Vec<Seen>, StepError> {
    let (mut seen, mut behind, mut away) = (Vec::new(), Vec::new(), Vec::new());
    for (name, answer) in answers {
        match answer {
            Ok(dc) => seen.push(dc),
            Err(Lag::Behind(what)) => behind.push(format!("{name}: {what}")),
            Err(Lag::Away(problem)) => away.push(format!("{name}: {}", problem.message)),
            Err(Lag::Other(error)) => return Err(error),
        }
    }
    match (behind.is_empty(), away.is_empty()) {
        (true, true) => Ok(seen),
        (_, false) => {
            let message =
                format!("{} not answering; {}", count(away.len(), "DC"), list(&together(away, behind)));
            let hint = "bring the DC back, or remove it from the domain; the farm is in place on the DC that was \
                        written to, and this step goes on by itself";
            Err(again(Problem::new(ErrorCode::DirectoryUnreachable, message, hint)))
        }
        (false, true) => {
            let message = format!("{} not up to date; {}", count(behind.len(), "DC"), list(&behind));
            let hint = "replication takes seconds within a site and longer between sites; if it lasts, look at \
                        `repadmin /showrepl` (Samba: `samba-tool drs showrepl`)";
            Err(again(Problem::new(ErrorCode::NotReplicated, message, hint)))
        }
    }
}

fn together(mut first: Vec<String>, second: Vec<String>) -> Vec<String> {
    first.extend(second);
    first
}

fn again(problem: Problem) -> StepError {
    StepError::Retry { after: AGAIN, problem }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing;

    fn seen(name: &str) -> (String, Result<Seen, Lag>) {
        let seen =
            Seen { name: name.into(), account_usn: Some(7), members: Some(2), readers: "allow G".into() };
        (name.into(), Ok(seen))
    }
    fn lag(name: &str, lag: Lag) -> (String, Result<Seen, Lag>) {
        (name.into(), Err(lag))
    }
    fn away() -> Lag {
        Lag::Away(Problem::new(ErrorCode::DirectoryUnreachable, "no route", "wait"))
    }

    #[test]
    fn all_dcs_that_agree_are_the_result() {
        let all = collect(vec![seen("dc1"), seen("dc2")]).expect("converged");
        assert_eq!(all.iter().map(|dc| dc.name.as_str()).collect::<Vec<_>>(), ["dc1", "dc2"]);
    }

    #[test]
    fn a_dc_that_lags_is_named_and_waited_for() {
        let error =
            collect(vec![seen("dc1"), lag("dc2", Lag::Behind("no account".into()))]).expect_err("lag");
        let StepError::Retry { after, problem } = error else { panic!("{error:?}") };
        assert_eq!((after, problem.code), (AGAIN, ErrorCode::NotReplicated));
        assert!(problem.message.contains("dc2: no account") && !problem.message.contains("dc1"));
    }

    #[test]
    fn a_dc_that_is_away_is_named_and_waited_for_beside_those_that_lag() {
        let answers = vec![lag("dc1", Lag::Behind("old".into())), lag("dc2", away())];
        let error = collect(answers).expect_err("away");
        let StepError::Retry { problem, .. } = error else { panic!("{error:?}") };
        assert_eq!(problem.code, ErrorCode::DirectoryUnreachable);
        assert!(problem.message.contains("dc1: old") && problem.message.contains("dc2: no route"));
    }

    #[test]
    fn what_will_not_pass_by_itself_goes_first() {
        let park = StepError::park(ErrorCode::DirectoryLoginFailed, "refused", "mend it");
        let answers = vec![lag("dc1", away()), lag("dc2", Lag::Other(park.clone()))];
        assert_eq!(collect(answers).expect_err("parked"), park);
    }

    #[test]
    fn a_dry_run_says_where_it_would_look() {
        let planned = VerifyEverywhere.plan(&testing::context(), &None).expect("a plan");
        assert!(planned.changes.is_empty());
        assert!(planned.detail.contains("dc1.contoso.com"), "{}", planned.detail);
    }
}
