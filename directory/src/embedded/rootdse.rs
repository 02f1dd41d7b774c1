//! What the DC says of itself (MS-ADTS 3.1.1.3.2), to anybody.

use chrono::{DateTime, Utc};
use ldap3_proto::proto::{LdapPartialAttribute, LdapSearchResultEntry};

use super::draft::generalized_time;
use super::names;

/// The controls that are carried out, or accepted because they change nothing here.
pub const CONTROLS: [&str; 5] = [
    "1.2.840.113556.1.4.319",
    "1.2.840.113556.1.4.801",
    "1.2.840.113556.1.4.417",
    "1.2.840.113556.1.4.1339",
    "1.2.840.113556.1.4.1413",
];

const CAPABILITIES: [&str; 6] = [
    "1.2.840.113556.1.4.800",
    "1.2.840.113556.1.4.1670",
    "1.2.840.113556.1.4.1791",
    "1.2.840.113556.1.4.1935",
    "1.2.840.113556.1.4.2080",
    "1.2.840.113556.1.4.2237",
];

/// Windows Server 2016 and later.
pub const FUNCTIONAL_LEVEL: &str = "7";

pub fn entry(names: &[String], usn: u64, now: DateTime<Utc>) -> LdapSearchResultEntry {
    let all = names.is_empty() || names.iter().any(|name| name == "*" || name == "+");
    let asked = |attribute: &str| all || names.iter().any(|name| name.eq_ignore_ascii_case(attribute));
    let attributes = attributes(usn, now).into_iter().filter(|(name, _)| asked(name));
    let attributes = attributes.map(|(name, values)| LdapPartialAttribute {
        atype: name.to_owned(),
        vals: values.into_iter().map(String::into_bytes).collect(),
    });
    LdapSearchResultEntry { dn: String::new(), attributes: attributes.collect() }
}

fn attributes(usn: u64, now: DateTime<Utc>) -> Vec<(&'static str, Vec<String>)> {
    let one = |value: &str| vec![value.to_owned()];
    let many = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
    vec![
        ("defaultNamingContext", one(names::DOMAIN)),
        ("rootDomainNamingContext", one(names::DOMAIN)),
        ("configurationNamingContext", one(names::CONFIGURATION)),
        ("schemaNamingContext", one(names::SCHEMA)),
        ("namingContexts", many(&[names::DOMAIN, names::CONFIGURATION, names::SCHEMA])),
        ("subschemaSubentry", vec![format!("CN=Aggregate,{}", names::SCHEMA)]),
        ("dsServiceName", one(names::SETTINGS)),
        ("serverName", one(names::SERVER)),
        ("dnsHostName", one(names::DC_HOST)),
        ("ldapServiceName", one("contoso.com:dc1$@CONTOSO.COM")),
        ("currentTime", vec![generalized_time(now)]),
        ("highestCommittedUSN", vec![usn.to_string()]),
        ("domainFunctionality", one(FUNCTIONAL_LEVEL)),
        ("forestFunctionality", one(FUNCTIONAL_LEVEL)),
        ("domainControllerFunctionality", one(FUNCTIONAL_LEVEL)),
        ("isGlobalCatalogReady", one("TRUE")),
        ("isSynchronized", one("TRUE")),
        ("vendorName", one("Farmhand (embedded directory, for trying and rehearsal)")),
        ("supportedLDAPVersion", one("3")),
        ("supportedControl", many(&CONTROLS)),
        ("supportedCapabilities", many(&CAPABILITIES)),
        ("supportedExtension", one(ldap3_proto::proto::OID_WHOAMI)),
    ]
}
