//! What a DC's update sequence numbers tell of changes, and what they do not: `drift-check` goes by them.

use directory::{Base, Modification};
use domain::Dn;

use super::{HOSTS, World, attribute, dn, dns, find, host, replace};

async fn usn(world: &World, object: &Dn) -> i64 {
    world.read(object, &["uSNChanged"]).await.int("uSNChanged").expect("a number")
}

async fn highest(world: &World) -> i64 {
    world.as_service().await.root_dse().await.expect("a rootDSE").highest_committed_usn.expect("a number")
}

async fn computer(world: &World, suffix: &str) -> Dn {
    let dn = dn(HOSTS).child("CN", &world.name(suffix));
    let given = [
        attribute("objectClass", &["computer"]),
        attribute("sAMAccountName", &[&format!("{}$", world.name(suffix))]),
        attribute("userAccountControl", &["4096"]),
    ];
    world.as_admin().await.add(&dn, &given).await.expect("added");
    dn
}

pub async fn a_dc_names_its_database_and_where_it_stands(world: &World) {
    let dc = world.as_service().await;
    let root = dc.root_dse().await.expect("a rootDSE");
    let settings = dc.read(&Base::from(&root.ds_service_name), &["invocationId"]).await.expect("a read");
    let invocation = settings.expect("NTDS settings").guid("invocationId");
    assert!(invocation.is_some(), "the delegated account sees it");
    let again = dc.read(&Base::from(&root.ds_service_name), &["invocationId"]).await.expect("a read");
    assert_eq!(again.expect("NTDS settings").guid("invocationId"), invocation);
}

pub async fn every_write_raises_the_highest_usn(world: &World) {
    let mut before = highest(world).await;
    let mut rose = async |what: &str| {
        let now = highest(world).await;
        assert!(now > before, "{what}: {before} {now}");
        before = now;
    };
    let account = world.add_gmsa("a", &[]).await;
    rose("an add").await;
    assert_eq!(world.modify(&account, &[replace("description", &["x"])]).await, 0);
    rose("a modify").await;
    let group = world.add_group("g", &[&host(1)]).await;
    rose("a group").await;
    assert_eq!(world.modify(&group, &[Modification::Delete(dns("member", &[&host(1)]))]).await, 0);
    rose("a member that leaves").await;
    let admin = world.as_admin().await;
    admin.rename(&group, &world.name("h")).await.expect("renamed");
    rose("a rename").await;
    admin.delete(&account).await.expect("deleted");
    rose("a deletion").await;
}

pub async fn what_is_written_as_it_was_is_no_change(world: &World) {
    let account = world.add_gmsa("a", &[attribute("description", &["x"])]).await;
    let before = usn(world, &account).await;
    assert_eq!(world.modify(&account, &[replace("description", &["x"])]).await, 0);
    assert_eq!(usn(world, &account).await, before);
    assert_eq!(world.modify(&account, &[replace("description", &["y"])]).await, 0);
    assert!(usn(world, &account).await > before);
}

pub async fn a_renamed_object_has_changed_and_its_groups_have_not(world: &World) {
    let member = computer(world, "c").await;
    let group = world.add_group("g", &[&member]).await;
    let (of_group, of_member) = (usn(world, &group).await, usn(world, &member).await);
    world.as_admin().await.rename(&member, &world.name("d")).await.expect("renamed");
    let renamed = dn(HOSTS).child("CN", &world.name("d"));
    assert!(usn(world, &renamed).await > of_member);
    assert_eq!(usn(world, &group).await, of_group);
    assert_eq!(world.read(&group, &["member"]).await.dns("member"), [renamed]);
}

pub async fn a_deleted_object_leaves_no_trace_that_the_delegated_account_sees(world: &World) {
    // Its own: on the real DC others write to the seeded hosts.
    let (member, stays) = (computer(world, "c").await, computer(world, "k").await);
    let group = world.add_group("g", &[&member, &stays]).await;
    let (of_group, of_host, highest_before) =
        (usn(world, &group).await, usn(world, &stays).await, highest(world).await);
    world.as_admin().await.delete(&member).await.expect("deleted");
    assert_eq!(world.read(&group, &["member"]).await.dns("member"), std::slice::from_ref(&stays));
    assert_eq!(usn(world, &group).await, of_group, "though it has a member less");
    let service = world.as_service().await;
    let since = format!("(&(uSNChanged>={})(sAMAccountName={}*))", highest_before + 1, world.name(""));
    assert!(find(&*service, super::DOMAIN, &since).await.is_empty());
    // Nor does a group that is deleted leave one on its members.
    world.as_admin().await.delete(&group).await.expect("deleted");
    assert_eq!(usn(world, &stays).await, of_host);
    assert!(highest(world).await > highest_before);
}
