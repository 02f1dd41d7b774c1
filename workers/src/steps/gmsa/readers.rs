//! Who is to read the password: the group, or each host.

use directory::security::ReaderDescriptor;
use domain::{AttributeValue, ErrorCode, Sid};
use serde::{Deserialize, Serialize};

use crate::{StepError, quarantine};

/// Someone whom the reader descriptor names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reader {
    /// sAMAccountName, a host's without `$`.
    pub name: String,
    pub sid: Sid,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readers {
    Known(Vec<Reader>),
    /// In a dry run: a group that is yet to be made has no SID.
    Pending {
        group: String,
    },
}

impl Readers {
    /// The value of msDS-GroupMSAMembership that lets these read and none of `contained`, through
    /// whatever group.
    pub fn value(&self, contained: &[Reader]) -> Result<AttributeValue, StepError> {
        let Some(mut list) = self.descriptor() else {
            return Ok(AttributeValue::Pending { pending: self.describe() });
        };
        quarantine::deny_all(&mut list, contained.iter().map(|host| host.sid.clone()));
        let bytes = list.to_bytes().map_err(|error| {
            StepError::fail(
                ErrorCode::InvalidManifest,
                format!("the hosts do not fit into the account's reader list: {error}"),
                "set spec.membership.mode to group: a group holds any number of hosts",
            )
        })?;
        Ok(AttributeValue::bytes(bytes, self.name_all(&list, contained)))
    }

    /// As a descriptor; `None` while a SID is not known.
    pub fn descriptor(&self) -> Option<ReaderDescriptor> {
        match self {
            Self::Known(readers) => {
                Some(ReaderDescriptor::allowing(readers.iter().map(|reader| &reader.sid)))
            }
            Self::Pending { .. } => None,
        }
    }

    pub fn describe(&self) -> String {
        match self {
            Self::Known(_) => self.descriptor().map_or_else(String::new, |sd| self.name_all(&sd, &[])),
            Self::Pending { group } => format!("allow {group}, whose SID is known once the group is made"),
        }
    }

    /// Another descriptor in words, with the names that are known here and those of `others`.
    pub fn name_all(&self, descriptor: &ReaderDescriptor, others: &[Reader]) -> String {
        let own: &[Reader] = match self {
            Self::Known(readers) => readers,
            Self::Pending { .. } => &[],
        };
        let known = || own.iter().chain(others);
        descriptor.describe(|sid| known().find(|reader| reader.sid == *sid).map(|reader| reader.name.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing::{self, reader};

    #[test]
    fn a_known_reader_becomes_bytes_with_their_meaning() {
        let value = Readers::Known(vec![reader("ITFarmHosts", 1200)]).value(&[]).expect("fits");
        let bytes = value.wire().expect("bytes");
        let again = ReaderDescriptor::from_bytes(bytes).expect("a descriptor");
        assert_eq!(again.readers(), [testing::sid(1200)]);
        assert!(value.to_string().contains("ITFarmHosts"), "{value}");
    }

    #[test]
    fn a_group_that_is_yet_to_be_made_is_pending_and_cannot_be_sent() {
        let value = Readers::Pending { group: "ITFarmHosts".into() }.value(&[]).expect("a value");
        assert_eq!(value.wire(), None);
        assert!(value.to_string().contains("ITFarmHosts"), "{value}");
    }

    #[test]
    fn more_readers_than_a_descriptor_holds_are_refused_with_the_way_out() {
        let readers = (0..2_000).map(|rid| reader("h", rid)).collect();
        let error = Readers::Known(readers).value(&[]).expect_err("too many");
        assert_eq!(error.problem().code, ErrorCode::InvalidManifest);
        assert!(error.problem().hint.contains("group"));
    }
}
