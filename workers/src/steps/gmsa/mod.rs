//! The group managed service account: what it should be, and how one that stands is compared.

mod change;
mod compare;
mod readers;
mod wanted;

pub use change::{READERS, change_readers, readers_of};
pub use compare::{Difference, differences, differences_text, violations};
pub use readers::{Reader, Readers};
pub use wanted::Wanted;

/// What to do about an account that stands and differs.
pub const DIFFERS_HINT: &str = "correct the manifest, or bring the account in line first: a deploy never changes an \
                                account that it did not make";

/// Structural class of a gMSA.
pub const CLASS: &str = "msDS-GroupManagedServiceAccount";

/// What is read of an account before it is compared. Never msDS-ManagedPassword.
pub const ATTRIBUTES: &[&str] = &[
    "objectClass",
    "objectSid",
    "objectGUID",
    "sAMAccountName",
    "userAccountControl",
    "dNSHostName",
    "displayName",
    "description",
    "servicePrincipalName",
    "msDS-SupportedEncryptionTypes",
    "msDS-ManagedPasswordInterval",
    "msDS-GroupMSAMembership",
    "msDS-ManagedPasswordId",
    "uSNChanged",
];
