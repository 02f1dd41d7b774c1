//! On the embedded directory, which counts what it is asked.

use std::sync::Arc;

use directory::embedded::OperationKind;
use directory::ldap::LdapDirectory;
use directory::{Attribute, Directory, DirectoryWrite, Modification, ReaderDescriptor};
use domain::drift::{DriftKind as K, DriftState};
use domain::{Clock, DirectoryName, Dn, Mode, Sid};
use serde_json::json;
use store::DriftMark;
use tests::lab::{GMSA_CONTAINER, GROUP_CONTAINER, HOST_CONTAINER};
use tests::world::{World, direct_farm};

use super::{check_as, deployed, entry, farm, full, in_line, quick, succeeded, told};

pub fn account_dn(name: &str) -> Dn {
    Dn::parse(&format!("CN={name},{GMSA_CONTAINER}")).expect("a DN")
}

pub fn group_dn(name: &str) -> Dn {
    Dn::parse(&format!("CN={name},{GROUP_CONTAINER}")).expect("a DN")
}

pub fn host_dn(name: &str) -> Dn {
    Dn::parse(&format!("CN={name},{HOST_CONTAINER}")).expect("a DN")
}

/// Somebody who may do anything, and is not Farmhand.
pub async fn admin(world: &World) -> Arc<dyn DirectoryWrite> {
    let options = world.embedded.admin_ldap_options(DirectoryName::default());
    LdapDirectory::new(options).expect("valid options").pin(None).await.expect("a DC")
}

pub async fn set(world: &World, dn: &Dn, attribute: &str, values: &[&str]) {
    let values = values.iter().map(|value| value.as_bytes().to_vec()).collect();
    write(world, dn, attribute, values).await;
}

async fn write(world: &World, dn: &Dn, attribute: &str, values: Vec<Vec<u8>>) {
    let change = Modification::Replace(Attribute { name: attribute.to_owned(), values });
    admin(world).await.modify(dn, &[change]).await.expect("an administrator may");
}

async fn sid(world: &World, dn: &Dn) -> Sid {
    let dc = world.directory.pin(None).await.expect("a DC");
    let entry = dc.read(&dn.into(), &["objectSid"]).await.expect("a read").expect("it is there");
    entry.sid("objectSid").expect("a SID")
}

async fn readers<T>(world: &World, farm: &str, edit: impl FnOnce(&mut ReaderDescriptor) -> T) {
    const LIST: &str = "msDS-GroupMSAMembership";
    let (dc, dn) = (admin(world).await, account_dn(farm));
    let account = dc.read(&(&dn).into(), &[LIST]).await.expect("a read").expect("the account");
    let mut list = ReaderDescriptor::from_bytes(account.bytes(LIST).expect("a list")).expect("a descriptor");
    edit(&mut list);
    write(world, &dn, LIST, vec![list.to_bytes().expect("fits")]).await;
}

