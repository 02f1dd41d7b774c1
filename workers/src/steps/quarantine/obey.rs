//! What steps do about hosts under quarantine: refuse them, deny them, and note what was denied.

use directory::security::ReaderDescriptor;
use domain::{AttributeValue, Change, Dn, ErrorCode, PrincipalRef, Sid};
use store::Quarantined;

use crate::quarantine::{Standing, hint, rebuilt, standing, told};
use crate::steps::gmsa::{READERS, Reader};
use crate::steps::preflight::hosts::Seen;
use crate::steps::preflight::report::Report;
use crate::{StepContext, StepError};

/// As a reader list names them.
pub fn contained(quarantined: &[Quarantined]) -> Vec<Reader> {
    let host = |host: &Quarantined| Reader { name: host.host_name.clone(), sid: host.host_sid.clone() };
    quarantined.iter().map(host).collect()
}

/// Refuses hosts that are under quarantine and tells of those that were rebuilt. `list` is the field
/// that names them.
pub fn judge(
    list: &str,
    asked: &[PrincipalRef],
    seen: &[Seen],
    quarantined: &[Quarantined],
    report: &mut Report,
) {
    for (at, (asked, seen)) in asked.iter().zip(seen).enumerate() {
        let Seen::Found(found) = seen else { continue };
        let field = format!("{list}[{at}]");
        match (standing(quarantined, found.sam_account_name.as_deref(), found.sid.as_ref()), &found.sid) {
            (Standing::Quarantined(host), _) => {
                let message = format!("{asked} is not let in: {}", told(host));
                report.fail(ErrorCode::HostQuarantined, field, message, hint(host));
            }
            (Standing::Rebuilt(host), Some(sid)) => {
                report.warn(format!("{field}: {}", rebuilt(host, sid)));
            }
            (Standing::Rebuilt(_), None) | (Standing::Free, _) => {}
        }
    }
}

/// Puts on record which quarantined hosts this step's own writes keep from reading the account: a
/// release takes back these entries and no others.
pub async fn note_written(cx: &StepContext, account: &Sid, dn: &Dn) -> Result<(), StepError> {
    let denied: Vec<Sid> = cx.written().iter().flat_map(|write| newly_denied(&write.change)).collect();
    if denied.is_empty() {
        return Ok(());
    }
    let (accounts, now) = ([(account.clone(), dn.clone())], cx.environment.clock.now());
    for host in cx.quarantined().await?.iter().filter(|host| denied.contains(&host.host_sid)) {
        let records = cx.records()?;
        records.note_denials(&cx.directory, &host.host_sid, &accounts, cx.workflow_id, now).await?;
    }
    Ok(())
}

/// Whom a change of a reader list denies first and did not deny first before.
pub fn newly_denied(change: &Change) -> Vec<Sid> {
    let Some(readers) = change.attribute(READERS) else { return Vec::new() };
    let denied = |values: &[AttributeValue]| {
        let bytes = values.first().and_then(AttributeValue::wire);
        let list = bytes.and_then(|bytes| ReaderDescriptor::from_bytes(bytes).ok());
        list.map(|list| list.denied_first()).unwrap_or_default()
    };
    let before = denied(readers.removed());
    denied(readers.added()).into_iter().filter(|sid| !before.contains(sid)).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use directory::preflight::{Principal, PrincipalKind};
    use domain::{AttributeChange, Write};

    use super::*;
    use crate::steps::testing::forest::FakeForest;
    use crate::steps::testing::records::FakeRecords;
    use crate::steps::testing::{account, context_of, host, principal, sid, wanted};

    fn quarantined(name: &str) -> FakeRecords {
        let (records, host) = (FakeRecords::default(), host(name));
        records.place(&host.name, &host.sid, &host.dn);
        records
    }

    #[test]
    fn each_quarantined_host_is_refused_by_its_place_and_a_rebuilt_one_is_told_of() {
        let records = quarantined("Host2");
        let computer = |name: &str, rid| {
            let found = principal(&format!("{name}$"), PrincipalKind::Computer);
            Seen::Found(Principal { sid: Some(sid(rid)), ..found })
        };
        let seen = [computer("Host1", 1101), computer("Host2", 1102), computer("HOST2", 1999), Seen::Nothing];
        let asked =
            ["Host1", "Host2", "HOST2", "Host9"].map(|name| PrincipalRef::parse(name).expect("valid"));
        let mut report = Report::default();
        judge("spec.hosts", &asked, &seen, &records.lock().quarantines, &mut report);
        assert_eq!(report.fields(), [(ErrorCode::HostQuarantined, "spec.hosts[1]")]);
        assert_eq!(report.warnings().len(), 1);
        assert!(report.warnings()[0].contains("rebuilt"), "{:?}", report.warnings());
        let error = report.into_error(chrono::DateTime::UNIX_EPOCH).expect("refused");
        let told = error.problem();
        assert!(told.message.contains("containment"), "{told}");
        assert!(told.hint.contains("farmhand quarantine release Host2"), "{told}");
    }

    fn list(denied: &[u32]) -> AttributeValue {
        let mut list = ReaderDescriptor::allowing([&sid(1200)]);
        for rid in denied {
            list.deny(&sid(*rid));
        }
        AttributeValue::bytes(list.to_bytes().expect("fits"), "")
    }

    #[test]
    fn only_what_a_change_newly_denies_is_ours() {
        let change = |before: &[&[u32]], after: &[u32]| {
            let before = before.iter().map(|denied| list(denied)).collect();
            Change::modify(account(&[]).dn, vec![AttributeChange::set(READERS, before, vec![list(after)])])
        };
        assert_eq!(newly_denied(&change(&[&[1101]], &[1101, 1102])), [sid(1102)]);
        assert_eq!(newly_denied(&change(&[], &[1101])), [sid(1101)]);
        assert!(newly_denied(&change(&[&[1101]], &[])).is_empty());
        assert!(newly_denied(&Change::delete(account(&[]).dn, vec![])).is_empty());
    }

    #[tokio::test]
    async fn denials_of_quarantined_hosts_are_noted_and_others_are_not_ours_to_lift() {
        let (forest, records) = (Arc::new(FakeForest::of(&["dc1"])), Arc::new(quarantined("Host2")));
        let mut cx = context_of(&forest, &records);
        let (sid_of_account, dn) = (sid(1300), wanted().dn);
        note_written(&cx, &sid_of_account, &dn).await.expect("nothing to note");
        assert!(records.lock().calls.is_empty());
        let change = Change::add(dn.clone(), vec![AttributeChange::new(READERS, [list(&[1102, 1104])])]);
        let write = Write {
            dc: "dc1".into(),
            change,
            usn: None,
            object_guid: None,
            at: chrono::DateTime::UNIX_EPOCH,
        };
        cx.set_written(&[write]);
        for _ in 0..2 {
            note_written(&cx, &sid_of_account, &dn).await.expect("noted");
        }
        let noted = records.lock().denials.clone();
        assert_eq!(noted.len(), 1);
        assert_eq!(
            (&noted[0].0, &noted[0].1.account_sid, &noted[0].1.account_dn),
            (&sid(1102), &sid_of_account, &dn)
        );
    }
}
