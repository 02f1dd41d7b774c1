//! `deny-on-record`: the host is found, and denied on the farms on record, on every DC at once.
//!
//! The step that everything hurries for: until its writes are acknowledged the host reads
//! passwords. So the host and the record are asked for side by side, then on each DC the accounts
//! and, as soon as the host is known, its groups; nothing is read that the denial does not need, and
//! nothing but the intent is made durable before it. A DC that is late goes without, and so may one
//! that is new within minutes; later steps ask for the DCs anew and see to them.

use std::time::Duration;

use async_trait::async_trait;
use directory::Entry;
use domain::request::CompromiseRequest;
use domain::{ErrorCode, FarmName, Sid, Write};
use serde::{Deserialize, Serialize};
use store::{Farm, NewQuarantine, Quarantined};
use tokio::sync::OnceCell;

use super::accounts;
use super::affected::{Affected, Candidate, Found, in_scope, on_record, survey};
use super::deny::{Names, Open, denials};
use super::host::{self, Host};
use super::reach::{self, AT_ONCE, Away, Survey};
use super::token::{self, HostCopy, as_token, union};
use super::wrote::{DeniedAt, NotTaken, denied_at, note_denials};

use crate::steps::outputs::{count, list, to_value};
use crate::steps::ways::Ways;
use crate::{Step, StepContext, StepError, StepPlan, Verified};

pub const NAME: &str = "deny-on-record";

/// For the first denial the DCs will do as they were named so long ago at most: the urgent lane, which
/// keeps its connections warm, asks for them every four minutes.
const KNOWN: Duration = Duration::from_secs(300);

/// Output: the case, as all later steps know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Case {
    pub host: Host,
    /// Everything that a new logon of it holds, by all DCs together: a ticket of one DC counts on
    /// another.
    pub token: Vec<Sid>,
    /// How the groups of the token lay in each other before the host left any.
    pub ways: Ways,
    /// Another computer account of this name is under quarantine.
    pub rebuilt_from: Option<Sid>,
    /// The farms that were asked for; empty: whatever it can read.
    pub only: Vec<FarmName>,
    pub affected: Vec<Affected>,
    /// DCs that were written to or needed no write.
    pub domain_controllers: Vec<String>,
    pub away: Vec<Away>,
    pub denied: Vec<DeniedAt>,
    pub not_taken: Vec<NotTaken>,
    pub warnings: Vec<String>,
}

impl Case {
    /// Names for the entries of reader lists.
    pub fn names(&self) -> Names {
        self.ways.names().chain([(self.host.sid.clone(), self.host.name.clone())]).collect()
    }
}

/// Finds the host and denies it on the farms on record.
#[derive(Debug)]
pub struct DenyOnRecord;

pub struct Observed {
    host: Host,
    token: Vec<Sid>,
    only: Vec<FarmName>,
    candidates: Vec<Candidate>,
    copies: Vec<(String, Vec<Entry>)>,
    away: Vec<Away>,
    names: Names,
    warnings: Vec<String>,
}

#[async_trait]
impl Step for DenyOnRecord {
    type Observed = Observed;

