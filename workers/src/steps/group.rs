//! Which groups can hold a farm's hosts, and what a new one looks like.

use directory::preflight::{GroupScope, Principal, PrincipalKind};
use domain::{AttributeChange, Change, Dn, FarmName, FarmSpec, PrincipalRef};

/// groupType of a global security group (MS-ADTS 2.2.12), signed as the attribute holds it.
pub const GLOBAL_SECURITY: &str = "-2147483646";

/// Only a group that is called by a plain name can be made: of a DN or SID somebody else decided.
pub fn may_be_made(spec: &FarmSpec) -> bool {
    spec.membership.create_group && matches!(spec.membership.group, Some(PrincipalRef::Name(_)))
}

/// Why a group cannot hold hosts of its own domain; `None` where it can.
///
/// Global, universal and domain-local security groups all can. A distribution group never enters
/// a token, so its members could not read the password.
pub fn unsuitable(principal: &Principal) -> Option<String> {
    let reason = match principal.kind {
        PrincipalKind::Group { security: true, scope } => match scope {
            GroupScope::Global | GroupScope::DomainLocal | GroupScope::Universal => return None,
            GroupScope::Other => "it is one of the system's own groups, or of a scope that is not known",
        },
        PrincipalKind::Group { security: false, .. } => {
            "it is a distribution group, which is in nobody's token: its members could not read the password"
        }
        PrincipalKind::Computer
        | PrincipalKind::Gmsa
        | PrincipalKind::Smsa
        | PrincipalKind::User
        | PrincipalKind::Other => "it is no group",
    };
    Some(reason.to_owned())
}

/// The Add of a farm's group.
pub fn addition(dn: &Dn, name: &str, farm: &FarmName) -> Change {
    Change::add(
        dn.clone(),
        vec![
            AttributeChange::new("objectClass", ["group"]),
            AttributeChange::new("sAMAccountName", [name]),
            AttributeChange::new("groupType", [GLOBAL_SECURITY]),
            AttributeChange::new("description", [format!("Member hosts of farm {farm} (made by Farmhand)")]),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing::{self, dn};

    #[test]
    fn security_groups_of_every_scope_hold_hosts_and_nothing_else_does() {
        let group = |security, scope| PrincipalKind::Group { security, scope };
        for (kind, suits) in [
            (group(true, GroupScope::Global), true),
            (group(true, GroupScope::DomainLocal), true),
            (group(true, GroupScope::Universal), true),
            (group(true, GroupScope::Other), false),
            (group(false, GroupScope::Global), false),
            (PrincipalKind::User, false),
            (PrincipalKind::Computer, false),
        ] {
            let principal = Principal { kind, ..testing::group() };
            assert_eq!(unsuitable(&principal).is_none(), suits, "{kind:?}");
        }
    }

    #[test]
    fn a_new_group_is_a_global_security_group_that_says_whose_it_is() {
        let farm = FarmName::parse("ITFarm1").expect("valid");
        let change = addition(&dn("CN=ITFarmHosts,CN=Users,DC=contoso,DC=com"), "ITFarmHosts", &farm);
        let value = |name: &str| change.attribute(name).map(|a| a.added()[0].to_string());
        assert_eq!(value("groupType").as_deref(), Some("-2147483646"));
        assert_eq!(value("sAMAccountName").as_deref(), Some("ITFarmHosts"));
        assert!(value("description").is_some_and(|text| text.contains("ITFarm1")));
    }
}
