//! `blast-radius`: what whoever holds the host may do with what it could read.
//!
//! Reads only. The host is cut off by now, so nothing hurries; and nothing that cannot be read here
//! is a reason not to be done.

use std::collections::HashMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use directory::preflight::{Principal, PrincipalKind};
use directory::security::Effect;
use directory::{DirectoryRead, Entry};
use domain::containment::ContainedAccount;
use domain::{Dn, FarmName, Sid, Write};
use serde::{Deserialize, Serialize};
use store::Denial;

use super::affected::{Affected, Standing};
use super::contain_everywhere::{self, EverywhereOutput};
use super::deny_on_record::{self, Case};
use super::exposure::{Keys, exposure};
use super::sweep::{self, SweepOutput};
use super::{accounts, reach};
use crate::steps::gmsa::READERS;
use crate::steps::gmsa::fields::{
    CONTROL, NOT_DELEGATED, SPNS, TRUSTED_FOR_DELEGATION, TRUSTED_TO_AUTH_FOR_DELEGATION,
};
use crate::steps::inspect;
use crate::steps::outputs::{count, to_value};
use crate::steps::principals::{self, host_name};
use crate::steps::ways::domain_of;
use crate::{Step, StepContext, StepError, StepPlan, Verified};

pub const NAME: &str = "blast-radius";

const ATTRIBUTES: [&str; 10] = [
    "objectSid",
    CONTROL,
    SPNS,
    READERS,
    "memberOf",
    "msDS-AllowedToDelegateTo",
    "msDS-AllowedToActOnBehalfOfOtherIdentity",
    "msDS-ManagedPasswordId",
    "msDS-ManagedPasswordPreviousId",
    "msDS-ManagedPasswordInterval",
];

/// Hosts of one group that are named; a farm may have thousands.
const NAMED: usize = 100;
/// Relative identifiers below this are of groups that every domain has, and everybody may be in.
const FIRST_OWN: u32 = 1000;

/// Output.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RadiusOutput {
    pub accounts: Vec<ContainedAccount>,
    pub warnings: Vec<String>,
}

/// Looks at what the host could read.
#[derive(Debug)]
pub struct BlastRadius;

pub struct Observed {
    case: Case,
    affected: Vec<Affected>,
    /// By the DC's clock.
    now: DateTime<Utc>,
    accounts: HashMap<Sid, Entry>,
    /// Whoever a reader list lets in, by SID: names of hosts, or words for many.
    hosts: HashMap<Sid, Vec<String>>,
    /// Hosts on record.
    recorded: HashMap<FarmName, Vec<String>>,
    delegates: HashMap<Sid, Principal>,
    denials: Vec<Denial>,
    warnings: Vec<String>,
}

#[async_trait]
impl Step for BlastRadius {
    type Observed = Observed;

    fn name(&self) -> &'static str {
        NAME
    }

    fn is_kept(&self) -> bool {
        true
    }

    async fn check(&self, cx: &StepContext) -> Result<Observed, StepError> {
        observe(cx).await
    }

    fn plan(&self, _: &StepContext, observed: &Observed) -> Result<StepPlan, StepError> {
        let accounts: Vec<_> = observed.affected.iter().map(|one| contained(observed, one)).collect();
        let detail = format!("{} could be read", count(accounts.len(), "gMSA"));
        let output = RadiusOutput { accounts, warnings: observed.warnings.clone() };
        Ok(StepPlan::nothing(detail, to_value(&output)?))
    }

    async fn verify(&self, _: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        Ok(Verified { output: plan.expected.clone(), detail: plan.detail.clone() })
    }

    async fn undo(&self, _: &StepContext, _: &[Write]) -> Result<(), StepError> {
        Ok(())
    }
}

async fn observe(cx: &StepContext) -> Result<Observed, StepError> {
    let case: Case = cx.output(deny_on_record::NAME)?;
    let swept: SweepOutput = cx.output(sweep::NAME)?;
    let everywhere: EverywhereOutput = cx.output(contain_everywhere::NAME)?;
    let affected = [case.affected.clone(), swept.affected, everywhere.affected].concat();
    let sids: Vec<_> = affected.iter().map(|one| one.sid.clone()).collect();
    let dc = reach::any(cx).await?;
    let mut warnings = Vec::new();
    let found = told(accounts::by_sid(dc, &sids, &ATTRIBUTES).await, &mut warnings)?;
    let clock =
        told(dc.root_dse().await.map_err(StepError::from).map(|root| root.current_time), &mut warnings)?;
    let hosts = told(readers(dc, &case, &found).await, &mut warnings)?;
    let named = found.iter().flat_map(inspect::named);
    let delegates = told(principals::by_sid(dc, named).await, &mut warnings)?;
    let records = cx.records()?;
    let recorded = records.deployed_farms(&cx.directory).await?;
    let recorded = recorded.into_iter().map(|farm| {
        let hosts = farm.recorded.map(|facts| facts.spec.hosts).unwrap_or_default();
        (
            farm.name,
            hosts.iter().filter(|host| !case.host.is_meant_by(host)).map(ToString::to_string).collect(),
        )
    });
    Ok(Observed {
        recorded: recorded.collect(),
        denials: records.denials(&cx.directory, &case.host.sid).await?,
        accounts: found.into_iter().filter_map(|entry| Some((entry.sid("objectSid")?, entry))).collect(),
        now: clock.unwrap_or_else(|| cx.environment.clock.now()),
        hosts,
        delegates,
        affected,
        case,
        warnings,
    })
}

