//! `preflight` of an update: whether a standing farm can become what the changed manifest asks for.
//!
//! Read only. Its output is that of a deploy's preflight, so that the steps behind it are the same,
//! with what has to go besides.

use std::collections::HashSet;

use async_trait::async_trait;
use directory::preflight::{self, Principal, PrincipalKind, Rights, SpnOwner};
use directory::security::{Effect, ReaderDescriptor};
use directory::{Base, DirectoryRead, Entry};
use domain::{Dn, ErrorCode, FarmSpec, MembershipMode, Problem, Sid};
use serde::{Deserialize, Serialize};
use store::{FarmFacts, Quarantined};

use super::observe::{seen_group, seen_hosts};
use super::report::{self, Report};
use super::{
    AccountTarget, GroupTarget, HostTarget, NAME, PreflightOutput, account, group, hosts, rights, summary,
};
use crate::quarantine::is_quarantined;
use crate::steps::find_farm::{self, FarmOutput};
use crate::steps::gmsa::diff::{account_changes, new_spns};
use crate::steps::gmsa::{self, READERS, Reader};
use crate::steps::outputs::to_value;
use crate::steps::{principals, quarantine, update_account};
use crate::{Step, StepContext, StepError, StepPlan, Verified};

const ACCOUNT: &str = "spec.account";
const MEMBERSHIP: &str = "spec.membership";

/// Output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpdateTargets {
    #[serde(flatten)]
    pub targets: PreflightOutput,
    /// Whom the reader list names for the farm so far and no longer.
    pub withdrawn: Vec<Reader>,
    /// Hosts that leave the group that the farm keeps.
    pub gone: Vec<HostTarget>,
    /// Hosts that read by an old way so far and are to read through a group that is new to them: that
    /// takes new tickets.
    pub need_tickets: Vec<HostTarget>,
    /// The group that the farm leaves; it stays as it is.
    pub left_group: Option<Dn>,
}

/// What was read.
pub struct Observed {
    domain: Dn,
    usual_container: Option<Dn>,
    account: Entry,
    rights: Option<Rights>,
    spns: Vec<SpnOwner>,
    hosts: Vec<hosts::Seen>,
    group: Option<group::Seen>,
    /// The hosts on record, as far as they are there.
    old_hosts: Vec<HostTarget>,
    lost_hosts: Vec<String>,
    quarantined: Vec<Quarantined>,
    domain_controllers: Vec<String>,
}

#[derive(Debug)]
pub struct PreflightUpdate;

#[async_trait]
impl Step for PreflightUpdate {
    type Observed = Observed;

    fn name(&self) -> &'static str {
        NAME
    }

    async fn check(&self, cx: &StepContext) -> Result<Observed, StepError> {
        observe(cx, &cx.input()?, cx.facts()?).await
    }

    fn plan(&self, cx: &StepContext, observed: &Observed) -> Result<StepPlan, StepError> {
        let spec: FarmSpec = cx.input()?;
        let (output, report) = judge(&spec, cx.facts()?, observed);
        let output = match (report.into_error(cx.environment.clock.now()), output) {
            (Some(error), _) => return Err(error),
            (None, Some(output)) => output,
            (None, None) => return Err(report::no_target()),
        };
        Ok(StepPlan::nothing(summary(&output.targets), to_value(&output)?))
    }

    async fn verify(&self, _: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        Ok(Verified { output: plan.expected.clone(), detail: plan.detail.clone() })
    }
}

