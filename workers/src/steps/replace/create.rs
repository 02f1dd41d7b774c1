//! `create-new-account`: the new account, made by one Add with everything that it carries over.

use async_trait::async_trait;
use directory::Entry;
use directory::security::ReaderDescriptor;
use domain::{AttributeChange, AttributeValue, Change, Dn, ErrorCode, Sid};
use serde::{Deserialize, Serialize};

use super::carry::SAM;
use super::{Survey, find, replaced_already, surveyed};
use crate::quarantine::deny_all;
use crate::steps::ensure_gmsa::{KeyId, key_id};
use crate::steps::find_farm;
use crate::steps::gmsa::{self, Reader};
use crate::steps::outputs::{not_as_written, to_value};
use crate::steps::quarantine;
use crate::{Step, StepContext, StepError, StepPlan, Verified};

pub const CREATE: &str = "create-new-account";

/// Output; what the DC gives is `null` in a dry run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewOutput {
    pub dn: Dn,
    /// With its `$`.
    pub sam_account_name: String,
    pub sid: Option<Sid>,
    /// objectGUID.
    pub guid: Option<String>,
    /// Which key its password is made from.
    pub key_id: Option<KeyId>,
}

#[derive(Debug)]
pub struct CreateAccount;

#[async_trait]
impl Step for CreateAccount {
    /// The hosts under quarantine last: the new account denies each from its first moment.
    type Observed = Option<(Survey, Option<Entry>, Vec<Reader>)>;

    fn name(&self) -> &'static str {
        CREATE
    }

    async fn check(&self, cx: &StepContext) -> Result<Self::Observed, StepError> {
        let Some(survey) = surveyed(cx)? else { return Ok(None) };
        let addition = survey.addition();
        let names = addition.iter().map(|attribute| attribute.attribute.as_str());
        let names: Vec<_> = names.chain(["msDS-ManagedPasswordId"]).collect();
        let dc = cx.dc().await?.as_ref();
        let found = find::new(dc, &survey, &names).await?;
        if survey.parking.is_none() && found.is_none() {
            let old = find::old(dc, &survey, &find::surveyed_attributes(&survey)).await?;
            find::as_surveyed(&survey, &old.ok_or_else(|| find_farm::gone(&survey.old.dn))?)?;
        }
        Ok(Some((survey, found, quarantine::contained(&cx.quarantined().await?))))
    }

    fn plan(&self, _: &StepContext, observed: &Self::Observed) -> Result<StepPlan, StepError> {
        let Some((survey, found, contained)) = observed else { return Ok(replaced_already()) };
        let expected = to_value(&output(survey, found.as_ref()))?;
        let dn = &survey.new.dn;
        match found {
            None => {
                let change = Change::add(dn.clone(), denying(survey.addition(), contained)?);
                Ok(StepPlan::new(vec![change], format!("make {dn} anew"), expected))
            }
            Some(found) if differing(survey, found).is_none() => {
                Ok(StepPlan::nothing(format!("{dn} is made"), expected))
            }
            Some(_) => Err(StepError::fail(
                ErrorCode::AccountNameTaken,
                format!("{dn} is another object, which this workflow did not make"),
                "find out who made it meanwhile; remove it, then ask for the replacement again",
            )),
        }
    }

    async fn verify(&self, cx: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        let Some((survey, found, _)) = self.check(cx).await? else {
            return Ok(Verified { output: plan.expected.clone(), detail: plan.detail.clone() });
        };
        let dn = &survey.new.dn;
        let found = found.ok_or_else(|| not_as_written(format!("{dn} is not there any more")))?;
        if let Some(attribute) = differing(&survey, &found) {
            return Err(not_as_written(format!("{attribute} of {dn} is not as it was written")));
        }
        let output = output(&survey, Some(&found));
        if let Some(sid) = &output.sid {
            quarantine::note_written(cx, sid, dn).await?;
        }
        let sid = output.sid.as_ref().map(ToString::to_string).unwrap_or_default();
        Ok(Verified { output: to_value(&output)?, detail: format!("{dn} was made with the SID {sid}") })
    }
}

