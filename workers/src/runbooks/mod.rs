//! One file per workflow kind.

pub mod deploy;