async fn observe(cx: &StepContext, spec: &FarmSpec, facts: &FarmFacts) -> Result<Observed, StepError> {
    let farm: FarmOutput = cx.output(find_farm::NAME)?;
    let dc: &dyn DirectoryRead = cx.dc().await?.as_ref();
    let account = update_account::read(cx).await?;
    let catalog = cx.forest()?.global_catalog().await?;
    let aliases = preflight::spn_aliases(dc).await?;
    let asked = new_spns(&spec.account, &account);
    let spns = preflight::spn_owners(catalog.as_ref(), &aliases, &asked, Some(&account.dn)).await?;
    let well_known = Base::WellKnown { guid: Base::MANAGED_SERVICE_ACCOUNTS, domain: farm.domain.clone() };
    let usual_container = dc.read(&well_known, &["objectClass"]).await?.map(|entry| entry.dn);
    let found = principals::by_reference(dc, &facts.spec.hosts, &farm.domain).await?;
    let computers = found.iter().map(|found| found.as_ref().and_then(computer));
    let lost = facts.spec.hosts.iter().zip(computers.clone()).filter(|(_, found)| found.is_none());
    Ok(Observed {
        usual_container,
        rights: preflight::rights_on(dc, &account.dn).await?,
        account,
        spns,
        hosts: seen_hosts(dc, &spec.hosts, &farm.domain).await?,
        group: seen_group(dc, spec, &farm.domain).await?,
        quarantined: cx.quarantined().await?,
        lost_hosts: lost.map(|(host, _)| host.to_string()).collect(),
        old_hosts: computers.flatten().collect(),
        domain: farm.domain,
        domain_controllers: farm.domain_controllers,
    })
}

fn computer(found: &Principal) -> Option<HostTarget> {
    let name = principals::host_name(found.sam_account_name.as_deref(), &found.dn);
    let found = Some(found).filter(|found| found.kind == PrincipalKind::Computer)?;
    Some(HostTarget { name, dn: found.dn.clone(), sid: found.sid.clone()?, dns_host_name: None })
}

fn judge(spec: &FarmSpec, facts: &FarmFacts, seen: &Observed) -> (Option<UpdateTargets>, Report) {
    let mut report = Report::new(spec.warnings());
    fixed(spec, facts, seen, &mut report);
    let hosts = hosts::judge("spec.hosts", &spec.hosts, &seen.hosts, &seen.domain, &mut report);
    quarantine::judge("spec.hosts", &spec.hosts, &seen.hosts, &seen.quarantined, &mut report);
    let group = seen.group.as_ref().map(|seen| group::judge(spec, seen, &hosts, &mut report));
    account::spn_conflicts(spec, &seen.spns, &mut report);
    let disabled =
        seen.account.int(gmsa::fields::CONTROL).is_some_and(|bits| bits & gmsa::fields::DISABLED != 0);
    if disabled && spec.account.enabled.is_none() {
        report.warn("the account is disabled, and stays so: spec.account.enabled says nothing");
    }
    for host in &seen.lost_hosts {
        report.warn(format!("{host} was a host of the farm and is no computer of the domain any more"));
    }
    let Some(group) = group.map_or(Some(None), |found| found.map(Some)) else { return (None, report) };
    let moves = Moves::of(spec, facts, group.as_ref(), &hosts, &seen.old_hosts);
    writable(spec, facts, seen, &moves, &mut report);
    fits(spec, seen, group.as_ref(), &hosts, &mut report);
    others(facts, seen, &moves, &mut report);
    let container = seen.account.dn.parent().unwrap_or_else(|| seen.domain.clone());
    let targets = PreflightOutput {
        domain: seen.domain.clone(),
        container,
        account: AccountTarget { dn: seen.account.dn.clone(), exists: true },
        group,
        hosts,
        domain_controllers: seen.domain_controllers.clone(),
        warnings: report.warnings().to_vec(),
    };
    let Moves { withdrawn, gone, need_tickets, left_group, .. } = moves;
    (Some(UpdateTargets { targets, withdrawn, gone, need_tickets, left_group }), report)
}

