//! A farm's record beside its account: hosts that cannot read, and readers that nobody recorded.
//!
//! What a host holds is asked of the DC host by host (tokenGroups is computed for one object at a
//! time), so that is done only where its direct memberships, which come in batches, do not let it in.

use std::collections::{BTreeSet, HashMap, HashSet};

use directory::preflight::{self, Principal, PrincipalKind};
use directory::security::Access;
use directory::{DirectoryRead, ReaderDescriptor, Scope, Search};
use domain::{Dn, FarmName, PrincipalRef, Sid};
use futures::{StreamExt, TryStreamExt, stream};
use store::{Farm, FarmFacts};

use super::observe::{Account, Readers};
use super::readers::{self, Names};
use crate::StepError;
use crate::steps::principals;

/// Farms whose hosts and members are held at a time.
const FARMS_AT_ONCE: usize = 50;
/// Hosts of one farm of which the DC is asked for the whole token; of more that seem to be locked
/// out, direct memberships decide.
const ASKED_EXACTLY: usize = 100;
const AT_ONCE: usize = 8;

/// How a farm's record stands to what the directory shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnRecord {
    pub farm: FarmName,
    /// The farm wants its password nudged.
    pub nudge: bool,
    /// Hosts on record that the directory does not have.
    pub absent: Vec<String>,
    /// Hosts on record that a new logon does not let read.
    pub cannot_read: Vec<String>,
    /// Who may read and is not on record.
    pub strays: Vec<String>,
}

/// Direct members of groups, by the group's SID.
type Members = HashMap<Sid, HashSet<Dn>>;

/// Of those accounts that are farms' on record.
pub async fn compare(
    dc: &dyn DirectoryRead,
    domain: &Dn,
    accounts: &[Account],
    farms: &HashMap<Sid, Farm>,
    names: &Names,
) -> Result<HashMap<Sid, OnRecord>, StepError> {
    let farmed = accounts.iter().filter_map(|account| {
        let farm = farms.get(&account.sid)?;
        Some((account, farm, farm.recorded.as_ref()?))
    });
    let farmed: Vec<_> = farmed.collect();
    let mut compared = HashMap::new();
    for part in farmed.chunks(FARMS_AT_ONCE) {
        let references: Vec<PrincipalRef> =
            part.iter().flat_map(|(_, _, facts)| facts.spec.hosts.iter().cloned()).collect();
        let found = principals::by_reference(dc, &references, domain).await?;
        let members = members(dc, domain, &groups(part.iter().map(|(account, ..)| *account), names)).await?;
        let mut hosts = references.into_iter().zip(found);
        for (account, farm, facts) in part {
            let hosts: Vec<_> = hosts.by_ref().take(facts.spec.hosts.len()).collect();
            let scene = Scene { account, facts, hosts: &hosts, members: &members, names };
            let cannot_read = scene.cannot_read(dc).await?;
            let record = OnRecord {
                farm: farm.name.clone(),
                nudge: facts.spec.rotation.nudge,
                absent: scene.absent(),
                cannot_read,
                strays: scene.strays(),
            };
            compared.insert(account.sid.clone(), record);
        }
    }
    Ok(compared)
}

/// The groups that the lists of these accounts name; not those that hold everybody.
fn groups<'a>(accounts: impl Iterator<Item = &'a Account>, names: &Names) -> BTreeSet<Sid> {
    let lists = accounts.filter_map(|account| match &account.readers {
        Readers::List(list) => Some(list),
        Readers::Absent | Readers::Broken(_) => None,
    });
    let sids = lists.flat_map(|list| list.entries()).map(|entry| entry.sid);
    let is_group = |sid: &Sid| {
        let known = names.get(sid);
        known.is_some_and(|known| matches!(known.kind, PrincipalKind::Group { security: true, .. }))
    };
    sids.filter(|sid| is_group(sid) && readers::broad(sid).is_none()).collect()
}

async fn members(dc: &dyn DirectoryRead, domain: &Dn, groups: &BTreeSet<Sid>) -> Result<Members, StepError> {
    if groups.is_empty() {
        return Ok(Members::new());
    }
    let terms: String = groups.iter().map(|sid| format!("(objectSid={sid})")).collect();
    let search = Search::new(domain, Scope::Subtree, format!("(|{terms})"), &["objectSid", "member"]);
    let found = dc.search(&search).await?;
    let of =
        |entry: &directory::Entry| Some((entry.sid("objectSid")?, entry.dns("member").into_iter().collect()));
    Ok(found.iter().filter_map(of).collect())
}

/// One farm with all that was read for it.
struct Scene<'a> {
    account: &'a Account,
    facts: &'a FarmFacts,
    hosts: &'a [(PrincipalRef, Option<Principal>)],
    members: &'a Members,
    names: &'a Names,
}

