//! msDS-GroupMSAMembership: who may read a gMSA's password.

use std::collections::{BTreeSet, HashSet};

use domain::Sid;

use super::access::{Access, access_check};
use super::ace::{AccessAce, Ace, AceBody, Effect, FULL_CONTROL, INHERIT_ONLY, INHERITED, READ_PROPERTY};
use super::acl::Acl;
use super::descriptor::{Dacl, DescriptorError, SecurityDescriptor};

/// The value of msDS-GroupMSAMembership. Whoever may write it can let himself read the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReaderDescriptor(pub(super) SecurityDescriptor);

/// One entry of the list, as far as it is about reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReaderEntry {
    pub sid: Sid,
    pub effect: Effect,
    /// On a condition that only the DC can evaluate.
    pub conditional: bool,
}

impl ReaderDescriptor {
    /// `O:BAD:(A;;0xf01ff;;;SID)...`: byte for byte what Windows and samba-tool write.
    pub fn allowing<'a>(sids: impl IntoIterator<Item = &'a Sid>) -> Self {
        let mut new = Self(SecurityDescriptor {
            resource_manager: 0,
            control: SecurityDescriptor::SELF_RELATIVE | SecurityDescriptor::DACL_PRESENT,
            owner: Sid::new(5, vec![32, 544]),
            group: None,
            sacl: None,
            dacl: Some(Acl::new(Vec::new())),
        });
        sids.into_iter().for_each(|sid| {
            new.allow(sid);
        });
        new
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DescriptorError> {
        SecurityDescriptor::parse(bytes).map(Self)
    }

    /// Fails where the list outgrows its format: about 1,800 entries.
    pub fn to_bytes(&self) -> Result<Vec<u8>, DescriptorError> {
        self.0.to_bytes()
    }

    pub fn descriptor(&self) -> &SecurityDescriptor {
        &self.0
    }

    /// The SIDs that an unconditional allow entry lets read, in their order. A deny entry before
    /// such an entry is not taken into account: that is [`Self::may_read`].
    pub fn readers(&self) -> Vec<Sid> {
        self.named(Effect::Allow)
    }

    /// The SIDs that an unconditional deny entry keeps from reading.
    pub fn denied(&self) -> Vec<Sid> {
        self.named(Effect::Deny)
    }

    fn named(&self, effect: Effect) -> Vec<Sid> {
        let mut seen = HashSet::new();
        let deciding = self.aces().iter().filter_map(|ace| ace.deciding(READ_PROPERTY));
        deciding
            .filter(|access| access.effect == effect && !access.callback)
            .filter(|access| seen.insert(access.sid.clone()))
            .map(|access| access.sid.clone())
            .collect()
    }

    /// Every entry that has a say about reading, in its order.
    pub fn entries(&self) -> Vec<ReaderEntry> {
        let deciding = self.aces().iter().filter_map(|ace| ace.deciding(READ_PROPERTY));
        let entry = |access: &AccessAce| ReaderEntry {
            sid: access.sid.clone(),
            effect: access.effect,
            conditional: access.callback,
        };
        deciding.map(entry).collect()
    }

    fn aces(&self) -> &[Ace] {
        self.0.dacl.as_ref().map_or(&[], |acl| &acl.aces)
    }

    /// The list, made if there was none without changing what it meant: a NULL list let everyone
    /// read, and becomes an entry that says so.
    pub(super) fn list(&mut self) -> &mut Vec<Ace> {
        let everyone = Sid::new(1, vec![0]).filter(|_| self.0.dacl() == Dacl::Null);
        self.0.control |= SecurityDescriptor::DACL_PRESENT;
        let made = || Acl::new(everyone.map(|sid| Ace::allow(FULL_CONTROL, sid)).into_iter().collect());
        &mut self.0.dacl.get_or_insert_with(made).aces
    }

    /// Lets `sid` read, behind the explicit entries and before inherited ones. Says whether
    /// anything changed. An entry that denies it stays, and wins.
    pub fn allow(&mut self, sid: &Sid) -> bool {
        let aces = self.list();
        if aces.iter().any(|ace| ace.decides(Effect::Allow, READ_PROPERTY, sid)) {
            return false;
        }
        let at = aces.iter().position(|ace| ace.flags & INHERITED != 0).unwrap_or(aces.len());
        aces.insert(at, Ace::allow(FULL_CONTROL, sid.clone()));
        true
    }

    /// Takes away what lets `sid` itself read. It may still read through a group.
    pub fn remove(&mut self, sid: &Sid) -> bool {
        self.drop_entries(Effect::Allow, sid)
    }

    /// Takes away every entry that lets somebody read, conditional ones too; entries that deny and
    /// entries without a say stay. What is left is a valid descriptor. Says whether anything changed.
    pub fn allow_nobody(&mut self) -> bool {
        if self.0.dacl() == Dacl::Null {
            // No list lets everyone read, an empty one nobody.
            self.0.dacl = Some(Acl::new(Vec::new()));
            return true;
        }
        let Some(acl) = &mut self.0.dacl else { return false };
        let before = acl.aces.len();
        acl.aces.retain(|ace| !may_allow(ace));
        acl.aces.len() != before
    }

    /// Whether there is anything in it that could let anybody read: without it no token does.
    pub fn may_let_somebody_read(&self) -> bool {
        match self.0.dacl() {
            Dacl::Absent => false,
            Dacl::Null => true,
            Dacl::List(acl) | Dacl::Unannounced(acl) => acl.aces.iter().any(may_allow),
        }
    }

    pub(super) fn drop_entries(&mut self, effect: Effect, sid: &Sid) -> bool {
        let Some(acl) = &mut self.0.dacl else { return false };
        let before = acl.aces.len();
        acl.aces.retain(|ace| !ace.decides(effect, READ_PROPERTY, sid));
        acl.aces.len() != before
    }

    /// Whether a holder of `token` may read, as the DC would decide: see [`access_check`].
    pub fn may_read(&self, token: &[Sid]) -> Access {
        access_check(&self.0, token)
    }

    /// Whether both let exactly the same tokens read, as far as form shows it: the order of
    /// entries of one effect, repetitions, the mask beyond the one right, the owner and entries
    /// without a say make no difference.
    pub fn same_access(&self, other: &Self) -> bool {
        self.essence() == other.essence()
    }

    fn essence(&self) -> Essence<'_> {
        match self.0.dacl() {
            Dacl::Null => Essence::Everyone,
            Dacl::Absent => Essence::Entries(Vec::new()),
            Dacl::Unannounced(acl) => Essence::Unannounced(&acl.aces),
            Dacl::List(acl) => Essence::Entries(runs(&acl.aces)),
        }
    }

    /// For people: `deny HOST1 (S-1-...), allow ITFarmHosts (S-1-...)`.
    pub fn describe(&self, names: impl Fn(&Sid) -> Option<String>) -> String {
        match self.0.dacl() {
            Dacl::Absent => return "nobody (the descriptor has no list)".to_owned(),
            Dacl::Null => return "everyone (the list is NULL)".to_owned(),
            Dacl::List(acl) | Dacl::Unannounced(acl) if acl.aces.is_empty() => return "nobody".to_owned(),
            Dacl::List(_) | Dacl::Unannounced(_) => {}
        }
        self.aces().iter().map(|ace| describe_entry(ace, &names)).collect::<Vec<_>>().join(", ")
    }
}

