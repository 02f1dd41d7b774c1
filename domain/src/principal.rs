//! Who asks, and what they may.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a caller may do. A person or program may hold several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sees everything, changes nothing.
    Viewer,
    /// Deploys, updates, adds and removes hosts.
    Operator,
    /// Cuts off compromised hosts; manages the quarantine.
    Responder,
    /// Approves what others asked for.
    Approver,
    /// All of the above, and tokens.
    Admin,
}

impl Role {
    pub const ALL: [Self; 5] = [Self::Viewer, Self::Operator, Self::Responder, Self::Approver, Self::Admin];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Responder => "responder",
            Self::Approver => "approver",
            Self::Admin => "admin",
        }
    }

    /// Whether a holder of `self` may do what `wanted` is needed for. Every role may look.
    pub fn grants(self, wanted: Role) -> bool {
        self == wanted || self == Self::Admin || wanted == Self::Viewer
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no role: use viewer, operator, responder, approver or admin")]
pub struct UnknownRole(String);

impl FromStr for Role {
    type Err = UnknownRole;
    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        let found = Self::ALL.into_iter().find(|role| role.as_str().eq_ignore_ascii_case(text));
        found.ok_or_else(|| UnknownRole(text.to_owned()))
    }
}

/// An authenticated caller: the name that is recorded with everything they ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    pub name: String,
    pub roles: BTreeSet<Role>,
}

impl Principal {
    pub fn may(&self, wanted: Role) -> bool {
        self.roles.iter().any(|role| role.grants(wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_admin_may_do_what_another_role_is_for() {
        for (held, wanted) in Role::ALL.iter().flat_map(|h| Role::ALL.map(|w| (*h, w))) {
            let expected = held == wanted || held == Role::Admin || wanted == Role::Viewer;
            assert_eq!(held.grants(wanted), expected, "{held} for {wanted}");
        }
    }
}