impl Scene<'_> {
    fn absent(&self) -> Vec<String> {
        let absent = self.hosts.iter().filter(|(_, found)| found.is_none());
        absent.map(|(reference, _)| reference.to_string()).collect()
    }

    async fn cannot_read(&self, dc: &dyn DirectoryRead) -> Result<Vec<String>, StepError> {
        let Readers::List(list) = &self.account.readers else { return Ok(Vec::new()) };
        let found = self.hosts.iter().filter_map(|(_, found)| found.as_ref());
        let (mut unsure, mut locked_out) = (Vec::new(), Vec::new());
        // A denied group may be held through another one.
        let by_groups_denied = list.denied().iter().any(|sid| self.members.contains_key(sid));
        for host in found {
            match list.may_read(&self.token(host)) {
                Access::Granted if !by_groups_denied => {}
                // On a condition that only the DC can evaluate.
                Access::Depends(_) => {}
                Access::Granted | Access::Denied if unsure.len() < ASKED_EXACTLY => unsure.push(host),
                Access::Granted => {}
                Access::Denied => locked_out.push(host_name(host)),
            }
        }
        let asked: Vec<_> = unsure.into_iter().map(|host| self.asked(dc, list, host)).collect();
        let asked: Vec<Option<String>> = stream::iter(asked).buffered(AT_ONCE).try_collect().await?;
        Ok(asked.into_iter().flatten().chain(locked_out).collect())
    }

    /// The host's name, if its whole token does not let it read.
    async fn asked(
        &self,
        dc: &dyn DirectoryRead,
        list: &ReaderDescriptor,
        host: &Principal,
    ) -> Result<Option<String>, StepError> {
        let mut token = self.token(host);
        let held = preflight::token_of(dc, &(&host.dn).into()).await?;
        token.extend(held.map(|held| held.sids).unwrap_or_default());
        Ok((list.may_read(&token) == Access::Denied).then(|| host_name(host)))
    }

    /// What the host holds as far as batches tell: itself, its primary group, those groups that it
    /// is a direct member of, and what everybody holds.
    fn token(&self, host: &Principal) -> Vec<Sid> {
        let own = host.sid.clone();
        let primary = host.primary_group_id.and_then(|rid| u32::try_from(rid).ok());
        let primary = primary.zip(own.as_ref()).and_then(|(rid, sid)| sid.domain()?.with_rid(rid));
        let direct = self.members.iter().filter(|(_, members)| members.contains(&host.dn));
        let everybody = [Sid::new(1, vec![0]), Sid::new(5, vec![11])];
        let direct = direct.map(|(group, _)| group.clone());
        own.into_iter().chain(primary).chain(direct).chain(everybody.into_iter().flatten()).collect()
    }

    fn strays(&self) -> Vec<String> {
        let Readers::List(list) = &self.account.readers else { return Vec::new() };
        let (mut dns, mut sids) = (HashSet::new(), HashSet::new());
        for host in self.hosts.iter().filter_map(|(_, found)| found.as_ref()) {
            dns.insert(&host.dn);
            sids.extend(host.sid.as_ref());
        }
        sids.extend(
            self.facts.foreign_readers.iter().filter(|reader| !reader.denied).map(|reader| &reader.sid),
        );
        let group = self.facts.group_sid.as_ref();
        sids.extend(group);
        let unknown =
            |sid: &&Sid| !sids.contains(sid) && readers::broad(sid).is_none() && !self.names.is_orphan(sid);
        let readers = list.readers();
        let named = readers.iter().filter(unknown).map(|sid| self.names.shown(sid));
        let members = group.and_then(|group| self.members.get(group)).into_iter().flatten();
        let members = members.filter(|dn| !dns.contains(dn)).map(|dn| dn.rdn().value.clone());
        named.chain(members).collect::<BTreeSet<_>>().into_iter().collect()
    }
}

