//! Whether the farm's group can be used, or made.

use std::collections::HashSet;

use directory::preflight::Principal;
use domain::{Dn, ErrorCode, FarmSpec, PrincipalRef};

use super::report::Report;
use super::rights::{self, Container};
use super::{GroupTarget, HostTarget};
use crate::steps::group;

const FIELD: &str = "spec.membership.group";
const CONTAINER: &str = "spec.membership.groupContainer";

pub enum Seen {
    Standing {
        principal: Principal,
        /// adminCount: it is, or once was, protected as an administrators' group.
        privileged: bool,
        /// We may write its members.
        may_write: bool,
        members: HashSet<Dn>,
    },
    /// It is not there and is not to be made.
    Missing,
    ToBeMade {
        name: String,
        container: Container,
        /// What stands where the group would, under another account name.
        occupant: Option<Dn>,
    },
}

pub fn judge(spec: &FarmSpec, seen: &Seen, hosts: &[HostTarget], report: &mut Report) -> Option<GroupTarget> {
    match seen {
        Seen::Standing { principal, privileged, may_write, members } => {
            let target = standing(principal, report)?;
            if *privileged {
                let dn = &target.dn;
                report.warn(format!("{dn} is a privileged group: the hosts get its rights as its members"));
            }
            if !may_write && hosts.iter().any(|host| !members.contains(&host.dn)) {
                let what = format!("write the members of {}", target.dn);
                rights::missing(report, FIELD, &what, rights::write_members(&target.dn));
            }
            Some(target)
        }
        Seen::Missing => {
            let asked = spec.membership.group.as_ref().map_or_else(String::new, ToString::to_string);
            let hint = match spec.membership.group {
                Some(PrincipalRef::Name(_)) => {
                    "make the group first, or leave createGroup out so that Farmhand does"
                }
                _ => "make the group first, or give a plain name so that Farmhand makes it",
            };
            report.fail(ErrorCode::GroupNotFound, FIELD, format!("there is no group {asked}"), hint);
            None
        }
        Seen::ToBeMade { name, container, occupant } => {
            to_be_made(name, container, occupant.as_ref(), report)
        }
    }
}

fn standing(principal: &Principal, report: &mut Report) -> Option<GroupTarget> {
    let unseen = || "its SID cannot be read".to_owned();
    let reason = group::unsuitable(principal).or_else(|| principal.sid.is_none().then(unseen));
    if let Some(reason) = reason {
        let message = format!("{} cannot hold the farm's hosts: {reason}", principal.dn);
        report.fail(ErrorCode::GroupUnsuitable, FIELD, message, "name another group");
        return None;
    }
    let name = principal.sam_account_name.clone().unwrap_or_else(|| principal.dn.rdn().value.clone());
    Some(GroupTarget { name, dn: principal.dn.clone(), sid: principal.sid.clone(), exists: true })
}

fn to_be_made(
    name: &str,
    container: &Container,
    occupant: Option<&Dn>,
    report: &mut Report,
) -> Option<GroupTarget> {
    let (dn, rights) = match container {
        Container::Found { dn, rights } => (dn, rights),
        Container::Missing(asked) => {
            let message = format!("there is no container {asked} to make the group {name} in");
            let hint = "correct groupContainer, or make the container first";
            report.fail(ErrorCode::ContainerNotFound, CONTAINER, message, hint);
            return None;
        }
    };
    if let Some(occupant) = occupant {
        let message = format!("{occupant} stands where the group would be made, under another account name");
        report.fail(ErrorCode::GroupUnsuitable, FIELD, message, "name another group or groupContainer");
        return None;
    }
    if !rights.can_create_group() {
        rights::missing(report, CONTAINER, &format!("make groups in {dn}"), rights::create_group(dn));
    }
    Some(GroupTarget { name: name.to_owned(), dn: dn.child("CN", name), sid: None, exists: false })
}

#[cfg(test)]
mod tests {
    use directory::preflight::{GroupScope, PrincipalKind};

    use super::*;
    use crate::steps::testing::{self, dn, host};

    fn standing(members: &[&str], may_write: bool) -> Seen {
        let members = members.iter().map(|name| host(name).dn).collect();
        Seen::Standing { principal: testing::group(), privileged: false, may_write, members }
    }
    fn to_be_made(classes: &[&str], occupant: Option<&str>) -> Seen {
        let users = dn("CN=Users,DC=contoso,DC=com");
        let container = Container::Found { dn: users, rights: testing::rights(classes, &[]) };
        Seen::ToBeMade { name: "ITFarmHosts".into(), container, occupant: occupant.map(dn) }
    }
    fn judged(seen: &Seen) -> (Option<GroupTarget>, Report) {
        let mut report = Report::default();
        let target = judge(&testing::spec(), seen, &[host("Host1"), host("Host2")], &mut report);
        (target, report)
    }

    #[test]
    fn a_standing_group_is_the_target_with_its_sid() {
        let (target, report) = judged(&standing(&[], true));
        assert_eq!(target.map(|target| (target.sid, target.exists)), Some((Some(testing::sid(1200)), true)));
        assert!(report.fields().is_empty());
    }

    #[test]
    fn the_right_to_write_members_is_needed_only_where_a_host_is_missing() {
        assert_eq!(judged(&standing(&["Host1"], false)).1.fields(), [(ErrorCode::RightsMissing, FIELD)]);
        assert_eq!(judged(&standing(&["Host1", "Host2"], false)).1.fields(), []);
    }

    #[test]
    fn a_privileged_group_is_warned_about() {
        let principal = testing::group();
        let seen = Seen::Standing { principal, privileged: true, may_write: true, members: HashSet::new() };
        let (target, report) = judged(&seen);
        assert!(target.is_some());
        assert!(report.warnings()[0].contains("privileged"), "{:?}", report.warnings());
    }

    #[test]
    fn a_missing_group_is_made_where_there_is_room_and_right() {
        let (target, report) = judged(&to_be_made(&["group"], None));
        let target = target.expect("to be made");
        assert_eq!(target.dn, dn("CN=ITFarmHosts,CN=Users,DC=contoso,DC=com"));
        assert_eq!((target.sid, target.exists, report.fields().len()), (None, false, 0));
    }

    #[test]
    fn what_stands_against_making_it_is_named() {
        let occupied = to_be_made(&["group"], Some("CN=ITFarmHosts,CN=Users,DC=contoso,DC=com"));
        let nowhere = Seen::ToBeMade {
            name: "ITFarmHosts".into(),
            container: Container::Missing("OU=No,DC=contoso,DC=com".into()),
            occupant: None,
        };
        for (seen, code, field) in [
            (to_be_made(&["user"], None), ErrorCode::RightsMissing, CONTAINER),
            (nowhere, ErrorCode::ContainerNotFound, CONTAINER),
            (occupied, ErrorCode::GroupUnsuitable, FIELD),
            (Seen::Missing, ErrorCode::GroupNotFound, FIELD),
        ] {
            assert_eq!(judged(&seen).1.fields(), [(code, field)]);
        }
    }

    #[test]
    fn an_unsuitable_group_is_refused() {
        let distribution = PrincipalKind::Group { security: false, scope: GroupScope::Global };
        for kind in [distribution, PrincipalKind::User] {
            let principal = Principal { kind, ..testing::group() };
            let seen =
                Seen::Standing { principal, privileged: false, may_write: true, members: HashSet::new() };
            let (target, report) = judged(&seen);
            assert_eq!(target, None);
            assert_eq!(report.fields(), [(ErrorCode::GroupUnsuitable, FIELD)]);
        }
    }
}
