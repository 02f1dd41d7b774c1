//! Changes of an account that stands.

use directory::Entry;
use directory::security::ReaderDescriptor;
use domain::{AttributeChange, AttributeValue, Change, ErrorCode, Sid};

use crate::StepError;

/// msDS-GroupMSAMembership.
pub const READERS: &str = "msDS-GroupMSAMembership";

/// The reader descriptor of `found`; one that cannot be read is never overwritten.
pub fn readers_of(found: &Entry) -> Result<Option<ReaderDescriptor>, StepError> {
    let bytes = found.bytes(READERS);
    bytes.map(ReaderDescriptor::from_bytes).transpose().map_err(|error| {
        StepError::fail(
            ErrorCode::DirectoryMalformed,
            format!("the reader list of {} cannot be read ({error})", found.dn),
            "no host can fetch this account's password; set PrincipalsAllowedToRetrieveManagedPassword anew with \
             Set-ADServiceAccount, then ask again",
        )
    })
}

/// One edit of the reader descriptor as a compare-and-swap of the whole value: the DC refuses it when
/// somebody has changed the list since it was read. Entries that the edit does not touch keep their
/// bytes and their order. `None`: the edit changed nothing.
pub fn change_readers(
    found: &Entry,
    names: impl Fn(&Sid) -> Option<String>,
    edit: impl FnOnce(&mut ReaderDescriptor),
) -> Result<Option<Change>, StepError> {
    let before = readers_of(found)?;
    let mut after = before.clone().unwrap_or_else(|| ReaderDescriptor::allowing([]));
    edit(&mut after);
    if before.as_ref() == Some(&after) {
        return Ok(None);
    }
    let bytes = after.to_bytes().map_err(|error| {
        StepError::fail(
            ErrorCode::InvalidRequest,
            format!("the hosts do not fit into the account's reader list: {error}"),
            "change the farm to group membership (`farmhand update` with membership.mode: group): a group holds \
             any number of hosts",
        )
    })?;
    let old = match (&before, found.bytes(READERS)) {
        (Some(descriptor), Some(bytes)) => {
            vec![AttributeValue::bytes(bytes.to_vec(), descriptor.describe(&names))]
        }
        _ => Vec::new(),
    };
    let new = vec![AttributeValue::bytes(bytes, after.describe(&names))];
    Ok(Some(Change::modify(found.dn.clone(), vec![AttributeChange::set(READERS, old, new)])))
}

#[cfg(test)]
mod tests {
    use directory::security::Access;

    use super::*;
    use crate::steps::testing::{account, sid};

    fn after(change: &Change) -> ReaderDescriptor {
        let bytes = change.attributes[0].added()[0].wire().expect("bytes").to_vec();
        ReaderDescriptor::from_bytes(&bytes).expect("a descriptor")
    }

    #[test]
    fn an_edit_swaps_exactly_the_bytes_that_were_read() {
        let found = account(&[]);
        let change = change_readers(
            &found,
            |_| None,
            |readers| {
                readers.allow(&sid(1101));
            },
        );
        let change = change.expect("fits").expect("a change");
        assert_eq!(change.attributes[0].removed()[0].wire(), found.bytes(READERS));
        assert_eq!(after(&change).may_read(&[sid(1101)]), Access::Granted);
        assert_eq!(after(&change).may_read(&[sid(1200)]), Access::Granted, "who could read still can");
    }

    #[test]
    fn an_edit_that_changes_nothing_is_no_change() {
        let change = change_readers(
            &account(&[]),
            |_| None,
            |readers| {
                readers.allow(&sid(1200));
            },
        );
        assert_eq!(change.expect("fits"), None);
    }

    #[test]
    fn a_list_that_cannot_be_read_is_not_overwritten() {
        let found = account(&[(READERS, vec![b"garbage".to_vec()])]);
        let error = change_readers(&found, |_| None, |_| {}).expect_err("refused");
        assert_eq!(error.problem().code, ErrorCode::DirectoryMalformed);
    }

    #[test]
    fn an_account_without_a_list_gets_one() {
        let found = account(&[(READERS, vec![])]);
        let change = change_readers(
            &found,
            |_| None,
            |readers| {
                readers.allow(&sid(1101));
            },
        );
        let change = change.expect("fits").expect("a change");
        assert!(change.attributes[0].removed().is_empty());
    }
}
