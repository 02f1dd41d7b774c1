//! What a directory says of itself, and what preflight reads in it.

use directory::{Base, Scope, Search};

use super::{DOMAIN, World, dn};

const CONFIGURATION: &str = "CN=Configuration,DC=contoso,DC=com";
const SCHEMA: &str = "CN=Schema,CN=Configuration,DC=contoso,DC=com";

pub async fn the_root_names_the_partitions(world: &World) {
    let root = world.as_service().await.root_dse().await.expect("read");
    assert_eq!(root.dns_host_name, "dc1.contoso.com");
    assert_eq!(root.default_naming_context, dn(DOMAIN));
    assert_eq!(root.root_domain_naming_context, dn(DOMAIN));
    assert_eq!(root.configuration_naming_context, dn(CONFIGURATION));
    assert_eq!(root.schema_naming_context, dn(SCHEMA));
    assert_eq!(root.domain_functionality, Some(7));
    assert_eq!(root.forest_functionality, Some(7));
    assert!(root.is_global_catalog_ready);
    for control in ["319", "801", "1339", "1413"] {
        let oid = format!("1.2.840.113556.1.4.{control}");
        assert!(root.supported_controls.contains(&oid), "{oid}");
    }
    let is_samba = root.vendor_name.is_some_and(|name| name.starts_with("Samba"));
    assert_eq!(is_samba, world.is_real());
    assert_eq!(world.service.is_embedded(), !world.is_real());
}

pub async fn the_only_dc_is_found(world: &World) {
    let found = world.service.writable_dcs().await.expect("found");
    let [dc] = &found[..] else { panic!("one DC: {found:?}") };
    assert_eq!((dc.name.as_str(), dc.site.as_str()), ("dc1.contoso.com", "Default-First-Site-Name"));
    assert!(dc.is_global_catalog);
    assert_eq!(dc.behavior_version, Some(7));
    let root = world.as_service().await.root_dse().await.expect("read");
    assert_eq!(dc.settings, root.ds_service_name);
    assert_eq!(world.service.pin(Some("DC1.contoso.com")).await.expect("pinned").dc(), "dc1.contoso.com");
}

pub async fn the_catalogue_searches_the_forest(world: &World) {
    world.add_gmsa("a", &[]).await;
    let catalog = world.service.global_catalog().await.expect("connects");
    let search = |filter: String| Search {
        base: Base::Root,
        scope: Scope::Subtree,
        filter,
        attributes: vec!["sAMAccountName".to_owned()],
    };
    let own = search(format!("(sAMAccountName={}$)", world.name("a")));
    let found = catalog.search(&own).await.expect("searched");
    assert_eq!(found.iter().map(|entry| &entry.dn).collect::<Vec<_>>(), [&world.gmsa_dn("a")]);
    let other = search("(objectClass=nTDSDSA)".to_owned());
    assert_eq!(catalog.search(&other).await.expect("searched").len(), 1, "configuration too");
}

pub async fn what_preflight_reads(world: &World) {
    let service = world.as_service().await;
    let class = "(&(objectClass=classSchema)(lDAPDisplayName=msDS-GroupManagedServiceAccount))";
    let search = Search::new(&dn(SCHEMA), Scope::One, class, &["schemaIDGUID"]);
    let found = service.search(&search).await.expect("searched");
    assert_eq!(found[0].guid("schemaIDGUID").as_deref(), Some("7b8b558a-93a5-4af7-adca-c017e67f1057"));
    let version = world.read(&dn(SCHEMA), &["objectVersion"]).await;
    assert_eq!(version.int("objectVersion"), Some(88));

    let service_object = "CN=Directory Service,CN=Windows NT,CN=Services,CN=Configuration,DC=contoso,DC=com";
    let mappings = world.read(&dn(service_object), &["sPNMappings"]).await;
    let aliases = mappings.text("sPNMappings").and_then(|line| line.strip_prefix("host=")).expect("a line");
    let aliases: Vec<_> = aliases.split(',').collect();
    assert_eq!((aliases.len(), aliases[0], aliases.contains(&"http")), (53, "alerter", true));

    let names = ["dNSHostName", "servicePrincipalName", "userAccountControl", "objectClass"];
    let host = world.read(&super::host(1), &names).await;
    assert_eq!(host.text("dNSHostName"), Some("host1.contoso.com"));
    let mut spns: Vec<_> = host.texts("servicePrincipalName").iter().map(|spn| spn.to_lowercase()).collect();
    spns.sort();
    assert_eq!(spns, ["host/host1", "host/host1.contoso.com"]);
    assert!(host.is_class("computer") && !host.is_class("msDS-GroupManagedServiceAccount"));
}
