//! `inspect-farm`: a farm as the directory holds it beside what was asked and what is on record.
//!
//! Read only. The account is the one on record by its SID; of a farm that was only asked for, the
//! gMSA of its account's name, if there is one.

mod account;
mod contained;
mod hosts;
mod view;

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use directory::preflight::{self, GroupScope, Preferred, Principal, PrincipalKind};
use directory::security::ReaderDescriptor;
use directory::{Directory, DirectoryRead, Entry};
use domain::farm::ForeignReader;
use domain::{Dn, ErrorCode, MembershipMode, PrincipalRef, Sid};
use futures::future::join_all;
use store::{Farm, FarmFacts, Quarantined};

use super::gmsa::{self, Reader, Readers, Wanted};
use super::outputs::{count, to_value};
use super::principals::{self, Member};
use super::quarantine;
use crate::quarantine::is_quarantined;
use crate::{Step, StepContext, StepError, StepPlan, Verified};

pub use account::{delegate_sids, named, readers};
pub use view::{
    AccountView, CanRead, ContainedView, DcView, DelegationView, Found, GroupView, HostView, Inspection,
    IntervalView, ReaderEffect, ReaderKind, ReaderView, Recorded,
};

pub const NAME: &str = "inspect-farm";

/// Names that are listed where there may be thousands.
const LISTED: usize = 100;

/// Who is behind the SIDs of the account's lists.
#[derive(Debug, Default)]
pub struct Names(pub HashMap<Sid, Principal>);

impl Names {
    /// A computer's without its `$`.
    pub fn name(&self, sid: &Sid) -> Option<String> {
        let found = self.0.get(sid)?;
        Some(principals::host_name(found.sam_account_name.as_deref(), &found.dn))
    }

    pub fn shown(&self, sid: &Sid) -> String {
        self.name(sid).map_or_else(|| sid.to_string(), |name| format!("{name} ({sid})"))
    }

    pub fn kind(&self, sid: &Sid) -> Option<ReaderKind> {
        Some(match self.0.get(sid)?.kind {
            PrincipalKind::Computer => ReaderKind::Computer,
            PrincipalKind::Group { .. } => ReaderKind::Group,
            PrincipalKind::Gmsa => ReaderKind::Gmsa,
            PrincipalKind::User => ReaderKind::User,
            PrincipalKind::Smsa | PrincipalKind::Other => ReaderKind::Other,
        })
    }
}

#[derive(Debug)]
pub struct InspectFarm;

#[async_trait]
impl Step for InspectFarm {
    type Observed = Inspection;

    fn name(&self) -> &'static str {
        NAME
    }

    async fn check(&self, cx: &StepContext) -> Result<Inspection, StepError> {
        let farm = cx.farm().ok_or_else(|| unknown(cx))?;
        inspect(cx, farm).await
    }

    fn plan(&self, _: &StepContext, found: &Inspection) -> Result<StepPlan, StepError> {
        Ok(StepPlan::nothing(found.summary.clone(), to_value(found)?))
    }

    async fn verify(&self, _: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        Ok(Verified { output: plan.expected.clone(), detail: plan.detail.clone() })
    }
}

fn unknown(cx: &StepContext) -> StepError {
    let name = cx.farm_name().map_or_else(|_| "of that name".to_owned(), ToString::to_string);
    StepError::fail(
        ErrorCode::FarmNotDeployed,
        format!("no farm {name} is on record"),
        "deploy it first, or take a gMSA that others made on record with `farmhand farm import`",
    )
}

/// What is asked of the directory, once its names are looked up.
struct Asked {
    wanted: Wanted,
    /// In the order of the record; `None`: there is no such computer.
    hosts: Vec<(PrincipalRef, Option<Principal>)>,
    group: Option<Principal>,
    domain: Dn,
    quarantined: Vec<Quarantined>,
}

