//! `kds-root-key-recovery`.

use chrono::TimeDelta;
use directory::preflight::{root_key_dn, root_keys};
use directory::{Attribute, ManagedPasswordId, Scope, Search};
use domain::{Clock as _, Mode, SystemClock, WaitReason, Workflow, WorkflowId, WorkflowState};
use serde_json::json;
use tests::wait::eventually;
use tests::world::{World, direct_farm, farm};
use uuid::Uuid;
use workers::Registry;
use workers::runbooks::kds_root_key_recovery;
use workers::steps::root_key::Pace;

use crate::kit::{Contained, account, dn, succeeded};
use crate::{LIMIT, administrator, reject, resume, waits_for, waits_in};

const EPOCH: i64 = 11_644_473_600;

/// A domain whose root key is out, with a Farmhand that looks often.
async fn exposed() -> (Contained, Uuid) {
    let brief = TimeDelta::milliseconds(300);
    let pace = Pace { at_once: 1, look: brief, look_for_people: brief };
    let world = World::with(Registry::standard().with(kds_root_key_recovery::with(pace))).await;
    let worker = world.start_worker("one");
    let dc = world.directory.pin(None).await.expect("a DC");
    let keys = root_keys(dc.as_ref()).await.expect("an answer").expect("to be seen");
    let key = keys.first().expect("a key").id;
    (Contained::with(world, dc, worker), key)
}

async fn recover(there: &Contained, key: Uuid, mode: Mode) -> WorkflowId {
    let input = json!({ "rootKey": key, "coolDownSeconds": 0 });
    there.world.submit_for("kds-root-key-recovery", mode, None, input).await
}

/// What Add-KdsRootKey does, in a lab where nobody waits ten hours.
async fn add_root_key(there: &Contained) -> Uuid {
    let dc = administrator(&there.world).await;
    let key = Uuid::from_u128(0x0f0f_0f0f_0f0f_4f0f_8f0f_0f0f_0f0f_0f0f);
    let ticks = |ago: TimeDelta| ((SystemClock.now() - ago).timestamp() + EPOCH) * 10_000_000;
    let attributes = [
        ("objectClass", "msKds-ProvRootKey".to_owned()),
        ("msKds-Version", "1".to_owned()),
        ("msKds-CreateTime", ticks(TimeDelta::zero()).to_string()),
        ("msKds-UseStartTime", ticks(TimeDelta::hours(11)).to_string()),
        ("msKds-DomainID", "CN=DC1,OU=Domain Controllers,DC=contoso,DC=com".to_owned()),
    ];
    let attributes =
        attributes.map(|(name, value)| Attribute { name: name.to_owned(), values: vec![value.into_bytes()] });
    let at = root_key_dn(dc.as_ref(), key).await.expect("an answer");
    dc.add(&at, &attributes).await.expect("a root key");
    key
}

async fn remove_root_key(there: &Contained, key: Uuid) {
    let dc = administrator(&there.world).await;
    let at = root_key_dn(dc.as_ref(), key).await.expect("an answer");
    dc.delete(&at).await.expect("removed");
}

/// The root key of every gMSA, by its name.
async fn keys_in_use(there: &Contained) -> Vec<(String, Uuid)> {
    let domain = dn("DC=contoso,DC=com");
    let filter = "(objectClass=msDS-GroupManagedServiceAccount)";
    let search = Search::new(&domain, Scope::Subtree, filter, &["sAMAccountName", "msDS-ManagedPasswordId"]);
    let found = there.dc.search(&search).await.expect("an answer");
    let key = |bytes: &[u8]| ManagedPasswordId::parse(bytes).expect("an id").root_key;
    let mut keys: Vec<_> = found
        .iter()
        .map(|one| {
            (
                one.text("sAMAccountName").expect("a name").to_owned(),
                key(one.values("msDS-ManagedPasswordId")[0].as_slice()),
            )
        })
        .collect();
    keys.sort();
    keys
}

async fn replacements(there: &Contained, id: WorkflowId) -> Vec<Workflow> {
    there.world.store.children(id).await.expect("the store answers")
}

