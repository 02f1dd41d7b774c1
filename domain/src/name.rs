//! Names of security principals, with AD's rules in the type.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Dn, Sid};

/// Why a name is refused: which rule, and what was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct NameError {
    /// Stable name of the rule that was broken, for programs.
    pub rule: &'static str,
    pub message: String,
}

impl NameError {
    pub fn new(rule: &'static str, message: impl Into<String>) -> Self {
        Self { rule, message: message.into() }
    }

    pub fn length(what: &str, min: usize, max: usize, found: usize) -> Self {
        Self::new("length", format!("a {what} has {min} to {max} characters, this has {found}"))
    }

    pub fn character(what: &str, found: char, allowed: &str) -> Self {
        Self::new("characters", format!("a {what} holds only {allowed}, this holds {found:?}"))
    }
}

/// sAMAccountName of a gMSA without its trailing `$`: 1 to 15 of `[A-Za-z0-9_-]`.
///
/// Neither AD nor Samba enforces the 15 (both took 20 and more); hosts do, since the
/// name becomes a NetBIOS name there (New-ADServiceAccount, SamAccountName).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountName(String);

impl AccountName {
    pub const MAX: usize = 15;

    pub fn parse(text: &str) -> Result<Self, NameError> {
        let name = text.strip_suffix('$').unwrap_or(text);
        let ok = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if name.is_empty() || name.chars().count() > Self::MAX {
            return Err(NameError::length("gMSA account name", 1, Self::MAX, name.chars().count()));
        }
        match name.chars().find(|c| !ok(*c)) {
            Some(c) => Err(NameError::character("gMSA account name", c, "A-Z a-z 0-9 _ -")),
            None => Ok(Self(name.to_owned())),
        }
    }

    /// Without the `$`: what people say, and the CN.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// With the `$`: what the directory holds.
    pub fn sam_account_name(&self) -> String {
        format!("{}$", self.0)
    }
}

impl PartialEq for AccountName {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}
impl Eq for AccountName {}

/// sAMAccountName of a security group: 1 to 256 characters, none of AD's forbidden ones.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GroupName(String);

/// What samldb.c and Windows refuse in a sAMAccountName.
const FORBIDDEN_IN_SAM: &str = "\"[]:;|=+*?<>/\\,";

impl GroupName {
    /// The CN of a new group is its sAMAccountName, and a CN has at most 64 characters.
    pub const MAX: usize = 64;

    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.is_empty() || text.chars().count() > Self::MAX {
            return Err(NameError::length("group name", 1, Self::MAX, text.chars().count()));
        }
        if let Some(c) = text.chars().find(|c| c.is_control() || FORBIDDEN_IN_SAM.contains(*c)) {
            let rule = format!("no control character and none of {FORBIDDEN_IN_SAM}");
            return Err(NameError::character("group name", c, &rule));
        }
        if text.ends_with('.') || text.starts_with(' ') || text.ends_with(' ') {
            return Err(NameError::new(
                "edges",
                "a group name neither starts nor ends with a space and does not end with a dot",
            ));
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PartialEq for GroupName {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}
impl Eq for GroupName {}

macro_rules! string_form {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::parse(&text)
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
    };
}
string_form!(AccountName);
string_form!(GroupName);

/// How a person names a host or a group: `Host1`, `Host1$`, a DN or a SID.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum PrincipalRef {
    /// sAMAccountName without a trailing `$`, as written.
    Name(String),
    Dn(Dn),
    Sid(Sid),
}

impl PrincipalRef {
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let text = text.trim();
        if text.len() > 4 && text.as_bytes()[..4].eq_ignore_ascii_case(b"S-1-") {
            return text
                .parse()
                .map(Self::Sid)
                .map_err(|e: crate::sid::SidError| NameError::new("sid", e.to_string()));
        }
        if text.contains('=') {
            return Dn::parse(text)
                .map(Self::Dn)
                .map_err(|e| NameError::new("dn", format!("not a distinguished name: {e}")));
        }
        let name = text.strip_suffix('$').unwrap_or(text);
        GroupName::parse(name)
            .map(|_| Self::Name(name.to_owned()))
            .map_err(|e| NameError::new(e.rule, e.message.replace("group name", "host or group name")))
    }

    /// The form under which two spellings of one name are the same.
    pub fn key(&self) -> String {
        match self {
            Self::Name(name) => name.to_lowercase(),
            Self::Dn(dn) => dn.key().to_owned(),
            Self::Sid(sid) => sid.to_string(),
        }
    }
}

impl fmt::Display for PrincipalRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Dn(dn) => dn.fmt(f),
            Self::Sid(sid) => sid.fmt(f),
        }
    }
}
impl TryFrom<String> for PrincipalRef {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        Self::parse(&text)
    }
}
impl From<PrincipalRef> for String {
    fn from(reference: PrincipalRef) -> String {
        reference.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_name_has_fifteen_characters_at_most_and_the_dollar_does_not_count() {
        assert_eq!(AccountName::parse("ITFarm1").expect("valid").sam_account_name(), "ITFarm1$");
        assert_eq!(AccountName::parse("ITFarm1$").expect("valid").as_str(), "ITFarm1");
        assert!(AccountName::parse("abcdefghijklmno").is_ok());
        let error = AccountName::parse("abcdefghijklmnop").expect_err("sixteen");
        assert_eq!(error.rule, "length");
        assert!(error.message.contains("1 to 15"), "{error}");
        for bad in ["", "$", "a b", "a$b", "a.b", "ü"] {
            assert!(AccountName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_principal_is_a_name_a_dn_or_a_sid() {
        assert_eq!(PrincipalRef::parse("Host1$"), Ok(PrincipalRef::Name("Host1".into())));
        assert!(matches!(PrincipalRef::parse("CN=Host1,DC=x"), Ok(PrincipalRef::Dn(_))));
        assert!(matches!(PrincipalRef::parse("S-1-5-21-1-2-3-1104"), Ok(PrincipalRef::Sid(_))));
        assert!(PrincipalRef::parse("S-1-banana").is_err());
        assert!(PrincipalRef::parse("a/b").is_err());
        assert!(PrincipalRef::parse("").is_err());
    }
}
