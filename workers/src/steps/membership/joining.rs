//! `preflight-hosts` of `add-host`: whether all hosts can join, before anything is written.

use std::collections::HashSet;

use async_trait::async_trait;
use directory::preflight::{Principal, principal_at, rights_on};
use directory::security::{Access, ReaderDescriptor};
use directory::{DirectoryRead, Entry};
use domain::{ErrorCode, PrincipalRef};
use serde::{Deserialize, Serialize};
use store::Quarantined;

use super::{Named, PREFLIGHT, account, standing_members};
use crate::quarantine::is_quarantined;
use crate::steps::ensure_group::GroupOutput;
use crate::steps::find_farm::{self, FarmOutput};
use crate::steps::members::{Members, Standing};
use crate::steps::outputs::{count, list, to_value};
use crate::steps::preflight::hosts::{self, Seen};
use crate::steps::preflight::report::Report;
use crate::steps::preflight::{HostTarget, rights};
use crate::steps::{gmsa, group, quarantine};
use crate::{Step, StepContext, StepError, StepPlan, Verified};

/// Output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JoiningOutput {
    /// In the order of the request, each once.
    pub hosts: Vec<Joining>,
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Joining {
    #[serde(flatten)]
    pub host: HostTarget,
    /// How it stood to the farm's group or reader list before this workflow.
    pub found: Standing,
    /// The farm's record named it before this workflow.
    pub on_record: bool,
}

impl JoiningOutput {
    pub fn targets(&self) -> Vec<HostTarget> {
        self.hosts.iter().map(|joining| joining.host.clone()).collect()
    }

    /// The record's names for the hosts that it did not have.
    pub fn new_on_record(&self) -> impl Iterator<Item = PrincipalRef> {
        let new = self.hosts.iter().filter(|joining| !joining.on_record);
        new.map(|Joining { host, .. }| {
            PrincipalRef::parse(&host.name).unwrap_or_else(|_| PrincipalRef::Sid(host.sid.clone()))
        })
    }
}

#[derive(Debug)]
pub struct PreflightJoining;

/// What was read.
pub struct Observed {
    farm: FarmOutput,
    named: Named,
    account: Entry,
    readers: Option<ReaderDescriptor>,
    place: Place,
    quarantined: Vec<Quarantined>,
}

/// Where the hosts are to be entered, and whether we may.
enum Place {
    Readers { may_write: bool },
    Group(Box<GroupSeen>),
}

struct GroupSeen {
    group: GroupOutput,
    principal: Principal,
    /// adminCount: it is, or once was, protected as an administrators' group.
    privileged: bool,
    may_write: bool,
    members: Members,
}

#[async_trait]
impl Step for PreflightJoining {
    type Observed = Observed;

    fn name(&self) -> &'static str {
        PREFLIGHT
    }

    async fn check(&self, cx: &StepContext) -> Result<Observed, StepError> {
        let farm: FarmOutput = cx.output(find_farm::NAME)?;
        let dc: &dyn DirectoryRead = cx.dc().await?.as_ref();
        let (named, account, quarantined) =
            futures::try_join!(Named::read(cx, dc, &farm), account(dc, &farm), cx.quarantined())?;
        let readers = gmsa::readers_of(&account)?;
        let may_write = async |dn, attribute| {
            let rights = rights_on(dc, dn).await?;
            Ok::<_, StepError>(rights.is_some_and(|rights| rights.can_write(attribute)))
        };
        let place = match &farm.group {
            None => Place::Readers { may_write: may_write(&account.dn, gmsa::READERS).await? },
            Some(group) => {
                let may_write = may_write(&group.dn, "member").await?;
                Place::Group(Box::new(group_seen(dc, &farm, group, may_write).await?))
            }
        };
        Ok(Observed { farm, named, account, readers, place, quarantined })
    }

    fn plan(&self, cx: &StepContext, observed: &Observed) -> Result<StepPlan, StepError> {
        let (output, report) = judge(observed);
        if let Some(error) = report.into_error(cx.environment.clock.now()) {
            return Err(error);
        }
        if observed.farm.group.is_none() {
            // A list that they do not fit into is known now.
            super::ensure_membership::new_readers(&observed.farm, &observed.account, &output.targets())?;
        }
        Ok(StepPlan::nothing(summary(&output), to_value(&output)?))
    }

    async fn verify(&self, _: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        Ok(Verified { output: plan.expected.clone(), detail: plan.detail.clone() })
    }
}

