//! Security identifiers (MS-DTYP 2.4.2).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A SID: revision 1, a 48-bit authority, up to 15 sub-authorities.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sid {
    authority: u64,
    sub_authorities: Vec<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SidError {
    #[error("{0:?} is not a SID of the form S-1-5-21-…")]
    Text(String),
    #[error("{0} bytes do not hold the SID that their header announces")]
    Bytes(usize),
}

impl Sid {
    const MAX_SUB_AUTHORITIES: usize = 15;

    pub fn new(authority: u64, sub_authorities: Vec<u32>) -> Option<Self> {
        let fits = authority < 1 << 48 && sub_authorities.len() <= Self::MAX_SUB_AUTHORITIES;
        fits.then_some(Self { authority, sub_authorities })
    }

    /// Reads a SID at the start of `bytes`; says how many bytes it took. Total: any bytes, no panic.
    pub fn read(bytes: &[u8]) -> Result<(Self, usize), SidError> {
        let bad = || SidError::Bytes(bytes.len());
        let [1, count, authority @ ..] = bytes else { return Err(bad()) };
        let count = usize::from(*count);
        let size = 8 + 4 * count;
        if count > Self::MAX_SUB_AUTHORITIES || bytes.len() < size {
            return Err(bad());
        }
        let authority = authority[..6].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        let sub_authorities = bytes[8..size]
            .chunks_exact(4)
            .map(|four| u32::from_le_bytes([four[0], four[1], four[2], four[3]]))
            .collect();
        Ok((Self { authority, sub_authorities }, size))
    }

    /// Reads a SID that fills `bytes` exactly.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SidError> {
        match Self::read(bytes)? {
            (sid, size) if size == bytes.len() => Ok(sid),
            _ => Err(SidError::Bytes(bytes.len())),
        }
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        // `new` and the parsers hold the count at 15, so the cast cannot cut.
        let mut bytes = vec![1, self.sub_authorities.len() as u8];
        bytes.extend(&self.authority.to_be_bytes()[2..]);
        bytes.extend(self.sub_authorities.iter().flat_map(|sub| sub.to_le_bytes()));
        bytes
    }

    /// The last sub-authority: in a domain SID, what tells its accounts apart.
    pub fn rid(&self) -> Option<u32> {
        self.sub_authorities.last().copied()
    }

    /// Without its last sub-authority: of an account, its domain.
    pub fn domain(&self) -> Option<Self> {
        let (_, domain) = self.sub_authorities.split_last()?;
        Self::new(self.authority, domain.to_vec())
    }

    /// This SID with one more sub-authority, e.g. a domain's account.
    pub fn with_rid(&self, rid: u32) -> Option<Self> {
        let sub_authorities = self.sub_authorities.iter().copied().chain([rid]).collect();
        Self::new(self.authority, sub_authorities)
    }

    /// The account with that relative identifier in the same domain.
    pub fn sibling(&self, rid: u32) -> Option<Self> {
        let domain = self.sub_authorities.split_last()?.1;
        Self::new(self.authority, domain.iter().copied().chain([rid]).collect())
    }
}

impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // MS-DTYP 2.4.2.1: hexadecimal from 2^32 on.
        match self.authority {
            large if large >= 1 << 32 => write!(f, "S-1-{large:#014x}")?,
            small => write!(f, "S-1-{small}")?,
        }
        self.sub_authorities.iter().try_for_each(|sub| write!(f, "-{sub}"))
    }
}

impl FromStr for Sid {
    type Err = SidError;
    fn from_str(text: &str) -> Result<Self, SidError> {
        let bad = || SidError::Text(text.to_owned());
        let mut parts = text.split('-');
        let head = (parts.next(), parts.next());
        if !matches!(head, (Some("S" | "s"), Some("1"))) {
            return Err(bad());
        }
        let authority = parts.next().ok_or_else(bad)?;
        let authority = match authority.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16),
            None => digits(authority).ok_or_else(bad)?.parse(),
        };
        let sub_authorities = parts
            .map(|part| digits(part).and_then(|part| part.parse().ok()).ok_or_else(bad))
            .collect::<Result<_, _>>()?;
        Self::new(authority.map_err(|_| bad())?, sub_authorities).ok_or_else(bad)
    }
}

/// `parse` would take a leading `+`.
fn digits(part: &str) -> Option<&str> {
    part.bytes().all(|byte| byte.is_ascii_digit()).then_some(part)
}

impl TryFrom<String> for Sid {
    type Error = SidError;
    fn try_from(text: String) -> Result<Self, SidError> {
        text.parse()
    }
}
impl From<Sid> for String {
    fn from(sid: Sid) -> String {
        sid.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_sids_in_both_forms() {
        let administrators: Sid = "S-1-5-32-544".parse().expect("valid");
        assert_eq!(administrators.to_bytes(), [1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 32, 2, 0, 0]);
        assert_eq!(Sid::from_bytes(&administrators.to_bytes()), Ok(administrators.clone()));
        assert_eq!(administrators.rid(), Some(544));
        assert_eq!("s-1-1-0".parse::<Sid>().expect("valid").to_string(), "S-1-1-0");
    }

    #[test]
    fn what_is_no_sid_is_refused() {
        for bad in ["", "S-1", "S-2-5", "S-1-x", "S-1-5-", "S-1-5-+1", "S-1-5-4294967296", "T-1-5"] {
            assert!(bad.parse::<Sid>().is_err(), "{bad}");
        }
        assert!(Sid::from_bytes(&[1, 1, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 9]).is_err());
    }

    proptest! {
        #[test]
        fn both_forms_round_trip(authority in 0_u64..1 << 48, subs in prop::collection::vec(any::<u32>(), 0..=15)) {
            let sid = Sid::new(authority, subs).expect("within bounds");
            prop_assert_eq!(&Sid::from_bytes(&sid.to_bytes()).expect("own bytes"), &sid);
            prop_assert_eq!(&sid.to_string().parse::<Sid>().expect("own text"), &sid);
        }

        #[test]
        fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Sid::read(&bytes);
        }
    }
}
