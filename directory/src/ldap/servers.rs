//! The domain controllers, as the configuration partition names them (MS-ADTS 6.1.1.2.2.1).

use std::collections::HashMap;

use domain::Dn;

use crate::entry::{Entry, RootDse};
use crate::error::DirectoryError;
use crate::port::{DirectoryRead, DomainController, Scope, Search};

/// A DC of the forest.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pub controller: DomainController,
    /// Holds a writable copy of the domain that was asked about.
    pub writes_domain: bool,
}

/// Every DC of the forest that is no read-only one.
pub(super) async fn servers(dc: &dyn DirectoryRead, root: &RootDse) -> Result<Vec<Server>, DirectoryError> {
    let sites = root.configuration_naming_context.child("CN", "Sites");
    let attributes = [
        "objectClass",
        "hasMasterNCs",
        "msDS-hasMasterNCs",
        "options",
        "msDS-Behavior-Version",
        "dNSHostName",
        "serverReference",
    ];
    let filter = "(|(objectClass=nTDSDSA)(objectClass=server))";
    let found = dc.search(&Search::new(&sites, Scope::Subtree, filter, &attributes)).await?;
    let (settings, machines): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|entry| entry.is_class("nTDSDSA"));
    let names: HashMap<_, _> = machines.iter().map(|entry| (&entry.dn, entry.text("dNSHostName"))).collect();
    let writable = settings.iter().filter(|entry| !entry.is_class("nTDSDSARO"));
    Ok(writable.map(|entry| server(entry, &names, &root.default_naming_context)).collect())
}

fn server(settings: &Entry, names: &HashMap<&Dn, Option<&str>>, domain: &Dn) -> Server {
    let machine = settings.dn.parent();
    let named = machine.as_ref().and_then(|dn| names.get(dn).copied().flatten());
    // A DC without a name in the directory must not drop out of sight: containment has to reach
    // every one. Its computer name in the domain is what it answers to.
    let guessed =
        || machine.as_ref().map_or_else(String::new, |dn| format!("{}.{}", dn.rdn().value, domain.domain()));
    let holds = ["hasMasterNCs", "msDS-hasMasterNCs"].iter().flat_map(|name| settings.dns(name));
    // CN=NTDS Settings,CN=DC1,CN=Servers,CN=<site>,CN=Sites,...
    let site = settings.dn.rdns().get(3).map(|rdn| rdn.value.clone()).unwrap_or_default();
    Server {
        writes_domain: holds.into_iter().any(|context| context == *domain),
        controller: DomainController {
            name: named.map_or_else(guessed, str::to_owned),
            settings: settings.dn.clone(),
            site,
            is_global_catalog: settings.int("options").is_some_and(|options| options & 1 != 0),
            behavior_version: settings.int("msDS-Behavior-Version"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dc_is_known_by_its_settings_and_its_server_object() {
        let dn = |text: &str| Dn::parse(text).expect("a DN");
        let machine = dn("CN=DC1,CN=Servers,CN=Here,CN=Sites,CN=Configuration,DC=contoso,DC=com");
        let domain = dn("DC=contoso,DC=com");
        let settings = Entry::new(
            machine.child("CN", "NTDS Settings"),
            [
                ("hasMasterNCs".to_owned(), vec![b"DC=Contoso,DC=com".to_vec()]),
                ("options".to_owned(), vec![b"1".to_vec()]),
            ],
        );
        let names = HashMap::from([(&machine, Some("dc1.contoso.com"))]);
        let found = server(&settings, &names, &domain);
        assert!(found.writes_domain && found.controller.is_global_catalog);
        assert_eq!(
            (found.controller.name.as_str(), found.controller.site.as_str()),
            ("dc1.contoso.com", "Here")
        );
        assert_eq!(server(&settings, &HashMap::new(), &domain).controller.name, "DC1.contoso.com");
        assert!(!server(&settings, &names, &dn("DC=other")).writes_domain);
    }
}
