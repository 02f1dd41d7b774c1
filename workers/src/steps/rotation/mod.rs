//! `rotation-check` and `nudge`: how the password of every gMSA stands, and a host that is asked to
//! fetch one that is due.
//!
//! [`observe`] decodes what DCs answer, [`readers`] and [`on_record`] look up in batches what that
//! means, [`judge`] and [`findings`] are pure, [`sweep`] goes through the directory page by page.

mod ask_a_host;
mod confirm;
mod dcs;
mod find_due;
mod findings;
mod judge;
mod nudge_due;
mod observe;
mod on_record;
mod readers;
mod root_keys;
mod sweep;

pub use ask_a_host::AskAHost;
pub use confirm::{ConfirmRoll, Confirmed, NAME as CONFIRM};
pub use find_due::{DueFarm, FindDue, NAME as FIND_DUE};
pub use nudge_due::{NAME as NUDGE_DUE, NudgeDue};
pub use readers::broad;
pub use sweep::{NAME as SWEEP, Sweep, Swept};

use directory::ManagedPasswordId;
use domain::ErrorCode;
use domain::containment::KeyId;

use crate::StepError;

/// What we wrote ourselves cannot be read again.
fn unreadable(what: &str, error: &serde_json::Error) -> StepError {
    StepError::fail(
        ErrorCode::StepFault,
        format!("{what} cannot be read: {error}"),
        "this is a defect of Farmhand: report it with the workflow's id",
    )
}

/// As it is shown and kept.
fn key_id(id: &ManagedPasswordId) -> KeyId {
    KeyId { l0: id.slot.l0(), l1: id.slot.l1(), l2: id.slot.l2(), root_key: id.root_key }
}
