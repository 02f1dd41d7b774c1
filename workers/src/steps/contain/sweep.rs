//! `sweep`: every gMSA of the domain is looked at for further ones that the host can read.
//!
//! Page by page, so that tens of thousands take the memory of a page; what is found is denied on
//! every DC as on record. Farms that some DC had missed are denied there now, too.

use std::collections::HashMap;

use async_trait::async_trait;
use directory::{DirectoryRead, Entry, Scope, Search};
use domain::{FarmName, Mode, Sid, Write};
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};
use store::Farm;

use super::affected::{Affected, Candidate, survey, unreadable};
use super::deny::denials;
use super::deny_on_record::{self, Case};
use super::host::Host;
use super::judge::{Verdict, judge};
use super::reach::{self, Away, SOON};
use super::wrote::{DeniedAt, NotTaken, denied_at, note_denials};
use super::{accounts, parsed};
use crate::steps::outputs::{count, list, to_value};
use crate::steps::ways::domain_of;
use crate::{Step, StepContext, StepError, StepPlan, Verified};

pub const NAME: &str = "sweep";

/// Lists that cannot be read are named up to this number; a directory may hold thousands.
const NAMED: usize = 20;

/// Output.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SweepOutput {
    /// gMSAs that were looked at.
    pub looked_at: u64,
    /// Those that the record did not lead to.
    pub affected: Vec<Affected>,
    /// Of a containment of some farms only: what the host can read besides. Not touched.
    pub beyond: Vec<String>,
    pub away: Vec<Away>,
    pub denied: Vec<DeniedAt>,
    pub not_taken: Vec<NotTaken>,
    pub warnings: Vec<String>,
}

/// Finds and denies what is on nobody's record.
#[derive(Debug)]
pub struct Sweep;

pub struct Observed {
    case: Case,
    swept: Swept,
    /// New ones that are in scope.
    found: Vec<Affected>,
    copies: Vec<(String, Vec<Entry>)>,
    away: Vec<Away>,
}

#[async_trait]
impl Step for Sweep {
    type Observed = Observed;

    fn name(&self) -> &'static str {
        NAME
    }

    fn is_kept(&self) -> bool {
        true
    }

    async fn check(&self, cx: &StepContext) -> Result<Observed, StepError> {
        let case: Case = cx.output(deny_on_record::NAME)?;
        let swept = swept(cx, &case).await?;
        let mut found = match case.only.is_empty() {
            true => strangers(&swept.found, &case),
            false => Vec::new(),
        };
        put_farms(cx, &mut found).await?;
        // A dry run has not written what the first step would have: it is not planned again.
        let before = case.affected.iter().filter(|_| cx.mode == Mode::Apply);
        let sids: Vec<_> = before.chain(&found).map(|one| one.sid.clone()).collect();
        let seen = reach::every_dc(cx, Some(SOON), |dc| {
            let sids = sids.clone();
            async move { accounts::by_sid(dc.as_ref(), &sids, &accounts::ATTRIBUTES).await }
        });
        let seen = seen.await?;
        Ok(Observed { case, swept, found, copies: seen.seen, away: seen.away })
    }

    fn plan(&self, _: &StepContext, observed: &Observed) -> Result<StepPlan, StepError> {
        plan(observed)
    }

    async fn verify(&self, cx: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        let mut output: SweepOutput = parsed(&plan.expected)?;
        let case: Case = cx.output(deny_on_record::NAME)?;
        let all = [case.affected, output.affected.clone()].concat();
        note_denials(cx, &case.host, &all).await?;
        let dcs = case.domain_controllers;
        super::read_back(cx, &case.host, &all, dcs).await?;
        output.denied = denied_at(cx.written());
        output.not_taken = cx.refused().iter().map(NotTaken::of).collect();
        Ok(Verified { output: to_value(&output)?, detail: plan.detail.clone() })
    }

    async fn undo(&self, _: &StepContext, _: &[Write]) -> Result<(), StepError> {
        Ok(())
    }
}