async fn inspect(cx: &StepContext, farm: &Farm) -> Result<Inspection, StepError> {
    let forest = cx.forest()?;
    let dc: &dyn DirectoryRead = cx.dc().await?.as_ref();
    let domain = dc.root_dse().await?.default_naming_context;
    let facts = farm.recorded.as_ref();
    let account = find_account(dc, farm, facts).await?;
    let quarantined = cx.quarantined().await?;
    let asked = asked(dc, farm, facts, account.as_ref(), domain, quarantined).await?;
    let (group, members) = match &asked.group {
        Some(group) => {
            let members = principals::computers_of(dc, &asked.domain, &group.dn, group.sid.as_ref()).await?;
            (Some(group_view(dc, group, &members, &asked).await?), members)
        }
        None => (None, Vec::new()),
    };
    let mut sids = account.as_ref().map(named).unwrap_or_default();
    sids.dedup();
    let names = Names(principals::by_sid(dc, sids).await?);
    let differences =
        account.as_ref().map(|found| gmsa::differences(&asked.wanted, found)).unwrap_or_default();
    let hosts = hosts::hosts(dc, account.as_ref(), &asked, &members, &names).await?;
    let per_dc = per_dc(forest, account.as_ref(), &asked).await?;
    let foreign = foreign(facts);
    let contained = contained::contained(account.as_ref(), &asked, &members);
    let mut warnings = warnings(farm, account.as_ref(), group.as_ref(), &names, &asked);
    warnings.extend(contained::warnings(&contained));
    let found = Found {
        dc: dc.dc().to_owned(),
        account: account.as_ref().map(|found| account::account(found, &names, foreign)),
        group,
        per_dc,
    };
    Ok(Inspection {
        summary: summary(farm, &found, &differences, &hosts),
        farm: farm.name.clone(),
        state: farm.state,
        asked: farm.spec.clone(),
        recorded: facts.map(recorded),
        found,
        differences,
        hosts,
        contained,
        warnings,
        embedded_directory: forest.is_embedded(),
    })
}

fn recorded(facts: &FarmFacts) -> Recorded {
    Recorded {
        account_dn: facts.account_dn.clone(),
        account_sid: facts.account_sid.clone(),
        group_dn: facts.group_dn.clone(),
        group_sid: facts.group_sid.clone(),
    }
}

fn foreign(facts: Option<&FarmFacts>) -> &[ForeignReader] {
    facts.map(|facts| facts.foreign_readers.as_slice()).unwrap_or_default()
}

async fn find_account(
    dc: &dyn DirectoryRead,
    farm: &Farm,
    facts: Option<&FarmFacts>,
) -> Result<Option<Entry>, StepError> {
    if let Some(facts) = facts {
        return super::find_farm::read_account(dc, &facts.account_sid).await;
    }
    let name = PrincipalRef::Name(farm.spec.account.sam_account_name.as_str().to_owned());
    let found = preflight::find_principal(dc, &name, Preferred::Computer).await?;
    match found.filter(|found| found.kind == PrincipalKind::Gmsa) {
        Some(found) => Ok(dc.read(&(&found.dn).into(), gmsa::ATTRIBUTES).await?),
        None => Ok(None),
    }
}

