//! Names, places, and what the schema allows.

use super::{FARMS, MSA, World, add, attribute, code, delete, dn, extended, replace};

pub async fn a_name_stands_once_in_its_container(world: &World) {
    let first = world.add_group("a", &[]).await;
    let service = world.as_service().await;
    let mut again = world.group("b");
    assert_eq!(code(&service.add(&first, &again).await), 68);
    again[1] = attribute("sAMAccountName", &[&world.name("c")]);
    let other_case = dn(&first.as_str().to_uppercase());
    assert_eq!(code(&service.add(&other_case, &again).await), 68);
}

pub async fn an_account_name_stands_once_in_the_domain(world: &World) {
    world.add_gmsa("a", &[]).await;
    let service = world.as_service().await;
    let mut taken = world.gmsa("a");
    taken[1] = attribute("sAMAccountName", &[&format!("{}$", world.name("A")).to_uppercase()]);
    let refused = service.add(&world.gmsa_dn("b"), &taken).await;
    assert_eq!((code(&refused), extended(&refused)), (68, Some(0x2071)));
    // In another container and by another class.
    let name = format!("{}$", world.name("a"));
    let group = [attribute("objectClass", &["group"]), attribute("sAMAccountName", &[&name])];
    assert_eq!(code(&service.add(&world.group_dn("g"), &group).await), 68);
    let other = world.add_gmsa("c", &[]).await;
    assert_eq!(world.modify(&other, &[replace("sAMAccountName", &[&name])]).await, 68);
}

pub async fn a_missing_parent_is_named(world: &World) {
    let nowhere = dn(&format!("OU={},{FARMS}", world.name("x"))).child("CN", &world.name("a"));
    let refused = world.as_service().await.add(&nowhere, &world.group("a")).await;
    assert_eq!((code(&refused), extended(&refused)), (32, Some(0x2030)));
}

pub async fn a_computer_account_ends_with_one_dollar(world: &World) {
    let mut bare = world.gmsa("a");
    bare[1] = attribute("sAMAccountName", &[&world.name("a")]);
    let refused = world.as_service().await.add(&world.gmsa_dn("a"), &bare).await;
    assert_eq!((code(&refused), extended(&refused)), (53, Some(0x2077)));
    // The rule is not for administrators.
    assert_eq!(code(&world.as_admin().await.add(&world.gmsa_dn("a"), &bare).await), 0);
}

pub async fn forbidden_characters_in_account_names(world: &World) {
    for bad in [":", "*", "/", "\"", "\\", ","] {
        let mut named = world.gmsa("a");
        named[1] = attribute("sAMAccountName", &[&format!("{}{bad}$", world.name("a"))]);
        assert_eq!(code(&world.as_service().await.add(&world.gmsa_dn("a"), &named).await), 19, "{bad}");
    }
}

pub async fn only_containers_hold_accounts(world: &World) {
    let group = world.add_group("g", &[]).await;
    let below = group.child("CN", &world.name("a"));
    assert_eq!(code(&world.as_admin().await.add(&below, &world.gmsa("a")).await), 64);
}

pub async fn any_character_in_a_cn_survives(world: &World) {
    let cn = world.name(" a, b+c \"d\" <e>; #=\\ é");
    let group = dn(FARMS).child("CN", &cn);
    let service = world.as_service().await;
    service.add(&group, &world.group("a")).await.expect("added");
    let read = world.read(&group, &["cn", "distinguishedName"]).await;
    assert_eq!(read.text("cn"), Some(cn.as_str()));
    assert_eq!((&read.dn, &read.dns("distinguishedName")[0]), (&group, &group));
    assert_eq!(code(&service.delete(&group).await), 0);
}

pub async fn what_the_schema_does_not_know(world: &World) {
    let service = world.as_service().await;
    let unknown = [world.gmsa("a"), vec![attribute("noSuchAttribute", &["x"])]].concat();
    assert_eq!(code(&service.add(&world.gmsa_dn("a"), &unknown).await), 16);
    let mut class = world.gmsa("a");
    class[0] = attribute("objectClass", &["noSuchClass"]);
    assert_eq!(code(&service.add(&world.gmsa_dn("a"), &class).await), 16);
    assert_eq!(code(&service.add(&world.gmsa_dn("a"), &world.gmsa("a")[1..]).await), 65);
    let there = world.add_gmsa("b", &[]).await;
    assert_eq!(world.modify(&there, &[add("noSuchAttribute", &["x"])]).await, 16);
    assert_eq!(world.modify(&there, &[delete("noSuchAttribute", &[])]).await, 16);
}

pub async fn names_and_classes_are_not_modified(world: &World) {
    let account = world.add_gmsa("a", &[]).await;
    assert_eq!(world.modify(&account, &[replace("cn", &["other"])]).await, 67);
    assert_eq!(world.modify(&account, &[replace("name", &["other"])]).await, 67);
    let admin = world.as_admin().await;
    let computer = ["top", "person", "organizationalPerson", "user", "computer"];
    assert_eq!(code(&admin.modify(&account, &[replace("objectClass", &computer)]).await), 65);
}

pub async fn what_is_missing_cannot_be_changed(world: &World) {
    let missing = world.gmsa_dn("a");
    let service = world.as_service().await;
    assert_eq!(world.modify(&missing, &[replace("description", &["x"])]).await, 32);
    assert_eq!(code(&service.delete(&missing).await), 32);
    let there = world.add_gmsa("a", &[]).await;
    assert_eq!(code(&service.delete(&there).await), 0);
    assert_eq!(code(&service.delete(&there).await), 32);
    // Its names are free again, and the new account is another one.
    world.add_gmsa("a", &[]).await;
}

pub async fn what_has_children_is_not_deleted(world: &World) {
    let admin = world.as_admin().await;
    let unit = dn(FARMS).child("OU", &world.name("u"));
    admin.add(&unit, &[attribute("objectClass", &["organizationalUnit"])]).await.expect("added");
    let group = unit.child("CN", &world.name("g"));
    admin.add(&group, &world.group("g")).await.expect("added");
    assert_eq!(code(&admin.delete(&unit).await), 66);
    admin.delete(&group).await.expect("deleted");
    assert_eq!(code(&admin.delete(&unit).await), 0);
    assert_eq!(code(&admin.delete(&dn(MSA).child("CN", &world.name("none"))).await), 32);
}
