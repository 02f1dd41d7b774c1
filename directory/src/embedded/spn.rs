//! Service principal names: their form, and that no two objects answer to one.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::forest::Forest;
use super::object::Object;
use super::rejection::Rejection;
use super::rights::Caller;
use super::schema;

/// sPNMappings as every forest is made with it: `host/X` stands for all of these.
pub const HOST_ALIASES: &str = "alerter,appmgmt,cisvc,clipsrv,browser,dhcp,dnscache,replicator,eventlog,\
eventsystem,policyagent,oakley,dmserver,dns,mcsvc,fax,msiserver,ias,messenger,netlogon,netman,netdde,netddedsm,\
nmagent,plugplay,protectedstorage,rasman,rpclocator,rpc,rpcss,remoteaccess,rsvp,samss,scardsvr,scesrv,seclogon,\
scm,dcom,cifs,spooler,snmp,schedule,tapisrv,trksvr,trkwks,ups,time,wins,www,http,w3svc,iisadmin,msdtc";

static ALIASES: LazyLock<HashSet<&'static str>> = LazyLock::new(|| HOST_ALIASES.split(',').collect());

fn conflict(spn: &str) -> String {
    format!("samldb: spn[{spn}] would cause a conflict")
}

/// Judges the SPNs that a write gives to `object` and that it did not have before.
pub fn check(forest: &Forest, caller: Caller, object: &Object, before: &[Vec<u8>]) -> Result<(), Rejection> {
    for value in object.values("servicePrincipalName") {
        let spn = String::from_utf8_lossy(value);
        if before.iter().any(|old| old.eq_ignore_ascii_case(value)) {
            continue;
        }
        let parts = spn.split('/').count();
        if !(2..=3).contains(&parts) {
            return Err(Rejection::constraint(format!("samldb: spn[{spn}] invalid with {parts} components")));
        }
        check_one(forest, caller, object, &spn)?;
    }
    Ok(())
}

fn check_one(forest: &Forest, caller: Caller, object: &Object, spn: &str) -> Result<(), Rejection> {
    if holder(forest, object, spn).is_some() {
        return Err(Rejection::constraint(conflict(spn)));
    }
    let (class, rest) = spn.split_once('/').unwrap_or((spn, ""));
    let class = class.to_lowercase();
    if class == "host" {
        // Whoever holds host/X would answer for a name that another object holds already.
        let taken = ALIASES.iter().any(|alias| holder(forest, object, &format!("{alias}/{rest}")).is_some());
        return if taken { Err(Rejection::constraint(conflict(spn))) } else { Ok(()) };
    }
    if !ALIASES.contains(class.as_str()) {
        return Ok(());
    }
    // http/X takes something away from the owner of host/X: for that one needs to be able to
    // write to the owner.
    match (holder(forest, object, &format!("host/{rest}")), schema::attribute("servicePrincipalName")) {
        (Some(owner), Some(attribute)) if !caller.may_write(forest, owner, attribute) => {
            Err(Rejection::denied(conflict(spn)))
        }
        _ => Ok(()),
    }
}

/// Another object with that SPN.
fn holder<'a>(forest: &'a Forest, object: &Object, spn: &str) -> Option<&'a Object> {
    let holders = forest.by_value("servicePrincipalName", spn.as_bytes());
    holders.map(AsRef::as_ref).find(|other: &&Object| other.id != object.id)
}

/// Gives every SPN whose host part was `old` the host part `new`, as a DC does when
/// dNSHostName or sAMAccountName changes.
pub fn rename_host(object: &mut Object, old: &str, new: &str) {
    if old.is_empty() || old.eq_ignore_ascii_case(new) {
        return;
    }
    let mut names: Vec<Vec<u8>> = Vec::new();
    for name in object.values("servicePrincipalName").iter().map(|value| renamed(value, old, new)) {
        // Two that become one are one: seen on Samba, which refuses nothing here.
        if !names.iter().any(|other| other.eq_ignore_ascii_case(&name)) {
            names.push(name);
        }
    }
    object.set("servicePrincipalName", names);
}

fn renamed(value: &[u8], old: &str, new: &str) -> Vec<u8> {
    let spn = String::from_utf8_lossy(value);
    let mut parts: Vec<&str> = spn.split('/').collect();
    // The whole component: a name with a port behind it is another one to a DC, and stays.
    if let Some(host) = parts.get_mut(1).filter(|host| host.eq_ignore_ascii_case(old)) {
        *host = new;
    }
    parts.join("/").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_host_parts_are_renamed() {
        let new = |spn: &str| String::from_utf8(renamed(spn.as_bytes(), "a.x", "b.x")).expect("text");
        assert_eq!(new("http/A.X"), "http/b.x");
        assert_eq!(new("http/a.x:8080"), "http/a.x:8080");
        assert_eq!(new("http/a.x/svc"), "http/b.x/svc");
        assert_eq!(new("http/aa.x"), "http/aa.x");
        assert_eq!(new("a.x/other"), "a.x/other");
    }
}