/// Whether an entry could let someone read; a deny entry behind it might come too late.
pub(super) fn may_allow(ace: &Ace) -> bool {
    ace.deciding(READ_PROPERTY).is_some_and(|access| access.effect == Effect::Allow)
}

#[derive(Debug, PartialEq, Eq)]
enum Essence<'a> {
    Everyone,
    Entries(Vec<Run<'a>>),
    Unannounced(&'a [Ace]),
}

/// Neighbours of one effect, whose order means nothing among themselves.
#[derive(Debug, PartialEq, Eq)]
enum Run<'a> {
    Plain(Effect, BTreeSet<&'a Sid>),
    /// A condition: not to be reasoned about.
    Conditional(&'a Ace),
}

fn runs(aces: &[Ace]) -> Vec<Run<'_>> {
    let mut runs: Vec<Run<'_>> = Vec::new();
    let mut decided = HashSet::new();
    for ace in aces {
        let Some(access) = ace.deciding(READ_PROPERTY) else { continue };
        if access.callback {
            runs.push(Run::Conditional(ace));
            continue;
        }
        // One right is asked for, so a second entry for the same SID is never reached by it.
        if !decided.insert(&access.sid) {
            continue;
        }
        match runs.last_mut() {
            Some(Run::Plain(effect, sids)) if *effect == access.effect => {
                sids.insert(&access.sid);
            }
            _ => runs.push(Run::Plain(access.effect, BTreeSet::from([&access.sid]))),
        }
    }
    // Whoever reaches the end is denied anyway.
    while matches!(runs.last(), Some(Run::Plain(Effect::Deny, _))) {
        runs.pop();
    }
    runs
}

fn describe_entry(ace: &Ace, names: &impl Fn(&Sid) -> Option<String>) -> String {
    let access = match &ace.body {
        AceBody::Access(access) => access,
        AceBody::Other { kind, .. } => return format!("an entry of type {kind} without a say"),
    };
    let verb = match access.effect {
        Effect::Allow => "allow",
        Effect::Deny => "deny",
    };
    let who = match names(&access.sid).or_else(|| well_known(&access.sid).map(str::to_owned)) {
        Some(name) => format!("{name} ({})", access.sid),
        None => access.sid.to_string(),
    };
    let note = match access {
        _ if ace.flags & INHERIT_ONLY != 0 => " [inherit only: no say here]",
        access if access.object.is_some() => " [object entry: no say here]",
        access if access.mask & READ_PROPERTY == 0 => " [not the right to read]",
        access if access.callback => " [on a condition that cannot be evaluated from here]",
        _ => "",
    };
    format!("{verb} {who}{note}")
}

fn well_known(sid: &Sid) -> Option<&'static str> {
    match sid.to_string().as_str() {
        "S-1-1-0" => Some("Everyone"),
        "S-1-5-7" => Some("Anonymous"),
        "S-1-5-10" => Some("Self"),
        "S-1-5-11" => Some("Authenticated Users"),
        "S-1-5-18" => Some("SYSTEM"),
        "S-1-5-32-544" => Some("Administrators"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sid(rid: u32) -> Sid {
        Sid::new(5, vec![21, 1, 2, 3, rid]).expect("valid")
    }

    #[test]
    fn a_new_descriptor_is_what_windows_writes() {
        let bytes = ReaderDescriptor::allowing([&sid(1000)]).to_bytes().expect("fits");
        assert_eq!(
            hex::encode(bytes),
            "01000480140000000000000000000000240000000102000000000005200000002002000004002c000100000000002400\
             ff010f00010500000000000515000000010000000200000003000000e8030000"
        );
    }

    #[test]
    fn readers_are_added_once_and_removed() {
        let mut descriptor = ReaderDescriptor::allowing([&sid(1), &sid(2), &sid(1)]);
        assert_eq!(descriptor.readers(), [sid(1), sid(2)]);
        assert!(!descriptor.allow(&sid(2)));
        assert!(descriptor.remove(&sid(1)) && !descriptor.remove(&sid(1)));
        assert_eq!(descriptor.readers(), [sid(2)]);
        assert_eq!(descriptor.may_read(&[sid(1)]), Access::Denied);
    }

    #[test]
    fn a_denial_stands_first_and_wins_over_every_group() {
        let mut descriptor = ReaderDescriptor::allowing([&sid(1), &sid(500)]);
        let token = [sid(1), sid(500)];
        assert!(descriptor.deny(&sid(1)) && !descriptor.deny(&sid(1)));
        assert_eq!(descriptor.may_read(&token), Access::Denied);
        assert_eq!(descriptor.may_read(&[sid(2), sid(500)]), Access::Granted);
        assert_eq!(descriptor.denied(), [sid(1)]);
        let entries = descriptor.entries();
        assert_eq!((entries.len(), entries[0].effect, &entries[0].sid), (3, Effect::Deny, &sid(1)));
        assert!(descriptor.lift_denial(&sid(1)));
        assert_eq!(descriptor.may_read(&token), Access::Granted);
    }

    #[test]
    fn a_denial_that_comes_too_late_is_put_first() {
        let mut descriptor = ReaderDescriptor::allowing([&sid(500)]);
        descriptor.list().push(Ace::deny(READ_PROPERTY, sid(1)));
        assert_eq!(descriptor.may_read(&[sid(1), sid(500)]), Access::Granted);
        assert!(descriptor.deny(&sid(1)));
        assert_eq!(descriptor.may_read(&[sid(1), sid(500)]), Access::Denied);
    }

    #[test]
    fn denying_one_of_everyone_keeps_the_others() {
        let mut null = vec![1, 0, 4, 0x80];
        null.resize(20, 0);
        let mut descriptor = ReaderDescriptor::from_bytes(&null).expect("valid");
        let everyone: Sid = "S-1-1-0".parse().expect("valid");
        assert!(descriptor.deny(&sid(1)));
        assert_eq!(descriptor.may_read(&[sid(1), everyone.clone()]), Access::Denied);
        assert_eq!(descriptor.may_read(&[sid(2), everyone]), Access::Granted);
    }

    #[test]
    fn form_does_not_matter_where_access_is_the_same() {
        let two = ReaderDescriptor::allowing([&sid(1), &sid(2)]);
        assert!(two.same_access(&ReaderDescriptor::allowing([&sid(2), &sid(1)])));
        assert!(!two.same_access(&ReaderDescriptor::allowing([&sid(1)])));

        let mut narrow = ReaderDescriptor::allowing([]);
        narrow.list().push(Ace::allow(READ_PROPERTY, sid(1)));
        narrow.list().push(Ace::allow(0x20, sid(9)));
        assert!(narrow.same_access(&ReaderDescriptor::allowing([&sid(1)])));

        let mut first = two.clone();
        first.deny(&sid(3));
        let mut last = two.clone();
        last.list().push(Ace::deny(READ_PROPERTY, sid(3)));
        assert!(!first.same_access(&two) && !first.same_access(&last));
        assert!(last.same_access(&two), "a denial at the end says what the end says");
    }

    #[test]
    fn people_read_names_and_what_has_no_say() {
        let mut descriptor = ReaderDescriptor::allowing([&sid(7)]);
        descriptor.deny(&sid(8));
        descriptor.list().push(Ace::allow(0x20, "S-1-1-0".parse().expect("valid")));
        let text = descriptor.describe(|asked| (*asked == sid(7)).then(|| "ITFarmHosts".to_owned()));
        assert_eq!(
            text,
            "deny S-1-5-21-1-2-3-8, allow ITFarmHosts (S-1-5-21-1-2-3-7), \
             allow Everyone (S-1-1-0) [not the right to read]"
        );
        assert_eq!(ReaderDescriptor::allowing([]).describe(|_| None), "nobody");
    }
}
