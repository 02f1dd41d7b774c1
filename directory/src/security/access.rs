//! The access check of the password's readers, predicted for a token.

use domain::Sid;

use super::ace::{Effect, READ_PROPERTY};
use super::acl::Acl;
use super::descriptor::{Dacl, SecurityDescriptor};

/// What a DC would decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    Granted,
    Denied,
    /// It turns on something that cannot be seen from here.
    Depends(String),
}

/// Whether a holder of `token` (own SID and every group's) gets RIGHT_DS_READ_PROPERTY by this
/// descriptor alone, the way a DC decides who may read msDS-ManagedPassword (MS-ADTS 3.1.1.4.4;
/// a Samba DC was asked about each case). Generic rights are never mapped, object entries
/// have no say, the owner has no right of his own, the list is walked in the order in which it
/// stands, and SYSTEM passes. To judge the gMSA itself, put `S-1-5-10` (SELF) into its token.
///
/// A descriptor without a DACL denies here, as on Samba; Windows' rule for other objects would
/// grant, so such a descriptor is worth a finding of its own.
pub fn access_check(descriptor: &SecurityDescriptor, token: &[Sid]) -> Access {
    if token.iter().any(is_system) {
        return Access::Granted;
    }
    match descriptor.dacl() {
        Dacl::Absent => Access::Denied,
        Dacl::Null => Access::Granted,
        Dacl::List(acl) => walk(acl, token),
        Dacl::Unannounced(_) => {
            Access::Depends("the descriptor holds a list but its control word says that there is none".into())
        }
    }
}

/// One bit is asked for, so the first entry that certainly applies decides, unless an entry
/// before it that may or may not apply would have decided otherwise.
fn walk(acl: &Acl, token: &[Sid]) -> Access {
    let (mut maybe_allowed, mut maybe_denied) = (None, None);
    for ace in &acl.aces {
        let Some(access) = ace.deciding(READ_PROPERTY) else { continue };
        let held = token.contains(&access.sid);
        if held && !access.callback {
            let doubt = match access.effect {
                Effect::Allow => maybe_denied,
                Effect::Deny => maybe_allowed,
            };
            return match (doubt, access.effect) {
                (Some(why), _) => Access::Depends(why),
                (None, Effect::Allow) => Access::Granted,
                (None, Effect::Deny) => Access::Denied,
            };
        }
        let doubt = match (held, logon_dependent(&access.sid)) {
            (true, _) => {
                Some(format!("a conditional entry for {} cannot be evaluated from here", access.sid))
            }
            (false, Some(what)) => {
                Some(format!("an entry names {} ({what}), which depends on how the host logs on", access.sid))
            }
            (false, None) => None,
        };
        let slot = match access.effect {
            Effect::Allow => &mut maybe_allowed,
            Effect::Deny => &mut maybe_denied,
        };
        *slot = slot.take().or(doubt);
    }
    maybe_allowed.map_or(Access::Denied, Access::Depends)
}

fn is_system(sid: &Sid) -> bool {
    sid.to_string() == "S-1-5-18"
}

