//! One file per workflow kind.

pub mod add_host;
pub mod await_roll;
pub mod compromise_removal;
pub mod decommission;
pub mod deploy;
pub mod drift_check;
pub mod import;
pub mod inspect;
pub mod kds_root_key_recovery;
pub mod nudge;
pub mod quarantine_check;
pub mod quarantine_release;
pub mod remove_host;
pub mod replace;
pub mod rotation_check;
pub mod update;
