//! One file per workflow kind.

pub mod add_host;
pub mod compromise_removal;
pub mod decommission;
pub mod deploy;
pub mod import;
pub mod inspect;
pub mod nudge;
pub mod remove_host;
pub mod replace;
pub mod rotation_check;
pub mod update;
