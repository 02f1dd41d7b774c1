//! Kerberos encryption types of an account (MS-KILE 2.2.7).

use std::fmt;

use serde::{Deserialize, Serialize};

/// The set behind msDS-SupportedEncryptionTypes.
///
/// The empty set is called `Default`: the attribute is not set, and a DC gives tickets of its own
/// default. Accounts that others made stand so; nobody comes by it without saying so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncryptionTypes(u32);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncryptionError {
    #[error(
        "None (and an empty list) is refused: a DC reads the value 0 as \"not set\" and gives tickets of its own \
         default, which may be RC4; name the types that the hosts support, AES128 and AES256 at best"
    )]
    None,
    #[error("DES is refused: Windows has not issued DES tickets since Server 2008 R2; use AES128 and AES256")]
    Des,
    #[error(
        "{0:?} is no encryption type: use RC4, AES128 or AES256 (or Default alone: the attribute is not set)"
    )]
    Unknown(String),
}

impl EncryptionTypes {
    pub const RC4: u32 = 0x4;
    pub const AES128: u32 = 0x8;
    pub const AES256: u32 = 0x10;
    /// What the empty set is called.
    pub const DEFAULT: &'static str = "Default";
    /// The attribute is not set.
    pub const UNSET: Self = Self(0);
    const NAMES: [(&'static str, u32); 3] =
        [("RC4", Self::RC4), ("AES128", Self::AES128), ("AES256", Self::AES256)];

    /// Reads the cmdlet's names (KerberosEncryptionType of New-ADServiceAccount), in any case.
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, EncryptionError> {
        let names: Vec<&str> = names.into_iter().collect();
        if let [name] = names[..]
            && name.eq_ignore_ascii_case(Self::DEFAULT)
        {
            return Ok(Self::UNSET);
        }
        let mut bits = 0;
        for name in names {
            let known = Self::NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
            bits |= match known {
                Some((_, bit)) => *bit,
                None if name.eq_ignore_ascii_case("none") => return Err(EncryptionError::None),
                None if name.eq_ignore_ascii_case("des") => return Err(EncryptionError::Des),
                None => return Err(EncryptionError::Unknown(name.to_owned())),
            };
        }
        if bits == 0 { Err(EncryptionError::None) } else { Ok(Self(bits)) }
    }

    /// The value of msDS-SupportedEncryptionTypes.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// The ones of ours among the bits of an attribute; DES and the feature bits are left out.
    pub fn of_bits(bits: i64) -> Self {
        let known = Self::NAMES.iter().filter(|(_, bit)| bits & i64::from(*bit) != 0);
        Self(known.map(|(_, bit)| bit).sum())
    }

    pub fn allows_rc4(self) -> bool {
        self.0 & Self::RC4 != 0
    }

    /// Whether the attribute is to stay without a value.
    pub fn is_unset(self) -> bool {
        self == Self::UNSET
    }

    pub fn names(self) -> Vec<&'static str> {
        if self.is_unset() {
            return vec![Self::DEFAULT];
        }
        Self::NAMES.iter().filter(|(_, bit)| self.0 & bit != 0).map(|(name, _)| *name).collect()
    }
}

/// AES128 and AES256: what Microsoft recommends (0x18).
impl Default for EncryptionTypes {
    fn default() -> Self {
        Self(Self::AES128 | Self::AES256)
    }
}

impl fmt::Display for EncryptionTypes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().join(", "))
    }
}

impl Serialize for EncryptionTypes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.names().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for EncryptionTypes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        Self::parse(names.iter().map(String::as_str)).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_the_bits_of_the_attribute() {
        assert_eq!(EncryptionTypes::parse(["RC4", "AES128", "AES256"]).expect("valid").bits(), 28);
        assert_eq!(EncryptionTypes::parse(["aes256"]).expect("valid").bits(), 16);
        assert_eq!(EncryptionTypes::default().bits(), 24);
    }

    #[test]
    fn none_and_des_are_refused_with_the_reason() {
        assert_eq!(EncryptionTypes::parse(["None"]), Err(EncryptionError::None));
        assert_eq!(EncryptionTypes::parse([]), Err(EncryptionError::None));
        assert_eq!(EncryptionTypes::parse(["DES"]), Err(EncryptionError::Des));
        assert!(EncryptionTypes::parse(["AES512"]).is_err());
    }

    #[test]
    fn the_dcs_own_default_is_asked_for_by_name_and_alone() {
        let unset = EncryptionTypes::parse(["default"]).expect("valid");
        assert!(unset.is_unset() && unset.names() == ["Default"]);
        assert!(EncryptionTypes::parse(["Default", "AES256"]).is_err());
        assert_eq!(EncryptionTypes::of_bits(0x2_0000 | 0x3), EncryptionTypes::UNSET);
        assert_eq!(EncryptionTypes::of_bits(0x2_001c).bits(), 28);
    }
}
