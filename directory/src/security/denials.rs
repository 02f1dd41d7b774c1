//! Keeping one host from reading, whatever else lets it in: a deny entry for its own SID that stands
//! where nothing can allow before it.

use domain::Sid;

use super::ace::{Ace, Effect, READ_PROPERTY};
use super::descriptor::Dacl;
use super::readers::{ReaderDescriptor, may_allow};

impl ReaderDescriptor {
    /// Keeps `sid` from reading: `(D;;RP;;;SID)` at the head, where nothing can allow before it.
    /// Nothing re-sorts what is written, and a DC walks the order given, so a deny entry further
    /// down may mean nothing; one among the leading deny entries is enough and stays where it is.
    pub fn deny(&mut self, sid: &Sid) -> bool {
        if self.denies_first(sid) {
            return false;
        }
        let aces = self.list();
        if !leads(aces, sid) {
            aces.insert(0, Ace::deny(READ_PROPERTY, sid.clone()));
        }
        true
    }

    /// Whether a deny entry for `sid` decides before anything could let it in, on no condition: then
    /// no group and no ticket helps it.
    pub fn denies_first(&self, sid: &Sid) -> bool {
        match self.0.dacl() {
            Dacl::List(acl) => leads(&acl.aces, sid),
            // What a DC makes of a list that its control word denies is not for us to count on.
            Dacl::Absent | Dacl::Null | Dacl::Unannounced(_) => false,
        }
    }

    /// Takes away every entry that keeps `sid` itself from reading, whoever wrote it.
    pub fn lift_denial(&mut self, sid: &Sid) -> bool {
        self.drop_entries(Effect::Deny, sid)
    }

    /// Takes back what [`Self::deny`] did and nothing else: one entry of exactly the form that we
    /// write. Entries that others wrote in another form, or once more, stay.
    pub fn lift_denial_written_by_us(&mut self, sid: &Sid) -> bool {
        let ours = Ace::deny(READ_PROPERTY, sid.clone());
        let Some(acl) = &mut self.0.dacl else { return false };
        let Some(at) = acl.aces.iter().position(|ace| *ace == ours) else { return false };
        acl.aces.remove(at);
        true
    }

    /// The SIDs that are denied before anything could let them in.
    pub fn denied_first(&self) -> Vec<Sid> {
        self.denied().into_iter().filter(|sid| self.denies_first(sid)).collect()
    }
}

