//! Entries as they come over the wire. ldap3's own reading of them panics on names that are not
//! UTF-8 and sorts attributes into two maps by whether their bytes happen to be UTF-8; this
//! reading does neither.

use std::collections::HashMap;

use domain::Dn;
use ldap3::asn1::{PL, StructureTag};

use super::guard::is_managed_password;
use crate::entry::{Entry, RootDse};

/// An entry before its DN is understood and its ranges are complete.
#[derive(Debug, Default)]
pub(super) struct RawEntry {
    pub dn: String,
    /// By name in lower case, without range options.
    attributes: HashMap<String, Vec<Vec<u8>>>,
    /// Attributes of which more is to be had, and from which value on.
    pub ranges: Vec<(String, usize)>,
}

impl RawEntry {
    pub fn into_entry(self) -> Result<Entry, String> {
        let dn = Dn::parse(&self.dn).map_err(|error| format!("the DN {:?}: {error}", self.dn))?;
        Ok(self.with_dn(dn))
    }

    pub fn with_dn(self, dn: Dn) -> Entry {
        Entry::new(dn, self.attributes)
    }

    /// Adds what a further read brought of `attribute`: where to read on, `None` at the end.
    pub fn extend(&mut self, attribute: &str, mut more: RawEntry) -> Option<usize> {
        let values = more.attributes.remove(attribute).unwrap_or_default();
        self.attributes.entry(attribute.to_owned()).or_default().extend(values);
        more.ranges.iter().find(|(name, _)| name == attribute).map(|(_, next)| *next)
    }
}

/// Reads a SearchResultEntry (RFC 4511, 4.5.2). Total: any structure, no panic.
pub(super) fn parse_entry(tag: StructureTag) -> Result<RawEntry, String> {
    let mut parts = constructed(tag, "entry")?.into_iter();
    let (Some(dn), Some(attributes)) = (parts.next(), parts.next()) else {
        return Err("an entry without DN and attributes".to_owned());
    };
    let mut entry = RawEntry { dn: text(dn, "DN")?, ..RawEntry::default() };
    for attribute in constructed(attributes, "attributes")? {
        let mut parts = constructed(attribute, "attribute")?.into_iter();
        let (Some(description), Some(values)) = (parts.next(), parts.next()) else {
            return Err("an attribute without name and values".to_owned());
        };
        let description = text(description, "attribute name")?.to_ascii_lowercase();
        let values = constructed(values, "values")?;
        let values: Vec<_> =
            values.into_iter().map(|value| primitive(value, "value")).collect::<Result<_, _>>()?;
        // A server that sends the password unasked has it dropped here.
        if is_managed_password(&description) {
            continue;
        }
        let (name, next) = split_range(&description)?;
        if let Some(next) = next {
            entry.ranges.push((name.clone(), next));
        }
        // A DC sends an empty `member` beside `member;range=0-1499`, in either order.
        entry.attributes.entry(name).or_default().extend(values);
    }
    Ok(entry)
}

/// `member;range=0-1499` is `member`, to be read on from 1500; `member;range=1500-*` is the end
/// (MS-ADTS 3.1.1.3.1.3.3).
fn split_range(description: &str) -> Result<(String, Option<usize>), String> {
    let Some((name, range)) = description.split_once(";range=") else {
        return Ok((description.to_owned(), None));
    };
    let bad = || format!("the range in {description:?}");
    let (_, end) = range.split_once('-').ok_or_else(bad)?;
    let next = match end {
        "*" => None,
        end => Some(end.parse::<usize>().ok().and_then(|end| end.checked_add(1)).ok_or_else(bad)?),
    };
    Ok((name.to_owned(), next))
}

fn constructed(tag: StructureTag, what: &str) -> Result<Vec<StructureTag>, String> {
    match tag.payload {
        PL::C(parts) => Ok(parts),
        PL::P(_) => Err(format!("the {what} is no structure")),
    }
}

fn primitive(tag: StructureTag, what: &str) -> Result<Vec<u8>, String> {
    match tag.payload {
        PL::P(bytes) => Ok(bytes),
        PL::C(_) => Err(format!("the {what} is no string")),
    }
}

fn text(tag: StructureTag, what: &str) -> Result<String, String> {
    String::from_utf8(primitive(tag, what)?).map_err(|_| format!("the {what} is not UTF-8"))
}

pub(super) const ROOT_DSE_ATTRIBUTES: [&str; 13] = [
    "dnsHostName",
    "defaultNamingContext",
    "rootDomainNamingContext",
    "configurationNamingContext",
    "schemaNamingContext",
    "dsServiceName",
    "currentTime",
    "highestCommittedUSN",
    "domainFunctionality",
    "forestFunctionality",
    "isGlobalCatalogReady",
    "vendorName",
    "supportedControl",
];

