//! The part of AD's schema that the embedded directory knows: classes (MS-ADSC).

/// A structural class, or one that structural classes derive from.
#[derive(Debug)]
pub struct Class {
    /// lDAPDisplayName.
    pub name: &'static str,
    /// CN of its classSchema object, which objectCategory names.
    pub cn: &'static str,
    pub parent: &'static str,
    /// Attribute of the RDN.
    pub rdn: &'static str,
    pub must: &'static [&'static str],
    pub may: &'static [&'static str],
    /// Where objects of the class may stand.
    pub under: &'static [&'static str],
    /// schemaIDGUID, where somebody may ask for it.
    pub guid: Option<&'static str>,
}

const TOP: &str = "top";

impl Class {
    const fn new(name: &'static str, cn: &'static str, parent: &'static str) -> Self {
        Self { name, cn, parent, rdn: "cn", must: &[], may: &[], under: &[], guid: None }
    }
    const fn rdn(mut self, rdn: &'static str) -> Self {
        self.rdn = rdn;
        self
    }
    const fn must(mut self, must: &'static [&'static str]) -> Self {
        self.must = must;
        self
    }
    const fn may(mut self, may: &'static [&'static str]) -> Self {
        self.may = may;
        self
    }
    const fn under(mut self, under: &'static [&'static str]) -> Self {
        self.under = under;
        self
    }
    const fn guid(mut self, guid: &'static str) -> Self {
        self.guid = Some(guid);
        self
    }

    /// This class and those it derives from, leaf first, `top` last.
    pub fn chain(&'static self) -> impl Iterator<Item = &'static Class> {
        std::iter::successors(Some(self), |class| match class.name {
            TOP => None,
            _ => class_named(class.parent),
        })
    }

    pub fn derives_from(&'static self, name: &str) -> bool {
        self.chain().any(|class| class.name.eq_ignore_ascii_case(name))
    }

    pub fn allows(&'static self, attribute: &str) -> bool {
        let named = |list: &[&str]| list.iter().any(|name| name.eq_ignore_ascii_case(attribute));
        self.chain().any(|class| named(class.may) || named(class.must) || class.rdn == attribute)
    }

    pub fn mandatory(&'static self) -> impl Iterator<Item = &'static str> {
        self.chain().flat_map(|class| class.must.iter().copied())
    }

    /// Whether objects of this class may stand right below one of class `parent`.
    pub fn fits_under(&'static self, parent: &'static Class) -> bool {
        let allowed = self.chain().find(|class| !class.under.is_empty()).map_or(&[][..], |class| class.under);
        allowed.iter().any(|name| parent.derives_from(name))
    }
}

pub fn class_named(name: &str) -> Option<&'static Class> {
    CLASSES.iter().find(|class| class.name.eq_ignore_ascii_case(name))
}

pub fn classes() -> impl Iterator<Item = &'static Class> {
    CLASSES.iter()
}

/// The leaf of a list of classes: the one that no other derives from.
pub fn most_specific<'a>(names: impl Iterator<Item = &'a str>) -> Option<&'static Class> {
    names.filter_map(class_named).max_by_key(|class| class.chain().count())
}

const HOLDERS: &[&str] = &["container", "organizationalUnit", "domainDNS"];
const PRINCIPAL_HOLDERS: &[&str] = &["container", "organizationalUnit", "domainDNS", "builtinDomain"];

