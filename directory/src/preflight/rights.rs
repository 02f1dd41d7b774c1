//! What the account that logged in may do to an object, in the DC's own words.

use std::collections::BTreeSet;

use domain::Dn;

use crate::entry::Entry;
use crate::error::DirectoryError;
use crate::port::DirectoryRead;

/// Effective rights of the session on one object (MS-ADTS 3.1.1.4.5.4 to 3.1.1.4.5.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    /// Classes of which a child may be made, in lower case.
    pub child_classes: BTreeSet<String>,
    /// Attributes that may be written, in lower case.
    pub attributes: BTreeSet<String>,
}

impl Rights {
    pub fn can_create(&self, class: &str) -> bool {
        self.child_classes.contains(&class.to_lowercase())
    }
    pub fn can_create_gmsa(&self) -> bool {
        self.can_create("msDS-GroupManagedServiceAccount")
    }
    pub fn can_create_group(&self) -> bool {
        self.can_create("group")
    }
    pub fn can_write(&self, attribute: &str) -> bool {
        self.attributes.contains(&attribute.to_lowercase())
    }
}

/// The rights on the object at `dn`; `None` where it is not there or not to be seen.
pub async fn rights_on(dc: &dyn DirectoryRead, dn: &Dn) -> Result<Option<Rights>, DirectoryError> {
    let attributes = ["allowedChildClassesEffective", "allowedAttributesEffective"];
    let entry = dc.read(&dn.into(), &attributes).await?;
    let lower =
        |entry: &Entry, name: &str| entry.texts(name).iter().map(|text| text.to_lowercase()).collect();
    Ok(entry.map(|entry| Rights {
        child_classes: lower(&entry, attributes[0]),
        attributes: lower(&entry, attributes[1]),
    }))
}
