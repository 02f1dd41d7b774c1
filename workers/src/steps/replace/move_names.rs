//! `move-names`: side by side, SPNs and dNSHostName go from the old account to the new one.
//!
//! In this order, since no two accounts may answer to one SPN; between the two writes none does.

use async_trait::async_trait;
use directory::Entry;
use domain::{AttributeChange, Change};

use super::carry::{DNS_HOST_NAME, SPNS, values};
use super::create::differing_of;
use super::{Survey, find, replaced_already, surveyed};
use crate::steps::find_farm;
use crate::steps::outputs::not_as_written;
use crate::{Step, StepContext, StepError, StepPlan, Verified};

const NAMES: [&str; 2] = [DNS_HOST_NAME, SPNS];

#[derive(Debug)]
pub struct MoveNames;

#[async_trait]
impl Step for MoveNames {
    type Observed = Option<(Survey, Entry, Option<Entry>)>;

    fn name(&self) -> &'static str {
        "move-names"
    }

    async fn check(&self, cx: &StepContext) -> Result<Self::Observed, StepError> {
        let Some(survey) = surveyed(cx)? else { return Ok(None) };
        let dc = cx.dc().await?.as_ref();
        let old = find::old(dc, &survey, &NAMES).await?.ok_or_else(|| find_farm::gone(&survey.old.dn))?;
        let new = find::new(dc, &survey, &NAMES).await?;
        Ok(Some((survey, old, new)))
    }

    fn plan(&self, _: &StepContext, observed: &Self::Observed) -> Result<StepPlan, StepError> {
        let Some((survey, old, new)) = observed else { return Ok(replaced_already()) };
        if survey.parking.is_some() {
            return Ok(StepPlan::skip("the new account was made with SPNs and dNSHostName"));
        }
        let changes = changes(survey, old, new.as_ref());
        let detail = match changes.is_empty() {
            true => format!("{} has them", survey.new.dn),
            false => format!("SPNs and dNSHostName go from {} to {}", old.dn, survey.new.dn),
        };
        Ok(StepPlan::new(changes, detail, serde_json::Value::Null))
    }

    async fn verify(&self, cx: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        if let Some((survey, old, new)) = self.check(cx).await?
            && !changes(&survey, &old, new.as_ref()).is_empty()
        {
            return Err(not_as_written(format!("{} does not have the names of {}", survey.new.dn, old.dn)));
        }
        Ok(Verified { output: plan.expected.clone(), detail: plan.detail.clone() })
    }
}

fn changes(survey: &Survey, old: &Entry, new: Option<&Entry>) -> Vec<Change> {
    let leaving = NAMES
        .iter()
        .rev()
        .filter(|name| old.has(name))
        .map(|name| AttributeChange::set(name, values(old, name), Vec::new()));
    let coming = survey
        .names
        .iter()
        .filter(|wanted| new.is_none_or(|new| differing_of(std::iter::once(*wanted), new).is_some()));
    let coming = coming.map(|wanted| {
        let before = new.map(|new| values(new, &wanted.attribute)).unwrap_or_default();
        AttributeChange::set(&wanted.attribute, before, wanted.added().to_vec())
    });
    let change = |dn: &domain::Dn, attributes: Vec<AttributeChange>| {
        (!attributes.is_empty()).then(|| Change::modify(dn.clone(), attributes))
    };
    change(&old.dn, leaving.collect()).into_iter().chain(change(&survey.new.dn, coming.collect())).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{side_by_side, survey};
    use super::*;
    use crate::steps::testing::{account, context};

    fn without_names() -> Entry {
        account(&[(SPNS, vec![]), (DNS_HOST_NAME, vec![])])
    }

    #[test]
    fn the_old_account_lets_go_before_the_new_one_takes() {
        let survey = side_by_side();
        let found = changes(&survey, &account(&[]), Some(&without_names()));
        let dns: Vec<_> = found.iter().map(|change| &change.dn).collect();
        assert_eq!(dns, [&survey.old.dn, &survey.new.dn]);
        assert!(found[0].attributes.iter().all(|change| change.added().is_empty()));
        assert!(found[1].attributes.iter().all(|change| change.removed().is_empty()));
        // Half done: what is left to do.
        let found = changes(&survey, &without_names(), Some(&without_names()));
        assert_eq!(found.iter().map(|change| &change.dn).collect::<Vec<_>>(), [&survey.new.dn]);
        assert_eq!(changes(&survey, &without_names(), Some(&account(&[]))), []);
    }

    #[test]
    fn under_the_same_name_there_is_nothing_to_move() {
        let observed = Some((survey(), without_names(), Some(account(&[]))));
        assert!(MoveNames.plan(&context(), &observed).expect("a plan").skipped);
    }
}