pub(super) fn root_dse(entry: RawEntry) -> Result<RootDse, String> {
    let values = |name: &str| entry.attributes.get(&name.to_ascii_lowercase());
    let first = |name: &str| values(name).and_then(|values| values.first());
    let text = |name: &str| {
        let value = first(name).ok_or_else(|| format!("the rootDSE does not give its {name}"))?;
        String::from_utf8(value.clone()).map_err(|_| format!("the rootDSE's {name} is not UTF-8"))
    };
    let dn = |name: &str| {
        text(name).and_then(|text| Dn::parse(&text).map_err(|error| format!("the rootDSE's {name}: {error}")))
    };
    let mut root = RootDse {
        dns_host_name: text("dnsHostName")?,
        default_naming_context: dn("defaultNamingContext")?,
        root_domain_naming_context: dn("rootDomainNamingContext")?,
        configuration_naming_context: dn("configurationNamingContext")?,
        schema_naming_context: dn("schemaNamingContext")?,
        ds_service_name: dn("dsServiceName")?,
        current_time: None,
        highest_committed_usn: None,
        domain_functionality: None,
        forest_functionality: None,
        is_global_catalog_ready: text("isGlobalCatalogReady")
            .is_ok_and(|text| text.eq_ignore_ascii_case("true")),
        vendor_name: text("vendorName").ok(),
        supported_controls: Vec::new(),
    };
    let optional = entry.with_dn(root.default_naming_context.clone());
    root.current_time = optional.time("currentTime");
    root.highest_committed_usn = optional.int("highestCommittedUSN");
    root.domain_functionality = optional.int("domainFunctionality");
    root.forest_functionality = optional.int("forestFunctionality");
    root.supported_controls = optional.texts("supportedControl");
    // Samba lists some of them several times.
    root.supported_controls.sort();
    root.supported_controls.dedup();
    Ok(root)
}

#[cfg(test)]
mod tests {
    use ldap3::asn1::TagClass;

    use super::*;

    fn string(bytes: &[u8]) -> StructureTag {
        StructureTag { class: TagClass::Universal, id: 4, payload: PL::P(bytes.to_vec()) }
    }
    fn list(parts: Vec<StructureTag>) -> StructureTag {
        StructureTag { class: TagClass::Universal, id: 16, payload: PL::C(parts) }
    }
    fn attribute(name: &str, values: &[&[u8]]) -> StructureTag {
        list(vec![string(name.as_bytes()), list(values.iter().map(|value| string(value)).collect())])
    }
    fn entry(dn: &[u8], attributes: Vec<StructureTag>) -> StructureTag {
        list(vec![string(dn), list(attributes)])
    }

    #[test]
    fn bytes_stay_bytes_whatever_they_look_like() {
        let mixed: &[&[u8]] = &[b"text", &[0xff, 0]];
        let raw = parse_entry(entry(b"CN=a,DC=x", vec![attribute("objectSid", mixed)])).expect("well formed");
        let read = raw.into_entry().expect("a DN");
        assert_eq!(read.values("OBJECTSID"), [b"text".to_vec(), vec![0xff, 0]], "in their order");
    }

    #[test]
    fn ranges_are_joined_under_the_plain_name() {
        let attributes = vec![attribute("member", &[]), attribute("member;Range=0-1", &[b"a", b"b"])];
        let mut raw = parse_entry(entry(b"CN=a,DC=x", attributes)).expect("well formed");
        assert_eq!(raw.ranges, [("member".to_owned(), 2)]);
        let more = |description: &str, values: &[&[u8]]| {
            parse_entry(entry(b"CN=a,DC=x", vec![attribute(description, values)])).expect("well formed")
        };
        assert_eq!(raw.extend("member", more("member;range=2-3", &[b"c", b"d"])), Some(4));
        assert_eq!(raw.extend("member", more("member;range=4-*", &[b"e"])), None);
        assert_eq!(raw.into_entry().expect("a DN").texts("member"), ["a", "b", "c", "d", "e"]);
    }

    #[test]
    fn what_is_no_entry_is_an_error() {
        for bad in [
            string(b"x"),
            list(vec![]),
            list(vec![string(b"CN=a"), string(b"x")]),
            entry(b"\xff", vec![]),
            entry(b"CN=a", vec![string(b"x")]),
            entry(b"CN=a", vec![list(vec![string(b"cn")])]),
            entry(b"CN=a", vec![attribute("member;range=x", &[])]),
            entry(b"CN=a", vec![attribute("member;range=0-18446744073709551615", &[])]),
        ] {
            assert!(parse_entry(bad.clone()).is_err(), "{bad:?}");
        }
        assert!(parse_entry(entry(b"no DN", vec![])).expect("well formed").into_entry().is_err());
    }

    #[test]
    fn a_password_that_comes_unasked_is_dropped() {
        let attributes = vec![attribute("msDS-ManagedPassword", &[b"secret"]), attribute("cn", &[b"a"])];
        let read =
            parse_entry(entry(b"CN=a,DC=x", attributes)).and_then(RawEntry::into_entry).expect("valid");
        assert!(!read.has("msDS-ManagedPassword") && read.has("cn"));
    }
}