/// What passes is tried again; anything else leaves a gap that is told.
fn told<T: Default>(read: Result<T, StepError>, warnings: &mut Vec<String>) -> Result<T, StepError> {
    match read {
        Err(StepError::Fail(problem) | StepError::Park(problem)) => {
            warnings.push(format!("the blast radius is not complete: {}", problem.message));
            Ok(T::default())
        }
        other => other,
    }
}

/// Who else reads, by each SID that a list lets in.
async fn readers(
    dc: &dyn DirectoryRead,
    case: &Case,
    accounts: &[Entry],
) -> Result<HashMap<Sid, Vec<String>>, StepError> {
    let sids: std::collections::BTreeSet<_> = accounts.iter().flat_map(allowed).collect();
    let known = principals::by_sid(dc, sids.iter().cloned()).await?;
    let domain = domain_of(dc).await?;
    let mut hosts = HashMap::new();
    for sid in sids {
        let found = match known.get(&sid) {
            _ if sid == case.host.sid => Vec::new(),
            Some(found) => of_principal(dc, &domain, case, &sid, found).await?,
            None => {
                vec![format!("whoever holds {}", case.ways.of(&sid).trim_start_matches("as a member of "))]
            }
        };
        hosts.insert(sid, found);
    }
    Ok(hosts)
}

fn allowed(account: &Entry) -> Vec<Sid> {
    let entries = inspect::readers(account).unwrap_or_default();
    entries.into_iter().filter(|entry| entry.effect == Effect::Allow).map(|entry| entry.sid).collect()
}

async fn of_principal(
    dc: &dyn DirectoryRead,
    domain: &Dn,
    case: &Case,
    sid: &Sid,
    found: &Principal,
) -> Result<Vec<String>, StepError> {
    match found.kind {
        PrincipalKind::Group { .. } if sid.rid().is_none_or(|rid| rid < FIRST_OWN) => {
            Ok(vec![format!("every member of {}", found.dn)])
        }
        PrincipalKind::Group { .. } => {
            let members = principals::computers_of(dc, domain, &found.dn, Some(sid)).await?;
            let others = members.into_iter().filter(|member| member.sid.as_ref() != Some(&case.host.sid));
            Ok(first(others.map(|member| member.name).collect(), &found.dn))
        }
        _ => Ok(vec![host_name(found.sam_account_name.as_deref(), &found.dn)]),
    }
}

fn first(mut names: Vec<String>, group: &Dn) -> Vec<String> {
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    if more > 0 {
        names.push(format!("and {more} more in {group}"));
    }
    names
}

fn contained(observed: &Observed, one: &Affected) -> ContainedAccount {
    let entry = observed.accounts.get(&one.sid);
    let keys = entry.map(keys).unwrap_or_default();
    let denied = observed.denials.iter().find(|denial| denial.account_sid == one.sid);
    let denied = denied.map_or(observed.now, |denial| denial.written_at);
    ContainedAccount {
        account: one.account.clone(),
        dn: entry.map_or_else(|| one.dn.clone(), |entry| entry.dn.clone()),
        sid: one.sid.clone(),
        farm: one.farm.clone(),
        paths: paths(&observed.case, one),
        service_principal_names: entry.map(|entry| entry.texts(SPNS)).unwrap_or_default(),
        delegation: entry.map(|entry| delegation(entry, &observed.delegates)).unwrap_or_default(),
        member_of: entry.map(|entry| entry.dns("memberOf")).unwrap_or_default(),
        other_hosts: other_hosts(observed, one, entry),
        exposure: exposure(&keys, denied, observed.now),
    }
}

fn keys(entry: &Entry) -> Keys {
    let bytes = |name: &str| entry.bytes(name).map(<[u8]>::to_vec);
    Keys {
        current: bytes("msDS-ManagedPasswordId"),
        previous: bytes("msDS-ManagedPasswordPreviousId"),
        interval_days: entry.int("msDS-ManagedPasswordInterval"),
    }
}

fn paths(case: &Case, one: &Affected) -> Vec<String> {
    let mut paths: Vec<_> = one.by.iter().map(|sid| case.ways.of(sid)).collect();
    paths.extend(one.depends.as_ref().map(|why| format!("perhaps: {why}")));
    if paths.is_empty() {
        paths.push(match one.standing {
            Standing::Denied => "denied before; nothing else lets it in any more".to_owned(),
            _ => "on record as a host of the farm; its list did not let it in any more".to_owned(),
        });
    }
    paths
}

