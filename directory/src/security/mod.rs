//! Self-relative security descriptors (MS-DTYP 2.4.6), as far as a directory keeps them in
//! attributes: who may read a gMSA's password stands in one ([`ReaderDescriptor`]).
//!
//! The parser is total: it follows offsets, never an order, and no bytes make it panic. What it
//! does not understand (audit entries, types of later versions, conditions) is kept byte for
//! byte, so that a descriptor which another tool wrote survives a change of ours.

mod access;
mod ace;
mod acl;
mod denials;
mod descriptor;
mod readers;

pub use access::{Access, access_check};
pub use ace::{
    AccessAce, Ace, AceBody, Effect, FULL_CONTROL, INHERIT_ONLY, INHERITED, ObjectTypes, READ_PROPERTY,
};
pub use acl::Acl;
pub use descriptor::{Dacl, DescriptorError, SecurityDescriptor};
pub use readers::{ReaderDescriptor, ReaderEntry};
