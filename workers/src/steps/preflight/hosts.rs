//! Whether each named host is a computer of this domain.

use std::collections::HashSet;

use directory::preflight::{Principal, PrincipalKind};
use domain::{Dn, DnsHostName, ErrorCode, PrincipalRef};

use super::HostTarget;
use super::report::Report;

/// What a reference means, in the order of the manifest.
pub enum Seen {
    Found(Principal),
    Nothing,
    /// A DN below another domain.
    OtherDomain,
}

/// The hosts that are fit, each once. `list` is the field that names them.
pub fn judge(
    list: &str,
    asked: &[PrincipalRef],
    seen: &[Seen],
    domain: &Dn,
    report: &mut Report,
) -> Vec<HostTarget> {
    let (mut hosts, mut known) = (Vec::new(), HashSet::new());
    for (at, (asked, seen)) in asked.iter().zip(seen).enumerate() {
        let field = format!("{list}[{at}]");
        let Some(host) = one(asked, seen, domain, &field, report) else { continue };
        if known.insert(host.dn.clone()) {
            hosts.push(host);
        } else {
            report.warn(format!("{field}: {asked} is {}, which is listed before", host.dn));
        }
    }
    hosts
}

/// One host, if it is fit.
pub fn one(
    asked: &PrincipalRef,
    seen: &Seen,
    domain: &Dn,
    field: &str,
    report: &mut Report,
) -> Option<HostTarget> {
    let absent = format!("there is no host {asked} in the domain {}", domain.domain());
    let found = match seen {
        Seen::Found(found) => found,
        Seen::Nothing => {
            let hint = "correct the name, or join the host to the domain first";
            report.fail(ErrorCode::HostNotFound, field, absent, hint);
            return None;
        }
        Seen::OtherDomain => {
            let hint = "a farm's hosts are members of the domain of its directory";
            report.fail(ErrorCode::HostNotFound, field, absent, hint);
            return None;
        }
    };
    if let Some(kind) = other_kind(found.kind) {
        let message = format!("{asked} is {} ({kind}), no computer", found.dn);
        report.fail(ErrorCode::HostNotComputer, field, message, "name the computer account of a member host");
        return None;
    }
    let Some(sid) = found.sid.clone() else {
        let hint = "let Farmhand's account read the computer object";
        report.fail(ErrorCode::HostNotFound, field, format!("the SID of {} cannot be read", found.dn), hint);
        return None;
    };
    if found.disabled {
        report.warn(format!("{field}: {} is disabled", found.dn));
    }
    let name = found.sam_account_name.as_deref().unwrap_or(&found.dn.rdn().value);
    let name = name.strip_suffix('$').unwrap_or(name).to_owned();
    // A name that AD takes and DNS does not is no way to reach the host.
    let dns_host_name = found.dns_host_name.as_deref().and_then(|name| DnsHostName::parse(name).ok());
    Some(HostTarget { name, dn: found.dn.clone(), sid, dns_host_name })
}

fn other_kind(kind: PrincipalKind) -> Option<&'static str> {
    match kind {
        PrincipalKind::Computer => None,
        PrincipalKind::Gmsa => Some("a gMSA"),
        PrincipalKind::Smsa => Some("a standalone managed service account"),
        PrincipalKind::User => Some("a user"),
        PrincipalKind::Group { .. } => Some("a group"),
        PrincipalKind::Other => Some("another kind of object"),
    }
}

#[cfg(test)]
mod tests {
    use directory::preflight::GroupScope;

    use super::*;
    use crate::steps::testing::{dn, principal};

    fn judged(names: &[&str], seen: Vec<Seen>) -> (Vec<HostTarget>, Report) {
        let mut report = Report::default();
        let asked: Vec<_> = names.iter().map(|name| PrincipalRef::parse(name).expect("valid")).collect();
        let hosts = judge("spec.hosts", &asked, &seen, &dn("DC=contoso,DC=com"), &mut report);
        (hosts, report)
    }
    fn computer(name: &str) -> Principal {
        principal(name, PrincipalKind::Computer)
    }

    #[test]
    fn a_computer_is_a_host_and_its_name_loses_the_dollar() {
        let (hosts, report) = judged(&["Host1"], vec![Seen::Found(computer("HOST1$"))]);
        assert_eq!(hosts[0].name, "HOST1");
        assert_eq!((report.fields().len(), report.warnings().len()), (0, 0));
    }

    #[test]
    fn whatever_is_no_computer_is_refused_with_its_kind_and_place() {
        let group = PrincipalKind::Group { security: true, scope: GroupScope::Global };
        for (kind, word) in [
            (PrincipalKind::Gmsa, "gMSA"),
            (PrincipalKind::Smsa, "managed service account"),
            (PrincipalKind::User, "user"),
            (group, "group"),
            (PrincipalKind::Other, "another"),
        ] {
            let found = vec![Seen::Found(computer("Host1$")), Seen::Found(principal("X$", kind))];
            let (hosts, report) = judged(&["Host1", "X"], found);
            assert_eq!(hosts.len(), 1);
            assert_eq!(report.fields(), [(ErrorCode::HostNotComputer, "spec.hosts[1]")], "{word}");
            let error = report.into_error(chrono::DateTime::UNIX_EPOCH).expect("fails");
            assert!(error.problem().message.contains(word), "{error:?}");
        }
    }

    #[test]
    fn all_unknown_hosts_are_named_at_once() {
        let (hosts, report) = judged(&["A", "CN=B,DC=other,DC=com"], vec![Seen::Nothing, Seen::OtherDomain]);
        assert!(hosts.is_empty());
        let fields = [(ErrorCode::HostNotFound, "spec.hosts[0]"), (ErrorCode::HostNotFound, "spec.hosts[1]")];
        assert_eq!(report.fields(), fields);
    }

    #[test]
    fn a_disabled_host_and_one_that_is_listed_twice_are_warned_about() {
        let off = || Seen::Found(Principal { disabled: true, ..computer("Host1$") });
        let (hosts, report) = judged(&["Host1", "CN=Host1,OU=Servers,DC=contoso,DC=com"], vec![off(), off()]);
        assert_eq!((hosts.len(), report.fields().len()), (1, 0));
        assert_eq!(report.warnings().len(), 3);
    }
}
