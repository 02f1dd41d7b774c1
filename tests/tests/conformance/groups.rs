//! Groups, members, and the other ends of their links.

use std::slice::from_ref;

use directory::Modification;

use super::{World, add, attribute, code, delete, dns, extended, host, replace};

async fn members(world: &World, group: &domain::Dn) -> Vec<domain::Dn> {
    let mut members = world.read(group, &["member"]).await.dns("member");
    members.sort();
    members
}

pub async fn the_server_completes_a_group(world: &World) {
    let group = world.add_group("a", &[]).await;
    let read = world.read(&group, &["*"]).await;
    assert_eq!(read.texts("objectClass"), ["top", "group"]);
    // Global, security.
    assert_eq!(read.int("groupType"), Some(-2_147_483_646));
    assert_eq!(read.int("sAMAccountType"), Some(268_435_456));
    assert!(read.sid("objectSid").is_some() && read.guid("objectGUID").is_some());
    assert!(!read.has("member"));
    for (suffix, kind, account_type) in [("l", "-2147483644", 536_870_912), ("d", "2", 268_435_457)] {
        let mut given = world.group(suffix);
        given.push(attribute("groupType", &[kind]));
        let dn = world.group_dn(suffix);
        world.as_service().await.add(&dn, &given).await.expect("added");
        assert_eq!(
            world.read(&dn, &["sAMAccountType"]).await.int("sAMAccountType"),
            Some(account_type),
            "{kind}"
        );
    }
}

pub async fn members_and_their_back_links(world: &World) {
    let account = world.add_gmsa("m", &[]).await;
    let group = world.add_group("a", &[&account, &host(1)]).await;
    assert_eq!(members(world, &group).await.len(), 2);
    assert_eq!(world.read(&account, &["memberOf"]).await.dns("memberOf"), from_ref(&group));
    assert_eq!(world.modify(&group, &[Modification::Delete(dns("member", &[&account]))]).await, 0);
    assert!(!world.read(&account, &["memberOf"]).await.has("memberOf"));
    assert_eq!(members(world, &group).await, [host(1)]);
    // The back link belongs to the server.
    let back = [Modification::Add(dns("memberOf", &[&group]))];
    assert_ne!(code(&world.as_admin().await.modify(&account, &back).await), 0);
}

pub async fn adding_a_member_twice_undoes_the_modify(world: &World) {
    let group = world.add_group("a", &[&host(1)]).await;
    let both = [Modification::Add(dns("member", &[&host(2), &host(1)]))];
    assert_eq!(world.modify(&group, &both).await, 68);
    let apart =
        [Modification::Add(dns("member", &[&host(2)])), Modification::Add(dns("member", &[&host(1)]))];
    assert_eq!(world.modify(&group, &apart).await, 68);
    assert_eq!(members(world, &group).await, [host(1)]);
}

pub async fn removing_one_who_is_no_member_undoes_the_modify(world: &World) {
    let group = world.add_group("a", &[&host(1)]).await;
    let both = [Modification::Delete(dns("member", &[&host(1), &host(2)]))];
    assert_eq!(world.modify(&group, &both).await, 53);
    assert_eq!(members(world, &group).await, [host(1)]);
    assert_eq!(world.modify(&group, &[delete("member", &[])]).await, 0);
    // All of none is no error for links.
    assert_eq!(world.modify(&group, &[delete("member", &[])]).await, 0);
}

pub async fn members_must_exist(world: &World) {
    let group = world.add_group("a", &[]).await;
    let missing = world.gmsa_dn("none");
    let refused = world.as_service().await;
    let refused = refused.modify(&group, &[Modification::Add(dns("member", &[&host(1), &missing]))]).await;
    assert_eq!((code(&refused), extended(&refused)), (32, Some(0x525)));
    assert!(members(world, &group).await.is_empty());
    assert_eq!(world.modify(&group, &[add("member", &["no dn"])]).await, 34);
    // An empty group has no attribute to remove from; one with members has no such value.
    let removals = [dns("member", &[&missing]), dns("member", &[&host(2)])];
    for removal in removals.clone() {
        assert_eq!(world.modify(&group, &[Modification::Delete(removal)]).await, 16);
    }
    assert_eq!(world.modify(&group, &[Modification::Add(dns("member", &[&host(1)]))]).await, 0);
    for removal in removals {
        assert_eq!(world.modify(&group, &[Modification::Delete(removal)]).await, 53);
    }
    let mut given = world.group("b");
    given.push(dns("member", &[&missing]));
    assert_eq!(code(&world.as_service().await.add(&world.group_dn("b"), &given).await), 32);
}

pub async fn the_idempotent_forms(world: &World) {
    let group = world.add_group("a", &[&host(1)]).await;
    let full = [Modification::Replace(dns("member", &[&host(1), &host(2)]))];
    assert_eq!(world.modify(&group, &full).await, 0);
    assert_eq!(world.modify(&group, &full).await, 0);
    let one = dns("member", &[&host(2)]);
    assert_eq!(world.modify(&group, &[Modification::Delete(one.clone()), Modification::Add(one)]).await, 0);
    assert_eq!(members(world, &group).await, [host(1), host(2)]);
}

pub async fn a_sid_names_a_member(world: &World) {
    let group = world.add_group("a", &[]).await;
    let sid = world.read(&host(3), &["objectSid"]).await.sid("objectSid").expect("a SID");
    assert_eq!(world.modify(&group, &[add("member", &[&format!("<SID={sid}>")])]).await, 0);
    assert_eq!(members(world, &group).await, [host(3)]);
}

pub async fn groups_in_circles(world: &World) {
    let a = world.add_group("a", &[]).await;
    let b = world.add_group("b", &[&a]).await;
    assert_eq!(world.modify(&a, &[Modification::Add(dns("member", &[&b]))]).await, 0);
    assert_eq!(world.modify(&a, &[Modification::Add(dns("member", &[&a]))]).await, 0);
    assert_eq!(members(world, &a).await, [a.clone(), b]);
}

pub async fn deleting_takes_the_links_along(world: &World) {
    let account = world.add_gmsa("m", &[]).await;
    let (a, b) = (world.add_group("a", &[&account]).await, world.add_group("b", &[&account, &host(1)]).await);
    let service = world.as_service().await;
    assert_eq!(code(&service.delete(&account).await), 0);
    assert!(members(world, &a).await.is_empty());
    assert_eq!(members(world, &b).await, [host(1)]);
    assert_eq!(code(&service.delete(&b).await), 0, "a group with members may go");
    let left = world.read(&host(1), &["memberOf"]).await.dns("memberOf");
    assert!(!left.contains(&b), "{left:?}");
}

pub async fn the_group_changes_and_the_member_does_not(world: &World) {
    let account = world.add_gmsa("m", &[]).await;
    let group = world.add_group("a", &[]).await;
    let usn = async |dn| world.read(dn, &["uSNChanged"]).await.int("uSNChanged");
    let before = (usn(&group).await, usn(&account).await);
    assert_eq!(world.modify(&group, &[Modification::Add(dns("member", &[&account]))]).await, 0);
    let after = (usn(&group).await, usn(&account).await);
    assert!(after.0 > before.0 && after.1 == before.1, "{before:?} {after:?}");
    assert_eq!(world.modify(&group, &[replace("description", &["x"])]).await, 0);
    assert!(usn(&group).await > after.0);
}
