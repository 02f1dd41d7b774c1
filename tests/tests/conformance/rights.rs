//! What the delegated account may, and what it is denied.

use directory::{Modification, Scope, Search};

use super::{FARMS, HOSTS, MSA, USERS, World, add, attribute, code, dn, dns, extended, host, replace};

pub async fn accounts_only_in_their_container(world: &World) {
    let service = world.as_service().await;
    for elsewhere in [USERS, FARMS, HOSTS, "DC=contoso,DC=com"] {
        let refused = service.add(&dn(elsewhere).child("CN", &world.name("a")), &world.gmsa("a")).await;
        // No code before the text: Samba leaves it out here, and a client must do without.
        assert_eq!((code(&refused), extended(&refused)), (50, None), "{elsewhere}");
    }
    let mut computer = world.gmsa("a");
    computer[0] = attribute("objectClass", &["computer"]);
    computer.pop();
    assert_eq!(code(&service.add(&world.gmsa_dn("a"), &computer).await), 50);
    // What an administrator made in the container is delegated as well.
    world.as_admin().await.add(&world.gmsa_dn("b"), &world.gmsa("b")).await.expect("added");
    assert_eq!(world.modify(&world.gmsa_dn("b"), &[replace("description", &["x"])]).await, 0);
    assert_eq!(code(&service.delete(&world.gmsa_dn("b")).await), 0);
}

pub async fn groups_only_where_delegated(world: &World) {
    let service = world.as_service().await;
    for elsewhere in [MSA, HOSTS] {
        let refused = service.add(&dn(elsewhere).child("CN", &world.name("g")), &world.group("g")).await;
        assert_eq!(code(&refused), 50, "{elsewhere}");
    }
    // The lab delegates groups in OU=Farms only; the embedded directory in CN=Users as well.
    let in_users = service.add(&dn(USERS).child("CN", &world.name("u")), &world.group("u")).await;
    assert_eq!(code(&in_users), if world.is_real() { 50 } else { 0 });
    let mut user = world.group("p");
    user[0] = attribute("objectClass", &["user"]);
    assert_eq!(code(&service.add(&world.group_dn("p"), &user).await), 50);
    let unit = dn(FARMS).child("OU", &world.name("o"));
    assert_eq!(code(&service.add(&unit, &[attribute("objectClass", &["organizationalUnit"])]).await), 50);
    let group = world.add_group("g", &[]).await;
    assert_eq!(world.modify(&group, &[replace("description", &["x"])]).await, 0);
    assert_eq!(world.modify(&group, &[replace("displayName", &["x"])]).await, 50);
}

pub async fn the_domains_own_objects(world: &World) {
    let service = world.as_service().await;
    let admins = dn("CN=Domain Admins,CN=Users,DC=contoso,DC=com");
    let refused = service.modify(&admins, &[Modification::Add(dns("member", &[&host(1)]))]).await;
    assert_eq!((code(&refused), extended(&refused)), (50, None));
    let refused = service.modify(&dn("DC=contoso,DC=com"), &[replace("description", &["x"])]).await;
    assert_eq!((code(&refused), extended(&refused)), (50, Some(0x2098)));
    assert_eq!(world.modify(&dn(MSA), &[replace("description", &["x"])]).await, 50);
    assert_eq!(code(&service.delete(&admins).await), 50);
    assert_eq!(code(&service.delete(&dn(MSA)).await), 50);
}

pub async fn hosts_can_be_disabled_and_no_more(world: &World) {
    let name = world.name("h");
    let computer = [
        attribute("objectClass", &["computer"]),
        attribute("sAMAccountName", &[&format!("{name}$")]),
        attribute("userAccountControl", &["4096"]),
    ];
    let own = dn(HOSTS).child("CN", &name);
    world.as_admin().await.add(&own, &computer).await.expect("added");
    assert_eq!(world.modify(&own, &[replace("userAccountControl", &["4098"])]).await, 0);
    assert_eq!(world.modify(&own, &[replace("userAccountControl", &["4096"])]).await, 0);
    assert_eq!(world.modify(&own, &[add("description", &["x"])]).await, 50);
    assert_eq!(world.modify(&own, &[add("servicePrincipalName", &[&format!("http/{name}")])]).await, 50);
    assert_eq!(code(&world.as_service().await.delete(&own).await), 50);
}

pub async fn trust_for_delegation(world: &World) {
    let account = world.add_gmsa("a", &[]).await;
    for control in [4096 | 0x8_0000, 4096 | 0x100_0000] {
        assert_eq!(
            world.modify(&account, &[replace("userAccountControl", &[&control.to_string()])]).await,
            50
        );
    }
    let mut trusted = world.gmsa("b");
    trusted[2] = attribute("userAccountControl", &[&(4096 | 0x8_0000).to_string()]);
    assert_eq!(code(&world.as_service().await.add(&world.gmsa_dn("b"), &trusted).await), 50);
}

/// The keys' names everybody sees, their contents, class included, the administrators. The embedded
/// directory delegates the two dates, so that preflight can say "usable".
pub async fn key_secrets(world: &World) {
    let keys = "CN=Master Root Keys,CN=Group Key Distribution Service,CN=Services,CN=Configuration,DC=contoso,DC=com";
    let names = ["cn", "msKds-UseStartTime", "msKds-DomainID"];
    let by_class = Search::new(&dn(keys), Scope::One, "(objectClass=msKds-ProvRootKey)", &names);
    let search = Search { filter: "(objectClass=*)".to_owned(), ..by_class.clone() };
    assert!(world.as_service().await.search(&by_class).await.expect("searched").is_empty());
    let seen = world.as_service().await.search(&search).await.expect("searched");
    assert!(!seen.is_empty());
    for key in seen {
        assert!(!key.has("cn") && !key.has("msKds-DomainID"));
        assert_eq!(key.has("msKds-UseStartTime"), !world.is_real());
    }
    let seen = world.as_admin().await.search(&by_class).await.expect("searched");
    assert!(!seen.is_empty());
    assert!(seen.iter().all(|key| key.has("msKds-UseStartTime") && key.has("msKds-DomainID")));
}

pub async fn who_may_rename(world: &World) {
    let service = world.as_service().await;
    let account = world.add_gmsa("a", &[]).await;
    assert_eq!(code(&service.rename(&account, &world.name("b")).await), 0);
    // Of its groups the account may write members and description, and no name.
    let group = world.add_group("g", &[]).await;
    let refused = service.rename(&group, &world.name("h")).await;
    assert_eq!((code(&refused), extended(&refused)), (50, Some(0x2098)));
    assert_eq!(code(&service.rename(&host(1), &world.name("x")).await), 50);
    let made = world.name("m");
    let computer =
        [attribute("objectClass", &["computer"]), attribute("sAMAccountName", &[&format!("{made}$")])];
    let own = dn(HOSTS).child("CN", &made);
    world.as_admin().await.add(&own, &computer).await.expect("added");
    assert_eq!(code(&service.rename(&own, &world.name("n")).await), 50);
    assert_eq!(code(&world.as_admin().await.rename(&own, &world.name("n")).await), 0);
}
