//! Whether the account can be made as asked, or already stands so.

use directory::Entry;
use directory::preflight::{NameUser, SpnOwner};
use domain::farm::ForeignReader;
use domain::{Dn, ErrorCode, FarmSpec, MembershipMode};

use super::report::Report;
use super::rights::{self, Container};
use super::{AccountTarget, GroupTarget, HostTarget};
use crate::steps::gmsa::{self, Reader, Readers, Wanted};

const CONTAINER: &str = "spec.account.container";
const NAME: &str = "spec.account.samAccountName";

pub struct Seen {
    pub container: Container,
    /// What stands at the account's DN.
    pub standing: Option<Entry>,
    /// Objects elsewhere in domain and forest that have the account's name.
    pub names: Vec<NameUser>,
    /// Objects elsewhere that answer for its SPNs.
    pub spns: Vec<SpnOwner>,
    /// Objects elsewhere with its dNSHostName.
    pub same_dns_name: Vec<Dn>,
    /// Whom the account was imported with.
    pub foreign: Vec<ForeignReader>,
    /// Hosts under quarantine.
    pub contained: Vec<Reader>,
}

/// The container and the account's place in it, as far as they are known.
pub fn judge(
    spec: &FarmSpec,
    seen: &Seen,
    group: Option<&Option<GroupTarget>>,
    hosts: &[HostTarget],
    report: &mut Report,
) -> Option<(Dn, AccountTarget)> {
    names(spec, seen, report);
    let (container, rights) = match &seen.container {
        Container::Found { dn, rights } => (dn, rights),
        Container::Missing(asked) => {
            let message = format!("there is no container {asked} for the account");
            let hint = "correct spec.account.container, or make the container first";
            report.fail(ErrorCode::ContainerNotFound, CONTAINER, message, hint);
            return None;
        }
    };
    let dn = container.child("CN", spec.account.sam_account_name.as_str());
    let readers = readers(spec, group, hosts);
    if let Some(Err(error)) = readers.as_ref().map(|readers| readers.value(&seen.contained)) {
        let problem = error.problem();
        report.fail(problem.code, "spec.hosts", &problem.message, &problem.hint);
    }
    match &seen.standing {
        Some(standing) => compare(spec, standing, readers, seen, report),
        None if rights.can_create_gmsa() => {}
        None => {
            let what = format!("make gMSAs in {container}");
            rights::missing(report, CONTAINER, &what, rights::create_account(container));
        }
    }
    Some((container.clone(), AccountTarget { dn, exists: seen.standing.is_some() }))
}

fn names(spec: &FarmSpec, seen: &Seen, report: &mut Report) {
    let name = spec.account.sam_account_name.sam_account_name();
    for user in &seen.names {
        let is_gmsa = user.object_classes.iter().any(|class| class.eq_ignore_ascii_case(gmsa::CLASS));
        let hint = match (is_gmsa, user.dn.parent()) {
            (true, Some(parent)) => {
                format!("choose another name, or set {CONTAINER} to {parent} if this is the farm's account")
            }
            _ => "choose another name: account names are unique in the forest".to_owned(),
        };
        let message = match (is_gmsa, user.name.eq_ignore_ascii_case(&name)) {
            (true, _) => format!("{name} is the name of another gMSA, {}", user.dn),
            (false, true) => format!("{name} is the name of another account, {}", user.dn),
            (false, false) => format!("{name} is taken by the logon name {} of {}", user.name, user.dn),
        };
        report.fail(ErrorCode::AccountNameTaken, NAME, message, hint);
    }
    spn_conflicts(spec, &seen.spns, report);
    for dn in &seen.same_dns_name {
        report.warn(format!("dnsHostName is also that of {dn}"));
    }
}

