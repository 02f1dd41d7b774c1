//! Reads what a page of farms is compared by: so many searches for a page, however many farms it has.

use std::collections::{BTreeSet, HashMap, HashSet};

use directory::preflight::{Principal, PrincipalKind};
use directory::security::ReaderDescriptor;
use directory::{DirectoryRead, Entry, Scope, Search};
use domain::{Dn, FarmSpec, PrincipalRef, Sid};
use store::{DriftSubject, FarmFacts, Object, Quarantined};

use super::compare::{Host, Seen};
use super::groups::Groups;
use crate::StepError;
use crate::steps::gmsa::{self, READERS};
use crate::steps::principals;
use crate::steps::rotation::broad;

/// SIDs in one search; each is one look into an index of the DC.
const TERMS: usize = 250;

/// A farm that is compared: what was asked for, and what is on record.
pub struct Farm<'a> {
    pub subject: &'a DriftSubject,
    pub facts: &'a FarmFacts,
}

impl<'a> Farm<'a> {
    pub fn of(subject: &'a DriftSubject) -> Option<Self> {
        Some(Self { subject, facts: subject.farm.recorded.as_ref()? })
    }

    /// The manifest that was asked for last.
    pub fn asked(&self) -> &'a FarmSpec {
        self.subject.asked.as_ref().map_or(&self.facts.spec, |asked| &asked.spec)
    }

    /// Hosts that are asked for or on record, each once.
    fn hosts(&self) -> Vec<(PrincipalRef, bool, bool)> {
        let recorded: HashSet<String> = self.facts.spec.hosts.iter().map(PrincipalRef::key).collect();
        let asked: HashSet<String> = self.asked().hosts.iter().map(PrincipalRef::key).collect();
        let here = self.asked().hosts.iter().map(|host| (host.clone(), true, recorded.contains(&host.key())));
        let only = self.facts.spec.hosts.iter().filter(|host| !asked.contains(&host.key()));
        here.chain(only.map(|host| (host.clone(), false, true))).collect()
    }

    fn group_name(&self) -> Option<PrincipalRef> {
        let dn = self.facts.group_dn.as_ref();
        let named = self.facts.spec.membership.group.clone();
        named.or_else(|| dn.map(|dn| PrincipalRef::Name(dn.rdn().value.clone())))
    }
}

/// What was read for a page of farms.
pub struct Page {
    accounts: HashMap<Sid, Entry>,
    /// Of each farm of the page, in their order.
    hosts: Vec<Vec<Host>>,
    /// Whom reader lists name, and the farms' groups.
    principals: HashMap<Sid, Principal>,
    /// Who has the name of an account or a group that is gone.
    namesakes: HashMap<String, Principal>,
    groups: Groups,
}

impl Page {
    pub async fn read(dc: &dyn DirectoryRead, domain: &Dn, farms: &[Farm<'_>]) -> Result<Self, StepError> {
        let accounts = accounts(dc, domain, farms).await?;
        let hosts = hosts(dc, domain, farms).await?;
        let mut sids: BTreeSet<Sid> = farms.iter().filter_map(|farm| farm.facts.group_sid.clone()).collect();
        sids.extend(accounts.values().flat_map(named).filter(|sid| broad(sid).is_none()));
        let principals = principals::by_sid(dc, sids).await?;
        let is_group = |found: &&Principal| matches!(found.kind, PrincipalKind::Group { .. });
        let group_sids = principals.values().filter(is_group).filter_map(|found| found.sid.clone());
        let groups = Groups::read(dc, domain, group_sids).await?;
        let namesakes = namesakes(dc, domain, farms, &accounts, &principals).await?;
        Ok(Self { accounts, hosts, principals, namesakes, groups })
    }

    /// The farm at that place of the page.
    pub fn seen<'a>(&'a self, at: usize, farm: &Farm<'a>, quarantined: &'a [Quarantined]) -> Seen<'a> {
        let facts = farm.facts;
        let group = facts.group_sid.as_ref();
        let namesake = |name: &PrincipalRef| self.namesakes.get(&name.key());
        let sam = facts.spec.account.sam_account_name.sam_account_name();
        // A person may have the account's name without its `$`.
        let same = |found: &&Principal| {
            found.sam_account_name.as_ref().is_some_and(|name| name.eq_ignore_ascii_case(&sam))
        };
        Seen {
            asked: farm.asked(),
            facts,
            account: self.accounts.get(&facts.account_sid),
            namesake: namesake(&account_name(facts)).filter(same).map(|found| &found.dn),
            group: group.and_then(|sid| self.principals.get(sid)),
            group_namesake: farm.group_name().as_ref().and_then(namesake).map(|found| &found.dn),
            hosts: self.hosts.get(at).map_or(&[], Vec::as_slice),
            principals: &self.principals,
            groups: &self.groups,
            quarantined,
        }
    }

    /// The objects that the comparison rests on, and whether those are all: whoever was not found may
    /// be there tomorrow.
    pub fn rests_on(&self, seen: &Seen<'_>) -> (Vec<Object>, bool) {
        let of = |found: &Principal| Some(Object(found.sid.clone()?, found.dn.clone()));
        let mut objects: Vec<Object> = Vec::new();
        let mut settled = seen.account.is_some();
        if let Some(account) = seen.account {
            objects.push(Object(seen.facts.account_sid.clone(), account.dn.clone()));
        }
        if let Some(sid) = &seen.facts.group_sid {
            settled &= seen.group.is_some();
            objects.extend(seen.group.and_then(of));
            objects.extend(self.groups.objects(sid));
        }
        for host in seen.hosts {
            let object = host.found.as_ref().and_then(of);
            settled &= object.is_some();
            objects.extend(object);
        }
        let known = |sid: &Sid| seen.facts.foreign_readers.iter().any(|foreign| foreign.sid == *sid);
        for sid in seen.account.into_iter().flat_map(named).filter(|sid| broad(sid).is_none()) {
            let found = self.principals.get(&sid);
            settled &= found.is_some() || known(&sid);
            objects.extend(found.and_then(of));
            objects.extend(self.groups.objects(&sid));
        }
        let mut once = HashSet::new();
        objects.retain(|object| once.insert(object.clone()));
        (objects, settled)
    }
}

