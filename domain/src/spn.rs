//! Service principal names: `class/host[:port or :instance][/serviceName]`.

use std::fmt;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};

use crate::dns_name::check_labels;
use crate::name::NameError;

/// A service principal name. AD compares SPNs without regard to case, so this type does.
///
/// Samba checks only that there are two or three parts between slashes; it took `/x`, `http/`
/// and embedded spaces. The grammar is therefore held here (MS-ADTS, 5.1.1.4).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServicePrincipalName(String);

impl ServicePrincipalName {
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let parts: Vec<_> = text.split('/').collect();
        let (class, host, service) = match parts[..] {
            [class, host] => (class, host, None),
            [class, host, service] => (class, host, Some(service)),
            _ => {
                return Err(NameError::new(
                    "spn-form",
                    format!("an SPN is class/host or class/host/service, {text:?} has {} parts", parts.len()),
                ));
            }
        };
        check_class(class)?;
        check_host(host)?;
        if let Some(service) = service {
            check_printable("SPN service name", service)?;
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn class(&self) -> &str {
        self.0.split('/').next().unwrap_or_default()
    }

    /// What follows the class: `host[:port][/service]`.
    pub fn rest(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, rest)| rest)
    }

    /// The same service under another class: what an alias check asks for.
    pub fn with_class(&self, class: &str) -> String {
        format!("{class}/{}", self.rest())
    }

    pub fn key(&self) -> String {
        self.0.to_lowercase()
    }
}

fn check_class(class: &str) -> Result<(), NameError> {
    let ok = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    match class.chars().find(|c| !ok(*c)) {
        _ if class.is_empty() => Err(NameError::new("spn-class", "an SPN starts with a service class")),
        Some(c) => Err(NameError::character("SPN service class", c, "A-Z a-z 0-9 - _ .")),
        None => Ok(()),
    }
}

fn check_host(host: &str) -> Result<(), NameError> {
    let (name, instance) = match host.split_once(':') {
        Some((name, instance)) => (name, Some(instance)),
        None => (host, None),
    };
    if name.is_empty() {
        return Err(NameError::new("spn-host", "an SPN names a host after its class"));
    }
    check_labels(name)?;
    match instance {
        None => Ok(()),
        Some(number) if number.bytes().all(|b| b.is_ascii_digit()) && !number.is_empty() => {
            let in_range = number.parse::<u16>().is_ok_and(|port| port > 0);
            in_range
                .then_some(())
                .ok_or_else(|| NameError::new("spn-port", format!("a port is 1 to 65535, this is {number}")))
        }
        Some(instance) if instance.contains(':') => {
            Err(NameError::new("spn-port", "an SPN has one port or one instance name"))
        }
        Some(instance) => check_printable("SPN instance name", instance),
    }
}

fn check_printable(what: &str, text: &str) -> Result<(), NameError> {
    match text.chars().find(|c| !c.is_ascii_graphic()) {
        _ if text.is_empty() => Err(NameError::new("spn-form", format!("the {what} is empty"))),
        Some(c) => Err(NameError::character(what, c, "printable ASCII without spaces")),
        None => Ok(()),
    }
}

impl PartialEq for ServicePrincipalName {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}
impl Eq for ServicePrincipalName {}
impl Hash for ServicePrincipalName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}
impl fmt::Display for ServicePrincipalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl TryFrom<String> for ServicePrincipalName {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        Self::parse(&text)
    }
}
impl From<ServicePrincipalName> for String {
    fn from(spn: ServicePrincipalName) -> String {
        spn.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guides_examples_pass() {
        for good in [
            "http/ITFarm1.contoso.com/contoso.com",
            "http/ITFarm1/contoso",
            "MSSQLSvc/ITFarm1.contoso.com:1433",
            "MSSQLSvc/ITFarm1.contoso.com:INST01",
        ] {
            assert!(ServicePrincipalName::parse(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn what_samba_would_take_and_no_client_can_use_is_refused() {
        for bad in [
            "",
            "http",
            "/x",
            "http/",
            "http//x",
            "http/a b",
            "ht tp/a",
            "a/b/c/d",
            "http/a:",
            "http/a:0",
            "http/a:65536",
            "http/a:1:2",
            "http/a/",
            "http/a/b c",
        ] {
            assert!(ServicePrincipalName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn case_does_not_make_two_names_and_an_alias_keeps_the_rest() {
        let spn = ServicePrincipalName::parse("http/X.y:80/z").expect("valid");
        assert_eq!(spn, ServicePrincipalName::parse("HTTP/x.Y:80/Z").expect("valid"));
        assert_eq!(spn.with_class("host"), "host/X.y:80/z");
    }
}
