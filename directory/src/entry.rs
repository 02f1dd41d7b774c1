//! What a DC returns: an object with attributes of bytes.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::{Dn, Sid};

/// An object as read. Attribute names are matched without regard to case.
#[derive(Debug, Clone)]
pub struct Entry {
    pub dn: Dn,
    attributes: HashMap<String, Vec<Vec<u8>>>,
}

impl Entry {
    pub fn new(dn: Dn, attributes: impl IntoIterator<Item = (String, Vec<Vec<u8>>)>) -> Self {
        let attributes =
            attributes.into_iter().map(|(name, values)| (name.to_ascii_lowercase(), values)).collect();
        Self { dn, attributes }
    }

    /// The attributes that are there, in lower case.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.attributes.keys().map(String::as_str)
    }

    pub fn has(&self, attribute: &str) -> bool {
        !self.values(attribute).is_empty()
    }

    /// All values; empty where the attribute is absent.
    pub fn values(&self, attribute: &str) -> &[Vec<u8>] {
        self.attributes.get(&attribute.to_ascii_lowercase()).map_or(&[], Vec::as_slice)
    }

    pub fn bytes(&self, attribute: &str) -> Option<&[u8]> {
        self.values(attribute).first().map(Vec::as_slice)
    }

    /// The first value, where it is UTF-8.
    pub fn text(&self, attribute: &str) -> Option<&str> {
        self.bytes(attribute).and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    pub fn texts(&self, attribute: &str) -> Vec<String> {
        self.values(attribute).iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
    }

    /// DNs; values that are none are left out.
    pub fn dns(&self, attribute: &str) -> Vec<Dn> {
        self.texts(attribute).iter().filter_map(|text| Dn::parse(text).ok()).collect()
    }

    pub fn int(&self, attribute: &str) -> Option<i64> {
        self.text(attribute).and_then(|text| text.parse().ok())
    }

    pub fn sid(&self, attribute: &str) -> Option<Sid> {
        self.bytes(attribute).and_then(|bytes| Sid::from_bytes(bytes).ok())
    }

    /// objectGUID and its like, in the usual text form (first three fields little-endian).
    pub fn guid(&self, attribute: &str) -> Option<String> {
        let bytes: [u8; 16] = self.bytes(attribute)?.try_into().ok()?;
        Some(uuid::Uuid::from_bytes_le(bytes).to_string())
    }

    /// GeneralizedTime, e.g. whenCreated `20261122083852.0Z`.
    pub fn time(&self, attribute: &str) -> Option<DateTime<Utc>> {
        let text = self.text(attribute)?;
        let digits = text.split(['.', 'Z']).next()?;
        chrono::NaiveDateTime::parse_from_str(digits, "%Y%m%d%H%M%S").ok().map(|time| time.and_utc())
    }

    /// Ticks of 100 ns since 1601, e.g. pwdLastSet; 0 is no time.
    pub fn file_time(&self, attribute: &str) -> Option<DateTime<Utc>> {
        let ticks = self.int(attribute).filter(|ticks| *ticks > 0)?;
        DateTime::from_timestamp_micros(ticks.checked_div(10)?.checked_sub(11_644_473_600_000_000)?)
    }

    /// Whether objectClass holds `class`.
    pub fn is_class(&self, class: &str) -> bool {
        self.values("objectClass").iter().any(|value| value.eq_ignore_ascii_case(class.as_bytes()))
    }
}

/// What a DC says of itself (MS-ADTS 3.1.1.3.2).
#[derive(Debug, Clone)]
pub struct RootDse {
    pub dns_host_name: String,
    pub default_naming_context: Dn,
    pub root_domain_naming_context: Dn,
    pub configuration_naming_context: Dn,
    pub schema_naming_context: Dn,
    /// DN of its own NTDS Settings object.
    pub ds_service_name: Dn,
    pub current_time: Option<DateTime<Utc>>,
    pub highest_committed_usn: Option<i64>,
    pub domain_functionality: Option<i64>,
    pub forest_functionality: Option<i64>,
    pub is_global_catalog_ready: bool,
    /// `Samba Team ...` where it is Samba.
    pub vendor_name: Option<String>,
    pub supported_controls: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_times_and_nothing_is_none() {
        let entry = |ticks: &str| {
            let dn = Dn::parse("DC=contoso,DC=com").expect("valid");
            Entry::new(dn, [("pwdLastSet".to_owned(), vec![ticks.as_bytes().to_vec()])])
        };
        let time = |ticks: &str| entry(ticks).file_time("pwdLastSet");
        assert_eq!(time("116444736000000000"), DateTime::from_timestamp(0, 0));
        for none in ["0", "-9223372036854775808", "never"] {
            assert_eq!(time(none), None, "{none}");
        }
    }
}