fn plan(observed: &Observed) -> Result<StepPlan, StepError> {
    let Observed { case, swept, found, copies, away } = observed;
    let candidates: Vec<_> = found.iter().map(Candidate::insisted).collect();
    // The copies hold the affected accounts on record as well; those are known.
    let mut affected = survey(copies, &case.host, &case.token, &candidates).affected;
    affected.retain(|one| case.affected.iter().all(|known| known.sid != one.sid));
    let all = [case.affected.clone(), affected.clone()].concat();
    let planned = denials(copies, &all, &case.host, &case.names());
    let beyond = match case.only.is_empty() {
        true => Vec::new(),
        false => strangers(&swept.found, case).into_iter().map(|one| one.account).collect(),
    };
    let output = SweepOutput {
        looked_at: swept.looked_at,
        affected,
        beyond,
        away: away.clone(),
        denied: Vec::new(),
        not_taken: Vec::new(),
        warnings: swept.warnings(),
    };
    let detail = told(&output, planned.changes.len());
    Ok(StepPlan::new(planned.changes, detail, to_value(&output)?).independent())
}

fn told(output: &SweepOutput, writes: usize) -> String {
    let accounts: Vec<_> = output.affected.iter().map(|one| &one.account).collect();
    let looked_at = format!("{} gMSAs looked at", output.looked_at);
    let beyond = match output.beyond.len() {
        0 => String::new(),
        number => format!("; {} that nobody asked about can be read", count(number, "gMSA")),
    };
    match (accounts.len(), writes) {
        (0, 0) => format!("{looked_at}, no further one lets the host read{beyond}"),
        (0, writes) => format!("{looked_at}; {} that had been missed{beyond}", count(writes, "denial")),
        (number, writes) => {
            let found = format!("{} found: {}", count(number, "further gMSA"), list(&accounts));
            format!("{looked_at}; {found}; denied with {}{beyond}", count(writes, "write"))
        }
    }
}

/// Found by the sweep and not known from the record.
fn strangers(found: &[Entry], case: &Case) -> Vec<Affected> {
    let copies = [(String::new(), found.to_vec())];
    let mut found = survey(&copies, &case.host, &case.token, &[]).affected;
    found.retain(|one| case.affected.iter().all(|known| known.sid != one.sid));
    found
}

/// A farm that was deployed since the first step.
async fn put_farms(cx: &StepContext, found: &mut [Affected]) -> Result<(), StepError> {
    if found.is_empty() {
        return Ok(());
    }
    let farms = cx.records()?.deployed_farms(&cx.directory).await?;
    let by_account: HashMap<&Sid, &FarmName> = farms.iter().filter_map(account_of).collect();
    for one in found {
        one.farm = by_account.get(&one.sid).map(|farm| (*farm).clone());
    }
    Ok(())
}

fn account_of(farm: &Farm) -> Option<(&Sid, &FarmName)> {
    Some((&farm.recorded.as_ref()?.account_sid, &farm.name))
}

/// One pass over all gMSAs of a domain.
#[derive(Debug, Default)]
pub struct Swept {
    pub looked_at: u64,
    /// Those that concern the host.
    pub found: Vec<Entry>,
    pub(super) unreadable: u64,
    pub(super) named: Vec<String>,
    pub(super) failed: Option<String>,
}

impl Swept {
    fn take(&mut self, dc: &str, host: &Host, token: &[Sid], entry: Entry) {
        self.looked_at += 1;
        match judge(&entry, &host.sid, token).verdict {
            Verdict::Unreadable(why) => {
                self.unreadable += 1;
                if self.named.len() < NAMED {
                    self.named.push(unreadable(&entry.dn, dc, &why));
                }
            }
            verdict if verdict.concerns() => self.found.push(entry),
            _ => {}
        }
    }

    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = self.named.clone();
        if let more @ 1.. = self.unreadable.saturating_sub(NAMED as u64) {
            warnings.push(format!("{more} more reader lists cannot be read"));
        }
        warnings.extend(self.failed.clone());
        warnings
    }
}