/// What an account keeps for its life, and what others have to change.
fn fixed(spec: &FarmSpec, facts: &FarmFacts, seen: &Observed, report: &mut Report) {
    let refused = ErrorCode::UpdateRefused;
    let (asked, farm) = (&spec.account, &spec.name);
    let sam = seen.account.text("sAMAccountName").unwrap_or_default();
    if !asked.sam_account_name.sam_account_name().eq_ignore_ascii_case(sam) {
        let message = format!("the account is called {sam}; an update does not rename it");
        let hint = format!(
            "take samAccountName back; for another name, rebuild the account with `farmhand replace {farm}`"
        );
        report.fail(refused, format!("{ACCOUNT}.samAccountName"), message, hint);
    }
    if spec.directory != facts.spec.directory {
        let message = format!("the farm is in the directory {}", facts.spec.directory);
        let hint = "take directory back; deploy a new farm in the other directory";
        report.fail(refused, "spec.directory", message, hint);
    }
    let stands = seen.account.dn.parent();
    let wanted = match (&asked.container, &facts.spec.account.container) {
        (Some(container), _) => Some(container),
        // Left out since the farm was recorded there: the usual one is asked for.
        (None, Some(_)) => seen.usual_container.as_ref(),
        (None, None) => None,
    };
    if wanted.is_some_and(|wanted| stands.as_ref() != Some(wanted)) {
        let stands = stands.as_ref().map_or_else(String::new, ToString::to_string);
        let message = format!("the account is in {stands}; an update does not move it");
        let hint =
            "take container back, or move the account with Move-ADObject first: the farm is known by its SID";
        report.fail(refused, format!("{ACCOUNT}.container"), message, hint);
    }
    let (days, has) =
        (asked.managed_password_interval_in_days.days(), seen.account.int("msDS-ManagedPasswordInterval"));
    if has != Some(days.into()) {
        let has = has.map_or_else(|| "unknown".to_owned(), |has| format!("{has} days"));
        let message = format!("{days} days are asked for; the account has {has}, and no DC changes that");
        let hint = format!(
            "take the interval back, or rebuild the account: `farmhand replace {farm} --interval {days}`"
        );
        report.fail(
            ErrorCode::IntervalFixed,
            format!("{ACCOUNT}.managedPasswordIntervalInDays"),
            message,
            hint,
        );
    }
}

/// Who comes, who goes.
struct Moves {
    /// Entries of the reader list that have to come.
    new_readers: Vec<Option<Sid>>,
    withdrawn: Vec<Reader>,
    gone: Vec<HostTarget>,
    need_tickets: Vec<HostTarget>,
    left_group: Option<Dn>,
}

impl Moves {
    fn of(
        spec: &FarmSpec,
        facts: &FarmFacts,
        group: Option<&GroupTarget>,
        hosts: &[HostTarget],
        old_hosts: &[HostTarget],
    ) -> Self {
        let reader = |host: &HostTarget| Reader { name: host.name.clone(), sid: host.sid.clone() };
        let new: Vec<Option<Sid>> = match spec.membership.mode {
            MembershipMode::Group => vec![group.and_then(|group| group.sid.clone())],
            MembershipMode::Direct => hosts.iter().map(|host| Some(host.sid.clone())).collect(),
        };
        let old: Vec<Reader> = match (facts.spec.membership.mode, &facts.group_sid, &facts.group_dn) {
            (MembershipMode::Group, Some(sid), Some(dn)) => {
                vec![Reader { name: dn.rdn().value.clone(), sid: sid.clone() }]
            }
            (MembershipMode::Group, ..) => Vec::new(),
            (MembershipMode::Direct, ..) => old_hosts.iter().map(reader).collect(),
        };
        let withdrawn: Vec<_> =
            old.iter().filter(|old| !new.contains(&Some(old.sid.clone()))).cloned().collect();
        let same_group = group.is_some_and(|group| group.sid.is_some() && group.sid == facts.group_sid)
            && facts.spec.membership.mode == MembershipMode::Group;
        let kept: HashSet<&Sid> = hosts.iter().map(|host| &host.sid).collect();
        let gone = old_hosts.iter().filter(|old| same_group && !kept.contains(&old.sid)).cloned().collect();
        let through_a_new_group = spec.membership.mode == MembershipMode::Group && !same_group;
        let was_host = |host: &&HostTarget| old_hosts.iter().any(|old| old.sid == host.sid);
        let need_tickets =
            hosts.iter().filter(|host| through_a_new_group && was_host(host)).cloned().collect();
        let left_group = facts
            .group_dn
            .clone()
            .filter(|_| facts.spec.membership.mode == MembershipMode::Group && !same_group);
        Self { new_readers: new, withdrawn, gone, need_tickets, left_group }
    }
}

