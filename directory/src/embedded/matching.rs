//! Which objects a filter selects (MS-ADTS 3.1.1.3.1.3).
//!
//! A filter is compiled against the forest once per search: names become attributes, values
//! become keys, and assertions over links become sets of objects.

use std::cmp::Ordering;
use std::collections::HashSet;

use super::filter::{Filter, Substring};
use super::forest::Forest;
use super::object::{Object, ObjectId};
use super::reference;
use super::rights::Caller;
use super::schema::{self, AttributeType, Source, Syntax};
use super::values;

const BIT_AND: &str = "1.2.840.113556.1.4.803";
const BIT_OR: &str = "1.2.840.113556.1.4.804";
const IN_CHAIN: &str = "1.2.840.113556.1.4.1941";

#[derive(Debug)]
pub enum Test {
    And(Vec<Test>),
    Or(Vec<Test>),
    Not(Box<Test>),
    Equal(&'static AttributeType, Vec<u8>),
    Substring(&'static AttributeType, Substring),
    Ordered(&'static AttributeType, Ordering, Vec<u8>),
    Present(&'static AttributeType),
    Bits {
        attribute: &'static AttributeType,
        mask: i64,
        all: bool,
    },
    /// Whatever stands in the set.
    Among(HashSet<ObjectId>),
    /// Neither true nor false: an attribute that the schema lacks, or that the caller may not read.
    Undefined,
}

pub fn compile(forest: &Forest, caller: Caller, filter: &Filter) -> Test {
    let each = |parts: &[Filter]| parts.iter().map(|part| compile(forest, caller, part)).collect();
    let known = |name: &str| {
        schema::attribute(name)
            .filter(|attribute| caller.may_read(attribute) && attribute.source != Source::Computed)
    };
    match filter {
        Filter::And(parts) => Test::And(each(parts)),
        Filter::Or(parts) => Test::Or(each(parts)),
        Filter::Not(part) => Test::Not(Box::new(compile(forest, caller, part))),
        Filter::Equal(name, value) if name.eq_ignore_ascii_case("anr") => ambiguous_name(value),
        Filter::Equal(name, value) => match known(name) {
            Some(attribute) if attribute.is_link() => linked(forest, attribute, value, false),
            Some(attribute) if attribute.syntax == Syntax::Name => {
                Test::Equal(attribute, dn_key(forest, value))
            }
            Some(attribute) => Test::Equal(attribute, values::key(attribute, value)),
            None => Test::Undefined,
        },
        Filter::Substring(name, pieces) => match known(name) {
            Some(attribute) if matches!(attribute.syntax, Syntax::Text | Syntax::Octets) => {
                Test::Substring(attribute, folded(attribute, pieces))
            }
            // AD has no substring rule for DNs, numbers and SIDs.
            _ => Test::Undefined,
        },
        Filter::AtLeast(name, value) => ordered(known(name), Ordering::Greater, value),
        Filter::AtMost(name, value) => ordered(known(name), Ordering::Less, value),
        Filter::Present(name) => known(name).map_or(Test::Undefined, Test::Present),
        Filter::Extensible(name, rule, value) => match (known(name), rule.as_str()) {
            (Some(attribute), IN_CHAIN) if attribute.is_link() => linked(forest, attribute, value, true),
            (Some(attribute), BIT_AND | BIT_OR) => bits(attribute, rule == BIT_AND, value),
            _ => Test::Undefined,
        },
    }
}

fn ordered(attribute: Option<&'static AttributeType>, ordering: Ordering, value: &[u8]) -> Test {
    attribute.map_or(Test::Undefined, |attribute| Test::Ordered(attribute, ordering, value.to_vec()))
}

fn bits(attribute: &'static AttributeType, all: bool, value: &[u8]) -> Test {
    match std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()) {
        Some(mask) => Test::Bits { attribute, mask, all },
        None => Test::Undefined,
    }
}

/// Objects whose link attribute leads to the named object: the other end of its links.
fn linked(forest: &Forest, attribute: &'static AttributeType, value: &[u8], in_chain: bool) -> Test {
    let opposite = match attribute.source {
        Source::Forward { back } => schema::attribute(back),
        Source::Back { forward } => schema::attribute(forward),
        _ => None,
    };
    let named = reference::resolve(forest, &String::from_utf8_lossy(value));
    Test::Among(match (named, opposite) {
        (Some(named), Some(opposite)) if in_chain => forest.closure(named.id, opposite),
        (Some(named), Some(opposite)) => {
            forest.ends(named.id, opposite).into_iter().flatten().copied().collect()
        }
        _ => HashSet::new(),
    })
}

/// A DN value may be given as `<SID=...>` too.
fn dn_key(forest: &Forest, value: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(value);
    match domain::Dn::parse(&text) {
        Ok(dn) => dn.key().as_bytes().to_vec(),
        Err(_) => reference::resolve(forest, &text)
            .map_or(value.to_vec(), |named| named.dn.key().as_bytes().to_vec()),
    }
}

/// Ambiguous name resolution: whatever a person may have meant.
fn ambiguous_name(value: &[u8]) -> Test {
    let names = ["displayName", "givenName", "sn", "name", "sAMAccountName", "mail"];
    let start = |attribute: &'static AttributeType| {
        let pieces = Substring { start: Some(value.to_vec()), ..Substring::default() };
        Test::Substring(attribute, folded(attribute, &pieces))
    };
    Test::Or(names.iter().filter_map(|name| schema::attribute(name)).map(start).collect())
}

fn folded(attribute: &AttributeType, pieces: &Substring) -> Substring {
    let fold = |piece: &Vec<u8>| values::key(attribute, piece);
    Substring {
        start: pieces.start.as_ref().map(fold),
        middle: pieces.middle.iter().map(fold).collect(),
        end: pieces.end.as_ref().map(fold),
    }
}

impl Test {
    pub fn selects(&self, forest: &Forest, object: &Object) -> bool {
        self.verdict(forest, object) == Some(true)
    }

    /// Three-valued (RFC 4511, 4.5.1.7): `None` is Undefined.
    fn verdict(&self, forest: &Forest, object: &Object) -> Option<bool> {
        match self {
            Self::And(parts) => all(parts.iter().map(|part| part.verdict(forest, object))),
            Self::Or(parts) => {
                all(parts.iter().map(|part| part.verdict(forest, object).map(|it| !it))).map(|it| !it)
            }
            Self::Not(part) => part.verdict(forest, object).map(|it| !it),
            Self::Equal(attribute, key) => {
                let mut values = object.values(attribute.name).iter();
                Some(values.any(|value| values::key(attribute, value) == *key))
            }
            Self::Substring(attribute, pieces) => {
                let mut values = object.values(attribute.name).iter();
                Some(values.any(|value| contains(&values::key(attribute, value), pieces)))
            }
            Self::Ordered(attribute, ordering, limit) => {
                let fits = |value: &Vec<u8>| {
                    let found = values::compare(attribute, value, limit);
                    found.is_some_and(|found| found == *ordering || found == Ordering::Equal)
                };
                Some(object.values(attribute.name).iter().any(fits))
            }
            Self::Present(attribute) if attribute.is_link() => {
                Some(forest.ends(object.id, attribute).is_some_and(|ends| !ends.is_empty()))
            }
            // Every object has a class, also one whose class the caller may not see.
            Self::Present(attribute) => Some(attribute.name == "objectClass" || object.has(attribute.name)),
            Self::Bits { attribute, mask, all } => {
                let number = object.int(attribute.name);
                Some(number.is_some_and(|number| match all {
                    true => number & mask == *mask,
                    false => number & mask != 0,
                }))
            }
            Self::Among(ids) => Some(ids.contains(&object.id)),
            Self::Undefined => None,
        }
    }

    /// A set that holds every object the test can select, where an index gives one smaller
    /// than everything.
    pub fn candidates(&self, forest: &Forest) -> Option<HashSet<ObjectId>> {
        match self {
            Self::Equal(attribute, key) if attribute.name == "distinguishedName" => {
                let dn = std::str::from_utf8(key).ok().and_then(|key| domain::Dn::parse(key).ok())?;
                Some(forest.by_dn(&dn).map(|object| object.id).into_iter().collect())
            }
            Self::Equal(attribute, key) if attribute.indexed => {
                Some(forest.indexed(attribute, key).iter().copied().collect())
            }
            Self::Among(ids) => Some(ids.clone()),
            Self::And(parts) => {
                parts.iter().filter_map(|part| part.candidates(forest)).min_by_key(HashSet::len)
            }
            Self::Or(parts) => {
                let sets: Option<Vec<_>> = parts.iter().map(|part| part.candidates(forest)).collect();
                sets.map(|sets| sets.into_iter().flatten().collect())
            }
            _ => None,
        }
    }
}

/// False wins over Undefined, Undefined over true.
fn all(verdicts: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut sum = Some(true);
    for verdict in verdicts {
        match verdict {
            Some(false) => return Some(false),
            None => sum = None,
            Some(true) => {}
        }
    }
    sum
}

fn contains(value: &[u8], pieces: &Substring) -> bool {
    let Some(mut rest) = value.strip_prefix(pieces.start.as_deref().unwrap_or_default()) else {
        return false;
    };
    for piece in &pieces.middle {
        match find(rest, piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(pieces.end.as_deref().unwrap_or_default())
}

fn find(text: &[u8], piece: &[u8]) -> Option<usize> {
    match piece.len() {
        0 => Some(0),
        length => text.windows(length).position(|window| window == piece),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undefined_is_neither_true_nor_false() {
        assert_eq!(all([Some(true), None].into_iter()), None);
        assert_eq!(all([None, Some(false)].into_iter()), Some(false));
        assert_eq!(all([].into_iter()), Some(true));
    }

    #[test]
    fn pieces_are_found_in_order_without_overlap() {
        let pieces = |start: &str, middle: &[&str], end: &str| Substring {
            start: Some(start.as_bytes().to_vec()),
            middle: middle.iter().map(|piece| piece.as_bytes().to_vec()).collect(),
            end: Some(end.as_bytes().to_vec()),
        };
        assert!(contains(b"host12", &pieces("ho", &["t"], "2")));
        assert!(contains(b"host12", &pieces("", &["os", "1"], "")));
        assert!(!contains(b"host12", &pieces("", &["1", "os"], "")));
        assert!(!contains(b"aba", &pieces("ab", &[], "ba")));
    }
}