/// What the directory is asked by a quick check.
async fn operations(world: &World) -> usize {
    world.faults.forget();
    quick(world).await;
    world.faults.operations().iter().filter(|operation| operation.kind != OperationKind::Bind).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_drift_is_found_by_a_check_of_what_has_changed_and_no_check_writes() {
    let world = World::new().await;
    let _worker = world.start_worker("one");
    let names = ["dr1", "dr2", "dr3", "dr4", "dr5", "dr6", "dr7", "dr8", "dr9", "drok"];
    for name in names {
        deployed(&world, farm(name, &["Host1", "Host2"], json!({}))).await;
    }
    world.embedded.seed_computer("Leaver").await.expect("a computer");
    deployed(&world, farm("drgone", &["Host1", "Leaver"], json!({}))).await;
    deployed(&world, direct_farm("drdirect", &["Host1", "Host2"])).await;

    let first = check_as(&world, None, false).await;
    assert!(first.full.as_ref().is_some_and(|why| why.contains("first")), "{first:#?}");
    assert_eq!((first.checked, first.compared, first.farms.in_line), (12, 12, 12), "{first:#?}");
    assert_eq!(quick(&world).await.compared, 0);

    set(&world, &account_dn("dr1"), "description", &["another's"]).await;
    set(&world, &account_dn("dr2"), "servicePrincipalName", &["http/dr2"]).await;
    set(&world, &account_dn("dr3"), "msDS-SupportedEncryptionTypes", &["4"]).await;
    let (one, five) = (host_dn("Host1"), host_dn("Host5"));
    set(&world, &group_dn("dr4g"), "member", &[one.as_str()]).await;
    set(&world, &group_dn("dr5g"), "member", &[one.as_str(), host_dn("Host2").as_str(), five.as_str()]).await;
    let dc = admin(&world).await;
    dc.delete(&account_dn("dr6")).await.expect("deleted");
    dc.delete(&group_dn("dr7g")).await.expect("deleted");
    dc.rename(&group_dn("dr8g"), "dr8-moved").await.expect("renamed");
    let (orphan, two) = (sid(&world, &five).await, sid(&world, &host_dn("Host2")).await);
    let orphan = orphan.domain().expect("a domain").with_rid(999_999).expect("a SID");
    readers(&world, "dr9", |list| {
        list.allow(&orphan);
        list.deny(&two);
    })
    .await;
    dc.delete(&host_dn("Leaver")).await.expect("deleted");
    readers(&world, "drdirect", |list| list.remove(&two)).await;
    let five_sid = sid(&world, &five).await;
    readers(&world, "drdirect", |list| list.allow(&five_sid)).await;

    world.faults.forget();
    let found = quick(&world).await;
    assert_eq!(world.faults.writes(), [], "a check reads");
    assert_eq!((found.farms.in_line, found.farms.drifted, found.compared), (1, 11, 11), "{found:#?}");
    in_line(&world, "drok").await;
    for (name, expected) in [
        ("dr1", vec![(K::Changed, "dr1$", "description")]),
        ("dr2", vec![(K::Changed, "dr2$", "servicePrincipalName")]),
        ("dr3", vec![(K::Changed, "dr3$", "msDS-SupportedEncryptionTypes")]),
        ("dr4", vec![(K::Missing, "Host2", "member")]),
        ("dr5", vec![(K::Extra, "Host5", "member")]),
        ("dr6", vec![(K::Gone, "dr6$", "objectSid")]),
        ("dr7", vec![(K::Gone, "dr7g", "objectSid")]),
        ("dr8", vec![(K::Moved, "dr8g", "distinguishedName")]),
        (
            "dr9",
            vec![
                (K::CannotRead, "Host2", "msDS-GroupMSAMembership"),
                (K::Denied, "Host2", "msDS-GroupMSAMembership"),
                (K::Orphan, orphan.to_string().leak(), "msDS-GroupMSAMembership"),
            ],
        ),
        ("drgone", vec![(K::Gone, "Leaver", "objectSid")]),
        (
            "drdirect",
            vec![
                (K::Missing, "Host2", "msDS-GroupMSAMembership"),
                (K::Extra, "Host5", "msDS-GroupMSAMembership"),
            ],
        ),
    ] {
        let entry = entry(&world, name).await;
        assert_eq!(told(&entry), expected, "{name}");
        assert_eq!(entry.state, DriftState::Drifted, "{name}");
    }

    // By hand back as it was: the next check sees that too.
    set(&world, &account_dn("dr1"), "description", &["a farm of a test"]).await;
    quick(&world).await;
    in_line(&world, "dr1").await;
    // Every farm once more finds the same.
    let all = full(&world).await;
    assert_eq!((all.farms.in_line, all.changed, all.compared), (2, 0, 12), "{all:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_in_which_nothing_changes_is_asked_two_questions_however_many_farms_there_are() {
    let world = World::new().await;
    let _worker = world.start_worker("one");
    deployed(&world, farm("few1", &["Host1"], json!({}))).await;
    full(&world).await;
    // The connections of the lane are open by now.
    quick(&world).await;
    assert_eq!(operations(&world).await, 2, "where it stands in its changes, and which database it is");
    for number in 2..=12 {
        deployed(&world, farm(&format!("few{number}"), &["Host1", "Host2"], json!({}))).await;
    }
    world.faults.forget();
    full(&world).await;
    let every = world.faults.operations().len();
    assert_eq!(operations(&world).await, 2);
    assert!(every > 6, "{every}");

    // A change that is no farm's: what has changed is asked for, and whether everything else is where
    // it was, of all farms at once.
    world.embedded.seed_computer("Stranger").await.expect("a computer");
    assert_eq!(operations(&world).await, 4);
    let then = quick(&world).await;
    assert_eq!((then.compared, then.checked, then.farms.in_line), (0, 12, 12));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_dcs_word_a_restored_one_and_the_policy_have_every_farm_compared() {
    let world = World::new().await;
    let _worker = world.start_worker("one");
    deployed(&world, farm("full1", &["Host1"], json!({}))).await;
    full(&world).await;
    let directory = DirectoryName::default();
    let mark = world.store.drift_mark(&directory).await.expect("the store answers").expect("a mark");
    assert_eq!(mark.dc, "dc1.contoso.com");

    let other =
        DriftMark { dc: "dc2.contoso.com".to_owned(), invocation: "another".to_owned(), ..mark.clone() };
    world.store.settle_drift(&directory, &other).await.expect("the store answers");
    let found = check_as(&world, None, false).await;
    assert!(found.full.as_ref().is_some_and(|why| why.contains("dc2.contoso.com")), "{found:#?}");
    assert_eq!(quick(&world).await.compared, 0, "and from then on it goes by the new one");

    let ahead = DriftMark { usn: mark.usn + 1_000_000, ..mark.clone() };
    world.store.settle_drift(&directory, &ahead).await.expect("the store answers");
    let found = check_as(&world, None, false).await;
    assert!(found.full.as_ref().is_some_and(|why| why.contains("earlier point")), "{found:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_after_the_last_time_every_farm_is_compared_anyway() {
    let world = World::new().await;
    let _worker = world.start_worker("one");
    deployed(&world, farm("daily1", &["Host1"], json!({}))).await;
    full(&world).await;
    quick(&world).await;
    world.clock.set(world.clock.now() + chrono::TimeDelta::hours(24));
    let found = check_as(&world, None, false).await;
    assert!(found.full.as_ref().is_some_and(|why| why.contains("long ago")), "{found:#?}");
    quick(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_record_is_compared_and_a_farm_that_retires_is_forgotten() {
    let world = World::new().await;
    let _worker = world.start_worker("one");
    for name in ["rec1", "rec2"] {
        deployed(&world, farm(name, &["Host1"], json!({}))).await;
    }
    full(&world).await;
    let added = world.submit_for("add-host", Mode::Apply, Some("rec1"), json!({ "hosts": ["Host2"] })).await;
    succeeded(&world.finishes(added).await);
    let found = quick(&world).await;
    assert_eq!((found.compared, found.farms.in_line), (1, 2), "{found:#?}");

    let retired =
        world.submit_for("decommission", Mode::Apply, Some("rec2"), json!({ "coolDownSeconds": 0 })).await;
    succeeded(&world.finishes_approved(retired).await);
    let found = quick(&world).await;
    assert_eq!((found.checked, found.farms.in_line), (1, 1), "{found:#?}");
    assert_eq!(world.store.count_by_drift().await.expect("the store answers").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_farm_that_is_being_worked_on_is_not_judged() {
    let world = World::new().await;
    let _worker = world.start_worker("one");
    deployed(&world, farm("busy1", &["Host1"], json!({}))).await;
    full(&world).await;
    let id = world
        .submit_for("decommission", Mode::Apply, Some("busy1"), json!({ "coolDownSeconds": 86_400 }))
        .await;
    // It waits for approval: nothing has been written.
    world.reaches(id, &[domain::WorkflowState::Waiting]).await;
    quick(&world).await;
    in_line(&world, "busy1").await;
    world.approve(id).await;
    tests::wait::eventually("the cool-down", std::time::Duration::from_secs(30), async || {
        let wait = world.workflow(id).await.waiting?;
        (wait.reason == domain::WaitReason::Timer).then_some(())
    })
    .await;
    quick(&world).await;
    let found = entry(&world, "busy1").await;
    assert_eq!(found.state, DriftState::CannotTell);
    assert!(found.why.as_ref().is_some_and(|why| why.starts_with("decommission")), "{:?}", found.why);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_for_and_failed_is_told_beside_the_record() {
    let world = World::new().await;
    let _worker = world.start_worker("one");
    deployed(&world, farm("want1", &["Host1"], json!({}))).await;
    full(&world).await;
    let mut wanted = farm("want1", &["Host1", "NoSuchHost"], json!({}));
    wanted["account"]["description"] = json!("a better one");
    let id = world.submit_for("update", Mode::Apply, Some("want1"), wanted).await;
    assert_eq!(world.finishes(id).await.state, domain::WorkflowState::Failed);
    quick(&world).await;
    let found = entry(&world, "want1").await;
    assert_eq!(
        told(&found),
        [(K::NotAchieved, "want1$", "description"), (K::Gone, "NoSuchHost", "objectSid")]
    );
    let item = &found.items[0];
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        (&item.asked, &item.recorded, &item.found),
        (&text("a better one"), &text("a farm of a test"), &text("a farm of a test"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_compares_and_records_nothing() {
    let world = World::new().await;
    let _worker = world.start_worker("one");
    deployed(&world, super::mended("dry1", &["Host1"])).await;
    set(&world, &account_dn("dry1"), "description", &["another's"]).await;
    let input = json!({ "full": true, "fullEverySeconds": 60 });
    let id = world.submit_for("drift-check", Mode::Plan, None, input).await;
    let done = world.finishes(id).await;
    succeeded(&done);
    let detail = done.steps[0].detail.clone().unwrap_or_default();
    assert_eq!(detail, "1 farm: 1 drifted");
    assert_eq!(world.store.count_by_drift().await.expect("the store answers"), []);
    assert_eq!(world.store.drift_mark(&DirectoryName::default()).await.expect("the store answers"), None);
    assert_eq!(world.store.children(id).await.expect("the store answers"), []);
}