fn host_name(host: &Principal) -> String {
    principals::host_name(host.sam_account_name.as_deref(), &host.dn)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use async_trait::async_trait;
    use directory::preflight::GroupScope;
    use directory::{Base, DirectoryError, Entry};
    use domain::farm::ForeignReader;

    use super::super::judge::tests::account;
    use super::super::readers::Known;
    use super::*;
    use crate::steps::testing::{self, dn, sid};

    /// A DC that knows the tokens of hosts, and nothing else.
    struct Tokens(HashMap<Dn, Vec<Sid>>);

    #[async_trait]
    impl DirectoryRead for Tokens {
        fn dc(&self) -> &str {
            "dc1"
        }
        async fn root_dse(&self) -> Result<directory::entry::RootDse, DirectoryError> {
            unreachable!("not asked")
        }
        fn known_root_dse(&self) -> Option<Arc<directory::entry::RootDse>> {
            None
        }
        async fn read(&self, base: &Base, _: &[&str]) -> Result<Option<Entry>, DirectoryError> {
            let Base::Dn(dn) = base else { return Ok(None) };
            let groups = self.0.get(dn).cloned().unwrap_or_default();
            let groups = groups.iter().map(Sid::to_bytes).collect();
            let attributes =
                [("objectSid".to_owned(), vec![sid(1).to_bytes()]), ("tokenGroups".to_owned(), groups)];
            Ok(Some(Entry::new(dn.clone(), attributes)))
        }
        async fn search(&self, _: &Search) -> Result<Vec<Entry>, DirectoryError> {
            Ok(Vec::new())
        }
    }

    fn host(number: u32) -> (PrincipalRef, Option<Principal>) {
        let name = format!("Host{number}");
        let reference = PrincipalRef::parse(&name).expect("a name");
        let found = testing::principal(&format!("{name}$"), PrincipalKind::Computer);
        (reference, Some(Principal { sid: Some(sid(1100 + number)), ..found }))
    }

    fn facts(group: Option<u32>) -> FarmFacts {
        FarmFacts {
            spec: testing::spec(),
            account_dn: account().dn,
            account_sid: account().sid,
            group_dn: None,
            group_sid: group.map(sid),
            group_made: false,
            foreign_readers: vec![ForeignReader { sid: sid(1900), denied: false, name: None }],
        }
    }

    fn names() -> Names {
        let kind = PrincipalKind::Group { security: true, scope: GroupScope::Global };
        let group = |name: &str| Known { name: name.to_owned(), dn: dn("CN=G,DC=contoso,DC=com"), kind };
        Names::with([
            (sid(1200), Some(group("ITFarmHosts"))),
            (sid(1201), Some(group("Web"))),
            (sid(1999), None),
        ])
    }

    fn allowing(rids: &[u32]) -> Account {
        let sids: Vec<_> = rids.iter().map(|rid| sid(*rid)).collect();
        Account { readers: Readers::List(ReaderDescriptor::allowing(&sids)), ..account() }
    }

    fn member(number: u32) -> Dn {
        dn(&format!("CN=Host{number},OU=Servers,DC=contoso,DC=com"))
    }

    #[tokio::test]
    async fn a_host_reads_by_membership_by_name_or_by_a_nested_group() {
        let (facts, names) = (facts(Some(1200)), names());
        let members: Members = [(sid(1200), [member(1), member(7)].into())].into();
        let hosts =
            [host(1), host(2), host(3), host(4), (PrincipalRef::parse("Gone").expect("a name"), None)];
        let account = allowing(&[1200, 1103]);
        let scene =
            Scene { account: &account, facts: &facts, hosts: &hosts, members: &members, names: &names };
        // Host1 is a member, Host3 is named, Host4 is in by a nested group, Host2 is not in at all.
        let dc = Tokens([(member(4), vec![sid(1200)])].into());
        assert_eq!(scene.cannot_read(&dc).await.expect("an answer"), ["Host2"]);
        assert_eq!(scene.absent(), ["Gone"]);
        assert_eq!(scene.strays(), ["Host7"]);
    }

    #[tokio::test]
    async fn a_host_that_is_denied_by_a_nested_group_is_found() {
        let (facts, names) = (facts(Some(1200)), names());
        let members: Members =
            [(sid(1200), [member(1), member(2)].into()), (sid(1201), HashSet::new())].into();
        let mut list = ReaderDescriptor::allowing([&sid(1200)]);
        list.deny(&sid(1201));
        let account = Account { readers: Readers::List(list), ..account() };
        let hosts = [host(1), host(2)];
        let scene =
            Scene { account: &account, facts: &facts, hosts: &hosts, members: &members, names: &names };
        let dc = Tokens([(member(2), vec![sid(1201)])].into());
        assert_eq!(scene.cannot_read(&dc).await.expect("an answer"), ["Host2"]);
    }

    #[test]
    fn who_is_not_on_record_is_named_and_foreign_broad_and_orphan_readers_are_not() {
        let (facts, names) = (facts(None), names());
        let account = allowing(&[1101, 1201, 1900, 515, 1999, 1555]);
        let (hosts, members) = ([host(1)], Members::new());
        let scene =
            Scene { account: &account, facts: &facts, hosts: &hosts, members: &members, names: &names };
        assert_eq!(scene.strays(), ["S-1-5-21-1-2-3-1555", "Web"]);
    }
}
