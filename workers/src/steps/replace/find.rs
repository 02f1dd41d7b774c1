//! The two accounts, whatever they are called at the moment.

use directory::{Base, DirectoryRead, Entry};

use super::Survey;
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

fn with_identity<'a>(attributes: &[&'a str]) -> Vec<&'a str> {
    ["objectClass", "objectSid", "objectGUID"].into_iter().chain(attributes.iter().copied()).collect()
}
