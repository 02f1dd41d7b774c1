//! `preflight-hosts` of `remove-host`: what lets each host in, before anything is taken away.

use std::collections::HashSet;

use async_trait::async_trait;
use directory::preflight::rights_on;
use directory::security::ReaderDescriptor;
use directory::{DirectoryRead, Entry};
use domain::{Dn, ErrorCode, Mode, PrincipalRef, Sid};
use serde::{Deserialize, Serialize};

use super::{Named, PREFLIGHT, account, standing_members};
use crate::steps::find_farm::{self, FarmOutput};
use crate::steps::gmsa;
use crate::steps::members::{Members, Standing};
use crate::steps::outputs::{count, list, to_value};
use crate::steps::preflight::hosts::{self, Seen};
use crate::steps::preflight::report::Report;
use crate::steps::preflight::{HostTarget, rights};
use crate::{Step, StepContext, StepError, StepPlan, Verified};

/// Output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeavingOutput {
    /// In the order of the request, each once.
    pub hosts: Vec<Leaving>,
    /// The record's names for them.
    pub off_record: Vec<PrincipalRef>,
    pub warnings: Vec<String>,
}

/// A host that leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Leaving {
    /// Its account name, or what the request calls a host that is gone.
    pub name: String,
    /// `None`: gone, and known by name only.
    pub sid: Option<Sid>,
    /// `None`: there is no such computer any more.
    pub computer: Option<HostTarget>,
    /// It was in the farm's group before this workflow.
    pub group: Standing,
    /// The reader list named it itself before this workflow.
    pub listed: bool,
    /// The farm's record named it before this workflow.
    pub on_record: bool,
}

impl Leaving {
    /// Something let it in, or it was thought to be in.
    pub fn was_in(&self) -> bool {
        self.group != Standing::Absent || self.listed || self.on_record
    }
}

#[derive(Debug)]
pub struct PreflightLeaving;

/// What was read.
pub struct Observed {
    farm: FarmOutput,
    named: Named,
    readers: Option<ReaderDescriptor>,
    may_write_readers: bool,
    members: Members,
    may_write_members: bool,
}

#[async_trait]
impl Step for PreflightLeaving {
    type Observed = Observed;

    fn name(&self) -> &'static str {
        PREFLIGHT
    }

    async fn check(&self, cx: &StepContext) -> Result<Observed, StepError> {
        let farm: FarmOutput = cx.output(find_farm::NAME)?;
        let dc: &dyn DirectoryRead = cx.dc().await?.as_ref();
        let (named, account): (_, Entry) =
            futures::try_join!(Named::read(cx, dc, &farm), account(dc, &farm))?;
        let may_write = async |dn, attribute| {
            let rights = rights_on(dc, dn).await?;
            Ok::<_, StepError>(rights.is_some_and(|rights| rights.can_write(attribute)))
        };
        let (members, may_write_members) = match &farm.group {
            None => (Members::default(), true),
            Some(group) => {
                (standing_members(dc, &farm.domain, group).await?, may_write(&group.dn, "member").await?)
            }
        };
        let readers = gmsa::readers_of(&account)?;
        let may_write_readers = may_write(&account.dn, gmsa::READERS).await?;
        Ok(Observed { farm, named, readers, may_write_readers, members, may_write_members })
    }

    fn plan(&self, cx: &StepContext, observed: &Observed) -> Result<StepPlan, StepError> {
        let (mut output, mut report) = judge(observed);
        let stuck: Vec<_> = output.hosts.iter().filter(|host| host.group == Standing::PrimaryGroup).collect();
        if let Some(problem) = primary_group(observed, &stuck) {
            match cx.mode {
                Mode::Plan => report.warn(problem.clone().problem().message.clone()),
                Mode::Apply if report.is_clean() => return Err(problem),
                Mode::Apply => {}
            }
        }
        output.warnings = report.warnings().to_vec();
        match report.into_error(cx.environment.clock.now()) {
            Some(error) => Err(error),
            None => Ok(StepPlan::nothing(summary(&output), to_value(&output)?)),
        }
    }

    async fn verify(&self, _: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        Ok(Verified { output: plan.expected.clone(), detail: plan.detail.clone() })
    }
}