/// With every contained host denied first. A list that cannot be read lets nobody read and is carried
/// over as it is.
fn denying(
    mut addition: Vec<AttributeChange>,
    contained: &[Reader],
) -> Result<Vec<AttributeChange>, StepError> {
    let Some(readers) = addition.iter_mut().find(|change| change.attribute == gmsa::READERS) else {
        return Ok(addition);
    };
    let old = readers.added().first();
    let bytes = old.and_then(AttributeValue::wire).unwrap_or_default();
    let Ok(before) = ReaderDescriptor::from_bytes(bytes) else { return Ok(addition) };
    let mut list = before.clone();
    deny_all(&mut list, contained.iter().map(|host| host.sid.clone()));
    if list == before {
        return Ok(addition);
    }
    let new = list.to_bytes().map_err(|error| {
        StepError::fail(
            ErrorCode::InvalidRequest,
            format!("the reader list does not hold entries against the quarantined hosts too: {error}"),
            "change the farm to group membership first (`farmhand update` with membership.mode: group)",
        )
    })?;
    let names: Vec<_> = contained.iter().map(|host| host.name.as_str()).collect();
    let meaning = format!(
        "deny {} first, then: {}",
        names.join(", "),
        old.map(ToString::to_string).unwrap_or_default()
    );
    *readers = AttributeChange::new(gmsa::READERS, [AttributeValue::bytes(new, meaning)]);
    Ok(addition)
}

/// An attribute of the new account that is not as it is carried over.
pub fn differing<'a>(survey: &'a Survey, found: &Entry) -> Option<&'a str> {
    differing_of(
        survey.carried.iter().chain(survey.parking.as_ref().map_or(&[][..], |_| &survey.names)),
        found,
    )
}

pub fn differing_of<'a>(wanted: impl Iterator<Item = &'a AttributeChange>, found: &Entry) -> Option<&'a str> {
    let mut wanted = wanted;
    let same = |value: &AttributeValue, attribute: &str| match value {
        // A DC may store a descriptor in another form; of classes it adds those above.
        AttributeValue::Text(text) => {
            found.texts(attribute).iter().any(|has| has.eq_ignore_ascii_case(text))
                || same_dn(found, attribute, text)
        }
        _ => found.has(attribute),
    };
    wanted
        .find(|change| change.added().iter().any(|value| !same(value, &change.attribute)))
        .map(|change| change.attribute.as_str())
}

fn same_dn(found: &Entry, attribute: &str, text: &str) -> bool {
    text.contains('=') && Dn::parse(text).is_ok_and(|dn| found.dns(attribute).contains(&dn))
}

fn output(survey: &Survey, found: Option<&Entry>) -> NewOutput {
    let found = found.filter(|found| found.is_class(gmsa::CLASS) && found.has(SAM));
    NewOutput {
        dn: survey.new.dn.clone(),
        sam_account_name: survey.new.sam_account_name.clone(),
        sid: found.and_then(|entry| entry.sid("objectSid")),
        guid: found.and_then(|entry| entry.guid("objectGUID")),
        key_id: found.and_then(|entry| key_id(entry.bytes("msDS-ManagedPasswordId")?)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{side_by_side, survey};
    use super::*;
    use crate::steps::testing::{account, context, reader, sid};

    fn added(survey: Survey) -> Vec<String> {
        let planned = CreateAccount.plan(&context(), &Some((survey, None, vec![]))).expect("a plan");
        assert_eq!(planned.changes.len(), 1);
        planned.changes[0].attributes.iter().map(|change| change.attribute.clone()).collect()
    }

    #[test]
    fn the_names_are_part_of_the_add_only_where_the_old_account_has_left_them() {
        assert_eq!(added(survey()), ["description", "dNSHostName", "servicePrincipalName"]);
        assert_eq!(added(side_by_side()), ["description"]);
    }

    #[test]
    fn the_new_account_denies_hosts_under_quarantine_besides_what_it_carries_over() {
        let mut carried = survey();
        let list = ReaderDescriptor::allowing([&sid(1200)]);
        let value = AttributeValue::bytes(list.to_bytes().expect("fits"), "allow ITFarmHosts");
        carried.carried.push(AttributeChange::new(gmsa::READERS, [value.clone()]));
        let planned = |contained: Vec<Reader>| {
            let observed = Some((carried.clone(), None, contained));
            let planned = CreateAccount.plan(&context(), &observed).expect("a plan");
            planned.changes[0].attribute(gmsa::READERS).expect("a list").added()[0].clone()
        };
        assert_eq!(planned(vec![]), value, "byte for byte");
        let denying = planned(vec![reader("Host7", 1107)]);
        let list = ReaderDescriptor::from_bytes(denying.wire().expect("bytes")).expect("a descriptor");
        assert_eq!((list.denied_first(), list.readers()), (vec![sid(1107)], vec![sid(1200)]));
        assert_eq!(denying.to_string(), "deny Host7 first, then: allow ITFarmHosts");
    }

    #[test]
    fn an_account_that_is_as_carried_over_is_ours_and_another_is_refused() {
        let plan = |found: Entry| CreateAccount.plan(&context(), &Some((survey(), Some(found), vec![])));
        assert!(plan(account(&[])).expect("a plan").changes.is_empty());
        let other = plan(account(&[("description", vec![b"other".to_vec()])])).expect_err("refused");
        assert_eq!(other.problem().code, ErrorCode::AccountNameTaken);
    }
}
