//! The group managed service account: what it should be, and how one that stands is compared.

mod change;
mod compare;
pub mod diff;
pub mod fields;
mod readers;
mod wanted;

pub use change::{READERS, change_readers, readers_of};
pub use compare::{Difference, cipher_names, differences, differences_text, violations, without};
pub use readers::{Reader, Readers};
pub use wanted::Wanted;

/// What to do about an account that stands and differs.
pub const DIFFERS_HINT: &str = "correct the manifest, or change the account with `farmhand update` (of a farm on record; \
                                `farmhand farm import` takes one that others made on record): a deploy never changes \
                                an account that stands";

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
    "wWWHomePage",
    "accountExpires",
    "servicePrincipalName",
    "msDS-AllowedToDelegateTo",
    "msDS-AllowedToActOnBehalfOfOtherIdentity",
    "msDS-SupportedEncryptionTypes",
    "msDS-ManagedPasswordInterval",
    "msDS-GroupMSAMembership",
    "msDS-ManagedPasswordId",
    "uSNChanged",
];