async fn group_seen(
    dc: &dyn DirectoryRead,
    farm: &FarmOutput,
    group: &GroupOutput,
    may_write: bool,
) -> Result<GroupSeen, StepError> {
    let principal = principal_at(dc, &(&group.dn).into()).await?.ok_or_else(|| {
        StepError::fail(
            ErrorCode::GroupNotFound,
            format!("the group {} is not there any more", group.dn),
            "deploy the farm again to make a new one",
        )
    })?;
    let entry = dc.read(&(&group.dn).into(), &["adminCount"]).await?;
    let privileged = entry.and_then(|entry| entry.int("adminCount")).is_some_and(|count| count > 0);
    let members = standing_members(dc, &farm.domain, group).await?;
    Ok(GroupSeen { group: group.clone(), principal, privileged, may_write, members })
}

/// The hosts with how they stand, and everything that speaks against going on.
fn judge(observed: &Observed) -> (JoiningOutput, Report) {
    let Observed { farm, named, readers, place, quarantined, .. } = observed;
    let mut report = Report::default();
    let fit = hosts::judge("hosts", &named.asked, &named.seen, &farm.domain, &mut report);
    quarantine::judge("hosts", &named.asked, &named.seen, quarantined, &mut report);
    judge_denied(named, readers.as_ref(), quarantined, &mut report);
    let listed: HashSet<_> = readers.iter().flat_map(ReaderDescriptor::readers).collect();
    let found = |host: &HostTarget| match place {
        Place::Group(seen) => seen.members.standing(&host.dn),
        Place::Readers { .. } if listed.contains(&host.sid) => Standing::Member,
        Place::Readers { .. } => Standing::Absent,
    };
    let hosts: Vec<_> = fit
        .into_iter()
        .map(|host| Joining { found: found(&host), on_record: named.is_recorded(&host), host })
        .collect();
    let absent = hosts.iter().any(|joining| joining.found == Standing::Absent);
    match place {
        Place::Readers { may_write: false } if absent => {
            let what = format!("write the reader list of {}", farm.account.dn);
            rights::missing(&mut report, "hosts", &what, rights::write_readers(&farm.account.dn));
        }
        Place::Readers { .. } => {}
        Place::Group(seen) => judge_group(seen, readers.as_ref(), absent, &mut report),
    }
    (JoiningOutput { hosts, warnings: report.warnings().to_vec() }, report)
}

/// Somebody keeps these hosts from reading on purpose. Letting them in again is not for an addition.
fn judge_denied(
    named: &Named,
    readers: Option<&ReaderDescriptor>,
    quarantined: &[Quarantined],
    report: &mut Report,
) {
    let mut denied: HashSet<_> = readers.iter().flat_map(|readers| readers.denied()).collect();
    // Of these it is known who denies them, and it has been said.
    denied.retain(|sid| !is_quarantined(quarantined, sid));
    for (at, (asked, seen)) in named.asked.iter().zip(&named.seen).enumerate() {
        if let Seen::Found(found) = seen
            && found.sid.as_ref().is_some_and(|sid| denied.contains(sid))
        {
            report.fail(
                ErrorCode::HostDenied,
                format!("hosts[{at}]"),
                format!("the account's reader list denies {asked} by an entry of its own"),
                "such an entry contains a compromised host: find out who set it and why; once the host is known to \
                 be clean, take the entry away, then add the host again",
            );
        }
    }
}

