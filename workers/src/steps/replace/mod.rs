//! What `replace` is made of: a gMSA is rebuilt with a new SID, and so with other passwords.
//!
//! Nothing can make the password of a gMSA roll before its time, its interval is fixed when it is
//! made, and one that was deleted cannot be brought back whole; so the account is made anew.

mod carry;
mod cool_down;
mod create;
mod delete;
mod disable;
mod find;
pub mod hosts;
mod losses;
mod memberships;
mod move_names;
mod park;
mod preflight;
mod survey;
#[cfg(test)]
mod testing;
mod verify;

pub use cool_down::CoolDown;
pub use create::{CREATE, CreateAccount, NewOutput};
pub use delete::DeleteOld;
pub use disable::DisableOld;
pub use memberships::CarryMemberships;
pub use move_names::MoveNames;
pub use park::ParkOld;
pub use preflight::PreflightReplace;
pub use survey::{AFRESH, BEFORE_APPROVAL, SurveyAccount};
pub use verify::{EverywhereOutput, VERIFY, VerifyReplacement};

use domain::{AttributeChange, Dn, Sid};
use serde::{Deserialize, Serialize};

use super::preflight::HostTarget;
use crate::{StepContext, StepError, StepPlan};

/// Output of a survey: what the old account is, and what the new one is to be. `null` where the
/// account has been replaced already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Survey {
    pub domain: Dn,
    pub old: OldAccount,
    pub new: NewAccount,
    /// `null` side by side, where the old account keeps its name.
    pub parking: Option<Parking>,
    /// What the new account is made with.
    pub carried: Vec<AttributeChange>,
    /// SPNs and dNSHostName: by these it is reached, and only one of the two can be.
    pub names: Vec<AttributeChange>,
    /// Groups that it becomes a member of.
    pub groups: Vec<Dn>,
    /// Hosts that may read its password.
    pub hosts: Vec<HostTarget>,
    /// For people: what the new account will not have, and what they have to do about it.
    pub not_carried_over: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OldAccount {
    pub dn: Dn,
    pub sid: Sid,
    pub guid: String,
    /// With its `$`.
    pub sam_account_name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewAccount {
    pub dn: Dn,
    /// With its `$`.
    pub sam_account_name: String,
    pub managed_password_interval_in_days: i64,
}

/// What the old account is called once the new one has its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Parking {
    pub dn: Dn,
    /// With its `$`.
    pub sam_account_name: String,
}

impl Survey {
    /// The old account's DN behind the switch.
    fn old_dn_then(&self) -> &Dn {
        self.parking.as_ref().map_or(&self.old.dn, |parking| &parking.dn)
    }

    /// What the new account is made with by one Add.
    fn addition(&self) -> Vec<AttributeChange> {
        let names = self.names.iter().filter(|_| self.parking.is_some());
        self.carried.iter().chain(names).cloned().collect()
    }
}

/// What was surveyed last before the switch; `None`: replaced already.
pub fn surveyed(cx: &StepContext) -> Result<Option<Survey>, StepError> {
    cx.output(AFRESH)
}

/// The plan of a step that a farm whose account has been replaced already does not need.
fn replaced_already() -> StepPlan {
    StepPlan::skip("the account has been replaced already")
}