static CLASSES: &[Class] = &[
    Class::new(TOP, "Top", TOP).may(&[
        "objectClass",
        "objectCategory",
        "cn",
        "name",
        "description",
        "displayName",
        "info",
        "extensionName",
        "instanceType",
        "isCriticalSystemObject",
        "showInAdvancedViewOnly",
        "systemFlags",
        "adminDisplayName",
        "wWWHomePage",
        "managedObjects",
        "memberOf",
        "serverReferenceBL",
        "objectVersion",
        "fSMORoleOwner",
        "nTSecurityDescriptor",
        "wellKnownObjects",
        "otherWellKnownObjects",
        "location",
        "allowedAttributes",
        "allowedAttributesEffective",
        "allowedChildClasses",
        "allowedChildClassesEffective",
    ]),
    Class::new("person", "Person", TOP).must(&["cn"]).may(&["sn", "userPrincipalName"]),
    Class::new("organizationalPerson", "Organizational-Person", "person").may(&[
        "givenName",
        "mail",
        "countryCode",
    ]),
    Class::new("user", "User", "organizationalPerson")
        .may(&[
            "sAMAccountName",
            "objectSid",
            "userAccountControl",
            "primaryGroupID",
            "pwdLastSet",
            "accountExpires",
            "lastLogon",
            "lastLogonTimestamp",
            "lastLogoff",
            "badPasswordTime",
            "badPwdCount",
            "logonCount",
            "codePage",
            "adminCount",
            "servicePrincipalName",
            "msDS-SupportedEncryptionTypes",
            "unicodePwd",
            "msDS-AllowedToDelegateTo",
            "msDS-AllowedToActOnBehalfOfOtherIdentity",
            "userCertificate",
            "msDS-AssignedAuthNPolicy",
            "msDS-AssignedAuthNPolicySilo",
            "sAMAccountType",
            "msDS-KeyVersionNumber",
        ])
        .under(PRINCIPAL_HOLDERS)
        .guid("bf967aba-0de6-11d0-a285-00aa003049e2"),
    Class::new("computer", "Computer", "user")
        .may(&[
            "dNSHostName",
            "managedBy",
            "operatingSystem",
            "operatingSystemVersion",
            "msDS-HostServiceAccount",
        ])
        .under(HOLDERS)
        .guid("bf967a86-0de6-11d0-a285-00aa003049e2"),
    Class::new("msDS-GroupManagedServiceAccount", "ms-DS-Group-Managed-Service-Account", "computer")
        .must(&["msDS-ManagedPasswordInterval"])
        .may(&[
            "msDS-GroupMSAMembership",
            "msDS-ManagedPassword",
            "msDS-ManagedPasswordId",
            "msDS-ManagedPasswordPreviousId",
            "msDS-HostServiceAccountBL",
        ])
        .under(&["container", "organizationalUnit", "domainDNS", "computer"])
        .guid("7b8b558a-93a5-4af7-adca-c017e67f1057"),
    Class::new("msDS-ManagedServiceAccount", "ms-DS-Managed-Service-Account", "computer")
        .may(&["msDS-HostServiceAccountBL"])
        .under(&["container", "organizationalUnit", "domainDNS", "computer"])
        .guid("ce206244-5827-4a86-ba1c-1c0c386c1b64"),
    Class::new("group", "Group", TOP)
        .must(&["groupType"])
        .may(&["member", "managedBy", "mail", "adminCount", "sAMAccountName", "objectSid", "sAMAccountType"])
        .under(&["container", "organizationalUnit", "domainDNS", "builtinDomain"])
        .guid("bf967a9c-0de6-11d0-a285-00aa003049e2"),
    Class::new("foreignSecurityPrincipal", "Foreign-Security-Principal", TOP)
        .must(&["objectSid"])
        .under(&["container"]),
    Class::new("organizationalUnit", "Organizational-Unit", TOP)
        .rdn("ou")
        .may(&["managedBy"])
        .under(&["organizationalUnit", "domainDNS"])
        .guid("bf967aa5-0de6-11d0-a285-00aa003049e2"),
    Class::new("container", "Container", TOP)
        .under(&["container", "organizationalUnit", "domainDNS", "configuration", "server", "nTDSService"])
        .guid("bf967a8b-0de6-11d0-a285-00aa003049e2"),
    Class::new("builtinDomain", "Builtin-Domain", TOP).may(&["objectSid"]).under(&["domainDNS"]),
    Class::new("domain", "Domain", TOP).rdn("dc"),
    Class::new("domainDNS", "Domain-DNS", "domain").rdn("dc").may(&[
        "objectSid",
        "msDS-Behavior-Version",
        "ms-DS-MachineAccountQuota",
        "msDS-AllowedDNSSuffixes",
        "maxPwdAge",
        "nTMixedDomain",
    ]),
    Class::new("configuration", "Configuration", TOP),
    Class::new("dMD", "DMD", TOP),
    Class::new("classSchema", "Class-Schema", TOP)
        .must(&["lDAPDisplayName", "subClassOf", "objectClassCategory"])
        .may(&["schemaIDGUID", "governsID"])
        .under(&["dMD"]),
    Class::new("sitesContainer", "Sites-Container", TOP).under(&["configuration"]),
    Class::new("site", "Site", TOP).under(&["sitesContainer"]),
    Class::new("serversContainer", "Servers-Container", TOP).under(&["site"]),
    Class::new("server", "Server", TOP)
        .may(&["dNSHostName", "serverReference", "managedBy"])
        .under(&["serversContainer"]),
    Class::new("applicationSettings", "Application-Settings", TOP),
    Class::new("nTDSDSA", "NTDS-DSA", "applicationSettings")
        .may(&[
            "options",
            "invocationId",
            "hasMasterNCs",
            "msDS-hasMasterNCs",
            "msDS-HasDomainNCs",
            "dMDLocation",
            "msDS-Behavior-Version",
        ])
        .under(&["server"]),
    Class::new("nTDSService", "NTDS-Service", TOP)
        .may(&["sPNMappings", "dSHeuristics"])
        .under(&["container"]),
    Class::new("queryPolicy", "Query-Policy", TOP).may(&["lDAPAdminLimits"]).under(&["container"]),
    Class::new("crossRefContainer", "Cross-Ref-Container", TOP)
        .may(&["msDS-Behavior-Version"])
        .under(&["configuration"]),
    Class::new("crossRef", "Cross-Ref", TOP)
        .must(&["nCName", "dnsRoot"])
        .may(&["nETBIOSName"])
        .under(&["crossRefContainer"]),
    Class::new("msKds-ProvServerConfiguration", "ms-Kds-Prov-ServerConfiguration", TOP)
        .must(&["msKds-Version"])
        .under(&["container"]),
    Class::new("msKds-ProvRootKey", "ms-Kds-Prov-RootKey", TOP)
        .must(&["msKds-Version", "msKds-CreateTime", "msKds-UseStartTime", "msKds-DomainID"])
        .may(&[
            "msKds-KDFAlgorithmID",
            "msKds-SecretAgreementAlgorithmID",
            "msKds-PublicKeyLength",
            "msKds-PrivateKeyLength",
        ])
        .under(&["container"])
        .guid("aa02fd41-17e0-4f18-8687-b2239649736b"),
];

#[cfg(test)]
mod tests {
    use super::super::schema;
    use super::*;

    #[test]
    fn a_gmsa_is_a_computer_and_so_a_user() {
        let class = class_named("MSDS-GroupManagedServiceAccount").expect("known");
        let chain: Vec<_> = class.chain().map(|class| class.name).collect();
        let expected =
            ["msDS-GroupManagedServiceAccount", "computer", "user", "organizationalPerson", "person", "top"];
        assert_eq!(chain, expected);
        assert!(class.fits_under(class_named("container").expect("known")));
        assert!(!class.fits_under(class_named("group").expect("known")));
        assert!(class.mandatory().any(|name| name == "msDS-ManagedPasswordInterval"));
    }

    #[test]
    fn classes_name_only_attributes_that_exist() {
        for class in classes() {
            for name in class.may.iter().chain(class.must).chain([&class.rdn]) {
                assert_eq!(schema::attribute(name).map(|known| known.name), Some(*name), "{}", class.name);
            }
            assert!(class_named(class.parent).is_some(), "{}", class.name);
        }
    }
}