/// Whether we may write what will have to be written, as the DC says.
fn writable(spec: &FarmSpec, facts: &FarmFacts, seen: &Observed, moves: &Moves, report: &mut Report) {
    let Some(has) = &seen.rights else { return };
    let mut attributes: Vec<String> = account_changes(&facts.spec.account, &spec.account, &seen.account)
        .into_iter()
        .map(|change| change.attribute)
        .collect();
    let readers = seen.account.bytes(READERS).and_then(|bytes| ReaderDescriptor::from_bytes(bytes).ok());
    let readers = readers.map(|readers| readers.readers()).unwrap_or_default();
    let is_there = |sid: &Option<Sid>| sid.as_ref().is_some_and(|sid| readers.contains(sid));
    let goes = moves.withdrawn.iter().any(|old| readers.contains(&old.sid));
    if goes || moves.new_readers.iter().any(|new| !is_there(new)) {
        attributes.push(READERS.to_owned());
    }
    for attribute in attributes.iter().filter(|attribute| !has.can_write(attribute)) {
        let dn = &seen.account.dn;
        let field = if attribute == READERS { MEMBERSHIP } else { ACCOUNT };
        rights::missing(
            report,
            field,
            &format!("write {attribute} of {dn}"),
            rights::write_attribute(dn, attribute),
        );
    }
    if let (Some(group::Seen::Standing { principal, may_write: false, members, .. }), false) =
        (&seen.group, moves.gone.is_empty())
        && moves.gone.iter().any(|host| members.contains(&host.dn))
    {
        let what = format!("write the members of {}", principal.dn);
        rights::missing(report, "spec.hosts", &what, rights::write_members(&principal.dn));
    }
}

/// Entries that neither the record nor the manifest speaks of stay, and are told of.
fn others(facts: &FarmFacts, seen: &Observed, moves: &Moves, report: &mut Report) {
    let bytes = seen.account.bytes(READERS).and_then(|bytes| ReaderDescriptor::from_bytes(bytes).ok());
    for entry in bytes.map(|readers| readers.entries()).unwrap_or_default() {
        let denied = entry.effect == Effect::Deny;
        let is_foreign = facts.foreign_readers.iter().any(|f| f.sid == entry.sid && f.denied == denied);
        let is_asked = moves.new_readers.contains(&Some(entry.sid.clone()));
        let is_old = moves.withdrawn.iter().any(|old| old.sid == entry.sid);
        // Why a quarantined host is denied is known.
        let is_contained = denied && is_quarantined(&seen.quarantined, &entry.sid);
        if !is_foreign && !is_contained && (denied || !(is_asked || is_old)) {
            let verb = if denied { "keeps" } else { "lets" };
            let rest = if denied { "from reading" } else { "read" };
            report.warn(format!(
                "the reader list {verb} {} {rest}, which neither the record nor the manifest speaks of: the entry stays",
                entry.sid
            ));
        }
    }
}

