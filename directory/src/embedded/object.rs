//! One object of the directory.

use domain::{Dn, Sid};

use super::classes::{self, Class};

/// Stays with an object for its life; never given twice.
pub type ObjectId = u64;

#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    pub id: ObjectId,
    /// `None` for the head of a naming context.
    pub parent: Option<ObjectId>,
    pub dn: Dn,
    /// By schema name; without links, which the forest keeps.
    attributes: Vec<(&'static str, Vec<Vec<u8>>)>,
}

impl Object {
    pub fn new(id: ObjectId, parent: Option<ObjectId>, dn: Dn) -> Self {
        Self { id, parent, dn, attributes: Vec::new() }
    }

    pub fn attributes(&self) -> impl Iterator<Item = (&'static str, &[Vec<u8>])> {
        self.attributes.iter().map(|(name, values)| (*name, values.as_slice()))
    }

    /// `name` as the schema writes it.
    pub fn values(&self, name: &str) -> &[Vec<u8>] {
        self.attributes.iter().find(|(known, _)| *known == name).map_or(&[], |(_, values)| values)
    }

    pub fn has(&self, name: &str) -> bool {
        !self.values(name).is_empty()
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.values(name).first().and_then(|value| std::str::from_utf8(value).ok())
    }

    pub fn int(&self, name: &str) -> Option<i64> {
        self.text(name)?.parse().ok()
    }

    pub fn sid(&self) -> Option<Sid> {
        self.values("objectSid").first().and_then(|bytes| Sid::from_bytes(bytes).ok())
    }

    /// Without values: the attribute goes.
    pub fn set(&mut self, name: &'static str, mut values: Vec<Vec<u8>>) {
        values.iter_mut().for_each(Vec::shrink_to_fit);
        values.shrink_to_fit();
        let at = self.attributes.iter().position(|(known, _)| *known == name);
        match at {
            Some(at) if values.is_empty() => drop(self.attributes.remove(at)),
            Some(at) => self.attributes[at].1 = values,
            None if values.is_empty() => {}
            None => self.attributes.push((name, values)),
        }
    }

    pub fn set_text(&mut self, name: &'static str, value: impl Into<String>) {
        self.set(name, vec![value.into().into_bytes()]);
    }

    /// The structural class. Every stored object has one.
    pub fn class(&self) -> Option<&'static Class> {
        let names = self.values("objectClass").iter().filter_map(|value| std::str::from_utf8(value).ok());
        classes::most_specific(names)
    }

    pub fn is_a(&self, class: &str) -> bool {
        self.class().is_some_and(|own| own.derives_from(class))
    }

    /// Gives back what growing left unused: thousands of objects stay in memory.
    pub fn shrink(&mut self) {
        self.attributes.shrink_to_fit();
    }
}