/// Who stands in the way of the SPNs.
pub fn spn_conflicts(spec: &FarmSpec, owners: &[SpnOwner], report: &mut Report) {
    let asked = &spec.account.service_principal_names;
    let index = |spn: &SpnOwner| asked.iter().position(|asked| *asked == spn.asked).unwrap_or(0);
    let mut spns: Vec<_> = owners.iter().map(|spn| (index(spn), spn)).collect();
    spns.sort_by_key(|(at, _)| *at);
    for (at, spn) in spns {
        let field = format!("spec.account.servicePrincipalNames[{at}]");
        let message = match spn.by_alias {
            true => format!("{} is covered by {}, which belongs to {}", spn.asked, spn.held, spn.owner),
            false => format!("{} belongs to {}", spn.asked, spn.owner),
        };
        let hint = "remove the SPN from its owner, or choose another: clients could not tell the two apart";
        report.fail(ErrorCode::SpnConflict, field, message, hint);
    }
}

/// `None` while a reader is not known because something is wrong with it.
fn readers(spec: &FarmSpec, group: Option<&Option<GroupTarget>>, hosts: &[HostTarget]) -> Option<Readers> {
    match (spec.membership.mode, group) {
        (MembershipMode::Group, Some(Some(group))) => Some(match &group.sid {
            Some(sid) => Readers::Known(vec![Reader { name: group.name.clone(), sid: sid.clone() }]),
            None => Readers::Pending { group: group.name.clone() },
        }),
        (MembershipMode::Group, _) => None,
        (MembershipMode::Direct, _) => {
            let reader = |host: &HostTarget| Reader { name: host.name.clone(), sid: host.sid.clone() };
            Some(Readers::Known(hosts.iter().map(reader).collect()))
        }
    }
}

/// The account step compares again; here, so that nothing is written for a deploy that it would
/// refuse.
fn compare(spec: &FarmSpec, standing: &Entry, readers: Option<Readers>, seen: &Seen, report: &mut Report) {
    if !standing.is_class(gmsa::CLASS) {
        let message = format!("{} stands where the account would be made, and is no gMSA", standing.dn);
        report.fail(ErrorCode::AccountNameTaken, NAME, message, "choose another name or container");
        return;
    }
    let Some(readers) = readers else { return };
    let wanted = Wanted {
        dn: standing.dn.clone(),
        spec: spec.account.clone(),
        readers,
        foreign: seen.foreign.clone(),
        contained: seen.contained.clone(),
        may_be_disabled: false,
    };
    let violations = gmsa::violations(&gmsa::differences(&wanted, standing));
    report.fail_all(ErrorCode::AccountDiffers, violations, gmsa::DIFFERS_HINT);
}

#[cfg(test)]
mod tests {
    use domain::Problem;

    use super::*;
    use crate::steps::testing::{self, dn, host};

    const ACCOUNTS: &str = "CN=Managed Service Accounts,DC=contoso,DC=com";

    fn container(classes: &[&str]) -> Container {
        Container::Found { dn: dn(ACCOUNTS), rights: testing::rights(classes, &[]) }
    }
    fn free() -> Seen {
        let container = container(&["msds-groupmanagedserviceaccount"]);
        Seen {
            container,
            standing: None,
            names: vec![],
            spns: vec![],
            same_dns_name: vec![],
            foreign: vec![],
            contained: vec![],
        }
    }
    fn standing_group() -> Option<GroupTarget> {
        let group = testing::group_output();
        Some(GroupTarget { name: group.name, dn: group.dn, sid: group.sid, exists: true })
    }
    fn judged(spec: &FarmSpec, seen: &Seen, group: Option<GroupTarget>) -> (Option<AccountTarget>, Report) {
        let mut report = Report::default();
        let found = judge(spec, seen, Some(&group), &[host("Host1"), host("Host2")], &mut report);
        (found.map(|(_, target)| target), report)
    }

    #[test]
    fn a_free_name_is_made_in_the_container() {
        let (target, report) = judged(&testing::spec(), &free(), standing_group());
        let target = target.expect("a target");
        assert_eq!((target.dn, target.exists), (dn(ACCOUNTS).child("CN", "ITFarm1"), false));
        assert!(report.fields().is_empty() && report.warnings().is_empty());
    }

