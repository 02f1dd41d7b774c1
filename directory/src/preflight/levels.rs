//! Whether domain and forest are new enough for gMSAs.

use super::contexts;
use crate::entry::RootDse;
use crate::error::DirectoryError;
use crate::ldap::filter_value;
use crate::port::{DirectoryRead, Scope, Search};

/// Functional levels (MS-ADTS 6.1.4.2, 6.1.4.4): 5 is Windows Server 2012.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FunctionalLevels {
    pub domain: Option<i64>,
    pub forest: Option<i64>,
    /// Samba provisions at level 4 and makes gMSAs all the same.
    pub is_samba: bool,
}

impl FunctionalLevels {
    pub const WINDOWS_2012: i64 = 5;

    /// Whether both are known and at least Windows Server 2012, which gMSAs need.
    pub fn suffice(self) -> bool {
        let enough = |level: Option<i64>| level.is_some_and(|level| level >= Self::WINDOWS_2012);
        enough(self.domain) && enough(self.forest)
    }

    pub fn of(root: &RootDse) -> Self {
        let is_samba = root.vendor_name.as_deref().is_some_and(|name| name.starts_with("Samba"));
        Self { domain: root.domain_functionality, forest: root.forest_functionality, is_samba }
    }
}

pub async fn functional_levels(dc: &dyn DirectoryRead) -> Result<FunctionalLevels, DirectoryError> {
    Ok(FunctionalLevels::of(&dc.root_dse().await?))
}

/// Whether the schema knows gMSAs: the decisive test, whatever the levels say.
pub async fn schema_has_gmsa_class(dc: &dyn DirectoryRead) -> Result<bool, DirectoryError> {
    let schema = contexts(dc).await?.schema_naming_context.clone();
    let name = filter_value("msDS-GroupManagedServiceAccount");
    let filter = format!("(&(objectClass=classSchema)(lDAPDisplayName={name}))");
    let found = dc.search(&Search::new(&schema, Scope::One, filter, &["lDAPDisplayName"])).await?;
    Ok(!found.is_empty())
}