/// A DC refuses to take a computer out of its primary group.
fn primary_group(observed: &Observed, stuck: &[&Leaving]) -> Option<StepError> {
    let group = observed.farm.group.as_ref()?;
    let names: Vec<_> = stuck.iter().map(|host| &host.name).collect();
    let first = names.first()?;
    Some(StepError::park(
        ErrorCode::HostStillReads,
        format!("{} is the primary group of {}: a DC takes no host out of that", group.dn, list(&names)),
        format!(
            "give each another primary group (`Set-ADComputer {first} -Replace @{{primaryGroupID=515}}` for Domain \
             Computers; it stays an ordinary member of the old one), then resume the workflow. Nothing was written"
        ),
    ))
}

/// The hosts with what lets them in, and everything that speaks against going on.
fn judge(observed: &Observed) -> (LeavingOutput, Report) {
    let Observed { farm, named, readers, members, .. } = observed;
    let mut report = Report::default();
    let listed: HashSet<_> = readers.iter().flat_map(ReaderDescriptor::readers).collect();
    let (mut hosts, mut known) = (Vec::<Leaving>::new(), HashSet::new());
    for (at, (asked, seen)) in named.asked.iter().zip(&named.seen).enumerate() {
        let field = format!("hosts[{at}]");
        let Some(host) = one(named, asked, seen, &listed, farm, &field, &mut report) else { continue };
        let group = host.computer.as_ref().map_or(Standing::Absent, |host| members.standing(&host.dn));
        let key = host.sid.as_ref().map_or_else(|| asked.key(), Sid::to_string);
        match known.insert(key) {
            true => hosts.push(Leaving { group, ..host }),
            false => report.warn(format!("{field}: {asked} is listed before")),
        }
    }
    judge_rights(observed, &hosts, &mut report);
    warn_of_the_last(observed, &hosts, &mut report);
    let leaves = |(recorded, sid): &(&PrincipalRef, &Option<Sid>)| {
        let same = |host: &Leaving| match sid {
            Some(sid) => host.sid.as_ref() == Some(sid),
            None => host.means(recorded),
        };
        hosts.iter().any(same)
    };
    let off_record = named
        .recorded
        .iter()
        .zip(&named.known)
        .filter(leaves)
        .map(|(recorded, _)| recorded.clone())
        .collect();
    (LeavingOutput { hosts, off_record, warnings: Vec::new() }, report)
}

impl Leaving {
    /// Whether a name on record that leads to nothing any more is this host's.
    fn means(&self, recorded: &PrincipalRef) -> bool {
        match (recorded, &self.sid) {
            (PrincipalRef::Sid(recorded), Some(sid)) => recorded == sid,
            _ => PrincipalRef::parse(&self.name).is_ok_and(|name| name.key() == recorded.key()),
        }
    }
}