    fn name(&self) -> &'static str {
        NAME
    }

    fn is_kept(&self) -> bool {
        true
    }

    async fn check(&self, cx: &StepContext) -> Result<Observed, StepError> {
        let request: CompromiseRequest = cx.input()?;
        let host = OnceCell::new();
        let find = || host.get_or_try_init(|| found(cx, &request));
        // The accounts on record are the same whichever host is meant: nothing waits for its name.
        let seen = async {
            let (dcs, farms) = tokio::try_join!(dcs(cx), farms(cx))?;
            let accounts: Vec<_> =
                in_scope(&farms, &request.farms).map(|(_, facts)| facts.account_sid.clone()).collect();
            let seen = reach::each(cx, dcs, Some(AT_ONCE), |dc| {
                let accounts = &accounts;
                async move {
                    let dc = dc.as_ref();
                    let host = async { token::read(dc, &find().await?.sid).await };
                    tokio::try_join!(host, accounts::by_sid(dc, accounts, &accounts::ATTRIBUTES))
                }
            });
            let seen = seen.await?;
            Ok((farms, seen))
        };
        let (host, (farms, seen)) = tokio::try_join!(find(), seen)?;
        let candidates = candidates(&farms, host, &request.farms)?;
        observed(host.clone(), &request, candidates, seen)
    }

    fn plan(&self, _: &StepContext, observed: &Observed) -> Result<StepPlan, StepError> {
        let Observed { host, token, copies, names, .. } = observed;
        let Found { affected, warnings } = survey(copies, host, token, &observed.candidates);
        let planned = denials(copies, &affected, host, names);
        let case = Case {
            warnings: [observed.warnings.clone(), warnings, impossible(&planned.impossible)].concat(),
            host: host.clone(),
            token: token.clone(),
            ways: Ways::default(),
            rebuilt_from: None,
            only: observed.only.clone(),
            affected,
            domain_controllers: copies.iter().map(|(dc, _)| dc.clone()).collect(),
            away: observed.away.clone(),
            denied: Vec::new(),
            not_taken: Vec::new(),
        };
        let detail = told(&case, planned.changes.len());
        Ok(StepPlan::new(planned.changes, detail, to_value(&case)?).independent())
    }

    async fn verify(&self, cx: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        let mut case: Case = from(plan)?;
        note_denials(cx, &case.host, &case.affected).await?;
        // After the host is denied and before anything takes it out of a group.
        let (quarantined, ways, _) =
            tokio::try_join!(quarantine(cx, &case.host), ways(cx, &case), read_back(cx, &case))?;
        case.rebuilt_from = rebuilt_from(&quarantined, &case.host);
        case.ways = ways;
        case.denied = denied_at(cx.written());
        case.not_taken = cx.refused().iter().map(NotTaken::of).collect();
        let detail = format!("{}; under quarantine", plan.detail);
        Ok(Verified { output: to_value(&case)?, detail })
    }

    async fn undo(&self, _: &StepContext, _: &[Write]) -> Result<(), StepError> {
        Ok(())
    }
}

async fn found(cx: &StepContext, request: &CompromiseRequest) -> Result<Host, StepError> {
    host::find(cx.dc().await?.as_ref(), request).await
}

async fn dcs(cx: &StepContext) -> Result<Vec<String>, StepError> {
    let forest = cx.forest()?;
    let dcs = match forest.known_writable_dcs(KNOWN) {
        Some(known) => known,
        None => forest.writable_dcs().await?,
    };
    Ok(dcs.into_iter().map(|dc| dc.name).collect())
}

async fn farms(cx: &StepContext) -> Result<Vec<Farm>, StepError> {
    Ok(cx.records()?.deployed_farms(&cx.directory).await?)
}

/// A farm that was asked for and is not on record is a slip that must not look like a containment.
fn candidates(farms: &[Farm], host: &Host, asked: &[FarmName]) -> Result<Vec<Candidate>, StepError> {
    let unknown: Vec<_> =
        asked.iter().filter(|name| farms.iter().all(|farm| farm.name.key() != name.key())).collect();
    if unknown.is_empty() {
        return Ok(on_record(farms, host, asked));
    }
    Err(StepError::fail(
        ErrorCode::FarmNotDeployed,
        format!("no deployed farm {} is on record", list(&unknown)),
        "name farms on record, or none: then the host is cut off from everything that it can read. Nothing was \
         written",
    ))
}

/// The host and the accounts on record, as one DC shows them.
type OnDc = (Option<HostCopy>, Vec<Entry>);
type Seen = Survey<OnDc>;

fn observed(
    mut host: Host,
    request: &CompromiseRequest,
    candidates: Vec<Candidate>,
    seen: Seen,
) -> Result<Observed, StepError> {
    let (mut token, mut warnings) = (token::token(&host.sid, []), Vec::new());
    let mut copies = Vec::new();
    for (dc, (copy, accounts)) in seen.seen {
        match copy {
            Some(copy) => {
                host.domain_controller |= host::is_controller(copy.control);
                if copy.pieced_together {
                    warnings.push(format!("tokenGroups of {} is not to be seen on {dc}", host.dn));
                }
                token = union(token.into_iter().chain(copy.token));
            }
            None => warnings.push(format!("{dc} does not know {}", host.dn)),
        }
        copies.push((dc, accounts));
    }
    host::allowed(&host, request.force.as_deref())?;
    warnings.extend(gone(&candidates, &copies));
    let names = names(&host, &candidates);
    let only = request.farms.clone();
    Ok(Observed { host, token, only, candidates, copies, away: seen.away, names, warnings })
}

