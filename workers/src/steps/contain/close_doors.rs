//! `close-doors`: the host leaves the groups that let it in, on every DC.
//!
//! It bites only when the host's tickets run out; until then, and for what is left open here, the
//! deny entry holds. An entry of its own in a reader list has gone with the denial.

use async_trait::async_trait;
use domain::{Dn, Write};
use serde::{Deserialize, Serialize};

use super::deny_on_record::{self, Case};
use super::reach::{self, Away, SOON, Survey};
use super::wrote::NotTaken;
use super::{doors, parsed, token};
use crate::steps::outputs::{count, list, to_value};
use crate::{Step, StepContext, StepError, StepPlan, Verified};

pub const NAME: &str = "close-doors";

/// Output.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DoorsOutput {
    /// Groups that named the host.
    pub closed: Vec<Dn>,
    pub away: Vec<Away>,
    pub not_taken: Vec<NotTaken>,
}

/// Takes the host out of groups, and nobody else.
#[derive(Debug)]
pub struct CloseDoors;

pub struct Observed {
    case: Case,
    /// Each DC's name of the host, and its groups that name it.
    seen: Survey<(Dn, Vec<Dn>)>,
}

#[async_trait]
impl Step for CloseDoors {
    type Observed = Observed;

    fn name(&self) -> &'static str {
        NAME
    }

    fn is_kept(&self) -> bool {
        true
    }

    async fn check(&self, cx: &StepContext) -> Result<Observed, StepError> {
        let case: Case = cx.output(deny_on_record::NAME)?;
        let seen = look(cx, &case).await?;
        Ok(Observed { case, seen })
    }

    fn plan(&self, _: &StepContext, observed: &Observed) -> Result<StepPlan, StepError> {
        let Observed { case, seen: Survey { seen, away } } = observed;
        let changes: Vec<_> =
            seen.iter().flat_map(|(dc, (host, groups))| doors::closed(dc, host, groups)).collect();
        let mut closed: Vec<_> = seen.iter().flat_map(|(_, (_, groups))| groups.clone()).collect();
        closed.sort_by(|a, b| a.key().cmp(b.key()));
        closed.dedup();
        let left = doors::left(&case.affected, &case.host, &case.ways, &closed);
        let mut detail = match closed.len() {
            0 => "no group that lets it in names the host".to_owned(),
            number => format!("out of {}: {}", count(number, "group"), list(&closed)),
        };
        if !left.is_empty() {
            detail.push_str(&format!("; {} left to the deny entry", count(left.len(), "other way")));
        }
        let output = DoorsOutput { closed, away: away.clone(), not_taken: Vec::new() };
        Ok(StepPlan::new(changes, detail, to_value(&output)?).independent())
    }

    async fn verify(&self, cx: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        let mut output: DoorsOutput = parsed(&plan.expected)?;
        // A second attempt finds closed what the first has closed.
        let closed = cx.written().iter().filter(|write| write.change.attribute("member").is_some());
        output.closed.extend(closed.map(|write| write.change.dn.clone()));
        output.closed.sort_by(|a, b| a.key().cmp(b.key()));
        output.closed.dedup();
        output.not_taken = doors::still_open(cx).await;
        Ok(Verified { output: to_value(&output)?, detail: plan.detail.clone() })
    }

    async fn undo(&self, _: &StepContext, _: &[Write]) -> Result<(), StepError> {
        Ok(())
    }
}

async fn look(cx: &StepContext, case: &Case) -> Result<Survey<(Dn, Vec<Dn>)>, StepError> {
    let candidates = doors::candidates(&case.affected, &case.host);
    reach::every_dc(cx, Some(SOON), |dc| {
        let (sid, dn, candidates) = (case.host.sid.clone(), case.host.dn.clone(), candidates.clone());
        async move {
            let dc = dc.as_ref();
            let host = token::read(dc, &sid).await?.map_or(dn, |copy| copy.dn);
            let groups = doors::open(dc, &host, &candidates).await?;
            Ok((host, groups))
        }
    })
    .await
}
