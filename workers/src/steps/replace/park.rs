//! `park-old-account`: under the same name, the old account makes room.
//!
//! It is renamed, then loses its SPNs, its dNSHostName, its account name and the right to log on by one
//! Modify: from then until the next step has made the new account, the farm has none.

use async_trait::async_trait;
use directory::Entry;
use domain::{AttributeChange, AttributeValue, Change};

use super::carry::{CONTROL, DNS_HOST_NAME, SAM, SPNS, values};
use super::disable::disabled;
use super::{Parking, find, replaced_already, surveyed};
use crate::steps::find_farm;
use crate::steps::outputs::not_as_written;
use crate::{Step, StepContext, StepError, StepPlan, Verified};

const ATTRIBUTES: [&str; 4] = [SAM, CONTROL, DNS_HOST_NAME, SPNS];

#[derive(Debug)]
pub struct ParkOld;

#[async_trait]
impl Step for ParkOld {
    /// The old account as it is, and what it is parked as; `None`: it keeps its name.
    type Observed = Option<(Entry, Parking)>;

    fn name(&self) -> &'static str {
        "park-old-account"
    }

    async fn check(&self, cx: &StepContext) -> Result<Self::Observed, StepError> {
        let Some(survey) = surveyed(cx)? else { return Ok(None) };
        let Some(parking) = survey.parking.clone() else { return Ok(None) };
        let names = [&ATTRIBUTES[..], &find::surveyed_attributes(&survey)].concat();
        let old = find::old(cx.dc().await?.as_ref(), &survey, &names).await?;
        let old = old.ok_or_else(|| find_farm::gone(&survey.old.dn))?;
        if old.dn == survey.old.dn {
            find::as_surveyed(&survey, &old)?;
        }
        Ok(Some((old, parking)))
    }

    fn plan(&self, cx: &StepContext, observed: &Self::Observed) -> Result<StepPlan, StepError> {
        match (observed, surveyed(cx)?) {
            (Some((old, parking)), Some(survey)) => Ok(plan(old, parking, &survey.old.guid)),
            (None, Some(_)) => Ok(StepPlan::skip("side by side: the old account keeps its name")),
            (_, None) => Ok(replaced_already()),
        }
    }

    async fn verify(&self, cx: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        if let Some((old, parking)) = self.check(cx).await? {
            let left = changes(&old, &parking, "");
            if let Some(change) = left.first() {
                return Err(not_as_written(format!("{} is not parked as {}", change.dn, parking.dn)));
            }
        }
        Ok(Verified { output: plan.expected.clone(), detail: plan.detail.clone() })
    }
}

fn plan(old: &Entry, parking: &Parking, guid: &str) -> StepPlan {
    let changes = changes(old, parking, guid);
    let detail = match changes.is_empty() {
        true => format!("{} is parked already", parking.dn),
        false => format!("{} becomes {}, disabled and without SPNs", old.dn, parking.dn),
    };
    StepPlan::new(changes, detail, serde_json::Value::Null)
}

/// The rename first: nobody misses an RDN, and behind it every change names the account by the DN
/// that it has from then on.
fn changes(old: &Entry, parking: &Parking, guid: &str) -> Vec<Change> {
    let mut changes = Vec::new();
    if old.dn != parking.dn {
        changes.push(Change::rename(old.dn.clone(), guid, &parking.dn.rdn().value));
    }
    let mut attributes = Vec::new();
    for attribute in [SPNS, DNS_HOST_NAME] {
        let values = values(old, attribute);
        attributes.extend((!values.is_empty()).then(|| AttributeChange::set(attribute, values, Vec::new())));
    }
    // Behind the SPNs: a DC would rewrite those that hold the account name.
    if !old.text(SAM).is_some_and(|sam| sam.eq_ignore_ascii_case(&parking.sam_account_name)) {
        let after: AttributeValue = parking.sam_account_name.as_str().into();
        attributes.push(AttributeChange::set(SAM, values(old, SAM), vec![after]));
    }
    attributes.extend(disabled(old));
    if !attributes.is_empty() {
        changes.push(Change::modify(parking.dn.clone(), attributes));
    }
    changes
}

#[cfg(test)]
mod tests {
    use domain::ChangeKind;

    use super::*;
    use crate::steps::testing::{account, wanted};

    fn parking() -> Parking {
        let dn = wanted().dn.renamed("ITFarm1-old").expect("a child");
        Parking { dn, sam_account_name: "ITFarm1-old$".into() }
    }

    #[test]
    fn the_names_leave_by_one_write_behind_the_rename() {
        let changes = changes(&account(&[]), &parking(), "guid");
        let kinds: Vec<_> = changes.iter().map(|change| change.kind).collect();
        assert_eq!(kinds, [ChangeKind::Rename, ChangeKind::Modify]);
        assert_eq!((&changes[0].dn_after(), &changes[1].dn), (&parking().dn, &parking().dn));
        let names: Vec<_> = changes[1].attributes.iter().map(|change| change.attribute.as_str()).collect();
        assert_eq!(names, [SPNS, DNS_HOST_NAME, SAM, CONTROL]);
        assert_eq!(changes[1].attributes[3].added(), ["4098".into()]);
        assert!(changes[1].attributes[0].added().is_empty() && changes[1].attributes[0].removed().len() == 2);
    }

    #[test]
    fn what_is_parked_is_left_alone() {
        let empty = |name| (name, Vec::new());
        let stripped = account(&[
            empty(SPNS),
            empty(DNS_HOST_NAME),
            (SAM, vec![b"itfarm1-old$".to_vec()]),
            (CONTROL, vec![b"4098".to_vec()]),
        ]);
        let attributes = stripped.names().map(|name| (name.to_owned(), stripped.values(name).to_vec()));
        let parked = Entry::new(parking().dn, attributes.collect::<Vec<_>>());
        assert_eq!(changes(&parked, &parking(), "guid"), []);
    }
}
