//! Drift: what the directory holds of a farm is compared with what was asked for and what is on record,
//! attribute by attribute and reader by reader.
//!
//! Reading (`observe`, `groups`) and comparing (`compare`, `readers`) are apart: comparing is pure.
//! `changes` tells which farms have to be read at all.

mod changes;
mod compare;
#[cfg(test)]
mod compare_tests;
mod groups;
mod mend;
mod observe;
mod readers;
mod sweep;

pub use mend::{ASK, AskForMending};
pub use sweep::{COMPARE, CompareFarms};
