//! What must be known before anything is changed. Every function reads and returns what it found;
//! none decides, so that a deploy, a dry run and `doctor` can judge the same findings.

use std::sync::Arc;

use crate::entry::RootDse;
use crate::error::DirectoryError;
use crate::port::DirectoryRead;

mod kds;
mod levels;
mod names;
mod principal;
mod principals;
mod rights;
mod spn;
mod token;

pub use kds::{KdsRootKey, ROOT_KEY_SETTLING, RootKey, kds_root_key, root_key_dn, root_keys};
pub use levels::{FunctionalLevels, functional_levels, schema_has_gmsa_class};
pub use names::{NameUser, account_name_users};
pub use principal::{GroupScope, Preferred, Principal, PrincipalKind, find_principal, principal_at};
pub use principals::find_principals;
pub use rights::{Rights, rights_on};
pub use spn::{SpnAliases, SpnOwner, spn_aliases, spn_owners};
pub use token::{Token, token_of};

/// The naming contexts of a DC, without asking where they are at hand.
async fn contexts(dc: &dyn DirectoryRead) -> Result<Arc<RootDse>, DirectoryError> {
    match dc.known_root_dse() {
        Some(root) => Ok(root),
        None => dc.root_dse().await.map(Arc::new),
    }
}
