//! The two accounts, whatever they are called at the moment.

use directory::{Base, DirectoryRead, Entry};
use domain::ErrorCode;

use super::Survey;
use super::carry::still_holds;
use crate::StepError;
use crate::steps::gmsa;

/// The old account by its SID; `None` once it is deleted.
pub async fn old(
    dc: &dyn DirectoryRead,
    survey: &Survey,
    attributes: &[&str],
) -> Result<Option<Entry>, StepError> {
    let found = dc.read(&Base::from(&survey.old.sid), &with_identity(attributes)).await?;
    Ok(found.filter(|entry| entry.is_class(gmsa::CLASS)))
}

/// What stands at the new account's DN, unless that is still the old one.
pub async fn new(
    dc: &dyn DirectoryRead,
    survey: &Survey,
    attributes: &[&str],
) -> Result<Option<Entry>, StepError> {
    let found = dc.read(&Base::from(&survey.new.dn), &with_identity(attributes)).await?;
    Ok(found.filter(|entry| entry.sid("objectSid").as_ref() != Some(&survey.old.sid)))
}

/// An error where the old account, still under its names, is not as it was surveyed: a workflow that is
/// tried again later must not carry over what has been changed meanwhile.
pub fn as_surveyed(survey: &Survey, old: &Entry) -> Result<(), StepError> {
    let surveyed = || survey.carried.iter().chain(&survey.names);
    match surveyed().find(|attribute| !still_holds(old, attribute)) {
        None => Ok(()),
        Some(changed) => Err(StepError::fail(
            ErrorCode::DirectoryConflict,
            format!("{} of {} has been changed since it was surveyed", changed.attribute, old.dn),
            "ask for the replacement again: what is carried over is read and approved anew",
        )),
    }
}

/// What [`as_surveyed`] looks at.
pub fn surveyed_attributes(survey: &Survey) -> Vec<&str> {
    survey.carried.iter().chain(&survey.names).map(|attribute| attribute.attribute.as_str()).collect()
}

fn with_identity<'a>(attributes: &[&'a str]) -> Vec<&'a str> {
    ["objectClass", "objectSid", "objectGUID"].into_iter().chain(attributes.iter().copied()).collect()
}