fn leads(aces: &[Ace], sid: &Sid) -> bool {
    let leading = aces.iter().take_while(|ace| !may_allow(ace));
    leading.into_iter().any(|ace| ace.decides(Effect::Deny, READ_PROPERTY, sid))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::security::{
        AccessAce, AceBody, Acl, FULL_CONTROL, INHERIT_ONLY, INHERITED, ObjectTypes, SecurityDescriptor,
    };

    fn sid(rid: u32) -> Sid {
        Sid::new(5, vec![21, 1, 2, 3, rid]).expect("valid")
    }

    fn of(aces: Vec<Ace>) -> ReaderDescriptor {
        let mut descriptor = ReaderDescriptor::allowing([]);
        *descriptor.list() = aces;
        descriptor
    }

    fn access(effect: Effect, mask: u32, rid: u32, object: bool, callback: bool, flags: u8) -> Ace {
        let object = object.then(ObjectTypes::default);
        let tail = if callback { vec![1, 2, 3, 4] } else { Vec::new() };
        let access = AccessAce { effect, mask, object, sid: sid(rid), callback, tail };
        Ace { flags, body: AceBody::Access(access) }
    }

    fn deny(rid: u32) -> Ace {
        Ace::deny(READ_PROPERTY, sid(rid))
    }
    fn allow(rid: u32) -> Ace {
        Ace::allow(FULL_CONTROL, sid(rid))
    }
    fn conditional(effect: Effect, rid: u32) -> Ace {
        access(effect, READ_PROPERTY, rid, false, true, 0)
    }

    #[test]
    fn what_counts_as_denied_first() {
        let full = || access(Effect::Deny, FULL_CONTROL, 1, false, false, 0);
        let other_right = || access(Effect::Deny, 0x20, 1, false, false, 0);
        let object = || access(Effect::Deny, READ_PROPERTY, 1, true, false, 0);
        let for_children = || access(Effect::Deny, READ_PROPERTY, 1, false, false, INHERIT_ONLY);
        let inherited = || access(Effect::Deny, READ_PROPERTY, 1, false, false, INHERITED);
        let allows_nothing = || access(Effect::Allow, 0x20, 1, false, false, 0);
        for (aces, expected, why) in [
            (vec![], false, "nothing there"),
            (vec![deny(1)], true, "alone"),
            (vec![deny(2), deny(1), allow(500)], true, "behind another denial"),
            (vec![full(), allow(500)], true, "a wider denial is one too"),
            (vec![inherited(), allow(500)], true, "wherever it comes from"),
            (vec![conditional(Effect::Deny, 1), deny(1)], true, "behind a denial on a condition"),
            (vec![allows_nothing(), deny(1)], true, "behind an entry without a say"),
            (vec![allow(500), deny(1)], false, "too late"),
            (vec![conditional(Effect::Allow, 500), deny(1)], false, "too late, perhaps"),
            (vec![conditional(Effect::Deny, 1), allow(500)], false, "only on a condition"),
            (vec![deny(2), allow(500)], false, "somebody else"),
            (vec![other_right(), allow(500)], false, "another right"),
            (vec![object(), allow(500)], false, "a part of the object"),
            (vec![for_children(), allow(500)], false, "children only"),
        ] {
            assert_eq!(of(aces).denies_first(&sid(1)), expected, "{why}");
        }
    }

    #[test]
    fn where_no_list_is_announced_nothing_is_denied_first_until_it_is_written() {
        for dacl in [None, Some(Acl::new(vec![deny(1)]))] {
            let list =
                SecurityDescriptor { dacl, control: SecurityDescriptor::SELF_RELATIVE, ..of(vec![]).0 };
            let mut descriptor = ReaderDescriptor(list);
            assert!(!descriptor.denies_first(&sid(1)));
            assert!(descriptor.deny(&sid(1)));
            assert!(descriptor.denies_first(&sid(1)));
            assert_eq!(descriptor.0.dacl.as_ref().map(|acl| acl.aces.len()), Some(1));
        }
    }

    #[test]
    fn only_an_entry_of_our_own_form_is_taken_back_and_only_one() {
        let wide = || access(Effect::Deny, FULL_CONTROL, 1, false, false, 0);
        let inherited = || access(Effect::Deny, READ_PROPERTY, 1, false, false, INHERITED);
        for (before, after) in [
            (vec![deny(1), allow(500)], Some(vec![allow(500)])),
            (vec![deny(2), deny(1), allow(1)], Some(vec![deny(2), allow(1)])),
            (vec![deny(1), deny(1), allow(500)], Some(vec![deny(1), allow(500)])),
            (vec![wide(), deny(1)], Some(vec![wide()])),
            // Somebody moved it behind an allow entry: still ours, and still to go.
            (vec![allow(500), deny(1)], Some(vec![allow(500)])),
            (vec![wide(), allow(500)], None),
            (vec![inherited(), allow(500)], None),
            (vec![conditional(Effect::Deny, 1), allow(500)], None),
            (vec![deny(2), allow(1)], None),
            (vec![], None),
        ] {
            let mut descriptor = of(before.clone());
            assert_eq!(descriptor.lift_denial_written_by_us(&sid(1)), after.is_some(), "{before:?}");
            assert_eq!(descriptor, of(after.unwrap_or_else(|| before.clone())), "{before:?}");
        }
    }

    fn any_ace() -> impl Strategy<Value = Ace> {
        let mask = prop_oneof![Just(READ_PROPERTY), Just(FULL_CONTROL), Just(0x20)];
        let flags = prop_oneof![Just(0), Just(INHERITED), Just(INHERIT_ONLY)];
        let kinds = (any::<bool>(), any::<bool>(), any::<bool>());
        (kinds, mask, 1..5_u32, flags).prop_map(|((allows, object, callback), mask, rid, flags)| {
            let effect = if allows { Effect::Allow } else { Effect::Deny };
            access(effect, mask, rid, object, callback, flags)
        })
    }

    proptest! {
        #[test]
        fn a_denial_always_decides_and_lifting_it_leaves_what_was(aces in prop::collection::vec(any_ace(), 0..8)) {
            let before = of(aces);
            let mut descriptor = before.clone();
            let written = descriptor.deny(&sid(1));
            prop_assert!(descriptor.denies_first(&sid(1)) && !descriptor.deny(&sid(1)));
            for token in [vec![sid(1)], vec![sid(2), sid(1), sid(3), sid(4)]] {
                prop_assert_eq!(descriptor.may_read(&token), crate::security::Access::Denied);
            }
            // Others are where they were.
            let others = [sid(2), sid(3), sid(4)];
            prop_assert_eq!(descriptor.may_read(&others), before.may_read(&others));
            if written {
                prop_assert!(descriptor.lift_denial_written_by_us(&sid(1)));
            }
            prop_assert_eq!(descriptor, before);
        }
    }
}
