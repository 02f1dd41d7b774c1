//! What is judged of requests about compromised hosts and the quarantine.

use std::collections::HashSet;
use std::time::Duration;

use domain::request::{CompromiseRequest, KdsRootKeyRecoveryRequest};
use domain::{ErrorCode, FarmName, PrincipalRef, Problem};
use store::{Quarantined, Store};
use uuid::Uuid;

use super::bodies::{CompromiseBody, QuarantineReleaseBody};
use super::judge::{Findings, Work};
use super::refusal::{self, Refusal, RefusalKind};
use super::{MAX_REASON, RequestError};

/// More farms than one host is in; the limit keeps one request within a statement.
const MAX_FARMS: usize = 1000;

pub(super) fn work(findings: &mut Findings, body: &CompromiseBody, cool_down: Duration) -> Option<Work> {
    match (&body.host, &body.kds_root_key) {
        (Some(_), Some(_)) => {
            findings.add("kdsRootKey", "exclusive", "a request is about a host or about a root key");
            None
        }
        (None, None) => {
            findings.add("host", "required", "names the host that is cut off");
            None
        }
        (Some(host), None) => of_host(findings, body, host),
        (None, Some(key)) => of_root_key(findings, body, key, cool_down),
    }
}

fn of_host(findings: &mut Findings, body: &CompromiseBody, host: &str) -> Option<Work> {
    if body.cool_down.is_some() {
        findings.add("coolDown", "exclusive", "goes with kdsRootKey: a containment deletes nothing");
    }
    let host = findings.name("host", PrincipalRef::parse(host));
    let farms = farms(findings, &body.farms);
    let force = said(findings, "force", body.force.as_deref());
    let keep_computer_enabled = body.keep_computer_enabled;
    Some(Work::Compromise(CompromiseRequest { host: host?, farms, keep_computer_enabled, force }))
}

fn of_root_key(
    findings: &mut Findings,
    body: &CompromiseBody,
    key: &str,
    cool_down: Duration,
) -> Option<Work> {
    for (field, given) in [
        ("farms", !body.farms.is_empty()),
        ("keepComputerEnabled", body.keep_computer_enabled),
        ("force", body.force.is_some()),
    ] {
        if given {
            findings.add(field, "exclusive", "goes with host, not with kdsRootKey");
        }
    }
    let cool_down_seconds = findings.cool_down(body.cool_down.as_ref(), cool_down);
    match Uuid::parse_str(key.trim()) {
        Ok(root_key) => Some(Work::RootKey(KdsRootKeyRecoveryRequest { root_key, cool_down_seconds })),
        Err(error) => {
            let message = format!("the GUID of a KDS root key, as Get-KdsRootKey shows it: {error}");
            findings.add("kdsRootKey", "guid", message);
            None
        }
    }
}

fn farms(findings: &mut Findings, texts: &[String]) -> Vec<FarmName> {
    if texts.len() > MAX_FARMS {
        let message = format!("at most {MAX_FARMS} farms in one request, these are {}", texts.len());
        findings.add("farms", "length", message);
    }
    let (mut seen, mut farms) = (HashSet::new(), Vec::new());
    for (at, text) in texts.iter().take(MAX_FARMS).enumerate() {
        let field = format!("farms[{at}]");
        let Some(farm) = findings.name(&field, FarmName::parse(text)) else { continue };
        if !seen.insert(farm.key()) {
            findings.add(&field, "duplicate", format!("{text} is listed twice"));
        }
        farms.push(farm);
    }
    farms
}

/// `reason`: what the request says beside its body.
pub(super) fn release(
    findings: &mut Findings,
    body: &QuarantineReleaseBody,
    reason: Option<&str>,
) -> Option<Work> {
    let reason = body.reason.as_deref().or(reason).map(str::trim).filter(|text| !text.is_empty());
    if reason.is_none() {
        findings.add("reason", "required", "says why the host may come back; it is kept for ever");
    }
    let force = said(findings, "force", body.force.as_deref());
    let host = findings.name("host", PrincipalRef::parse(&body.host));
    Some(Work::Release { host: host?, force })
}

/// A reason in words, where there is one.
fn said(findings: &mut Findings, field: &str, text: Option<&str>) -> Option<String> {
    let text = text?;
    let length = text.chars().count();
    if text.trim().is_empty() {
        findings.add(field, "required", "is a reason in words, for the record");
    } else if length > MAX_REASON {
        findings.add(field, "length", format!("has {length} characters, at most {MAX_REASON} are kept"));
    }
    Some(text.to_owned())
}

