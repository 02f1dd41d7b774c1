//! Kerberos encryption types of an account (MS-KILE 2.2.7).

use std::fmt;

use serde::{Deserialize, Serialize};

/// The set behind msDS-SupportedEncryptionTypes. Never empty.
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
    #[error("{0:?} is no encryption type: use RC4, AES128 or AES256")]
    Unknown(String),
}

impl EncryptionTypes {
    pub const RC4: u32 = 0x4;
    pub const AES128: u32 = 0x8;
    pub const AES256: u32 = 0x10;
    const NAMES: [(&'static str, u32); 3] =
        [("RC4", Self::RC4), ("AES128", Self::AES128), ("AES256", Self::AES256)];

    /// Reads the cmdlet's names (KerberosEncryptionType of New-ADServiceAccount), in any case.
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, EncryptionError> {
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

    pub fn allows_rc4(self) -> bool {
        self.0 & Self::RC4 != 0
    }

    pub fn names(self) -> Vec<&'static str> {
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
}
