//! The quarantine: what steps do about hosts that no workflow lets in, the watch over those hosts, and
//! its end.
//!
//! A release takes back what a containment wrote to keep the host out for sure: the deny entries that
//! are on record as ours, and the disabled computer account. The host's places in groups and reader
//! lists are not given back: who wants it in a farm adds it. A check looks at every DC whether a host
//! under quarantine can read anything, whatever has let it in.

mod await_tickets;
mod check;
mod contain_anew;
mod enable_computer;
mod find;
mod lift_denials;
mod lists;
mod obey;
mod verify_released;
mod watch;

pub use await_tickets::AwaitTickets;
pub use check::{CheckQuarantine, CheckedOutput, NAME as CHECK};
pub use contain_anew::{ContainAnew, ContainedOutput, NAME as CONTAIN_ANEW};
pub use enable_computer::{ComputerEnabled, EnableComputer, NAME as ENABLE_COMPUTER};
pub use find::{FindQuarantine, Found, NAME as FIND};
pub use lift_denials::{LiftDenials, LiftedOutput, NAME as LIFT};
pub use obey::{contained, judge, newly_denied, note_written};
pub use verify_released::{NAME as VERIFY, ReleasedOutput, VerifyReleased};
pub use watch::HostChecked;
