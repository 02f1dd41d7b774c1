//! One file per workflow kind.

pub mod deploy;
pub mod replace;
