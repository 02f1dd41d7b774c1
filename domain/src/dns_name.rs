//! The DNS host name of a service (RFC 1123, RFC 1035 lengths).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::NameError;

/// dNSHostName of a gMSA: fully qualified, so at least two labels.
///
/// No DC checks this (a real one took `bad host` and a label of 300 characters), so we do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DnsHostName(String);

impl DnsHostName {
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.is_empty() || text.len() > 255 {
            return Err(NameError::length("DNS host name", 1, 255, text.len()));
        }
        check_labels(text)?;
        if !text.contains('.') {
            return Err(NameError::new("qualified", "a DNS host name is fully qualified: name.domain"));
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Labels of 1 to 63 letters, digits, `-` and `_` (which AD names use), no `-` at either end.
pub(crate) fn check_labels(text: &str) -> Result<(), NameError> {
    for label in text.split('.') {
        if label.is_empty() || label.len() > 63 {
            return Err(NameError::length("DNS label", 1, 63, label.len()));
        }
        let ok = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if let Some(c) = label.chars().find(|c| !ok(*c)) {
            return Err(NameError::character("DNS label", c, "A-Z a-z 0-9 - _"));
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err(NameError::new("edges", "a DNS label neither starts nor ends with a hyphen"));
        }
    }
    Ok(())
}

impl PartialEq for DnsHostName {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}
impl Eq for DnsHostName {}
impl fmt::Display for DnsHostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl TryFrom<String> for DnsHostName {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        Self::parse(&text)
    }
}
impl From<DnsHostName> for String {
    fn from(name: DnsHostName) -> String {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_qualified_name_passes() {
        assert!(DnsHostName::parse("ITFarm1.contoso.com").is_ok());
        let long = format!("{}.com", "a".repeat(64));
        for bad in ["", "ITFarm1", "bad host.com", "-a.com", "a-.com", "a..com", ".com", &long] {
            assert!(DnsHostName::parse(bad).is_err(), "{bad}");
        }
    }
}
