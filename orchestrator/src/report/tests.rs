use chrono::TimeDelta;
use domain::step::Intent;
use domain::{
    Approval, AttributeChange, AttributeValue, Change, Dn, HostActionKind, HostTaskState, HostWork,
    MemberHost, StepOutcome, Verdict, Write,
};
use serde_json::json;

use super::*;
use crate::http::testing::{ACCOUNT_SID, containment};

fn at(millis: i64) -> DateTime<Utc> {
    "2026-11-22T12:00:00Z".parse::<DateTime<Utc>>().expect("a time") + TimeDelta::milliseconds(millis)
}

fn deny(dc: &str, after: i64) -> Write {
    let dn = Dn::parse("CN=ITFarm1,CN=Managed Service Accounts,DC=contoso,DC=com").expect("a DN");
    let list = |bytes: &[u8], words: &str| vec![AttributeValue::bytes(bytes.to_vec(), words)];
    let change = AttributeChange::set(
        "msDS-GroupMSAMembership",
        list(&[1, 2], "allow ITFarmHosts"),
        list(&[1, 2, 3], "deny Host1$; allow ITFarmHosts"),
    );
    let change = Change::modify(dn, vec![change]).at(dc);
    Write { dc: dc.to_owned(), change, usn: Some(4711), object_guid: None, at: at(after) }
}

fn step(index: u16, name: &str, state: StepState, (start, end): (i64, i64)) -> StepRecord {
    StepRecord {
        state,
        started_at: Some(at(start)),
        finished_at: Some(at(end)),
        attempts: 1,
        detail: Some("done".to_owned()),
        ..StepRecord::pending(index, name)
    }
}

fn workflow(kind: &str, steps: Vec<StepRecord>) -> Workflow {
    let workflow: Workflow = serde_json::from_value(json!({
        "id": "0199c0de-0000-7000-8000-000000000001", "kind": kind, "directory": "default",
        "farm": null, "hosts": ["Host1"], "lane": "urgent", "mode": "apply", "state": "succeeded",
        "requestedBy": "rita", "reason": "beacon seen", "createdAt": at(0), "startedAt": at(4),
        "finishedAt": at(90), "waiting": null, "plan": null, "steps": [], "error": null, "result": null
    }))
    .expect("a workflow");
    Workflow { steps, ..workflow }
}

/// Two DCs were written to side by side; the second was faster.
fn contained() -> Workflow {
    let mut denied = step(0, "deny-on-record", StepState::Succeeded, (5, 40));
    let writes = vec![deny("dc1.contoso.com", 21), deny("dc2.contoso.com", 19)];
    let changes = writes.iter().map(|write| write.change.clone()).collect();
    denied.intent = Some(Intent { dc: "dc1.contoso.com".to_owned(), changes, at: at(12) });
    denied.outcome = Some(StepOutcome { writes, ..StepOutcome::default() });
    let sweep = step(1, "sweep", StepState::Succeeded, (41, 80));
    let mut result = containment(at(3_600_000));
    let dc = |name: &str, denied: i64, verified: i64| json!({"name": name, "deniedAt": at(denied), "verifiedAt": at(verified)});
    result["domainControllers"] = json!([dc("dc1.contoso.com", 21, 85), dc("dc2.contoso.com", 19, 84)]);
    Workflow { result: Some(result), ..workflow("compromise-removal", vec![denied, sweep]) }
}

fn told(report: &Report) -> Vec<(i64, &'static str)> {
    report.timeline.iter().map(|event| (event.after_ms, event.what.as_str())).collect()
}

#[test]
fn a_containments_timeline_goes_from_the_request_to_denied_and_verified_on_each_dc() {
    let report = report(&contained(), &[], at(1_000), false);
    assert_eq!(
        told(&report),
        [
            (0, "asked"),
            (4, "claimed"),
            (5, "step started"),
            (12, "intended"),
            (19, "written"),
            (19, "denied"),
            (21, "written"),
            (21, "denied"),
            (40, "step ended"),
            (41, "step started"),
            (80, "step ended"),
            (84, "verified"),
            (85, "verified"),
            (90, "ended"),
        ]
    );
    let denied: Vec<_> = report.timeline.iter().filter_map(|e| e.dc.as_deref()).collect();
    assert_eq!(denied[0], "dc2.contoso.com", "the faster one comes first");
    assert_eq!(report.timeline[0].by.as_deref(), Some("rita"));
    assert_eq!(
        report.not_done,
        ["the host stays in CN=All Servers,DC=contoso,DC=com: it is in it by another group"]
    );
}