/// Accounts on record that no DC has.
fn gone(candidates: &[Candidate], copies: &[(String, Vec<Entry>)]) -> Vec<String> {
    let found: std::collections::HashSet<_> =
        copies.iter().flat_map(|(_, entries)| entries).filter_map(|entry| entry.sid("objectSid")).collect();
    let gone = candidates.iter().filter(|one| !found.contains(&one.known.sid));
    gone.map(|one| format!("the account {} of a farm on record is not there any more", one.known.dn))
        .collect()
}

fn names(host: &Host, candidates: &[Candidate]) -> Names {
    let groups = candidates.iter().filter_map(|one| one.known.group.clone());
    let farms = candidates.iter().filter_map(|one| one.known.farm.as_ref());
    let group_names = groups.zip(farms).map(|(group, farm)| (group, format!("the group of farm {farm}")));
    group_names.chain([(host.sid.clone(), host.name.clone())]).collect()
}

fn impossible(open: &[Open]) -> Vec<String> {
    open.iter().map(|open| format!("no deny entry on {} for {}: {}", open.dc, open.dn, open.why)).collect()
}

fn told(case: &Case, writes: usize) -> String {
    let Case { host, affected, domain_controllers, away, .. } = case;
    let mut told = match affected.len() {
        0 => format!("{} ({}) can read no gMSA of a farm on record", host.name, host.sid),
        number => {
            let names: Vec<_> = affected.iter().map(|one| &one.account).collect();
            let entries = match writes {
                0 => "denied already".to_owned(),
                writes => format!("denied with {}", count(writes, "write")),
            };
            format!("{} ({}) and {}: {}; {entries}", host.name, host.sid, count(number, "gMSA"), list(&names))
        }
    };
    told.push_str(&format!(" on {}", list(domain_controllers)));
    if !away.is_empty() {
        let away: Vec<_> = away.iter().map(|away| format!("{} ({})", away.dc, away.why)).collect();
        told.push_str(&format!("; without {}", list(&away)));
    }
    told
}

/// The case as a plan or an output holds it.
fn from(plan: &StepPlan) -> Result<Case, StepError> {
    super::parsed(&plan.expected)
}

async fn quarantine(cx: &StepContext, host: &Host) -> Result<Vec<Quarantined>, StepError> {
    let records = cx.records()?;
    let new = NewQuarantine {
        directory: cx.directory.clone(),
        host_sid: host.sid.clone(),
        host_name: host.name.clone(),
        computer_dn: host.dn.clone(),
        workflow: cx.workflow_id,
        placed_by: cx.requested_by().to_owned(),
        reason: cx.reason().map(str::to_owned),
    };
    records.quarantine(&new, cx.environment.clock.now()).await?;
    Ok(records.quarantined(&cx.directory).await?)
}

fn rebuilt_from(quarantined: &[Quarantined], host: &Host) -> Option<Sid> {
    let same =
        |one: &&Quarantined| one.host_name.eq_ignore_ascii_case(&host.name) && one.host_sid != host.sid;
    quarantined.iter().find(same).map(|one| one.host_sid.clone())
}

/// How the host came in: a matter for people, so that it stops nothing.
async fn ways(cx: &StepContext, case: &Case) -> Result<Ways, StepError> {
    let read = async {
        let dc = reach::any(cx).await?;
        Ways::read(dc, &as_token(&case.host.sid, &case.token)).await
    };
    Ok(read.await.unwrap_or_default())
}