/// Looks at every gMSA of the DC's domain, by that DC's copy.
pub async fn sweep(dc: &dyn DirectoryRead, host: &Host, token: &[Sid]) -> Result<Swept, StepError> {
    let domain = domain_of(dc).await?;
    let search = Search::new(&domain, Scope::Subtree, accounts::all(), &accounts::ATTRIBUTES);
    let mut swept = Swept::default();
    let mut pages = dc.pages(&search);
    while let Some(page) = pages.try_next().await? {
        page.into_iter().for_each(|entry| swept.take(dc.dc(), host, token, entry));
    }
    Ok(swept)
}

/// A sweep that fails holds nothing up: the step that insists sweeps every DC again.
async fn swept(cx: &StepContext, case: &Case) -> Result<Swept, StepError> {
    let swept = async { sweep(reach::any(cx).await?, &case.host, &case.token).await };
    Ok(swept.await.unwrap_or_else(|error: StepError| Swept {
        failed: Some(format!("the first sweep did not come to its end: {}", error.problem().message)),
        ..Swept::default()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::contain::testing::{case, copy, host};
    use crate::steps::testing::sid;

    fn swept(entries: Vec<Entry>) -> Swept {
        let mut swept = Swept::default();
        entries.into_iter().for_each(|entry| swept.take("dc1", &host(), &case().token, entry));
        swept
    }
    fn observed(case: Case, swept: Swept) -> Observed {
        let found = if case.only.is_empty() { strangers(&swept.found, &case) } else { Vec::new() };
        let known = case
            .affected
            .iter()
            .chain(&found)
            .map(|one| copy(one.account.trim_end_matches('$'), one.sid.rid().unwrap_or(0), &[sid(1200)]));
        let copies = vec![("dc1".to_owned(), known.collect())];
        Observed { case, swept, found, copies, away: vec![] }
    }
    fn output(plan: &StepPlan) -> SweepOutput {
        parsed(&plan.expected).expect("an output")
    }

    #[test]
    fn only_what_concerns_the_host_is_kept() {
        let broken = Entry::new(copy("Broken", 1, &[]).dn, []);
        let swept = swept(vec![copy("One", 1301, &[sid(1200)]), copy("Two", 1302, &[sid(9)]), broken]);
        assert_eq!((swept.looked_at, swept.found.len(), swept.warnings().len()), (3, 1, 1));
    }

    #[test]
    fn thousands_of_broken_lists_are_counted_and_a_few_named() {
        let broken = |_| Entry::new(copy("Broken", 1, &[]).dn, []);
        let warnings = swept((0..5_000).map(broken).collect()).warnings();
        assert_eq!(warnings.len(), NAMED + 1);
        assert!(warnings[NAMED].contains("4980 more"), "{}", warnings[NAMED]);
    }

    #[test]
    fn what_the_record_did_not_lead_to_is_denied() {
        let planned = plan(&observed(case(), swept(vec![copy("Wild", 1400, &[sid(1200)])]))).expect("a plan");
        let written: Vec<_> = planned.changes.iter().map(|change| change.dn.rdn().value.clone()).collect();
        assert_eq!(written, ["One", "Wild"], "with what a DC had missed");
        let output = output(&planned);
        assert_eq!(output.affected.iter().map(|one| one.account.as_str()).collect::<Vec<_>>(), ["Wild$"]);
    }

    #[test]
    fn of_some_farms_only_the_rest_is_told_and_not_touched() {
        let only = vec![FarmName::parse("One").expect("a name")];
        let observed = observed(Case { only, ..case() }, swept(vec![copy("Wild", 1400, &[sid(1200)])]));
        let planned = plan(&observed).expect("a plan");
        let output = output(&planned);
        assert_eq!((output.beyond, output.affected.len()), (vec!["Wild$".to_owned()], 0));
        assert!(planned.changes.iter().all(|change| change.dn.rdn().value != "Wild"));
    }
}
