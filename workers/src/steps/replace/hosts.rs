//! The hosts that read the password, and what is done on them.

use directory::preflight::{PrincipalKind, principal_at};
use directory::security::ReaderDescriptor;
use directory::{Base, DirectoryRead, Entry, Scope, Search};
use domain::farm::HostActionsSpec;
use domain::{DnsHostName, HostActionKind};

use super::{Survey, surveyed};
use crate::steps::find_farm::FarmOutput;
use crate::steps::gmsa;
use crate::steps::on_hosts::{HostJob, OnHosts};
use crate::steps::preflight::HostTarget;
use crate::{StepContext, StepError};

/// Under the same name: a host holds the old account's password and tickets until it lets go of them.
pub fn reinstall() -> OnHosts {
    OnHosts {
        name: "reinstall-on-hosts",
        actions: |farm| {
            use HostActionKind::{Install, PurgeTickets, Test, Uninstall};
            [PurgeTickets, Uninstall, Install, Test].into_iter().chain(restarts(farm)).collect()
        },
        job: |cx| job(cx, Way::SameName, new_name),
    }
}

/// Side by side: the services still run as the old account.
pub fn install() -> OnHosts {
    OnHosts {
        name: "install-on-hosts",
        actions: |_| vec![HostActionKind::Install, HostActionKind::Test],
        job: |cx| job(cx, Way::SideBySide, new_name),
    }
}

/// Side by side, when the new account has the SPNs.
pub fn restart() -> OnHosts {
    OnHosts { name: "restart-services", actions: restarts, job: |cx| job(cx, Way::SideBySide, new_name) }
}

pub fn uninstall() -> OnHosts {
    OnHosts {
        name: "uninstall-from-hosts",
        actions: |_| vec![HostActionKind::Uninstall],
        job: |cx| job(cx, Way::SideBySide, |survey| &survey.old.sam_account_name),
    }
}

fn restarts(farm: &HostActionsSpec) -> Vec<HostActionKind> {
    farm.services.iter().map(|service| HostActionKind::RestartService { service: service.clone() }).collect()
}

#[derive(PartialEq)]
enum Way {
    SameName,
    SideBySide,
}

fn new_name(survey: &Survey) -> &String {
    &survey.new.sam_account_name
}

/// No host where the step belongs to the other way, or nothing is replaced.
fn job(cx: &StepContext, way: Way, account: fn(&Survey) -> &String) -> Result<HostJob, StepError> {
    let Some(survey) = surveyed(cx)? else {
        let account = cx.facts()?.spec.account.sam_account_name.sam_account_name();
        return Ok(HostJob { hosts: Vec::new(), account });
    };
    let this = if survey.parking.is_some() { Way::SameName } else { Way::SideBySide };
    let account = account(&survey).clone();
    Ok(HostJob { hosts: if this == way { survey.hosts } else { Vec::new() }, account })
}

/// Computers in the farm's group, and those that the reader list names themselves.
pub async fn of_farm(
    dc: &dyn DirectoryRead,
    farm: &FarmOutput,
    old: &Entry,
) -> Result<Vec<HostTarget>, StepError> {
    let mut hosts = Vec::new();
    if let Some(group) = &farm.group {
        let member = directory::ldap::filter_value(group.dn.as_str());
        let filter = format!("(&(objectCategory=computer)(memberOf={member}))");
        let wanted = ["sAMAccountName", "objectSid", "dNSHostName", "objectClass"];
        let found = dc.search(&Search::new(&farm.domain, Scope::Subtree, filter, &wanted)).await?;
        hosts.extend(found.iter().filter(|entry| !entry.is_class(gmsa::CLASS)).filter_map(target));
    }
    let list = old.bytes(gmsa::READERS).and_then(|bytes| ReaderDescriptor::from_bytes(bytes).ok());
    for sid in list.as_ref().map(ReaderDescriptor::readers).unwrap_or_default() {
        let Some(found) = principal_at(dc, &Base::from(&sid)).await? else { continue };
        if found.kind == PrincipalKind::Computer {
            let name = found.sam_account_name.as_deref().unwrap_or_default().trim_end_matches('$').to_owned();
            let dns_host_name = found.dns_host_name.and_then(|name| DnsHostName::parse(&name).ok());
            hosts.push(HostTarget { name, dn: found.dn, sid, dns_host_name });
        }
    }
    // Who is kept out whatever lets it in reads nothing.
    hosts.retain(|host| !list.as_ref().is_some_and(|list| list.denies_first(&host.sid)));
    hosts.sort_by(|a, b| a.dn.cmp(&b.dn));
    hosts.dedup_by(|a, b| a.sid == b.sid);
    Ok(hosts)
}

fn target(entry: &Entry) -> Option<HostTarget> {
    Some(HostTarget {
        name: entry.text("sAMAccountName")?.trim_end_matches('$').to_owned(),
        dn: entry.dn.clone(),
        sid: entry.sid("objectSid")?,
        dns_host_name: entry.text("dNSHostName").and_then(|name| DnsHostName::parse(name).ok()),
    })
}
