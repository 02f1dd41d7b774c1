//! The end of an account, step by step: nobody reads its password any more, it is disabled, it cools
//! down, it is deleted, and its group with it.
//!
//! Up to the first deletion everything can be taken back. Each step asks the context which account
//! it works on ([`WhichAccount`]): a replacement ends an account that is not the farm's any more.

mod cool_down;
mod delete_account;
mod delete_group;
mod disable;
mod empty_readers;
mod group_use;
mod remains;
mod survey;
mod unreadable;
mod use_seen;
mod verify_gone;

use directory::{DirectoryRead, Entry};
use domain::{AttributeChange, AttributeValue, Sid};

pub use cool_down::{CoolDown, CoolDownOutput};
pub use delete_account::{DeleteAccount, DeletedOutput};
pub use delete_group::{DeleteGroup, DeletedGroupOutput, NAME as DELETE_GROUP};
pub use disable::DisableAccount;
pub use empty_readers::EmptyReaders;
pub use remains::{FindRemains, RemainsOutput};
pub use survey::{Survey, SurveyOutput};
pub use unreadable::{ProveUnreadable, UnreadableOutput};
pub use use_seen::Use;
pub use verify_gone::{GoneOutput, VerifyGone};

use super::find_farm::{FarmAccount, read_account};
use super::gmsa::fields::DISABLED;
use super::gmsa::{READERS, readers_of};
use super::preflight::HostTarget;
use crate::{StepContext, StepError};

/// Which account a step works on; `None`: there is none (any more), and nothing to do.
pub type WhichAccount = fn(&StepContext) -> Result<Option<FarmAccount>, StepError>;

/// The hosts that are known to have read the account's password.
pub type WhichHosts = fn(&StepContext) -> Result<Vec<HostTarget>, StepError>;

/// The account as the pinned DC has it now; `None` where it is gone, or none was named.
async fn standing(cx: &StepContext, which: WhichAccount) -> Result<Option<Entry>, StepError> {
    let Some(account) = which(cx)? else { return Ok(None) };
    read_account(cx.dc().await?.as_ref(), &account.sid).await
}

fn is_disabled(entry: &Entry) -> bool {
    entry.int("userAccountControl").is_some_and(|control| control & DISABLED != 0)
}

/// The name of an object by its SID, for people.
async fn name_of(dc: &dyn DirectoryRead, sid: &Sid) -> Result<Option<String>, StepError> {
    let found = directory::preflight::principal_at(dc, &sid.into()).await?;
    Ok(found.and_then(|principal| principal.sam_account_name))
}

/// What an object held, for the record of its deletion. Only what stays the same while nobody
/// changes it: the hash of a plan must not change with the hour.
fn held(entry: &Entry, attributes: &[&str]) -> Result<Vec<AttributeChange>, StepError> {
    let mut held = Vec::new();
    for name in attributes.iter().copied().filter(|name| entry.has(name)) {
        let mut values = entry.values(name).to_vec();
        // A DC promises no order.
        values.sort();
        let values = values.into_iter().map(|value| value_of(entry, name, value));
        held.push(AttributeChange::set(name, values.collect::<Result<_, _>>()?, Vec::new()));
    }
    Ok(held)
}

fn value_of(entry: &Entry, name: &str, value: Vec<u8>) -> Result<AttributeValue, StepError> {
    Ok(match name {
        "objectSid" => {
            let meaning = entry.sid(name).map(|sid| sid.to_string()).unwrap_or_default();
            AttributeValue::bytes(value, meaning)
        }
        "objectGUID" => AttributeValue::bytes(value, entry.guid(name).unwrap_or_default()),
        // What cannot be read is kept as it is.
        READERS => {
            let meaning = readers_of(entry).ok().flatten().map(|readers| readers.describe(|_| None));
            AttributeValue::bytes(value, meaning.unwrap_or_default())
        }
        _ => match String::from_utf8(value) {
            Ok(text) if !text.contains('\0') => AttributeValue::Text(text),
            Ok(text) => AttributeValue::bytes(text.into_bytes(), ""),
            Err(error) => AttributeValue::bytes(error.into_bytes(), ""),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing::{account, sid};

    #[test]
    fn what_was_held_is_the_same_whatever_the_order_of_the_answer() {
        let names = ["servicePrincipalName", "objectSid", "memberOf"];
        let spns = |first: &str, second: &str| {
            let values = vec![first.as_bytes().to_vec(), second.as_bytes().to_vec()];
            held(&account(&[("servicePrincipalName", values)]), &names).expect("held")
        };
        assert_eq!(spns("http/a", "http/b"), spns("http/b", "http/a"));
        let held = spns("http/a", "http/b");
        assert_eq!(held.iter().map(|change| change.attribute.as_str()).collect::<Vec<_>>(), names[..2]);
        assert_eq!(held[1].removed()[0].to_string(), sid(1300).to_string());
        assert!(held.iter().all(|change| change.added().is_empty()));
    }
}