fn other_hosts(observed: &Observed, one: &Affected, entry: Option<&Entry>) -> Vec<String> {
    let allowed = entry.map(allowed).unwrap_or_default();
    let read = allowed.iter().filter_map(|sid| observed.hosts.get(sid)).flatten().cloned();
    let recorded = one.farm.as_ref().and_then(|farm| observed.recorded.get(farm));
    let mut hosts: Vec<String> = read.collect();
    let known = |hosts: &[String], name: &str| {
        let bare = name.trim_end_matches('$');
        hosts.iter().any(|host| host.eq_ignore_ascii_case(bare))
    };
    for name in recorded.into_iter().flatten() {
        if !known(&hosts, name) {
            hosts.push(name.trim_end_matches('$').to_owned());
        }
    }
    hosts.sort();
    hosts.dedup();
    hosts
}

/// What a holder of the password could do in the name of others.
fn delegation(entry: &Entry, names: &HashMap<Sid, Principal>) -> Vec<String> {
    let control = entry.int(CONTROL).unwrap_or_default();
    let mut told = Vec::new();
    if control & TRUSTED_FOR_DELEGATION != 0 {
        told.push("unconstrained: it may act for whoever logs on to its services, anywhere".to_owned());
    }
    let targets = entry.texts("msDS-AllowedToDelegateTo");
    if !targets.is_empty() {
        let how = match control & TRUSTED_TO_AUTH_FOR_DELEGATION {
            0 => "it may act for whoever logs on to its services",
            _ => "it may act for any user, without that user's logon,",
        };
        told.push(format!("constrained: {how} at {}", targets.join(", ")));
    }
    let name = |sid: &Sid| {
        names.get(sid).map_or_else(|| sid.to_string(), |p| host_name(p.sam_account_name.as_deref(), &p.dn))
    };
    let by: Vec<_> = inspect::delegate_sids(entry).iter().map(name).collect();
    if !by.is_empty() {
        told.push(format!("resource-based: {} may act for users at it", by.join(", ")));
    }
    if control & NOT_DELEGATED != 0 {
        told.push("the account itself is sensitive and cannot be delegated".to_owned());
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::contain::testing::{case, copy};
    use crate::steps::testing::{dn, sid};

    fn entry(attributes: &[(&str, &[&str])]) -> Entry {
        let values = |list: &[&str]| list.iter().map(|value| value.as_bytes().to_vec()).collect();
        Entry::new(
            copy("One", 1301, &[]).dn,
            attributes.iter().map(|(name, list)| ((*name).to_owned(), values(list))),
        )
    }

    #[test]
    fn delegation_is_told_by_what_it_lets_somebody_do() {
        let told = |control: i64, to: &[&str]| {
            delegation(
                &entry(&[(CONTROL, &[&control.to_string()]), ("msDS-AllowedToDelegateTo", to)]),
                &HashMap::new(),
            )
        };
        assert!(told(4096, &[]).is_empty());
        assert!(told(4096 | TRUSTED_FOR_DELEGATION, &[])[0].starts_with("unconstrained"));
        let constrained = told(4096 | TRUSTED_TO_AUTH_FOR_DELEGATION, &["cifs/fs1"]);
        assert!(
            constrained[0].contains("without that user's logon") && constrained[0].ends_with("at cifs/fs1")
        );
        assert!(told(4096, &["cifs/fs1"])[0].contains("whoever logs on"));
    }

    #[test]
    fn other_hosts_are_those_of_the_list_and_those_on_record_once_each() {
        let case = case();
        let farm = case.affected[0].farm.clone().expect("a farm");
        let account = copy("One", 1301, &[sid(1200), sid(1105)]);
        let observed = Observed {
            affected: case.affected.clone(),
            now: DateTime::UNIX_EPOCH,
            accounts: HashMap::new(),
            hosts: [(sid(1200), vec!["Host2".to_owned()]), (sid(1105), vec!["Host5".into()])].into(),
            recorded: [(farm, vec!["host2$".to_owned(), "Host3".into()])].into(),
            delegates: HashMap::new(),
            denials: vec![],
            warnings: vec![],
            case,
        };
        assert_eq!(
            other_hosts(&observed, &observed.affected[0], Some(&account)),
            ["Host2", "Host3", "Host5"]
        );
        assert_eq!(first((0..120).map(|n| n.to_string()).collect(), &dn("CN=G,DC=x")).len(), NAMED + 1);
    }

    #[test]
    fn an_account_that_is_gone_still_counts_as_one_that_could_be_read() {
        let case = case();
        let observed = Observed {
            affected: case.affected.clone(),
            now: DateTime::UNIX_EPOCH,
            accounts: HashMap::new(),
            hosts: HashMap::new(),
            recorded: HashMap::new(),
            delegates: HashMap::new(),
            denials: vec![],
            warnings: vec![],
            case,
        };
        let told = contained(&observed, &observed.affected[0]);
        assert_eq!((told.account.as_str(), told.exposure.ends_at), ("One$", None));
        assert_eq!(told.paths, ["as a member of S-1-5-21-1-2-3-1200"]);
    }
}
