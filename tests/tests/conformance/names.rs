//! Names, places, and what the schema allows.

use directory::Base;

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

pub async fn a_rename_keeps_the_object_and_what_it_is_called_by(world: &World) {
    let spn = format!("http/{}", world.name("a"));
    let group = world.add_group("g", &[]).await;
    let account = world.add_gmsa("a", &[attribute("servicePrincipalName", &[&spn])]).await;
    assert_eq!(world.modify(&group, &[add("member", &[account.as_str()])]).await, 0);
    let service = world.as_service().await;
    let before = world.read(&account, &["objectGUID", "objectSid", "uSNChanged"]).await;
    assert_eq!(code(&service.rename(&account, &world.name("b")).await), 0);

    let renamed = world.gmsa_dn("b");
    let names = ["cn", "name", "sAMAccountName", "servicePrincipalName", "memberOf"];
    let after =
        world.read(&renamed, &[&names[..], &["objectGUID", "objectSid", "uSNChanged"]].concat()).await;
    assert_eq!((after.text("cn"), after.text("name")), (Some(&*world.name("b")), Some(&*world.name("b"))));
    assert_eq!(
        after.text("sAMAccountName"),
        Some(&*format!("{}$", world.name("a"))),
        "no account name follows"
    );
    assert_eq!(after.texts("servicePrincipalName"), [spn]);
    assert_eq!(
        (after.guid("objectGUID"), after.sid("objectSid")),
        (before.guid("objectGUID"), before.sid("objectSid"))
    );
    assert!(after.int("uSNChanged") > before.int("uSNChanged"));
    assert_eq!(
        (after.dns("memberOf"), world.read(&group, &["member"]).await.dns("member")),
        (vec![group], vec![renamed.clone()])
    );
    // By its GUID it is found under whatever name.
    let guid = after.guid("objectGUID").expect("a GUID");
    let by_guid = service.read(&Base::Guid(guid), &["cn"]).await.expect("read").expect("there");
    assert_eq!(by_guid.dn, renamed);
    assert!(service.read(&Base::from(&account), &["cn"]).await.expect("read").is_none());
    // The old name is free, for a new object as well.
    assert_eq!(code(&service.add(&account, &world.gmsa("c")).await), 0);
}

pub async fn a_new_name_must_be_free_and_be_one(world: &World) {
    let service = world.as_service().await;
    let account = world.add_gmsa("a", &[]).await;
    world.add_gmsa("b", &[]).await;
    assert_eq!(code(&service.rename(&account, &world.name("b")).await), 68);
    assert_eq!(
        code(&service.rename(&account, &world.name("B").to_uppercase()).await),
        68,
        "in other letters"
    );
    assert_eq!(code(&service.rename(&world.gmsa_dn("none"), &world.name("x")).await), 32);
    assert_eq!(code(&service.rename(&account, "").await), 64);
    // Its own name, also in other letters, is no conflict.
    assert_eq!(code(&service.rename(&account, &world.name("a")).await), 0);
    let capitals = world.name("a").to_uppercase();
    assert_eq!(code(&service.rename(&account, &capitals).await), 0);
    assert_eq!(world.read(&account, &["cn"]).await.text("cn"), Some(&*capitals));
    let odd = world.name(" a, b=c+\"d\"");
    assert_eq!(code(&service.rename(&account, &odd).await), 0);
    let odd_dn = account.renamed(&odd).expect("a child");
    let read = world.read(&odd_dn, &["cn", "distinguishedName"]).await;
    assert_eq!((read.text("cn"), &read.dns("distinguishedName")[0]), (Some(&*odd), &odd_dn));
}
