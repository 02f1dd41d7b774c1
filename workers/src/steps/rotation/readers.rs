//! Who is behind the SIDs of reader lists: asked for in batches, each once in a check.

use std::collections::HashMap;

use directory::DirectoryRead;
use directory::preflight::{Principal, PrincipalKind};
use directory::security::Effect;
use domain::rotation::{RotationItem, RotationReader};
use domain::{Dn, Sid};

use super::observe::{Account, Readers};
use crate::StepError;
use crate::steps::principals;

/// SIDs that are remembered: enough for the groups of any domain's farms, and a bound for a domain
/// whose every account names hosts of its own.
const REMEMBERED: usize = 50_000;

/// Somebody of this domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// sAMAccountName, a computer's without its `$`.
    pub name: String,
    pub dn: Dn,
    pub kind: PrincipalKind,
}

impl Known {
    fn of(found: &Principal) -> Self {
        let name = principals::host_name(found.sam_account_name.as_deref(), &found.dn);
        Self { name, dn: found.dn.clone(), kind: found.kind }
    }

    pub fn is_distribution_group(&self) -> bool {
        matches!(self.kind, PrincipalKind::Group { security: false, .. })
    }
}

/// Everybody who was looked up; `None`: this domain has nobody of that SID.
#[derive(Debug, Default)]
pub struct Names(HashMap<Sid, Option<Known>>);

impl Names {
    /// Looks up whom the lists of these accounts name and who is not known yet.
    pub async fn learn(&mut self, dc: &dyn DirectoryRead, accounts: &[Account]) -> Result<(), StepError> {
        let mut unknown: Vec<_> = accounts
            .iter()
            .flat_map(|account| named(account).filter(|sid| is_of_domain(sid, account)))
            .filter(|sid| !self.0.contains_key(sid))
            .collect();
        unknown.sort_unstable();
        unknown.dedup();
        if unknown.is_empty() {
            return Ok(());
        }
        if self.0.len() + unknown.len() > REMEMBERED {
            self.0.clear();
        }
        let mut found = principals::by_sid(dc, unknown.iter().cloned()).await?;
        for sid in unknown {
            let known = found.remove(&sid).as_ref().map(Known::of);
            self.0.insert(sid, known);
        }
        Ok(())
    }

    pub fn get(&self, sid: &Sid) -> Option<&Known> {
        self.0.get(sid)?.as_ref()
    }

    /// It was looked up, and nobody has it.
    pub fn is_orphan(&self, sid: &Sid) -> bool {
        matches!(self.0.get(sid), Some(None))
    }

    pub fn name(&self, sid: &Sid) -> Option<String> {
        broad(sid).map(str::to_owned).or_else(|| Some(self.get(sid)?.name.clone()))
    }

    /// For people: the name, else the SID.
    pub fn shown(&self, sid: &Sid) -> String {
        self.name(sid).unwrap_or_else(|| sid.to_string())
    }

    #[cfg(test)]
    pub fn with(entries: impl IntoIterator<Item = (Sid, Option<Known>)>) -> Self {
        Self(entries.into_iter().collect())
    }
}

/// Every SID that the list names.
fn named(account: &Account) -> impl Iterator<Item = Sid> {
    let entries = match &account.readers {
        Readers::List(list) => list.entries(),
        Readers::Absent | Readers::Broken(_) => Vec::new(),
    };
    entries.into_iter().map(|entry| entry.sid)
}

/// Only these can be looked up here: those of another domain are there, and well-known ones are in
/// no directory.
fn is_of_domain(sid: &Sid, account: &Account) -> bool {
    let domain = sid.domain();
    domain.is_some() && (domain == account.sid.domain() || domain == builtin())
}

/// S-1-5-32: administrators and their like.
fn builtin() -> Option<Sid> {
    Sid::new(5, vec![32])
}

/// The entries of the list as the board shows them, and how many there are.
pub fn shown(account: &Account, names: &Names) -> (Vec<RotationReader>, u32) {
    let Readers::List(list) = &account.readers else { return (Vec::new(), 0) };
    let entries = list.entries();
    let number = u32::try_from(entries.len()).unwrap_or(u32::MAX);
    let reader = |entry: directory::security::ReaderEntry| RotationReader {
        name: names.name(&entry.sid),
        denied: entry.effect == Effect::Deny,
        sid: entry.sid,
    };
    (entries.into_iter().take(RotationItem::LISTED).map(reader).collect(), number)
}

/// The name of a group that holds (nearly) everybody, where it is one.
pub fn broad(sid: &Sid) -> Option<&'static str> {
    Some(match sid.to_string().as_str() {
        "S-1-1-0" => "Everyone",
        "S-1-5-2" => "Network",
        "S-1-5-7" => "Anonymous",
        "S-1-5-11" => "Authenticated Users",
        "S-1-5-15" => "This Organization",
        "S-1-5-32-545" => "Users",
        "S-1-5-32-546" => "Guests",
        "S-1-5-32-554" => "Pre-Windows 2000 Compatible Access",
        text if text.starts_with("S-1-5-21-") => match sid.rid()? {
            513 => "Domain Users",
            514 => "Domain Guests",
            515 => "Domain Computers",
            _ => return None,
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::judge::tests::account;
    use super::*;
    use crate::steps::testing::sid;
    use directory::ReaderDescriptor;

    #[test]
    fn groups_that_hold_everybody_are_known_by_their_sids() {
        let parse = |text: &str| text.parse::<Sid>().expect("a SID");
        assert_eq!(broad(&parse("S-1-1-0")), Some("Everyone"));
        assert_eq!(broad(&sid(515)), Some("Domain Computers"));
        assert_eq!(broad(&sid(1515)), None);
        assert_eq!(broad(&parse("S-1-5-32-544")), None);
    }

    #[test]
    fn only_what_this_domain_may_hold_is_looked_up() {
        let parse = |text: &str| text.parse::<Sid>().expect("a SID");
        for (text, here) in [
            ("S-1-5-21-1-2-3-1200", true),
            ("S-1-5-32-544", true),
            ("S-1-5-21-9-9-9-1200", false),
            ("S-1-1-0", false),
            ("S-1-5-11", false),
        ] {
            assert_eq!(is_of_domain(&parse(text), &account()), here, "{text}");
        }
    }

    #[test]
    fn a_long_list_is_shown_in_part_and_counted() {
        let sids: Vec<_> = (1000..1050).map(sid).collect();
        let mut list = ReaderDescriptor::allowing(&sids);
        list.deny(&sid(7));
        let account = Account { readers: Readers::List(list), ..account() };
        let (readers, number) = shown(&account, &Names::default());
        assert_eq!((readers.len(), number), (RotationItem::LISTED, 51));
        assert!(readers[0].denied && !readers[1].denied);
    }
}
