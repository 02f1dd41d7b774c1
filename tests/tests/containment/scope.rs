//! What a containment reaches, and what it leaves alone.

use domain::containment::{ComputerState, KnownPassword};
use domain::{Mode, WorkflowState};
use serde_json::json;
use tests::world::{direct_farm, farm};

use crate::kit::{Contained, account, contained, dn, host_dn, paths, step};

const USERS: &str = "CN=Users,DC=contoso,DC=com";

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_cut_off_whatever_lets_it_in_and_each_way_is_told() {
    let there = Contained::new().await;
    there.deploy(farm("Group1", "Group1Hosts", &["Host1", "Host2"])).await;
    there.deploy(direct_farm("Direct1", &["Host1", "Host3"])).await;
    let embedded = &there.world.embedded;
    let inner = embedded.seed_group("Inner", &[host_dn("Host1")]).await.expect("a group");
    let middle = embedded.seed_group("Middle", std::slice::from_ref(&inner)).await.expect("a group");
    let outer = embedded.seed_group("Outer", std::slice::from_ref(&middle)).await.expect("a group");
    let computers = there.sid(&dn(&format!("CN=Domain Computers,{USERS}"))).await;
    let outer_sid = there.sid(&outer).await;
    there.wild("Nested1", &[&outer_sid]).await;
    there.wild("Broad1", &[&computers]).await;
    let stranger = there.sid(&host_dn("Host7")).await;
    there.wild("Others1", &[&stranger]).await;
    for name in ["Group1", "Direct1", "Nested1", "Broad1"] {
        assert!(there.reads("Host1", name).await, "{name}, before");
    }

    let told = there.contain("Host1").await;

    for name in ["Group1", "Direct1", "Nested1", "Broad1"] {
        assert!(there.denied("Host1", name).await && !there.reads("Host1", name).await, "{name}");
    }
    assert!(!there.denied("Host1", "Others1").await, "it could not read that one");
    assert!(there.reads("Host2", "Group1").await && there.reads("Host3", "Direct1").await);
    assert!(there.reads("Host2", "Broad1").await, "others keep what they have");
    let names: Vec<_> = told.accounts.iter().map(|one| one.account.as_str()).collect();
    assert_eq!(names, ["Direct1$", "Group1$", "Broad1$", "Nested1$"], "farms on record first");
    assert!(paths(&told, "Group1")[0].starts_with("as a member of CN=Group1Hosts,"));
    assert_eq!(paths(&told, "Direct1"), ["by an entry of its own in the reader list"]);
    assert!(paths(&told, "Nested1")[0].ends_with(&format!("through {middle}; {inner}")), "{told:#?}");
    assert!(paths(&told, "Broad1")[0].starts_with("as a member of CN=Domain Computers,"));

    assert!(!there.members(&dn(&format!("CN=Group1Hosts,{USERS}"))).await.contains(&host_dn("Host1")));
    assert_eq!(there.members(&inner).await, [host_dn("Host1")], "a nested group is others' business");
    assert_eq!(told.not_done.len(), 2, "the nested way and Domain Computers: {:#?}", told.not_done);
    let sid = there.sid(&host_dn("Host1")).await;
    assert!(!there.list("Direct1").await.readers().contains(&sid), "its own entry is gone");
    assert_eq!(there.control("Host1").await & 2, 2);
    assert_eq!((told.host.computer, told.swept, told.embedded_directory), (ComputerState::Disabled, 5, true));
    assert!(told.domain_controllers[0].denied_at.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_attacker_may_know_and_do_is_told() {
    let there = Contained::new().await;
    there.deploy(farm("Known1", "Known1Hosts", &["Host1", "Host2"])).await;
    let told = there.contain("Host1").await;
    let account = &told.accounts[0];
    assert_eq!(account.service_principal_names.len(), 2, "{account:#?}");
    assert_eq!(account.other_hosts, ["Host2"]);
    assert_eq!(account.exposure.known, [KnownPassword::Current]);
    let (since, ends) =
        (account.exposure.slot_start.expect("read"), account.exposure.ends_at.expect("known"));
    assert_eq!((ends - since).num_hours(), 720);
    assert!(account.exposure.exposed_key_id.is_some() && account.exposure.key_id.is_some());
    assert!(told.next.iter().any(|text| text.contains("Known1=replace|wait")), "{:?}", told.next);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_time_there_is_nothing_to_write_and_the_same_is_told() {
    let there = Contained::new().await;
    there.deploy(farm("Twice1", "Twice1Hosts", &["Host1"])).await;
    let first = there.contain("Host1").await;
    let writes = there.world.faults.writes().len();
    let again = there.contain("host1$").await;
    assert_eq!(there.world.faults.writes().len(), writes);
    assert!(first.changed && !again.changed, "{}", again.summary);
    assert_eq!(again.accounts[0].sid, first.accounts[0].sid);
    assert_eq!(again.host.computer, ComputerState::Disabled, "by us, though not this time");
    assert!(again.domain_controllers[0].denied_at.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_reads_nothing_is_put_under_quarantine_and_disabled_all_the_same() {
    let there = Contained::new().await;
    let told = there.contain(host_dn("Host4").as_str()).await;
    assert!(told.accounts.is_empty() && told.summary.contains("no gMSA"), "{}", told.summary);
    assert_eq!(there.control("Host4").await & 2, 2);
    let listed = there.world.store.quarantined(&Default::default()).await.expect("the store answers");
    let sid = there.sid(&host_dn("Host4")).await;
    assert_eq!(
        listed.iter().map(|one| (&one.host_sid, one.computer_disabled)).collect::<Vec<_>>(),
        [(&sid, true)]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_some_farms_only_the_others_are_told_and_not_touched() {
    let there = Contained::new().await;
    there.deploy(farm("Mine1", "SharedHosts", &["Host1"])).await;
    there.deploy(direct_farm("Other1", &["Host1"])).await;
    let done = there.run(json!({ "host": "Host1", "farms": ["Mine1"], "keepComputerEnabled": true })).await;
    let told = contained(&done);
    assert!(there.denied("Host1", "Mine1").await && !there.denied("Host1", "Other1").await);
    assert!(there.reads("Host1", "Other1").await);
    assert!(told.not_done.iter().any(|text| text.contains("Other1$")), "{:?}", told.not_done);
    assert_eq!((told.host.computer, there.control("Host1").await & 2), (ComputerState::KeptEnabled, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_farm_on_record_is_denied_although_somebody_took_the_host_out_of_the_group_before() {
    let there = Contained::new().await;
    there.deploy(farm("Early1", "Early1Hosts", &["Host1", "Host2"])).await;
    let group = dn(&format!("CN=Early1Hosts,{USERS}"));
    let value = directory::Attribute {
        name: "member".to_owned(),
        values: vec![host_dn("Host1").as_str().as_bytes().to_vec()],
    };
    there.dc.modify(&group, &[directory::Modification::Delete(value)]).await.expect("out");
    let told = there.contain("Host1").await;
    assert!(there.denied("Host1", "Early1").await, "its tickets carry the group still");
    assert!(paths(&told, "Early1")[0].starts_with("on record as a host"), "{told:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_that_cannot_be_read_and_accounts_that_are_gone_are_warnings() {
    let there = Contained::new().await;
    there.deploy(farm("Sound1", "Sound1Hosts", &["Host1"])).await;
    there.deploy(farm("Gone1", "Gone1Hosts", &["Host1"])).await;
    there.world.embedded.seed_gmsas(&["Broken1".to_owned()], None).await.expect("one without a list");
    there.dc.delete(&account("Gone1")).await.expect("deleted");
    let told = there.contain("Host1").await;
    assert!(there.denied("Host1", "Sound1").await);
    for name in ["Broken1", "Gone1"] {
        assert!(told.warnings.iter().any(|text| text.contains(name)), "{name} in {:?}", told.warnings);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_lets_everyone_in_goes_on_letting_in_all_others() {
    let there = Contained::new().await;
    there.wild("Null1", &[]).await;
    let mut null = vec![1, 0, 4, 0x80];
    null.resize(20, 0);
    there.put_list("Null1", null).await;
    assert!(there.reads("Host1", "Null1").await);
    let told = there.contain("Host1").await;
    assert!(!there.reads("Host1", "Null1").await && there.reads("Host2", "Null1").await);
    assert!(paths(&told, "Null1")[0].contains("Everyone"), "{told:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_shows_every_write_and_for_which_dc_and_touches_nothing() {
    let there = Contained::new().await;
    there.deploy(farm("Plan1", "Plan1Hosts", &["Host1"])).await;
    let writes = there.world.faults.writes().len();
    let input = json!({ "host": "Host1" });
    let id = there.world.submit_for("compromise-removal", Mode::Plan, None, input).await;
    let planned = there.world.finishes(id).await;
    assert_eq!(planned.state, WorkflowState::Succeeded, "{:?}", planned.error);
    assert_eq!(there.world.faults.writes().len(), writes);
    assert!(there.world.store.quarantined(&Default::default()).await.expect("an answer").is_empty());
    let changes = planned.plan.expect("a plan").changes;
    assert_eq!(changes.len(), 3, "deny, group, computer");
    assert!(changes.iter().all(|change| change.dc.as_deref() == Some(there.dc.dc())), "{changes:#?}");
    let words = changes[0].attributes[0].added()[0].to_string();
    assert!(words.starts_with("deny Host1 ("), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_containment_leaves_what_it_wrote() {
    let there = Contained::new().await;
    there.deploy(farm("Kept1", "Kept1Hosts", &["Host1"])).await;
    let done = there.contain("Host1").await;
    assert!(done.changed);
    let runbook =
        there.world.registry.get(&domain::WorkflowKind::COMPROMISE_REMOVAL).expect("registered").clone();
    let workflow = there.run(json!({ "host": "Host1" })).await;
    let cx = workers::StepContext::new(
        workflow.id,
        Default::default(),
        Mode::Apply,
        there.world.environment(),
        json!({ "host": "Host1" }),
        None,
    );
    let before = there.world.faults.writes().len();
    for step in &runbook.steps {
        step.undo(&cx, &[]).await.expect("nothing to do");
    }
    assert_eq!(there.world.faults.writes().len(), before);
    assert!(step(&workflow, "deny-on-record").changed == Some(false));
}