/// Reads back. What a DC refused is no surprise, and the step that insists has it again.
async fn read_back(cx: &StepContext, case: &Case) -> Result<(), StepError> {
    super::read_back(cx, &case.host, &case.affected, case.domain_controllers.clone()).await
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use domain::{PrincipalRef, WorkflowId};

    use super::*;
    use crate::steps::contain::testing::{copy, farm, host};
    use crate::steps::testing::{context, sid};

    fn request(farms: &[&str]) -> CompromiseRequest {
        CompromiseRequest {
            host: PrincipalRef::Name("Host1".into()),
            farms: farms.iter().map(|name| FarmName::parse(name).expect("a name")).collect(),
            keep_computer_enabled: false,
            force: None,
        }
    }
    fn host_copy(control: i64) -> Option<HostCopy> {
        let token = token::token(&sid(1101), [sid(1200), sid(515)]);
        Some(HostCopy { dn: host().dn, control: Some(control), token, pieced_together: false })
    }
    fn seen(seen: Vec<(&str, OnDc)>) -> Seen {
        Survey {
            seen: seen.into_iter().map(|(dc, seen)| (dc.to_owned(), seen)).collect(),
            away: vec![Away { dc: "dc3".into(), why: "no route".into() }],
        }
    }

    #[test]
    fn one_plan_denies_on_every_dc_that_answered_and_names_the_others() {
        let farms = [farm("One", 1301, &["Host1"]), farm("Two", 1302, &[])];
        let candidates = on_record(&farms, &host(), &[]);
        let both = || vec![copy("One", 1301, &[sid(1200)]), copy("Two", 1302, &[sid(9)])];
        let seen = seen(vec![("dc1", (host_copy(4096), both())), ("dc2", (None, both()))]);
        let observed = observed(host(), &request(&[]), candidates, seen).expect("allowed");
        let plan = DenyOnRecord.plan(&context(), &observed).expect("a plan");
        let writes = plan.changes.iter();
        let writes: Vec<_> = writes
            .map(|change| (change.dc.as_deref().unwrap_or(""), change.dn.rdn().value.as_str()))
            .collect();
        assert_eq!(writes, [("dc1", "One"), ("dc2", "One")]);
        assert!(plan.independent, "one that is refused must not stop the next");
        assert!(plan.detail.contains("without dc3 (no route)"), "{}", plan.detail);
        let case: Case = from(&plan).expect("a case");
        assert_eq!(case.affected.len(), 1);
        assert!(
            case.warnings.iter().any(|warning| warning.contains("dc2 does not know")),
            "{:?}",
            case.warnings
        );
    }

    #[test]
    fn a_host_that_reads_nothing_needs_no_write() {
        let observed =
            observed(host(), &request(&[]), vec![], seen(vec![("dc1", (host_copy(4096), vec![]))]));
        let plan = DenyOnRecord.plan(&context(), &observed.expect("allowed")).expect("a plan");
        assert!(plan.changes.is_empty() && plan.detail.contains("can read no gMSA"), "{}", plan.detail);
    }

    #[test]
    fn a_domain_controller_is_recognised_by_the_bits_that_any_dc_shows() {
        let error =
            observed(host(), &request(&[]), vec![], seen(vec![("dc1", (host_copy(0x82000), vec![]))]));
        let error = error.map(drop).expect_err("refused");
        assert_eq!(error.problem().code, ErrorCode::HostIsDomainController);
    }

    #[test]
    fn a_farm_that_is_not_on_record_is_refused_before_anything_is_written() {
        let farms = [farm("One", 1301, &[])];
        let error = candidates(&farms, &host(), &request(&["Onne"]).farms).expect_err("refused");
        assert_eq!(error.problem().code, ErrorCode::FarmNotDeployed);
        assert_eq!(candidates(&farms, &host(), &request(&["ONE"]).farms).expect("known").len(), 1);
    }

    #[test]
    fn an_account_that_is_gone_is_a_warning() {
        let candidates = on_record(&[farm("One", 1301, &["Host1"])], &host(), &[]);
        let observed =
            observed(host(), &request(&[]), candidates, seen(vec![("dc1", (host_copy(4096), vec![]))]));
        let observed = observed.expect("allowed");
        assert!(observed.warnings[0].contains("not there any more"), "{:?}", observed.warnings);
        assert!(DenyOnRecord.plan(&context(), &observed).expect("a plan").changes.is_empty());
    }

    #[test]
    fn a_rebuilt_host_bears_the_name_of_one_under_quarantine() {
        let at = DateTime::from_timestamp(1, 0).expect("a time");
        let quarantined = |name: &str, rid| Quarantined {
            id: uuid::Uuid::nil(),
            directory: Default::default(),
            host_sid: sid(rid),
            host_name: name.into(),
            computer_dn: host().dn,
            workflow: WorkflowId::new(at, &domain::SystemRng),
            placed_by: "a test".into(),
            reason: None,
            placed_at: at,
            computer_disabled: true,
            released: None,
        };
        let list = [quarantined("Host2", 1), quarantined("HOST1", 1101), quarantined("host1", 77)];
        assert_eq!(rebuilt_from(&list, &host()), Some(sid(77)));
        assert_eq!(rebuilt_from(&list[..2], &host()), None);
    }
}