/// One host of the request. One that is gone can still be on record or in the reader list; a name
/// that leads nowhere at all is taken for a slip.
fn one(
    named: &Named,
    asked: &PrincipalRef,
    seen: &Seen,
    listed: &HashSet<Sid>,
    farm: &FarmOutput,
    field: &str,
    report: &mut Report,
) -> Option<Leaving> {
    let gone = Leaving {
        name: asked.to_string(),
        sid: None,
        computer: None,
        group: Standing::Absent,
        listed: false,
        on_record: false,
    };
    if let Seen::Found(_) = seen {
        let computer = hosts::one(asked, seen, &farm.domain, field, report)?;
        return Some(Leaving {
            name: computer.name.clone(),
            sid: Some(computer.sid.clone()),
            listed: listed.contains(&computer.sid),
            on_record: named.is_recorded(&computer),
            computer: Some(computer),
            ..gone
        });
    }
    let on_record = named.recorded.iter().zip(&named.known);
    let on_record =
        on_record.into_iter().any(|(recorded, known)| known.is_none() && recorded.key() == asked.key());
    match asked {
        PrincipalRef::Sid(sid) => {
            if !on_record && !listed.contains(sid) {
                report.warn(format!("{field}: no computer has the SID {sid}, and the farm does not know it"));
            }
            Some(Leaving { sid: Some(sid.clone()), listed: listed.contains(sid), on_record, ..gone })
        }
        PrincipalRef::Name(_) | PrincipalRef::Dn(_) if on_record => Some(Leaving { on_record, ..gone }),
        PrincipalRef::Name(_) | PrincipalRef::Dn(_) => {
            let message = format!(
                "there is no host {asked} in the domain {}, nor on the farm's record",
                farm.domain.domain()
            );
            let hint = "correct the name; a host whose account is deleted can be named by its SID";
            report.fail(ErrorCode::HostNotFound, field, message, hint);
            None
        }
    }
}

fn judge_rights(observed: &Observed, hosts: &[Leaving], report: &mut Report) {
    let Observed { farm, may_write_members, may_write_readers, .. } = observed;
    if let Some(group) = &farm.group
        && !may_write_members
        && hosts.iter().any(|host| host.group == Standing::Member)
    {
        let what = format!("write the members of {}", group.dn);
        rights::missing(report, "hosts", &what, rights::write_members(&group.dn));
    }
    if !may_write_readers && hosts.iter().any(|host| host.listed) {
        let what = format!("write the reader list of {}", farm.account.dn);
        rights::missing(report, "hosts", &what, rights::write_readers(&farm.account.dn));
    }
}

fn warn_of_the_last(observed: &Observed, hosts: &[Leaving], report: &mut Report) {
    let Observed { farm, readers, members, .. } = observed;
    if !hosts.iter().any(Leaving::was_in) {
        return;
    }
    let leaves =
        |dn: &Dn| hosts.iter().any(|host| host.computer.as_ref().is_some_and(|computer| computer.dn == *dn));
    let gone: HashSet<_> = hosts.iter().filter_map(|host| host.sid.clone()).collect();
    let last = match farm.group {
        Some(_) => members.named.iter().chain(&members.primary).all(leaves),
        None => readers.iter().flat_map(ReaderDescriptor::readers).all(|sid| gone.contains(&sid)),
    };
    if last {
        report.warn(
            "no host is left in the farm: a gMSA that nobody reads never rolls its password. Add a host, or \
             decommission the farm",
        );
    }
}