/// Whether the reader list holds the new readers beside the old ones.
fn fits(
    spec: &FarmSpec,
    seen: &Observed,
    group: Option<&GroupTarget>,
    hosts: &[HostTarget],
    report: &mut Report,
) {
    let sids: Vec<&Sid> = match spec.membership.mode {
        MembershipMode::Group => group.and_then(|group| group.sid.as_ref()).into_iter().collect(),
        MembershipMode::Direct => hosts.iter().map(|host| &host.sid).collect(),
    };
    let edit = |readers: &mut ReaderDescriptor| {
        for sid in &sids {
            readers.allow(sid);
        }
    };
    if let Err(error) = gmsa::change_readers(&seen.account, |_| None, edit) {
        let Problem { code, message, hint, .. } = error.problem();
        report.fail(*code, "spec.hosts", message, hint);
    }
}

#[cfg(test)]
mod tests {
    use domain::{EncryptionTypes, ManagedPasswordInterval};

    use super::*;
    use crate::steps::testing::{self, dn, host, sid};

    fn facts() -> FarmFacts {
        FarmFacts {
            spec: testing::spec(),
            account_dn: testing::wanted().dn,
            account_sid: sid(1300),
            group_dn: Some(testing::group_output().dn),
            group_sid: Some(sid(1200)),
            group_made: false,
            foreign_readers: vec![],
        }
    }
    fn seen() -> Observed {
        let found = |name: &str| hosts::Seen::Found(testing::principal(name, PrincipalKind::Computer));
        let principal = |host: HostTarget| match found(&host.name) {
            hosts::Seen::Found(found) => {
                hosts::Seen::Found(Principal { sid: Some(host.sid), dn: host.dn, ..found })
            }
            other => other,
        };
        let all =
            [gmsa::fields::CONTROL, gmsa::fields::ENCRYPTION, "description", READERS, "servicePrincipalName"];
        Observed {
            domain: dn("DC=contoso,DC=com"),
            usual_container: testing::wanted().dn.parent(),
            account: testing::account(&[]),
            rights: Some(testing::rights(
                &[],
                &all.map(|name| name.to_lowercase()).each_ref().map(String::as_str),
            )),
            spns: vec![],
            hosts: vec![principal(host("Host1")), principal(host("Host2"))],
            group: Some(group::Seen::Standing {
                principal: testing::group(),
                privileged: false,
                may_write: true,
                members: [host("Host1").dn, host("Host2").dn].into(),
            }),
            old_hosts: vec![host("Host1"), host("Host2")],
            lost_hosts: vec![],
            quarantined: vec![],
            domain_controllers: vec!["dc1".into()],
        }
    }
    fn judged(
        spec: &FarmSpec,
        facts: &FarmFacts,
        seen: &Observed,
    ) -> (UpdateTargets, Vec<(ErrorCode, String)>) {
        let (output, report) = judge(spec, facts, seen);
        let fields = report.fields().into_iter().map(|(code, field)| (code, field.to_owned())).collect();
        (output.expect("targets"), fields)
    }

    #[test]
    fn the_same_manifest_moves_nobody() {
        let (output, findings) = judged(&testing::spec(), &facts(), &seen());
        assert_eq!(findings, []);
        assert!(output.withdrawn.is_empty() && output.gone.is_empty() && output.need_tickets.is_empty());
        assert_eq!((output.left_group, output.targets.hosts.len()), (None, 2));
    }

    #[test]
    fn what_an_account_keeps_for_life_is_refused_with_the_way_out() {
        let mut spec = testing::spec();
        spec.account.sam_account_name = domain::AccountName::parse("Other").expect("valid");
        spec.account.container = Some(dn("OU=Elsewhere,DC=contoso,DC=com"));
        spec.account.managed_password_interval_in_days =
            ManagedPasswordInterval::from_days(31).expect("valid");
        spec.directory = domain::DirectoryName::parse("other").expect("valid");
        let (_, report) = judge(&spec, &facts(), &seen());
        let fields: Vec<_> = report.fields().iter().map(|(_, field)| field.to_string()).collect();
        assert_eq!(
            fields,
            [
                "spec.account.samAccountName",
                "spec.directory",
                "spec.account.container",
                "spec.account.managedPasswordIntervalInDays"
            ]
        );
        assert_eq!(report.fields()[3].0, ErrorCode::IntervalFixed);
        let error = report.into_error(chrono::DateTime::UNIX_EPOCH).expect("refused");
        assert!(error.problem().hint.contains("farmhand replace ITFarm1 --interval 31"), "{error:?}");
    }

