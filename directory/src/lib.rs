//! What Farmhand knows of Active Directory.
//!
//! [`port`] says what the rest needs of a directory; [`ldap`] does it with ldap3 against real
//! DCs; [`embedded`] is a small directory inside the process, reached through the same ldap3
//! client over a loopback port; [`security`], [`password_id`] and [`decision`] are the knowledge
//! that both sides need; [`preflight`] asks what must be known before anything is changed. One conformance suite (`tests/contract`) runs against the embedded
//! directory and a real DC and expects the same answers.

pub mod decision;
pub mod embedded;
pub mod entry;
pub mod error;
pub mod ldap;
pub mod password_id;
pub mod port;
pub mod preflight;
pub mod read_only;
pub mod security;

pub use decision::{Decision, decide};
pub use entry::Entry;
pub use error::{DirectoryError, DirectoryErrorKind, Refusal, ResultCode};
pub use ldap::{LdapDirectory, LdapOptions};
pub use password_id::ManagedPasswordId;
pub use port::{
    Attribute, Base, Directories, Directory, DirectoryRead, DirectoryWrite, DomainController, Modification,
    Scope, Search,
};
pub use read_only::ReadOnly;
pub use security::ReaderDescriptor;
