//! `quarantine-check`.

use directory::ReaderDescriptor;
use domain::{Mode, Workflow, WorkflowId, WorkflowState};
use serde_json::{Value, json};
use tests::world::farm;

use crate::kit::{Contained, dn, host_dn, succeeded};
use crate::{administrator, put};

pub async fn check(there: &Contained) -> (Workflow, Value) {
    let id = there.world.submit_for("quarantine-check", Mode::Apply, None, json!({})).await;
    let done = there.world.finishes(id).await;
    succeeded(&done);
    let result = done.result.clone().expect("a result");
    (done, result)
}

async fn children(there: &Contained, id: WorkflowId) -> Vec<Workflow> {
    there.world.store.children(id).await.expect("the store answers")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_got_back_in_is_found_and_cut_off_again() {
    let there = Contained::new().await;
    there.deploy(farm("Back1", "Back1Hosts", &["Host1", "Host2"])).await;
    there.contain("Host1").await;
    // Somebody meant well: the list as it should be, for all hosts, and the computer enabled.
    let computers = there.sid(&dn("CN=Domain Computers,CN=Users,DC=contoso,DC=com")).await;
    let open = ReaderDescriptor::allowing([&computers]);
    there.put_list("Back1", open.to_bytes().expect("fits")).await;
    let group = there.world.embedded.seed_group("Sly", &[host_dn("Host1")]).await.expect("a group");
    there.wild("Back2", &[&there.sid(&group).await]).await;
    put(administrator(&there.world).await.as_ref(), &host_dn("Host1"), "userAccountControl", "4096").await;
    assert!(there.reads("Host1", "Back1").await && there.reads("Host1", "Back2").await);

    let (done, result) = check(&there).await;

    assert!(there.denied("Host1", "Back1").await, "one that is on record as ours at once");
    let host = &result["hosts"][0];
    let let_in: Vec<_> =
        host["letIn"].as_array().expect("a list").iter().map(|one| &one["account"]).collect();
    assert_eq!(let_in.len(), 2, "{result:#}");
    assert!(host["letIn"].to_string().contains("as a member of CN=Sly,"), "{result:#}");
    assert_eq!(host["enabledAgainOn"].as_array().map(Vec::len), Some(1), "{result:#}");
    let asked = children(&there, done.id).await;
    assert_eq!(asked.len(), 1);
    assert_eq!((&host["containedBy"], asked[0].lane), (&json!(asked[0].id), domain::Lane::Urgent));
    succeeded(&there.world.finishes(asked[0].id).await);
    for name in ["Back1", "Back2"] {
        assert!(there.denied("Host1", name).await && !there.reads("Host1", name).await, "{name}");
    }
    assert!(there.reads("Host2", "Back1").await, "others keep what they have");
    assert_eq!(there.control("Host1").await & 2, 2);

    let (again, result) = check(&there).await;
    assert_eq!((result["changed"].clone(), children(&there, again.id).await.len()), (json!(false), 0));
    assert_eq!(result["summary"], json!("1 host under quarantine, none of them can read anything"));

    // And once more: what was enough the last time is not, so that it is asked for anew.
    there.put_list("Back2", open.to_bytes().expect("fits")).await;
    let (third, _) = check(&there).await;
    let asked = children(&there, third.id).await;
    assert_eq!(asked.len(), 1);
    succeeded(&there.world.finishes(asked[0].id).await);
    assert!(there.denied("Host1", "Back2").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deny_entry_that_is_gone_is_put_back_although_the_next_token_would_not_be_let_in() {
    let there = Contained::new().await;
    there.deploy(farm("Bare1", "Bare1Hosts", &["Host1", "Host2"])).await;
    there.contain("Host1").await;
    let mut list = there.list("Bare1").await;
    assert!(list.lift_denial(&there.sid(&host_dn("Host1")).await));
    there.put_list("Bare1", list.to_bytes().expect("fits")).await;
    assert!(!there.reads("Host1", "Bare1").await, "only a session with the group of before could");
    let (done, result) = check(&there).await;
    assert!(there.denied("Host1", "Bare1").await);
    assert_eq!((result["changed"].clone(), children(&there, done.id).await.len()), (json!(true), 0));
    assert_eq!(result["hosts"][0]["deniedAgain"].as_array().map(Vec::len), Some(1), "{result:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_host_is_under_quarantine_nothing_is_read() {
    let there = Contained::new().await;
    let (_, result) = check(&there).await;
    assert_eq!((&result["swept"], &result["hosts"]), (&json!(0), &json!([])), "{result:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_and_does_nothing() {
    let there = Contained::new().await;
    there.deploy(farm("Dry1", "Dry1Hosts", &["Host1"])).await;
    there.contain("Host1").await;
    let host = there.sid(&host_dn("Host1")).await;
    there.put_list("Dry1", ReaderDescriptor::allowing([&host]).to_bytes().expect("fits")).await;
    let writes = there.world.faults.writes().len();
    let id = there.world.submit_for("quarantine-check", Mode::Plan, None, json!({})).await;
    let planned = there.world.finishes(id).await;
    assert_eq!(planned.state, WorkflowState::Succeeded, "{:?}", planned.error);
    assert_eq!(planned.plan.expect("a plan").changes.len(), 1);
    assert_eq!((there.world.faults.writes().len(), children(&there, id).await.len()), (writes, 0));
    assert!(there.reads("Host1", "Dry1").await);
}
