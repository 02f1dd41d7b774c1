use crate::{ErrorCode, Lane};

use super::*;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + seconds, 0).expect("a valid time")
}

fn workflow() -> Workflow {
    Workflow {
        id: WorkflowId(uuid::Uuid::from_u128(7)),
        kind: WorkflowKind::ADD_HOST,
        directory: DirectoryName::default(),
        farm: Some(FarmName::parse("ITFarm1").expect("a name")),
        hosts: vec!["Host4".to_owned()],
        lane: Lane::Lifecycle,
        mode: Mode::Apply,
        state: WorkflowState::Running,
        parent: None,
        preempted_by: None,
        requested_by: "ann".to_owned(),
        reason: None,
        created_at: at(0),
        started_at: Some(at(1)),
        finished_at: None,
        waiting: None,
        plan: None,
        steps: Vec::new(),
        error: None,
        result: None,
    }
}

fn failed(problem: &Problem) -> Ending<'_> {
    Ending { state: WorkflowState::Failed, error: Some(problem), needs_operator: true, at: at(5) }
}

#[test]
fn the_end_of_a_workflow_says_how_it_ended_and_who_wanted_it() {
    let problem = Problem::new(ErrorCode::UndoFailed, "it could not be undone", "look at it");
    let announced = Announcement::workflow_finished(&workflow(), &failed(&problem)).expect("announced");
    let expected = json!({
        "workflowId": "00000000-0000-0000-0000-000000000007", "kind": "add-host", "directory": "default",
        "farm": "ITFarm1", "hosts": ["Host4"], "hostCount": 1, "requestedBy": "ann", "state": "failed",
        "needsOperator": true, "error": { "code": "undo-failed", "message": "it could not be undone" },
        "finishedAt": "2027-01-15T08:00:05Z",
    });
    assert_eq!(Value::Object(announced.data), expected);
    assert_eq!(announced.subject, "00000000-0000-0000-0000-000000000007");
}

#[test]
fn dry_runs_and_questions_are_nobodys_news() {
    let problem = Problem::new(ErrorCode::StepFault, "no", "look");
    let wait = Wait { reason: WaitReason::Operator, until: None, detail: "mend it".to_owned() };
    for quiet in
        [Workflow { mode: Mode::Plan, ..workflow() }, Workflow { kind: WorkflowKind::INSPECT, ..workflow() }]
    {
        assert_eq!(Announcement::workflow_finished(&quiet, &failed(&problem)), None);
        assert_eq!(Announcement::workflow_waiting(&quiet, &wait), None);
    }
}

#[test]
fn only_a_wait_for_a_person_is_announced() {
    for reason in WaitReason::ALL {
        let wait = Wait { reason: *reason, until: None, detail: "do it".to_owned() };
        let announced = Announcement::workflow_waiting(&workflow(), &wait);
        let person = [WaitReason::Approval, WaitReason::Host, WaitReason::Operator].contains(reason);
        assert_eq!(announced.is_some(), person, "{reason}");
        if let Some(announced) = announced {
            assert_eq!(announced.data["waitingFor"], json!(reason));
            assert_eq!(announced.data["toDo"], "do it");
        }
    }
}

/// Whoever asks for ten thousand hosts with a reason as long as a book.
#[test]
fn however_long_its_parts_are_an_announcement_fits_in_an_event() {
    let long = "\u{1F980}".repeat(5_000);
    let many = vec![long.clone(); 10_000];
    let workflow = Workflow {
        hosts: many.clone(),
        requested_by: long.clone(),
        reason: Some(long.clone()),
        ..workflow()
    };
    let problem = Problem::new(ErrorCode::StepFault, long.clone(), "look");
    let finished = Announcement::workflow_finished(&workflow, &failed(&problem)).expect("announced");
    assert_eq!(finished.data["hostCount"], 10_000);
    assert_eq!(finished.data["hosts"].as_array().map(Vec::len), Some(20));
    let (directory, sid) = (DirectoryName::default(), "S-1-5-21-1-2-3-1104".parse().expect("a SID"));
    let host = QuarantinedHost { directory: &directory, host: &long, sid: &sid };
    let account = Dn::parse(&format!("CN={},DC=contoso,DC=com", "x".repeat(400))).expect("a DN");
    let servers: Vec<_> = (0..40).map(|number| format!("dc{number}.contoso.com")).collect();
    let paths = vec!["through CN=Web,DC=contoso,DC=com".repeat(20); 9];
    let let_in = LetIn { account: &account, domain_controllers: &servers, paths: &paths };
    let can_read =
        Announcement::quarantined_host_can_read(&host, workflow.id, &vec![let_in; 500], &servers, None);
    for announced in [finished, can_read] {
        let bytes = serde_json::to_vec(&announced.data).expect("JSON").len();
        assert!(bytes <= Announcement::MAX_DATA_BYTES, "{} has {bytes} bytes", announced.kind);
    }
}