    #[test]
    fn a_container_that_is_left_out_is_the_usual_one() {
        let mut before = facts();
        before.spec.account.container = Some(dn("OU=Elsewhere,DC=contoso,DC=com"));
        assert_eq!(judged(&testing::spec(), &before, &seen()).1, [], "it stands in the usual one");
        let moved = Observed { usual_container: Some(dn("OU=Usual,DC=contoso,DC=com")), ..seen() };
        let refused = [(ErrorCode::UpdateRefused, "spec.account.container".to_owned())];
        assert_eq!(judged(&testing::spec(), &before, &moved).1, refused);
    }

    #[test]
    fn missing_rights_are_told_for_what_would_be_written_only() {
        let poor = Observed { rights: Some(testing::rights(&[], &[])), ..seen() };
        assert_eq!(judged(&testing::spec(), &facts(), &poor).1, []);
        let mut spec = testing::spec();
        spec.account.kerberos_encryption_types = EncryptionTypes::parse(["AES256"]).expect("valid");
        spec.membership.mode = MembershipMode::Direct;
        spec.membership.group = None;
        let poor = Observed { group: None, ..poor };
        let missing = |field: &str| (ErrorCode::RightsMissing, field.to_owned());
        assert_eq!(judged(&spec, &facts(), &poor).1, [missing(ACCOUNT), missing(MEMBERSHIP)]);
    }

    #[test]
    fn entries_that_nobody_speaks_of_stay_and_are_told() {
        let mut readers = ReaderDescriptor::allowing([&sid(1200), &sid(500)]);
        readers.deny(&sid(1101));
        let list = vec![readers.to_bytes().expect("fits")];
        let now = Observed { account: testing::account(&[(READERS, list)]), ..seen() };
        let (output, findings) = judged(&testing::spec(), &facts(), &now);
        assert_eq!(findings, []);
        let told = output.targets.warnings.join("; ");
        assert!(
            told.contains("keeps S-1-5-21-1-2-3-1101 from") && told.contains("lets S-1-5-21-1-2-3-500"),
            "{told}"
        );
    }

    #[test]
    fn hosts_that_leave_the_manifest_leave_the_group() {
        let mut spec = testing::spec();
        spec.hosts.truncate(1);
        let now = Observed { hosts: seen().hosts.into_iter().take(1).collect(), ..seen() };
        let (output, findings) = judged(&spec, &facts(), &now);
        assert_eq!((output.gone, findings), (vec![host("Host2")], vec![]));
        assert!(output.withdrawn.is_empty());
    }

    #[test]
    fn a_switch_takes_the_old_way_out_and_knows_who_needs_new_tickets() {
        let mut direct = testing::spec();
        (direct.membership.mode, direct.membership.group) = (MembershipMode::Direct, None);
        let (output, _) = judged(&direct, &facts(), &Observed { group: None, ..seen() });
        assert_eq!(output.withdrawn, [testing::reader("ITFarmHosts", 1200)]);
        assert_eq!((output.need_tickets.len(), output.left_group), (0, Some(testing::group_output().dn)));

        let before = FarmFacts { spec: direct, group_dn: None, group_sid: None, ..facts() };
        let (output, _) = judged(&testing::spec(), &before, &seen());
        assert_eq!(output.withdrawn.iter().map(|r| r.name.as_str()).collect::<Vec<_>>(), ["Host1", "Host2"]);
        assert_eq!((output.need_tickets.len(), output.left_group, output.gone.len()), (2, None, 0));
    }
}