#[test]
fn every_write_is_there_with_dc_dn_attribute_before_and_after_in_words_and_raw() {
    let report = report(&contained(), &[], at(1_000), false);
    let writes: Vec<_> = report.writes.iter().map(|write| (write.number, write.dc.as_str())).collect();
    assert_eq!(writes, [(1, "dc2.contoso.com"), (2, "dc1.contoso.com")]);
    let json = serde_json::to_value(&report.writes[0]).expect("serialises");
    assert_eq!(json["dn"], "CN=ITFarm1,CN=Managed Service Accounts,DC=contoso,DC=com");
    assert_eq!((&json["kind"], &json["usn"], &json["afterMs"]), (&json!("modify"), &json!(4711), &json!(19)));
    let attribute = &json["attributes"][0];
    assert_eq!(
        (&attribute["attribute"], &attribute["op"]),
        (&json!("msDS-GroupMSAMembership"), &json!("set"))
    );
    assert_eq!(
        (&attribute["before"][0], &attribute["after"][0]),
        (
            &json!({"words": "allow ITFarmHosts", "raw": "AQI=", "encoding": "base64"}),
            &json!({"words": "deny Host1$; allow ITFarmHosts", "raw": "AQID", "encoding": "base64"})
        )
    );
}

/// A replacement: approved once in vain, then again; one host was let go; it is not at its end.
fn replaced() -> Workflow {
    let mut approval = step(0, "approval", StepState::Succeeded, (5, 50));
    let verdict = |by: &str, after| Verdict {
        approved: true,
        by: by.to_owned(),
        at: at(after),
        reason: Some("seen".to_owned()),
    };
    let mut first = Approval::asked("aaaa".to_owned(), at(6), at(9_000));
    first.decision = Some(verdict("ben", 10));
    let mut second = first.renewed("bbbb".to_owned(), at(20), at(9_000));
    second.decision = Some(verdict("bea", 30));
    approval.outcome = Some(StepOutcome { approval: Some(second), ..StepOutcome::default() });
    let host = MemberHost {
        name: "Host2".to_owned(),
        sid: ACCOUNT_SID.parse().expect("a SID"),
        dns_host_name: None,
    };
    let account = domain::AccountName::parse("ITFarm1").expect("a name");
    let task = HostTask {
        state: HostTaskState::Skipped,
        detail: Some("switched off".to_owned()),
        by: Some("olaf".to_owned()),
        at: Some(at(60)),
        ..HostTask::pending(HostWork { host, account, actions: vec![HostActionKind::Install] })
    };
    let mut install = step(1, "install", StepState::Succeeded, (51, 70));
    install.outcome = Some(StepOutcome { hosts: vec![task], ..StepOutcome::default() });
    let undone = step(2, "move-names", StepState::Undone, (71, 72));
    let pending = StepRecord::pending(3, "delete-old-account");
    let steps = vec![approval, install, undone, pending];
    Workflow { state: WorkflowState::Cancelled, ..workflow("replace", steps) }
}

#[test]
fn who_approved_what_and_what_was_left_is_told_of_every_kind() {
    let report = report(&replaced(), &[contained()], at(1_000), false);
    let approvals: Vec<_> = report
        .approvals
        .iter()
        .map(|one| (one.plan_hash.as_str(), one.by.as_deref(), one.void_since.is_some()))
        .collect();
    assert_eq!(approvals, [("aaaa", Some("ben"), true), ("bbbb", Some("bea"), false)]);
    let decided: Vec<_> = told(&report).into_iter().filter(|(_, what)| what.starts_with("appro")).collect();
    assert_eq!(decided, [(10, "approved"), (20, "approval asked"), (20, "approval void"), (30, "approved")]);
    assert_eq!(
        report.not_done,
        [
            "step install on host Host2 was let go: switched off",
            "what step move-names had changed was taken back",
            "step delete-old-account was not begun",
        ]
    );
    assert_eq!(report.host_actions[0].task.by.as_deref(), Some("olaf"));
    assert_eq!(report.children[0].kind, WorkflowKind::COMPROMISE_REMOVAL);
}

#[test]
fn a_page_is_self_contained_and_what_others_wrote_is_text_in_it() {
    let evil = "</td></style><script>alert(1)</script><img src=x onerror=y>\"'&";
    let mut workflow = contained();
    workflow.reason = Some(evil.to_owned());
    workflow.requested_by = evil.to_owned();
    workflow.hosts = vec![evil.to_owned()];
    workflow.steps[0].detail = Some(evil.to_owned());
    let write = &mut workflow.steps[0].outcome.as_mut().expect("there").writes[0];
    write.dc = evil.to_owned();
    write.change.attributes[0] = AttributeChange::new("description", [evil]);
    workflow.result.as_mut().expect("there")["notDone"] = json!([evil]);
    workflow.result.as_mut().expect("there")["embeddedDirectory"] = json!(true);
    workflow.error = Some(Problem::new(domain::ErrorCode::NotContained, evil, evil));
    let page = page(&report(&workflow, &[replaced()], at(1_000), true));
    for foreign in
        ["<script", "<img", "<link", "<iframe", "<object", "<form", "href=", "url(", "@import", "http-equiv"]
    {
        assert!(!page.contains(foreign), "{foreign}");
    }
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert_eq!(page.matches("</style>").count(), 1);
    assert!(page.contains("embedded directory"), "it says when nothing of it is real");
    for expected in ["2026-11-22T12:00:00.019Z", "19 ms", "base64: ", "AQID", "deny Host1$", "kind"] {
        assert!(page.contains(expected), "{expected}");
    }
}