async fn asked(
    dc: &dyn DirectoryRead,
    farm: &Farm,
    facts: Option<&FarmFacts>,
    account: Option<&Entry>,
    domain: Dn,
    quarantined: Vec<Quarantined>,
) -> Result<Asked, StepError> {
    let spec = &farm.spec;
    let found = principals::by_reference(dc, &spec.hosts, &domain).await?;
    let computer = |found: &Principal| found.kind == PrincipalKind::Computer;
    let found = found.into_iter().map(|found| found.filter(computer));
    let hosts: Vec<_> = spec.hosts.iter().cloned().zip(found).collect();
    let group = match (facts.and_then(|facts| facts.group_sid.as_ref()), &spec.membership.group) {
        (Some(sid), _) => preflight::principal_at(dc, &sid.into()).await?,
        (None, Some(PrincipalRef::Dn(dn))) if !dn.is_within(&domain) => None,
        (None, Some(group)) => preflight::find_principal(dc, group, Preferred::Group).await?,
        (None, None) => None,
    };
    let group = group.filter(|group| matches!(group.kind, PrincipalKind::Group { .. }));
    let readers = match spec.membership.mode {
        MembershipMode::Group => match group.as_ref().and_then(reader) {
            Some(group) => Readers::Known(vec![group]),
            None => Readers::Pending {
                group: spec.membership.group.as_ref().map_or_else(String::new, ToString::to_string),
            },
        },
        MembershipMode::Direct => {
            // A host on record that was contained has no entry any more, and is to have none.
            let readers = hosts.iter().filter_map(|(_, found)| reader(found.as_ref()?));
            Readers::Known(readers.filter(|reader| !is_quarantined(&quarantined, &reader.sid)).collect())
        }
    };
    let dn = account.map(|found| found.dn.clone()).or_else(|| facts.map(|facts| facts.account_dn.clone()));
    let wanted = Wanted {
        dn: dn.unwrap_or_else(|| domain.clone()),
        spec: spec.account.clone(),
        readers,
        foreign: foreign(facts).to_vec(),
        contained: quarantine::contained(&quarantined),
        may_be_disabled: false,
    };
    Ok(Asked { wanted, hosts, group, domain, quarantined })
}

fn reader(found: &Principal) -> Option<Reader> {
    let name = principals::host_name(found.sam_account_name.as_deref(), &found.dn);
    Some(Reader { name, sid: found.sid.clone()? })
}

async fn group_view(
    dc: &dyn DirectoryRead,
    group: &Principal,
    members: &[Member],
    asked: &Asked,
) -> Result<GroupView, StepError> {
    let entry = dc.read(&(&group.dn).into(), &["member"]).await?;
    let all = entry.map(|entry| entry.dns("member")).unwrap_or_default();
    let others = all.iter().filter(|dn| !members.iter().any(|member| member.dn == **dn));
    let others: Vec<_> = others.map(ToString::to_string).collect();
    let is_member = |dn: &Dn| members.iter().any(|member| member.dn == *dn);
    let is_contained =
        |found: &Principal| found.sid.as_ref().is_some_and(|sid| is_quarantined(&asked.quarantined, sid));
    let missing = asked.hosts.iter().filter(|(_, found)| {
        !found.as_ref().is_some_and(|found| is_member(&found.dn) || is_contained(found))
    });
    let is_asked = |dn: &Dn| asked.hosts.iter().any(|(_, found)| found.as_ref().is_some_and(|f| f.dn == *dn));
    let unasked = members.iter().filter(|member| !is_asked(&member.dn)).map(|member| member.name.clone());
    let unasked: Vec<_> = unasked.chain(others.iter().cloned()).collect();
    let (security, scope) = match group.kind {
        PrincipalKind::Group { security, scope } => (security, scope),
        _ => (false, GroupScope::Other),
    };
    let first = |names: Vec<String>| names.into_iter().take(LISTED).collect::<Vec<_>>();
    Ok(GroupView {
        dn: group.dn.clone(),
        sid: group.sid.clone(),
        name: group.sam_account_name.clone().unwrap_or_else(|| group.dn.rdn().value.clone()),
        scope: scope_name(scope).to_owned(),
        security,
        member_count: members.len() + others.len(),
        members: first(members.iter().map(|member| member.name.clone()).chain(others).collect()),
        missing: missing.map(|(asked, _)| asked.to_string()).collect(),
        unasked_count: unasked.len(),
        unasked: first(unasked),
    })
}

fn scope_name(scope: GroupScope) -> &'static str {
    match scope {
        GroupScope::Global => "global",
        GroupScope::DomainLocal => "domain-local",
        GroupScope::Universal => "universal",
        GroupScope::Other => "other",
    }
}

/// A DC that does not answer is part of the picture, not an error.
async fn per_dc(
    forest: &Arc<dyn Directory>,
    account: Option<&Entry>,
    asked: &Asked,
) -> Result<Vec<DcView>, StepError> {
    let sid = account.and_then(|found| found.sid("objectSid"));
    let dcs = forest.writable_dcs().await?;
    let views = dcs.iter().map(|dc| async {
        let view = one_dc(forest, &dc.name, sid.as_ref(), asked).await;
        view.unwrap_or_else(|error| DcView {
            error: Some(error.problem().message.clone()),
            ..empty_view(&dc.name)
        })
    });
    Ok(join_all(views).await)
}

