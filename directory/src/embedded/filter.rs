//! A search filter as it came over the wire (RFC 4511, 4.5.1.7), values as bytes.
//!
//! `ldap3_proto` decodes assertion values as text and gives up on a SID or GUID in bytes, which
//! AD clients send all day; so the filter is taken out of the request before it sees it.

use ldap3_lber::common::TagClass;
use ldap3_lber::structure::{PL, StructureTag};

/// Deeper filters are refused: evaluation walks them recursively.
const MAX_DEPTH: usize = 64;

#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    And(Vec<Filter>),
    Or(Vec<Filter>),
    Not(Box<Filter>),
    Equal(String, Vec<u8>),
    Substring(String, Substring),
    AtLeast(String, Vec<u8>),
    AtMost(String, Vec<u8>),
    Present(String),
    /// Attribute, matching rule, value.
    Extensible(String, String, Vec<u8>),
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Substring {
    pub start: Option<Vec<u8>>,
    pub middle: Vec<Vec<u8>>,
    pub end: Option<Vec<u8>>,
}

impl Filter {
    /// `None` where it is no filter.
    pub fn decode(tag: StructureTag) -> Option<Self> {
        decode(tag, MAX_DEPTH)
    }
}

fn decode(tag: StructureTag, depth: usize) -> Option<Filter> {
    let depth = depth.checked_sub(1)?;
    let StructureTag { id, payload, .. } = tag.match_class(TagClass::Context)?;
    match (id, payload) {
        (0, PL::C(parts)) => {
            parts.into_iter().map(|part| decode(part, depth)).collect::<Option<_>>().map(Filter::And)
        }
        (1, PL::C(parts)) => {
            parts.into_iter().map(|part| decode(part, depth)).collect::<Option<_>>().map(Filter::Or)
        }
        (2, PL::C(mut parts)) => decode(parts.pop()?, depth).map(|part| Filter::Not(Box::new(part))),
        // approxMatch is equality, as in AD.
        (3 | 8, PL::C(parts)) => pair(parts).map(|(name, value)| Filter::Equal(name, value)),
        (4, PL::C(parts)) => substring(parts),
        (5, PL::C(parts)) => pair(parts).map(|(name, value)| Filter::AtLeast(name, value)),
        (6, PL::C(parts)) => pair(parts).map(|(name, value)| Filter::AtMost(name, value)),
        (7, PL::P(name)) => String::from_utf8(name).ok().map(Filter::Present),
        (9, PL::C(parts)) => extensible(parts),
        _ => None,
    }
}

fn pair(parts: Vec<StructureTag>) -> Option<(String, Vec<u8>)> {
    let [name, value] = <[StructureTag; 2]>::try_from(parts).ok()?;
    Some((String::from_utf8(name.expect_primitive()?).ok()?, value.expect_primitive()?))
}

fn substring(parts: Vec<StructureTag>) -> Option<Filter> {
    let [name, pieces] = <[StructureTag; 2]>::try_from(parts).ok()?;
    let name = String::from_utf8(name.expect_primitive()?).ok()?;
    let mut found = Substring::default();
    for piece in pieces.expect_constructed()? {
        let id = piece.id;
        let value = piece.expect_primitive()?;
        match id {
            0 => found.start = Some(value),
            1 => found.middle.push(value),
            2 => found.end = Some(value),
            _ => return None,
        }
    }
    Some(Filter::Substring(name, found))
}

fn extensible(parts: Vec<StructureTag>) -> Option<Filter> {
    let (mut rule, mut name, mut value) = (None, None, None);
    for part in parts {
        let id = part.id;
        let bytes = part.expect_primitive()?;
        match id {
            1 => rule = String::from_utf8(bytes).ok(),
            2 => name = String::from_utf8(bytes).ok(),
            3 => value = Some(bytes),
            // dnAttributes: AD ignores it.
            4 => {}
            _ => return None,
        }
    }
    // Without a rule it is equality; without an attribute AD has no meaning for it.
    match rule {
        None => Some(Filter::Equal(name?, value?)),
        Some(rule) => Some(Filter::Extensible(name?, rule, value?)),
    }
}