/// The farms as they are on record. One that is not is refused: a host would be taken for cut off
/// that was not looked at.
pub(super) async fn on_record(
    store: &Store,
    directory: &domain::DirectoryName,
    farms: Vec<FarmName>,
) -> Result<Vec<FarmName>, RequestError> {
    let mut known = Vec::with_capacity(farms.len());
    for name in farms {
        let farm = refusal::on_record(store.farm(directory, &name).await?, &name, directory)?;
        known.push(refusal::deployed(farm)?.name);
    }
    Ok(known)
}

/// The open quarantine that is meant.
pub(crate) fn quarantine_of(
    open: Vec<Quarantined>,
    host: &PrincipalRef,
    directory: &domain::DirectoryName,
) -> Result<Quarantined, Refusal> {
    let meant = |one: &Quarantined| match host {
        PrincipalRef::Name(name) => one.host_name.eq_ignore_ascii_case(name),
        PrincipalRef::Dn(dn) => one.computer_dn == *dn,
        PrincipalRef::Sid(sid) => one.host_sid == *sid,
    };
    let mut found: Vec<_> = open.into_iter().filter(meant).collect();
    if found.len() > 1 {
        let sids: Vec<_> = found.iter().map(|one| one.host_sid.to_string()).collect();
        let problem = Problem::new(
            ErrorCode::InvalidRequest,
            format!("{} hosts of the name {host} are under quarantine: {}", sids.len(), sids.join(", ")),
            "the host was rebuilt and quarantined again: name the one that is meant by its SID",
        );
        return Err(Refusal { problem, kind: RefusalKind::Conflict });
    }
    found.pop().ok_or_else(|| Refusal {
        problem: Problem::new(
            ErrorCode::NotQuarantined,
            format!("no host {host} is under quarantine in the directory {directory}"),
            "`farmhand quarantine list` shows all, with --released also those that were; a host of another directory \
             needs to be asked for with that directory",
        ),
        kind: RefusalKind::NotFound,
    })
}

#[cfg(test)]
mod tests {
    use domain::{DirectoryName, Dn, WorkflowId};

    use super::*;

    fn quarantined(name: &str, sid: &str) -> Quarantined {
        Quarantined {
            id: Uuid::nil(),
            directory: DirectoryName::default(),
            host_sid: sid.parse().expect("a SID"),
            host_name: name.to_owned(),
            computer_dn: Dn::parse(&format!("CN={name},DC=contoso,DC=com")).expect("a DN"),
            workflow: WorkflowId(Uuid::nil()),
            placed_by: "ann".to_owned(),
            reason: None,
            placed_at: chrono::DateTime::UNIX_EPOCH,
            computer_disabled: true,
            released: None,
        }
    }

    #[test]
    fn a_host_is_meant_by_name_dn_or_sid_and_a_rebuilt_one_by_its_sid_only() {
        let open = || {
            vec![
                quarantined("Host1", "S-1-5-21-1-2-3-1"),
                quarantined("Web", "S-1-5-21-1-2-3-2"),
                quarantined("Web", "S-1-5-21-1-2-3-3"),
            ]
        };
        let find = |text: &str| {
            let host = PrincipalRef::parse(text).expect("a host");
            quarantine_of(open(), &host, &DirectoryName::default())
        };
        for text in ["host1", "HOST1$", "cn=host1,dc=contoso,dc=com", "S-1-5-21-1-2-3-1"] {
            assert_eq!(find(text).expect(text).host_name, "Host1", "{text}");
        }
        assert_eq!(find("S-1-5-21-1-2-3-3").expect("by its SID").host_name, "Web");
        let two = find("web").expect_err("two of them");
        assert_eq!((two.kind, two.problem.code), (RefusalKind::Conflict, ErrorCode::InvalidRequest));
        assert!(two.problem.message.contains("S-1-5-21-1-2-3-3"), "{two}");
        for text in ["Host2", "S-1-5-21-1-2-3-9", "CN=Host1,DC=other"] {
            let none = find(text).expect_err(text);
            assert_eq!((none.kind, none.problem.code), (RefusalKind::NotFound, ErrorCode::NotQuarantined));
        }
    }
}