fn judge_group(seen: &GroupSeen, readers: Option<&ReaderDescriptor>, absent: bool, report: &mut Report) {
    let GroupSeen { group, principal, privileged, may_write, .. } = seen;
    if let Some(reason) = group::unsuitable(principal) {
        let message = format!("{} cannot hold the farm's hosts: {reason}", group.dn);
        report.fail(
            ErrorCode::GroupUnsuitable,
            "hosts",
            message,
            "make it a security group again, or update the farm to another group",
        );
    }
    if *privileged {
        report.warn(format!("{} is a privileged group: the hosts get its rights as its members", group.dn));
    }
    if !may_write && absent {
        let what = format!("write the members of {}", group.dn);
        rights::missing(report, "hosts", &what, rights::write_members(&group.dn));
    }
    let lets_in =
        group.sid.as_ref().zip(readers).map(|(sid, readers)| readers.may_read(std::slice::from_ref(sid)));
    if lets_in != Some(Access::Granted) {
        report.warn(format!(
            "the account's reader list does not let {} read the password: its members cannot read it either",
            group.dn
        ));
    }
}

fn summary(output: &JoiningOutput) -> String {
    let (new, there): (Vec<_>, Vec<_>) =
        output.hosts.iter().partition(|joining| joining.found == Standing::Absent);
    let names =
        |hosts: &[&Joining]| list(&hosts.iter().map(|joining| &joining.host.name).collect::<Vec<_>>());
    let mut text = match (new.len(), there.len()) {
        (0, _) => format!("{} in already: {}", count(there.len(), "host"), names(&there)),
        (_, 0) => format!("{} to join: {}", count(new.len(), "host"), names(&new)),
        (_, known) => format!("{} to join: {}; {known} in already", count(new.len(), "host"), names(&new)),
    };
    if !output.warnings.is_empty() {
        text.push_str(&format!(
            "; {}: {}",
            count(output.warnings.len(), "warning"),
            output.warnings.join("; ")
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use directory::preflight::{GroupScope, PrincipalKind};
    use domain::Sid;

    use super::*;
    use crate::steps::testing::records::FakeRecords;
    use crate::steps::testing::{self, farm_output, group_output, host, principal, sid};

    fn computer(name: &str) -> Principal {
        Principal {
            sid: Some(host(name).sid),
            dn: host(name).dn,
            ..principal(&format!("{name}$"), PrincipalKind::Computer)
        }
    }
    fn named(asked: &[&str], seen: Vec<Seen>, known: &[&str]) -> Named {
        let parse =
            |names: &[&str]| names.iter().map(|name| PrincipalRef::parse(name).expect("valid")).collect();
        let sids = known.iter().map(|name| Some(host(name).sid)).collect();
        Named { asked: parse(asked), seen, recorded: parse(known), known: sids }
    }
    fn in_group(members: &[&str], may_write: bool) -> Place {
        Place::Group(Box::new(GroupSeen {
            group: group_output(),
            principal: testing::group(),
            privileged: false,
            may_write,
            members: Members {
                named: members.iter().map(|name| host(name).dn).collect(),
                primary: [host("Host9").dn].into(),
            },
        }))
    }
    fn observed(named: Named, place: Place, readers: &[Sid]) -> Observed {
        Observed {
            farm: farm_output(matches!(place, Place::Group(_))),
            named,
            account: testing::account(&[]),
            readers: Some(ReaderDescriptor::allowing(readers)),
            place,
            quarantined: vec![],
        }
    }

    #[test]
    fn each_host_is_told_by_how_it_stands() {
        let seen = ["Host1", "Host2", "Host9"].map(|name| Seen::Found(computer(name))).into();
        let named = named(&["Host1", "host2$", "Host9"], seen, &["Host1"]);
        let (output, report) = judge(&observed(named, in_group(&["Host1"], true), &[sid(1200)]));
        let found: Vec<_> = output.hosts.iter().map(|joining| (joining.found, joining.on_record)).collect();
        let expected = [(Standing::Member, true), (Standing::Absent, false), (Standing::PrimaryGroup, false)];
        assert_eq!(found, expected);
        assert!(report.fields().is_empty() && report.warnings().is_empty());
        let new: Vec<_> = output.new_on_record().map(|host| host.to_string()).collect();
        assert_eq!(new, ["Host2", "Host9"]);
    }

    #[test]
    fn whatever_stands_in_the_way_is_said_at_once_by_its_place() {
        let gmsa = Seen::Found(principal("X$", PrincipalKind::Gmsa));
        let seen = vec![Seen::Found(computer("Host1")), Seen::Nothing, gmsa, Seen::OtherDomain];
        let asked = ["Host1", "Nobody", "X", "CN=H,DC=other,DC=com"];
        let (_, report) = judge(&observed(named(&asked, seen, &[]), in_group(&[], false), &[sid(1200)]));
        let expected = [
            (ErrorCode::HostNotFound, "hosts[1]"),
            (ErrorCode::HostNotComputer, "hosts[2]"),
            (ErrorCode::HostNotFound, "hosts[3]"),
            (ErrorCode::RightsMissing, "hosts"),
        ];
        assert_eq!(report.fields(), expected);
    }

    #[test]
    fn a_host_that_is_denied_by_name_does_not_join() {
        for place in [in_group(&["Host1"], true), Place::Readers { may_write: true }] {
            let named = named(&["Host1"], vec![Seen::Found(computer("Host1"))], &["Host1"]);
            let mut observed = observed(named, place, &[sid(1200)]);
            observed.readers.as_mut().expect("a list").deny(&host("Host1").sid);
            assert_eq!(judge(&observed).1.fields(), [(ErrorCode::HostDenied, "hosts[0]")]);
        }
    }

    #[test]
    fn a_host_under_quarantine_does_not_join_and_that_is_all_that_is_said_of_it() {
        let records = FakeRecords::default();
        records.place("Host1", &host("Host1").sid, &host("Host1").dn);
        let named = named(&["Host1"], vec![Seen::Found(computer("Host1"))], &["Host1"]);
        let mut observed = observed(named, in_group(&[], true), &[sid(1200)]);
        observed.readers.as_mut().expect("a list").deny(&host("Host1").sid);
        observed.quarantined = records.lock().quarantines.clone();
        assert_eq!(judge(&observed).1.fields(), [(ErrorCode::HostQuarantined, "hosts[0]")]);
    }

    #[test]
    fn rights_are_wanted_only_where_something_is_to_be_written() {
        let there = || named(&["Host1"], vec![Seen::Found(computer("Host1"))], &[]);
        let readers = |may_write| Place::Readers { may_write };
        for (place, listed, missing) in [
            (in_group(&["Host1"], false), sid(1200), 0),
            (in_group(&[], false), sid(1200), 1),
            (readers(false), host("Host1").sid, 0),
            (readers(false), host("Host2").sid, 1),
            (readers(true), host("Host2").sid, 0),
        ] {
            let (_, report) = judge(&observed(there(), place, &[listed]));
            assert_eq!(report.fields().len(), missing);
        }
    }

    #[test]
    fn a_group_that_gives_no_access_is_refused_or_warned_about() {
        let there = || named(&["Host1"], vec![Seen::Found(computer("Host1"))], &[]);
        let (_, report) = judge(&observed(there(), in_group(&[], true), &[sid(1)]));
        assert!(report.warnings()[0].contains("does not let"), "{:?}", report.warnings());
        let Place::Group(mut seen) = in_group(&[], true) else { panic!("a group") };
        seen.principal.kind = PrincipalKind::Group { security: false, scope: GroupScope::Global };
        seen.privileged = true;
        let (_, report) = judge(&observed(there(), Place::Group(seen), &[sid(1200)]));
        assert_eq!(report.fields(), [(ErrorCode::GroupUnsuitable, "hosts")]);
        assert!(report.warnings()[0].contains("privileged"));
    }
}