fn empty_view(name: &str) -> DcView {
    DcView {
        name: name.to_owned(),
        error: None,
        account_found: None,
        account_usn: None,
        key_id: None,
        member_count: None,
        differences: Vec::new(),
    }
}

async fn one_dc(
    forest: &Arc<dyn Directory>,
    name: &str,
    sid: Option<&Sid>,
    asked: &Asked,
) -> Result<DcView, StepError> {
    let dc = forest.pin(Some(name)).await?;
    let dc: &dyn DirectoryRead = dc.as_ref();
    let found = match sid {
        Some(sid) => super::find_farm::read_account(dc, sid).await?,
        None => None,
    };
    let member_count = match &asked.group {
        Some(group) => {
            dc.read(&(&group.dn).into(), &["member"]).await?.map(|entry| entry.values("member").len())
        }
        None => None,
    };
    Ok(DcView {
        account_found: Some(found.is_some()),
        account_usn: found.as_ref().and_then(|entry| entry.int("uSNChanged")),
        key_id: found
            .as_ref()
            .and_then(|entry| super::ensure_gmsa::key_id(entry.bytes("msDS-ManagedPasswordId")?)),
        member_count,
        differences: found.map(|entry| gmsa::differences(&asked.wanted, &entry)).unwrap_or_default(),
        ..empty_view(name)
    })
}

fn warnings(
    farm: &Farm,
    account: Option<&Entry>,
    group: Option<&GroupView>,
    names: &Names,
    asked: &Asked,
) -> Vec<String> {
    let mut warnings = farm.spec.warnings();
    for reader in &asked.wanted.foreign {
        let word = if reader.denied { "denies" } else { "lets read" };
        let who = reader.name.clone().unwrap_or_else(|| names.shown(&reader.sid));
        warnings.push(format!("the reader list {word} {who}, who is none of the farm's: the entry is kept"));
    }
    if farm.spec.membership.mode == MembershipMode::Group && group.is_none() {
        warnings.push("the farm's group is not there".to_owned());
    }
    if group.is_some_and(|group| !group.security) {
        warnings.push("the group is a distribution group, which lets nobody read".to_owned());
    }
    let null = account.and_then(|found| found.bytes(gmsa::READERS));
    let null = null.and_then(|bytes| ReaderDescriptor::from_bytes(bytes).ok());
    if null.is_some_and(|readers| readers.descriptor().dacl.is_none()) {
        warnings.push("the reader descriptor has no list".to_owned());
    }
    warnings
}

fn summary(farm: &Farm, found: &Found, differences: &[gmsa::Difference], hosts: &[HostView]) -> String {
    let name = &farm.name;
    let Some(account) = &found.account else {
        return format!("farm {name}: its account {} is not there", farm.spec.account.sam_account_name);
    };
    let reading = hosts.iter().filter(|host| host.on_record && host.can_read == CanRead::Yes).count();
    let asked = hosts.iter().filter(|host| host.on_record).count();
    let differs = match differences.len() {
        0 => "is as asked".to_owned(),
        number => format!("shows {} from what was asked", count(number, "difference")),
    };
    format!(
        "farm {name}: {} {differs}; {reading} of {} can read the password",
        account.dn,
        count(asked, "host")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing;

    #[test]
    fn a_name_is_shown_with_its_sid_and_a_stranger_by_the_sid_alone() {
        let group = testing::group();
        let names = Names([(testing::sid(1200), group)].into());
        assert_eq!(names.shown(&testing::sid(1200)), "ITFarmHosts (S-1-5-21-1-2-3-1200)");
        assert_eq!(names.shown(&testing::sid(9)), "S-1-5-21-1-2-3-9");
        assert_eq!(names.kind(&testing::sid(1200)), Some(ReaderKind::Group));
    }
}