    #[test]
    fn everything_that_is_taken_is_named_with_its_field() {
        let other = dn("CN=Web,OU=Servers,DC=contoso,DC=com");
        let asked = testing::spec().account.service_principal_names;
        let owner = |at: usize, held: &str, by_alias| SpnOwner {
            asked: asked[at].clone(),
            held: held.into(),
            owner: other.clone(),
            by_alias,
        };
        let user = |name: &str, class: &str| NameUser {
            dn: other.clone(),
            object_classes: vec!["top".into(), class.into()],
            name: name.into(),
        };
        let seen = Seen {
            container: container(&["user"]),
            names: vec![
                user("ITFARM1$", "computer"),
                user("ITFarm1$@contoso.com", "user"),
                user("ITFarm1$", gmsa::CLASS),
            ],
            spns: vec![owner(1, "http/itfarm1", false), owner(0, "HOST/ITFarm1.contoso.com", true)],
            same_dns_name: vec![other.clone()],
            standing: None,
            foreign: vec![],
            contained: vec![],
        };
        let (_, report) = judged(&testing::spec(), &seen, standing_group());
        assert_eq!(
            report.fields(),
            [
                (ErrorCode::AccountNameTaken, NAME),
                (ErrorCode::AccountNameTaken, NAME),
                (ErrorCode::AccountNameTaken, NAME),
                (ErrorCode::SpnConflict, "spec.account.servicePrincipalNames[0]"),
                (ErrorCode::SpnConflict, "spec.account.servicePrincipalNames[1]"),
                (ErrorCode::RightsMissing, CONTAINER),
            ]
        );
        assert_eq!(report.warnings().len(), 1);
        let error = report.into_error(chrono::DateTime::UNIX_EPOCH).expect("fails");
        let Problem { message, hint, .. } = error.problem();
        for part in
            ["belongs to CN=Web", "covered by HOST/", "logon name ITFarm1$@contoso.com", "another gMSA"]
        {
            assert!(message.contains(part), "{part}: {message}");
        }
        assert!(
            hint.contains("7b8b558a-93a5-4af7-adca-c017e67f1057") && hint.contains("OU=Servers"),
            "{hint}"
        );
    }

    #[test]
    fn a_missing_container_leaves_no_target() {
        let seen = Seen { container: Container::Missing("OU=No".into()), ..free() };
        let (target, report) = judged(&testing::spec(), &seen, standing_group());
        assert_eq!(target, None);
        assert_eq!(report.fields(), [(ErrorCode::ContainerNotFound, CONTAINER)]);
    }

    #[test]
    fn an_identical_account_needs_no_right_to_create() {
        let seen = Seen { container: container(&[]), standing: Some(testing::account(&[])), ..free() };
        let (target, report) = judged(&testing::spec(), &seen, standing_group());
        assert_eq!(target.map(|target| target.exists), Some(true));
        assert_eq!(report.fields(), []);
    }

    #[test]
    fn a_different_account_is_refused_before_a_group_is_made() {
        let standing = testing::account(&[("description", vec![b"other".to_vec()])]);
        let seen = Seen { standing: Some(standing), ..free() };
        let group = standing_group().map(|group| GroupTarget { sid: None, exists: false, ..group });
        let (_, report) = judged(&testing::spec(), &seen, group);
        assert_eq!(
            report.fields(),
            [
                (ErrorCode::AccountDiffers, "spec.account.description"),
                (ErrorCode::AccountDiffers, "spec.membership"),
            ]
        );
    }

    #[test]
    fn something_else_at_the_place_of_the_account_is_refused() {
        let user = testing::entry("CN=ITFarm1,DC=contoso,DC=com", &[("objectClass", "user")]);
        let seen = Seen { standing: Some(user), ..free() };
        let (_, report) = judged(&testing::spec(), &seen, standing_group());
        assert_eq!(report.fields(), [(ErrorCode::AccountNameTaken, NAME)]);
    }

    #[test]
    fn more_hosts_than_a_reader_list_holds_are_refused_before_anything_is_written() {
        let mut spec = testing::spec();
        spec.membership.mode = MembershipMode::Direct;
        spec.membership.group = None;
        let hosts: Vec<_> = (1..=2_000).map(|n| host(&format!("Host{n}"))).collect();
        let mut report = Report::default();
        judge(&spec, &free(), None, &hosts, &mut report);
        assert_eq!(report.fields(), [(ErrorCode::InvalidManifest, "spec.hosts")]);
    }
}
