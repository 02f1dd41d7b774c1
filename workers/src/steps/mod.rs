//! One file per step; a folder where a step is made of several subjects.
//!
//! A step's output is an interface: later steps and later runbooks read it by the step's `NAME`,
//! so each output is a documented struct beside its step.

pub mod approval;
pub mod children;
pub mod contain;
pub mod drift;
pub mod ensure_gmsa;
pub mod ensure_group;
pub mod ensure_members;
pub mod everywhere;
pub mod find_farm;
pub mod gmsa;
pub mod group;
pub mod import;
pub mod inspect;
pub mod install_on_hosts;
pub mod members;
pub mod membership;
pub mod on_hosts;
pub mod outputs;
pub mod preflight;
pub mod principals;
pub mod quarantine;
pub mod replace;
pub mod retire;
pub mod roll;
pub mod root_key;
pub mod rotation;
pub mod switch_readers;
pub mod update_account;
pub mod verify_everywhere;
pub mod verify_update;
pub mod ways;
pub mod withdraw_members;

#[cfg(test)]
pub(crate) mod testing;