fn summary(output: &LeavingOutput) -> String {
    let leaving: Vec<_> = output.hosts.iter().filter(|host| host.was_in()).map(|host| &host.name).collect();
    let mut text = match leaving.len() {
        0 => format!("none of {} is in the farm", count(output.hosts.len(), "host")),
        number => format!("{} to leave: {}", count(number, "host"), list(&leaving)),
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
    use directory::preflight::{Principal, PrincipalKind};

    use super::*;
    use crate::steps::testing::{self, dn, farm_output, host, principal, sid};

    fn computer(name: &str) -> Seen {
        let kind = PrincipalKind::Computer;
        let found = Principal {
            sid: Some(host(name).sid),
            dn: host(name).dn,
            ..principal(&format!("{name}$"), kind)
        };
        Seen::Found(found)
    }
    /// On record: Host1, Host2, and Old, which is gone. In the group: Host1 to Host3, Host9 by its primary group.
    fn observed(asked: &[&str], seen: Vec<Seen>) -> Observed {
        let parse =
            |names: &[&str]| names.iter().map(|name| PrincipalRef::parse(name).expect("valid")).collect();
        let known = vec![Some(host("Host1").sid), Some(host("Host2").sid), None];
        Observed {
            farm: farm_output(true),
            named: Named {
                asked: parse(asked),
                seen,
                recorded: parse(&["Host1", "CN=Host2,DC=x", "Old"]),
                known,
            },
            readers: Some(ReaderDescriptor::allowing([&sid(1200), &sid(4711)])),
            may_write_readers: true,
            members: Members {
                named: ["Host1", "Host2", "Host3"].map(|name| host(name).dn).into(),
                primary: [host("Host9").dn].into(),
            },
            may_write_members: true,
        }
    }

    #[test]
    fn a_host_leaves_by_whatever_lets_it_in_and_by_every_spelling_on_record() {
        let asked = ["host1$", "Host2", "Host3", "Host4", "OLD$", "S-1-5-21-1-2-3-4711"];
        let seen = vec![
            computer("Host1"),
            computer("Host2"),
            computer("Host3"),
            computer("Host4"),
            Seen::Nothing,
            Seen::Nothing,
        ];
        let (output, report) = judge(&observed(&asked, seen));
        assert!(report.fields().is_empty(), "{:?}", report.fields());
        let told: Vec<_> =
            output.hosts.iter().map(|host| (host.group, host.listed, host.on_record)).collect();
        use Standing::{Absent, Member};
        let expected = [
            (Member, false, true),
            (Member, false, true),
            (Member, false, false),
            (Absent, false, false),
            (Absent, false, true),
            (Absent, true, false),
        ];
        assert_eq!(told, expected);
        let off: Vec<_> = output.off_record.iter().map(ToString::to_string).collect();
        assert_eq!(off, ["Host1", "CN=Host2,DC=x", "Old"]);
        assert_eq!(report.warnings().len(), 0, "Host9 stays: {:?}", report.warnings());
    }

    #[test]
    fn a_name_that_leads_nowhere_is_a_slip_and_a_gmsa_is_no_host() {
        let gmsa = Seen::Found(principal("X$", PrincipalKind::Gmsa));
        let asked = ["Hots1", "X", "CN=H,DC=other,DC=com"];
        let (_, report) = judge(&observed(&asked, vec![Seen::Nothing, gmsa, Seen::OtherDomain]));
        let expected = [
            (ErrorCode::HostNotFound, "hosts[0]"),
            (ErrorCode::HostNotComputer, "hosts[1]"),
            (ErrorCode::HostNotFound, "hosts[2]"),
        ];
        assert_eq!(report.fields(), expected);
    }

    #[test]
    fn a_host_of_the_primary_group_is_for_a_person_before_anything_is_written() {
        let observed = observed(&["Host9"], vec![computer("Host9")]);
        let mut cx = testing::context();
        let planned = PreflightLeaving.plan(&cx, &observed).expect("a dry run goes on");
        assert!(planned.detail.contains("primary group"), "{}", planned.detail);
        cx.mode = Mode::Apply;
        let error = PreflightLeaving.plan(&cx, &observed).expect_err("parks");
        assert!(
            matches!(&error, StepError::Park(problem) if problem.hint.contains("primaryGroupID=515")),
            "{error:?}"
        );
    }

    #[test]
    fn the_last_host_may_leave_and_is_warned_about() {
        let mut all = observed(&["Host1"], vec![computer("Host1")]);
        all.members =
            Members { named: [dn("cn=host1,ou=servers,dc=contoso,dc=com")].into(), primary: [].into() };
        assert!(judge(&all).1.warnings()[0].contains("never rolls"));
        let mut direct = observed(&["S-1-5-21-1-2-3-4711"], vec![Seen::Nothing]);
        direct.farm.group = None;
        direct.readers = Some(ReaderDescriptor::allowing([&sid(4711)]));
        assert!(judge(&direct).1.warnings()[0].contains("never rolls"));
    }

    #[test]
    fn rights_are_wanted_only_where_something_is_to_be_taken() {
        for (name, missing) in [("Host1", 1), ("Host4", 0)] {
            let observed = Observed { may_write_members: false, ..observed(&[name], vec![computer(name)]) };
            assert_eq!(judge(&observed).1.fields().len(), missing, "{name}");
        }
    }
}