/// SIDs that a logon puts into a token by its kind, not by membership, so that reading the
/// directory cannot tell.
fn logon_dependent(sid: &Sid) -> Option<&'static str> {
    let text = sid.to_string();
    let fixed = [
        ("S-1-2-0", "Local"),
        ("S-1-2-1", "Console Logon"),
        ("S-1-5-1", "Dialup"),
        ("S-1-5-2", "Network"),
        ("S-1-5-3", "Batch"),
        ("S-1-5-4", "Interactive"),
        ("S-1-5-6", "Service"),
        ("S-1-5-9", "Enterprise Domain Controllers"),
        ("S-1-5-13", "Terminal Server User"),
        ("S-1-5-14", "Remote Interactive Logon"),
        ("S-1-5-15", "This Organization"),
        ("S-1-5-1000", "Other Organization"),
        ("S-1-18-1", "Authentication Authority Asserted Identity"),
        ("S-1-18-2", "Service Asserted Identity"),
    ];
    let families = [
        ("S-1-5-64-", "an authentication package"),
        ("S-1-5-65-", "certificate logon"),
        ("S-1-5-5-", "a logon session"),
        ("S-1-5-21-0-0-0-", "claims or compound identity"),
    ];
    fixed
        .iter()
        .find(|(known, _)| text == *known)
        .or_else(|| families.iter().find(|(prefix, _)| text.starts_with(prefix)))
        .map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::{AccessAce, Ace, AceBody, FULL_CONTROL, INHERIT_ONLY, INHERITED, ObjectTypes};

    fn sid(text: &str) -> Sid {
        text.parse().expect("a valid SID")
    }
    fn host() -> Sid {
        sid("S-1-5-21-1-2-3-1104")
    }
    fn everyone() -> Sid {
        sid("S-1-1-0")
    }
    fn check(aces: Vec<Ace>) -> Access {
        let descriptor = SecurityDescriptor {
            resource_manager: 0,
            control: 0x8004,
            owner: Some(host()),
            group: None,
            sacl: None,
            dacl: Some(Acl::new(aces)),
        };
        access_check(&descriptor, &[host(), everyone()])
    }
    fn with(mut ace: Ace, change: impl Fn(&mut u8, &mut AccessAce)) -> Ace {
        if let AceBody::Access(access) = &mut ace.body {
            change(&mut ace.flags, access);
        }
        ace
    }

    /// Each row was answered so by a real DC.
    #[test]
    fn the_right_that_counts_is_read_property_and_nothing_else() {
        for (mask, expected) in [
            (READ_PROPERTY, Access::Granted),
            (FULL_CONTROL, Access::Granted),
            (FULL_CONTROL & !READ_PROPERTY, Access::Denied),
            (0x8000_0000, Access::Denied),
            (0x1000_0000, Access::Denied),
            (0x100, Access::Denied),
            (0x20000, Access::Denied),
        ] {
            assert_eq!(check(vec![Ace::allow(mask, host())]), expected, "mask {mask:#x}");
        }
        assert_eq!(check(vec![]), Access::Denied, "the owner has no right of his own");
    }

    #[test]
    fn object_and_inherit_only_entries_have_no_say_and_inherited_ones_have() {
        let object = |_: &mut u8, access: &mut AccessAce| access.object = Some(ObjectTypes::default());
        let only = |flags: &mut u8, _: &mut AccessAce| *flags |= INHERIT_ONLY;
        let inherited = |flags: &mut u8, _: &mut AccessAce| *flags |= INHERITED;
        let allow = || Ace::allow(READ_PROPERTY, host());
        let deny = || Ace::deny(READ_PROPERTY, host());
        assert_eq!(check(vec![with(allow(), object)]), Access::Denied);
        assert_eq!(check(vec![with(deny(), object), allow()]), Access::Granted);
        assert_eq!(check(vec![with(allow(), only)]), Access::Denied);
        assert_eq!(check(vec![with(deny(), only), allow()]), Access::Granted);
        assert_eq!(check(vec![with(allow(), inherited)]), Access::Granted);
    }

    #[test]
    fn the_order_is_taken_literally() {
        let (allow, deny) = (Ace::allow(READ_PROPERTY, everyone()), Ace::deny(READ_PROPERTY, host()));
        assert_eq!(check(vec![allow.clone(), deny.clone()]), Access::Granted);
        assert_eq!(check(vec![deny, allow]), Access::Denied);
    }

    #[test]
    fn what_cannot_be_seen_from_here_is_said_not_guessed() {
        let network = sid("S-1-5-2");
        let conditional = |ace: Ace| with(ace, |_: &mut u8, access: &mut AccessAce| access.callback = true);
        let allow = || Ace::allow(READ_PROPERTY, host());
        for depends in [
            vec![Ace::allow(READ_PROPERTY, network.clone())],
            vec![Ace::deny(READ_PROPERTY, network.clone()), allow()],
            vec![conditional(allow())],
            vec![conditional(Ace::deny(READ_PROPERTY, host())), allow()],
            vec![conditional(allow()), Ace::deny(READ_PROPERTY, host())],
        ] {
            assert!(matches!(check(depends.clone()), Access::Depends(_)), "{depends:?}");
        }
        assert_eq!(check(vec![Ace::allow(READ_PROPERTY, network.clone()), allow()]), Access::Granted);
        assert_eq!(check(vec![Ace::deny(READ_PROPERTY, network), Ace::deny(0x10, host())]), Access::Denied);
        assert_eq!(check(vec![conditional(Ace::allow(0x10, sid("S-1-5-21-9-9-9-9")))]), Access::Denied);
    }

    #[test]
    fn no_list_and_a_null_list_are_opposites_and_system_passes() {
        let mut descriptor = SecurityDescriptor {
            resource_manager: 0,
            control: 0x8000,
            owner: None,
            group: None,
            sacl: None,
            dacl: None,
        };
        assert_eq!(access_check(&descriptor, &[host()]), Access::Denied);
        assert_eq!(access_check(&descriptor, &[sid("S-1-5-18")]), Access::Granted);
        descriptor.control = 0x8004;
        assert_eq!(access_check(&descriptor, &[host()]), Access::Granted);
        descriptor.control = 0x8000;
        descriptor.dacl = Some(Acl::new(vec![]));
        assert!(matches!(access_check(&descriptor, &[host()]), Access::Depends(_)));
    }
}
