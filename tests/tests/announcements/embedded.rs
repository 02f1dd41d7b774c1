//! Each kind, where it happens: all of Farmhand in one process.

use directory::{Directory as _, LdapDirectory, ReaderDescriptor};
use domain::{AnnouncementKind as Kind, Clock as _, Mode, SystemRng, WorkflowId, WorkflowKind};
use messages::CloudEvent;
use serde_json::{Value, json};
use store::{Action, NewWorkflow};
use tests::ears::Ears;
use tests::world::farm;

use crate::kit::{Contained, account, contained, dn, host_dn, succeeded};

fn is_of(id: WorkflowId) -> impl Fn(&CloudEvent) -> bool {
    move |event| event.data["workflowId"] == json!(id)
}

/// Asks for a workflow that came of another.
async fn child(
    there: &Contained,
    kind: &WorkflowKind,
    farm: Option<&str>,
    input: Value,
    of: WorkflowId,
) -> WorkflowId {
    let now = there.world.clock.now();
    let new = NewWorkflow {
        id: WorkflowId::new(now, &SystemRng),
        kind: kind.clone(),
        directory: Default::default(),
        farm: farm.map(|name| domain::FarmName::parse(name).expect("a name")),
        hosts: Vec::new(),
        lane: domain::Lane::Lifecycle,
        mode: Mode::Apply,
        requested_by: "a test".to_owned(),
        reason: None,
        input,
        traceparent: None,
        parent: Some(of),
        farm_spec: None,
        now,
    };
    let id = new.id;
    there.world.store.submit(new, None).await.expect("submitted");
    there.world.signal.wake();
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn every_end_is_announced_once_and_dry_runs_and_questions_never() {
    let there = Contained::new().await;
    let mut ears = Ears::open(&there.world.announcements);
    let dry = there.world.submit("deploy", Mode::Plan, farm("End1", "End1Hosts", &["Host1"])).await;
    there.world.finishes(dry).await;
    let good = there.world.submit("deploy", Mode::Apply, farm("End1", "End1Hosts", &["Host1"])).await;
    let done = there.world.finishes(good).await;
    let question = there.world.submit_for("inspect", Mode::Apply, Some("End1"), json!({})).await;
    there.world.finishes(question).await;
    let bad = there.world.submit("deploy", Mode::Apply, farm("End2", "End2Hosts", &["NoSuchHost"])).await;
    there.world.finishes(bad).await;

    let event = ears.next_about(Kind::WorkflowFinished, is_of(good)).await;
    assert_eq!(event.subject, Some(good.to_string()));
    let told = [&event.data["state"], &event.data["farm"], &event.data["kind"], &event.data["hosts"]];
    assert_eq!(told, [&json!("succeeded"), &json!("End1"), &json!("deploy"), &json!(["Host1"])]);
    let finished: chrono::DateTime<chrono::Utc> =
        serde_json::from_value(event.data["finishedAt"].clone()).expect("a time");
    assert_eq!(Some(finished), done.finished_at);
    let event = ears.next_about(Kind::WorkflowFinished, is_of(bad)).await;
    assert_eq!((&event.data["state"], &event.data["needsOperator"]), (&json!("failed"), &json!(false)));
    assert!(
        event.data["error"]["message"].as_str().is_some_and(|text| text.contains("NoSuchHost")),
        "{event:#?}"
    );
    assert_eq!(ears.heard(Kind::WorkflowFinished).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_must_approve_hears_of_it_once_and_then_how_it_ended() {
    let there = Contained::new().await;
    there.deploy(farm("Wait1", "Wait1Hosts", &["Host1"])).await;
    let mut ears = Ears::open(&there.world.announcements);
    let input = json!({ "coolDownSeconds": 0 });
    let id = there.world.submit_for("decommission", Mode::Apply, Some("Wait1"), input).await;
    let event = ears.next(Kind::WorkflowWaiting).await;
    assert_eq!((&event.data["workflowId"], &event.data["waitingFor"]), (&json!(id), &json!("approval")));
    let to_do = event.data["toDo"].as_str().expect("a text");
    assert!(to_do.contains(&format!("farmhand workflow approve {id}")), "{to_do}");
    assert!(event.data["until"].is_string(), "an approval expires");
    there.world.store.act(id, Action::Cancel, "a test", there.world.clock.now()).await.expect("cancelled");
    there.world.signal.wake();
    let event = ears.next(Kind::WorkflowFinished).await;
    assert_eq!((&event.data["workflowId"], &event.data["state"]), (&json!(id), &json!("cancelled")));
    assert_eq!(ears.heard(Kind::WorkflowWaiting).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_cut_off_and_gets_back_in_is_announced_with_the_containment_of_it() {
    let there = Contained::new().await;
    there.deploy(farm("Back1", "Back1Hosts", &["Host1", "Host2"])).await;
    let mut ears = Ears::open(&there.world.announcements);
    there.contain("Host1").await;
    let added = ears.next(Kind::QuarantineAdded).await;
    assert_eq!((added.subject.as_deref(), &added.data["host"]), (Some("Host1"), &json!("Host1")));
    assert_eq!(added.data["sid"], json!(there.sid(&host_dn("Host1")).await));

    let computers = there.sid(&dn("CN=Domain Computers,CN=Users,DC=contoso,DC=com")).await;
    let open = ReaderDescriptor::allowing([&computers]).to_bytes().expect("fits");
    there.put_list("Back1", open.clone()).await;
    let dry = there.world.submit_for("quarantine-check", Mode::Plan, None, json!({})).await;
    there.world.finishes(dry).await;
    let check = there.world.submit_for("quarantine-check", Mode::Apply, None, json!({})).await;
    let event = ears.next(Kind::QuarantinedHostCanRead).await;
    let containment = there.world.store.children(check).await.expect("the store answers").remove(0).id;
    let told = [&event.data["host"], &event.data["workflowId"], &event.data["containedBy"]];
    assert_eq!(told, [&json!("Host1"), &json!(check), &json!(containment)]);
    assert_eq!(
        (&event.data["accountCount"], &event.data["accounts"][0]["account"]),
        (&json!(1), &json!(account("Back1")))
    );
    succeeded(&there.world.finishes(containment).await);
    ears.next_about(Kind::WorkflowFinished, is_of(containment)).await;
    assert_eq!(ears.heard(Kind::QuarantinedHostCanRead).len(), 1, "a dry run says nothing");
    assert_eq!(ears.heard(Kind::QuarantineAdded).len(), 1, "it was there already");

    let host = there.sid(&host_dn("Host1")).await;
    let input = json!({ "hostSid": host, "force": "rebuilt from the image", "host": host });
    let id = there.world.submit_for("quarantine-release", Mode::Apply, None, input).await;
    succeeded(&there.world.finishes_approved(id).await);
    let event = ears.next(Kind::QuarantineReleased).await;
    assert_eq!((&event.data["host"], &event.data["workflowId"]), (&json!("Host1"), &json!(id)));
}

/// A farm that Host1 read, and the containment of Host1.
async fn exposed(name: &str) -> (Contained, WorkflowId, domain::containment::ContainedAccount) {
    let there = Contained::new().await;
    there.deploy(farm(name, &format!("{name}Hosts"), &["Host1", "Host2"])).await;
    let containment = there.ask(json!({ "host": "Host1" })).await;
    let told = contained(&there.world.finishes(containment).await);
    let account =
        told.accounts.into_iter().find(|one| one.account == format!("{name}$")).expect("it read it");
    (there, containment, account)
}

fn is_the_end_of(event: &CloudEvent, name: &str, containment: WorkflowId, seen_by: WorkflowId) {
    assert_eq!(event.subject, Some(format!("{name}$")));
    let told =
        [&event.data["host"], &event.data["farm"], &event.data["compromise"], &event.data["workflowId"]];
    assert_eq!(told, [&json!("Host1"), &json!(name), &json!(containment), &json!(seen_by)]);
    assert!(event.data["evidence"].as_str().is_some_and(|text| !text.is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exposure_that_was_waited_for_ends_with_the_roll_that_was_seen() {
    let (there, containment, exposed) = exposed("Roll1").await;
    let mut ears = Ears::open(&there.world.announcements);
    let options = there.world.embedded.admin_ldap_options(Default::default());
    let admin = LdapDirectory::new(options).expect("valid options").pin(None).await.expect("a DC");
    admin.delete(&account("Roll1")).await.expect("deleted");
    let input = json!({
        "accountSid": exposed.sid, "exposedKeyId": exposed.exposure.exposed_key_id, "compromise": containment,
    });
    let id = child(&there, &WorkflowKind::AWAIT_ROLL, Some("Roll1"), input, containment).await;
    let event = ears.next(Kind::ExposureEnded).await;
    is_the_end_of(&event, "Roll1", containment, id);
    assert!(event.data["evidence"].as_str().is_some_and(|text| text.contains("is gone")), "{event:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exposure_ends_when_the_old_account_is_disabled_and_another_has_its_place() {
    for new_account in [None, Some("Swap2")] {
        let (there, containment, exposed) = exposed("Swap1").await;
        let mut ears = Ears::open(&there.world.announcements);
        let input = json!({ "accountSid": exposed.sid, "newAccount": new_account, "coolDownSeconds": 0 });
        let id = child(&there, &WorkflowKind::REPLACE, Some("Swap1"), input, containment).await;
        succeeded(&there.world.finishes_approved(id).await);
        ears.next_about(Kind::WorkflowFinished, is_of(id)).await;
        let event = ears.next(Kind::ExposureEnded).await;
        is_the_end_of(&event, "Swap1", containment, id);
        assert_eq!(ears.heard(Kind::ExposureEnded).len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_that_no_containment_asked_for_ends_no_exposure() {
    let there = Contained::new().await;
    there.deploy(farm("Plain1", "Plain1Hosts", &["Host1"])).await;
    let sid = there.sid(&account("Plain1")).await;
    let mut ears = Ears::open(&there.world.announcements);
    let input = json!({ "accountSid": sid, "coolDownSeconds": 0 });
    let id = there.world.submit_for("replace", Mode::Apply, Some("Plain1"), input).await;
    succeeded(&there.world.finishes_approved(id).await);
    ears.next_about(Kind::WorkflowFinished, is_of(id)).await;
    assert!(ears.heard(Kind::ExposureEnded).is_empty());
}
