//! Service principal names.

use super::{HOSTS, World, add, attribute, code, delete, dn, replace};

fn spns(values: &[String]) -> directory::Attribute {
    attribute("servicePrincipalName", &values.iter().map(String::as_str).collect::<Vec<_>>())
}

async fn read(world: &World, dn: &domain::Dn) -> Vec<String> {
    let mut read = world.read(dn, &["servicePrincipalName"]).await.texts("servicePrincipalName");
    read.sort();
    read
}

pub async fn an_spn_belongs_to_one_account(world: &World) {
    let spn = format!("http/{}", world.name("x"));
    world.add_gmsa("a", &[spns(std::slice::from_ref(&spn))]).await;
    let service = world.as_service().await;
    for spelling in [spn.clone(), spn.to_uppercase()] {
        let second = [world.gmsa("b"), vec![spns(std::slice::from_ref(&spelling))]].concat();
        assert_eq!(code(&service.add(&world.gmsa_dn("b"), &second).await), 19, "{spelling}");
    }
    let other = world.add_gmsa("b", &[]).await;
    assert_eq!(world.modify(&other, &[add("servicePrincipalName", &[&spn])]).await, 19);
    // Another class or port is another name.
    let near = [spn.replace("http", "mssqlsvc"), format!("{spn}:8080")];
    assert_eq!(world.modify(&other, &[add("servicePrincipalName", &[&near[0], &near[1]])]).await, 0);
    // Given up by the first, the second may have it.
    assert_eq!(world.modify(&world.gmsa_dn("a"), &[delete("servicePrincipalName", &[&spn])]).await, 0);
    assert_eq!(world.modify(&other, &[add("servicePrincipalName", &[&spn])]).await, 0);
}

pub async fn a_host_spn_covers_its_aliases(world: &World) {
    let account = world.add_gmsa("a", &[]).await;
    let wanted = |spn: &str| [add("servicePrincipalName", &[spn])];
    assert_eq!(world.modify(&account, &wanted("HOST/Host2")).await, 19);
    // http/X takes something from the host X, whom the service account cannot write to. A host of
    // this case's own: Samba finds out whether an administrator could by writing the host's SPN.
    let own = world.name("h");
    let computer = [
        attribute("objectClass", &["computer"]),
        attribute("sAMAccountName", &[&format!("{own}$")]),
        attribute("servicePrincipalName", &[&format!("HOST/{own}")]),
    ];
    let admin = world.as_admin().await;
    admin.add(&dn(HOSTS).child("CN", &own), &computer).await.expect("added");
    assert_eq!(world.modify(&account, &wanted(&format!("http/{own}"))).await, 50);
    assert_eq!(world.modify(&account, &wanted(&format!("mssqlsvc/{own}"))).await, 0);
    assert_eq!(code(&admin.modify(&account, &wanted(&format!("http/{own}"))).await), 0);
    // The other way round: whoever would answer for a name that another holds.
    let name = world.name("x");
    assert_eq!(world.modify(&account, &wanted(&format!("cifs/{name}"))).await, 0);
    let other = world.add_gmsa("b", &[]).await;
    assert_eq!(world.modify(&other, &wanted(&format!("host/{name}"))).await, 19);
    assert_eq!(world.modify(&account, &wanted(&format!("host/{name}"))).await, 0);
}

pub async fn malformed_spns(world: &World) {
    let account = world.add_gmsa("a", &[]).await;
    for bad in ["nothing", "a/b/c/d"] {
        assert_eq!(world.modify(&account, &[add("servicePrincipalName", &[bad])]).await, 19, "{bad}");
    }
    let three = format!("http/{}/{}", world.name("a"), world.name("b"));
    assert_eq!(world.modify(&account, &[add("servicePrincipalName", &[&three])]).await, 0);
    assert_eq!(world.modify(&account, &[add("servicePrincipalName", &[&three])]).await, 20);
}

pub async fn spellings_of_one_spn_on_one_account(world: &World) {
    let (lower, upper) = (format!("http/{}", world.name("x")), format!("HTTP/{}", world.name("x")));
    let account = world.add_gmsa("a", &[]).await;
    assert_eq!(world.modify(&account, &[add("servicePrincipalName", &[&lower, &upper])]).await, 0);
    assert_eq!(read(world, &account).await.len(), 2);
}

pub async fn spns_follow_the_dns_name(world: &World) {
    let (old, new) = (format!("{}.contoso.com", world.name("o")), format!("{}.contoso.com", world.name("n")));
    let values = [format!("http/{old}"), format!("http/{old}:81"), format!("http/x{old}")];
    let account = world.add_gmsa("a", &[attribute("dNSHostName", &[&old]), spns(&values)]).await;
    assert_eq!(world.modify(&account, &[replace("dNSHostName", &[&new])]).await, 0);
    // Only where the host part is the name and nothing else.
    let mut expected = [format!("http/{new}"), format!("http/{old}:81"), format!("http/x{old}")];
    expected.sort();
    assert_eq!(read(world, &account).await, expected);
    // Two that become one are one.
    let (one, two) = (format!("{}.contoso.com", world.name("p")), format!("{}.contoso.com", world.name("q")));
    let both = [format!("http/{one}"), format!("http/{two}")];
    let merged = world.add_gmsa("c", &[attribute("dNSHostName", &[&one]), spns(&both)]).await;
    assert_eq!(world.modify(&merged, &[replace("dNSHostName", &[&two])]).await, 0);
    assert_eq!(read(world, &merged).await, [format!("http/{two}")]);
    // Where the new name is taken the whole change fails.
    let taken = format!("{}.contoso.com", world.name("t"));
    world.add_gmsa("b", &[spns(&[format!("http/{taken}")])]).await;
    assert_eq!(world.modify(&account, &[replace("dNSHostName", &[&taken])]).await, 19);
    assert_eq!(read(world, &account).await, expected);
    assert_eq!(world.read(&account, &["dNSHostName"]).await.text("dNSHostName"), Some(new.as_str()));
}

pub async fn spns_follow_the_account_name(world: &World) {
    let account = world.add_gmsa("a", &[spns(&[format!("http/{}", world.name("a"))])]).await;
    let new = format!("{}$", world.name("n"));
    assert_eq!(world.modify(&account, &[replace("sAMAccountName", &[&new])]).await, 0);
    assert_eq!(read(world, &account).await, [format!("http/{}", world.name("n"))]);
}