/// Up to the replacement of accounts, as people bring it there.
async fn begun(there: &Contained, key: Uuid) -> (WorkflowId, Uuid) {
    let world = &there.world;
    let id = recover(there, key, Mode::Apply).await;
    waits_for(world, id, WaitReason::Approval).await;
    world.approve(id).await;
    let wanted = waits_in(world, id, "new-root-key").await;
    assert!(wanted.contains("Add-KdsRootKey"), "{wanted}");
    let new = add_root_key(there).await;
    resume(world, id).await;
    let wanted = waits_in(world, id, "restart-kds").await;
    assert!(wanted.contains("'dc1.contoso.com' { Restart-Service KdsSvc }"), "{wanted}");
    assert!(replacements(there, id).await.is_empty());
    resume(world, id).await;
    (id, new)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_account_moves_to_a_new_key_and_the_exposed_one_goes_last() {
    let (there, exposed) = exposed().await;
    let world = &there.world;
    there.deploy(farm("Gold1", "Gold1Hosts", &["Host1", "Host2"])).await;
    there.deploy(direct_farm("Gold2", &["Host3"])).await;
    there.wild("Loose1", &[]).await;
    let (id, new) = begun(&there, exposed).await;

    // One after the other, each with an approval of its own.
    let most = eventually("both farms are replaced", LIMIT, async || {
        let children = replacements(&there, id).await;
        for child in &children {
            world.approve_if_asked(child.id).await;
        }
        let unfinished = children.iter().filter(|child| !child.state.is_finished()).count();
        assert!(unfinished <= 1, "{children:#?}");
        let done = children.iter().filter(|child| child.state == WorkflowState::Succeeded).count();
        (done == 2).then_some(children)
    })
    .await;
    let farms: Vec<_> = most.iter().map(|child| child.farm.clone().expect("a farm").to_string()).collect();
    assert_eq!(farms, ["Gold1", "Gold2"]);
    let wanted = waits_in(world, id, "replace-accounts").await;
    assert!(wanted.contains("Loose1$") && wanted.contains("farm import"), "{wanted}");
    let on: Vec<_> = keys_in_use(&there).await;
    let expected = [("Gold1$", new), ("Gold2$", new), ("Loose1$", exposed)];
    assert_eq!(on, expected.map(|(name, key)| (name.to_owned(), key)));

    // By hand; seen without anybody's word.
    administrator(world).await.delete(&account("Loose1")).await.expect("deleted");
    let wanted = waits_in(world, id, "remove-root-key").await;
    assert!(wanted.contains("Remove-ADObject") && wanted.contains(&exposed.to_string()), "{wanted}");
    remove_root_key(&there, exposed).await;
    resume(world, id).await;
    waits_in(world, id, "restart-kds-again").await;
    resume(world, id).await;

    let done = world.finishes(id).await;
    succeeded(&done);
    let result = done.result.expect("a result");
    assert_eq!(result["exposedRootKey"], json!(exposed));
    assert_eq!(result["rootKey"], json!(new));
    assert_eq!(
        (result["farms"].as_array().map(Vec::len), &result["others"]),
        (Some(2), &json!(1)),
        "{result:#}"
    );
    let left = root_keys(there.dc.as_ref()).await.expect("an answer").expect("to be seen");
    assert_eq!(left.iter().map(|key| key.id).collect::<Vec<_>>(), [new]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_that_is_not_done_stops_the_next_until_a_person_resumes() {
    let (there, exposed) = exposed().await;
    let world = &there.world;
    there.deploy(direct_farm("Stop1", &["Host1"])).await;
    there.deploy(direct_farm("Stop2", &["Host2"])).await;
    let (id, _) = begun(&there, exposed).await;
    let first = eventually("a replacement is asked for", LIMIT, async || {
        let child = replacements(&there, id).await.pop()?;
        child.waiting.as_ref().is_some_and(|wait| wait.reason == WaitReason::Approval).then_some(child)
    })
    .await;
    reject(world, first.id).await;
    let wanted = waits_in(world, id, "replace-accounts").await;
    assert!(wanted.contains("no other is begun") && wanted.contains(&first.id.to_string()), "{wanted}");
    assert_eq!(replacements(&there, id).await.len(), 1);
    resume(world, id).await;
    let again = eventually("another one is asked for", LIMIT, async || {
        let children = replacements(&there, id).await;
        (children.len() == 2).then(|| children.into_iter().next_back()).flatten()
    })
    .await;
    assert_eq!((again.farm, again.requested_by), (first.farm, first.requested_by));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_takes_stock_and_asks_for_nothing() {
    let (there, exposed) = exposed().await;
    there.deploy(direct_farm("Stock1", &["Host1"])).await;
    there.wild("Stock2", &[]).await;
    let id = recover(&there, exposed, Mode::Plan).await;
    let planned = there.world.finishes(id).await;
    assert_eq!(planned.state, WorkflowState::Succeeded, "{:?}", planned.error);
    let stock = planned.steps[0].outcome.as_ref().expect("an outcome").output.clone();
    assert_eq!((&stock["farms"], &stock["others"]), (&json!(["Stock1"]), &json!(1)), "{stock:#}");
    assert!(replacements(&there, id).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_nowhere_is_refused() {
    let (there, _) = exposed().await;
    let id = recover(&there, Uuid::from_u128(7), Mode::Apply).await;
    let done = there.world.finishes(id).await;
    assert_eq!(done.state, WorkflowState::Failed);
    assert_eq!(done.error.expect("an error").code, domain::ErrorCode::InvalidRequest);
}