/// Whom the account's reader list names.
fn named(account: &Entry) -> Vec<Sid> {
    let list = account.bytes(READERS).and_then(|bytes| ReaderDescriptor::from_bytes(bytes).ok());
    list.map(|list| list.entries()).unwrap_or_default().into_iter().map(|entry| entry.sid).collect()
}

async fn accounts(
    dc: &dyn DirectoryRead,
    domain: &Dn,
    farms: &[Farm<'_>],
) -> Result<HashMap<Sid, Entry>, StepError> {
    let mut accounts = HashMap::new();
    for part in farms.chunks(TERMS) {
        let terms: String =
            part.iter().map(|farm| format!("(objectSid={})", farm.facts.account_sid)).collect();
        let search = Search::new(domain, Scope::Subtree, format!("(|{terms})"), gmsa::ATTRIBUTES);
        let found = dc.search(&search).await?.into_iter().filter(|entry| entry.is_class(gmsa::CLASS));
        accounts.extend(found.filter_map(|entry| Some((entry.sid("objectSid")?, entry))));
    }
    Ok(accounts)
}

async fn hosts(dc: &dyn DirectoryRead, domain: &Dn, farms: &[Farm<'_>]) -> Result<Vec<Vec<Host>>, StepError> {
    let wanted: Vec<_> = farms.iter().map(Farm::hosts).collect();
    let references: Vec<_> = wanted.iter().flatten().map(|(host, ..)| host.clone()).collect();
    let mut found = principals::by_reference(dc, &references, domain).await?.into_iter();
    let mut host = |(reference, asked, recorded): (PrincipalRef, bool, bool)| {
        let found = found.next().flatten().filter(|found| found.kind == PrincipalKind::Computer);
        Host { reference, asked, recorded, found }
    };
    Ok(wanted.into_iter().map(|hosts| hosts.into_iter().map(&mut host).collect()).collect())
}

/// Whoever has the name of what is not there by its SID any more.
async fn namesakes(
    dc: &dyn DirectoryRead,
    domain: &Dn,
    farms: &[Farm<'_>],
    accounts: &HashMap<Sid, Entry>,
    principals: &HashMap<Sid, Principal>,
) -> Result<HashMap<String, Principal>, StepError> {
    let mut names = Vec::new();
    for farm in farms {
        if !accounts.contains_key(&farm.facts.account_sid) {
            names.push(account_name(farm.facts));
        }
        let group = farm.facts.group_sid.as_ref();
        if group.is_some_and(|sid| !principals.contains_key(sid)) {
            names.extend(farm.group_name());
        }
    }
    if names.is_empty() {
        return Ok(HashMap::new());
    }
    let found = principals::by_reference(dc, &names, domain).await?;
    Ok(names.iter().zip(found).filter_map(|(name, found)| Some((name.key(), found?))).collect())
}

fn account_name(facts: &FarmFacts) -> PrincipalRef {
    PrincipalRef::Name(facts.spec.account.sam_account_name.to_string())
}
