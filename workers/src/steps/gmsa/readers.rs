//! Who is to read the password: the group, or each host.

use directory::security::ReaderDescriptor;
use domain::{AttributeValue, ErrorCode, Sid};
use serde::{Deserialize, Serialize};

use crate::StepError;

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
    /// The value of msDS-GroupMSAMembership.
    pub fn value(&self) -> Result<AttributeValue, StepError> {
        match self {
            Self::Pending { .. } => Ok(AttributeValue::Pending { pending: self.describe() }),
            Self::Known(_) => Ok(AttributeValue::bytes(self.bytes()?, self.describe())),
        }
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

    fn bytes(&self) -> Result<Vec<u8>, StepError> {
        let bytes = self.descriptor().map(|descriptor| descriptor.to_bytes()).transpose();
        bytes.map(Option::unwrap_or_default).map_err(|error| {
            StepError::fail(
                ErrorCode::InvalidManifest,
                format!("the hosts do not fit into the account's reader list: {error}"),
                "set spec.membership.mode to group: a group holds any number of hosts",
            )
        })
    }

    pub fn describe(&self) -> String {
        match self {
            Self::Known(_) => self.descriptor().map_or_else(String::new, |sd| self.name_all(&sd)),
            Self::Pending { group } => format!("allow {group}, whose SID is known once the group is made"),
        }
    }

    /// Another descriptor in words, with the names that are known here.
    pub fn name_all(&self, descriptor: &ReaderDescriptor) -> String {
        descriptor.describe(|sid| match self {
            Self::Known(readers) => readers.iter().find(|r| r.sid == *sid).map(|r| r.name.clone()),
            Self::Pending { .. } => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing::{self, reader};

    #[test]
    fn a_known_reader_becomes_bytes_with_their_meaning() {
        let value = Readers::Known(vec![reader("ITFarmHosts", 1200)]).value().expect("fits");
        let bytes = value.wire().expect("bytes");
        let again = ReaderDescriptor::from_bytes(bytes).expect("a descriptor");
        assert_eq!(again.readers(), [testing::sid(1200)]);
        assert!(value.to_string().contains("ITFarmHosts"), "{value}");
    }

    #[test]
    fn a_group_that_is_yet_to_be_made_is_pending_and_cannot_be_sent() {
        let value = Readers::Pending { group: "ITFarmHosts".into() }.value().expect("a value");
        assert_eq!(value.wire(), None);
        assert!(value.to_string().contains("ITFarmHosts"), "{value}");
    }

    #[test]
    fn more_readers_than_a_descriptor_holds_are_refused_with_the_way_out() {
        let readers = (0..2_000).map(|rid| reader("h", rid)).collect();
        let error = Readers::Known(readers).value().expect_err("too many");
        assert_eq!(error.problem().code, ErrorCode::InvalidManifest);
        assert!(error.problem().hint.contains("group"));
    }
}
