//! Our own rights, as the DC computes them, and the delegation that gives a missing one.

use directory::preflight::Rights;
use domain::{Dn, ErrorCode};

use super::report::Report;

/// The place of a new object.
pub enum Container {
    /// As it was asked for.
    Missing(String),
    Found {
        dn: Dn,
        rights: Rights,
    },
}

impl Container {
    pub fn dn(&self) -> Option<&Dn> {
        match self {
            Self::Found { dn, .. } => Some(dn),
            Self::Missing(_) => None,
        }
    }
}

pub fn missing(report: &mut Report, field: &str, what: &str, delegation: String) {
    let message = format!("Farmhand's account has no right to {what}");
    report.fail(ErrorCode::RightsMissing, field, message, delegation);
}

/// dsacls and SDDL for creating gMSAs; the latter names the class by its schemaIDGUID.
pub fn create_account(container: &Dn) -> String {
    format!(
        "grant it with `dsacls \"{container}\" /I:T /G \"<Farmhand's group>:CCDC;msDS-GroupManagedServiceAccount\"` \
         (SDDL: (OA;CI;CCDC;7b8b558a-93a5-4af7-adca-c017e67f1057;;<SID>))"
    )
}

pub fn create_group(container: &Dn) -> String {
    format!(
        "grant it with `dsacls \"{container}\" /I:T /G \"<Farmhand's group>:CCDC;group\"` (SDDL: \
         (OA;CI;CCDC;bf967a9c-0de6-11d0-a285-00aa003049e2;;<SID>)), or have the group made by somebody else"
    )
}

pub fn write_attribute(account: &Dn, attribute: &str) -> String {
    format!(
        "grant it with `dsacls \"{account}\" /G \"<Farmhand's group>:RPWP;{attribute}\"`, or for all accounts of the \
         container with `/I:S` and `;msDS-GroupManagedServiceAccount` behind it"
    )
}

pub fn write_members(group: &Dn) -> String {
    format!(
        "grant it with `dsacls \"{group}\" /G \"<Farmhand's group>:RPWP;member\"` (SDDL: \
         (OA;;RPWP;bf9679c0-0de6-11d0-a285-00aa003049e2;;<SID>))"
    )
}

/// Whoever may write the list can let himself read the password: the right is worth the credential.
pub fn write_readers(account: &Dn) -> String {
    format!(
        "grant it with `dsacls \"{account}\" /G \"<Farmhand's group>:RPWP;msDS-GroupMSAMembership\"` (SDDL: \
         (OA;;RPWP;888eedd6-ce04-df40-b462-b8a50e41ba38;;<SID>))"
    )
}
