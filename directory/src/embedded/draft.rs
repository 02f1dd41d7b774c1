//! A write in the making: nothing of it is seen until all of it is right.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::{Clock, Dn, Rng, Sid};
use ldap3_proto::LdapResultCode;

use super::forest::{Changes, Counters, Forest, Link};
use super::names;
use super::object::{Object, ObjectId};
use super::reference;
use super::rejection::Rejection;
use super::rights::Caller;
use super::schema::AttributeType;

/// What a write knows of the world.
pub struct Context<'a> {
    pub forest: &'a Forest,
    pub caller: Caller,
    pub clock: &'a dyn Clock,
    pub rng: &'a dyn Rng,
}

/// One object as it will be, with the links that come and go.
pub struct Draft<'a> {
    pub forest: &'a Forest,
    pub object: Object,
    /// `true`: added; `false`: removed. Absent: as in the forest.
    links: BTreeMap<Link, bool>,
    pub counters: Counters,
}

impl<'a> Draft<'a> {
    pub fn new(forest: &'a Forest, object: Object) -> Self {
        Self { forest, object, links: BTreeMap::new(), counters: forest.counters }
    }

    fn link_to(&self, attribute: &AttributeType, target: ObjectId) -> Link {
        Link { source: self.object.id, attribute: attribute.name, target }
    }

    fn is_linked(&self, link: Link) -> bool {
        self.links.get(&link).copied().unwrap_or_else(|| self.forest.is_linked(link))
    }

    /// The targets of a link attribute as they will be.
    pub fn targets(&self, attribute: &AttributeType) -> Vec<ObjectId> {
        let before = self.forest.ends(self.object.id, attribute).into_iter().flatten().copied();
        let kept = before.filter(|target| self.is_linked(self.link_to(attribute, *target)));
        let mut targets: Vec<_> = kept.collect();
        let added = self.links.iter().filter(|(link, added)| **added && link.attribute == attribute.name);
        targets.extend(added.map(|(link, _)| link.target));
        targets.sort_unstable();
        targets.dedup();
        targets
    }

    fn resolve(&self, attribute: &AttributeType, value: &[u8]) -> Result<ObjectId, Rejection> {
        super::values::check(attribute, value)?;
        let text = String::from_utf8_lossy(value);
        let found = reference::resolve(self.forest, &text);
        let found = found.ok_or_else(|| {
            let text = format!("00000525: {}: specified dn doesn't exist: {text}", attribute.name);
            Rejection::new(LdapResultCode::NoSuchObject, text)
        })?;
        Ok(found.id)
    }

    fn guid_of(&self, link: Link) -> uuid::Uuid {
        let target = self.forest.get(link.target);
        let guid = target.and_then(|target| target.values("objectGUID").first()?.as_slice().try_into().ok());
        guid.map_or(uuid::Uuid::nil(), uuid::Uuid::from_bytes_le)
    }

    pub fn add_link(&mut self, attribute: &AttributeType, value: &[u8]) -> Result<(), Rejection> {
        let link = self.link_to(attribute, self.resolve(attribute, value)?);
        if self.is_linked(link) {
            let text =
                format!("Attribute {} already exists for target GUID {}", attribute.name, self.guid_of(link));
            return Err(Rejection::new(LdapResultCode::EntryAlreadyExists, text));
        }
        if attribute.single && self.targets(attribute).iter().any(|target| *target != link.target) {
            let code = LdapResultCode::AttributeOrValueExists;
            return Err(Rejection::single_valued(code, attribute.name, &self.object.dn));
        }
        self.links.insert(link, true);
        Ok(())
    }

    pub fn remove_link(&mut self, attribute: &AttributeType, value: &[u8]) -> Result<(), Rejection> {
        // One who is not there is no member either.
        let target = self.resolve(attribute, value).map_err(|rejection| match rejection.code {
            LdapResultCode::NoSuchObject => Rejection::unwilling("00002035: Unable to find GUID for DN"),
            _ => rejection,
        })?;
        let link = self.link_to(attribute, target);
        if !self.is_linked(link) {
            let text =
                format!("Attribute {} doesn't exist for target GUID {}", attribute.name, self.guid_of(link));
            return Err(Rejection::unwilling(text));
        }
        self.links.insert(link, false);
        Ok(())
    }

    /// Removing all of none is no error for links.
    pub fn clear_links(&mut self, attribute: &AttributeType) {
        for target in self.targets(attribute) {
            self.links.insert(self.link_to(attribute, target), false);
        }
    }

    /// Whether any link comes or goes.
    pub fn changes_links(&self) -> bool {
        self.links.iter().any(|(link, added)| self.forest.is_linked(*link) != *added)
    }

    /// Stamps the object as changed and says what the write does.
    pub fn finish(mut self, now: DateTime<Utc>) -> Changes {
        self.counters.usn += 1;
        self.object.set_text("whenChanged", generalized_time(now));
        self.object.set_text("uSNChanged", self.counters.usn.to_string());
        let mut changes = Changes { counters: self.counters, ..Changes::default() };
        for (link, added) in self.links {
            match (added, self.forest.is_linked(link)) {
                (true, false) => changes.link.push(link),
                (false, true) => changes.unlink.push(link),
                _ => {}
            }
        }
        changes.put.push(self.object);
        changes
    }

    pub fn next_sid(&mut self) -> Option<Sid> {
        let domain = self.forest.by_dn(&names::known(names::DOMAIN))?.sid()?;
        let sid = domain.with_rid(self.counters.next_rid)?;
        self.counters.next_rid += 1;
        Some(sid)
    }
}

/// The DN that the schema's spelling of the RDN attribute and the parent's spelling make.
pub fn child_dn(parent: &Object, attribute: &str, value: &str) -> Dn {
    parent.dn.child(&attribute.to_uppercase(), value)
}

/// As whenCreated has it.
pub fn generalized_time(time: DateTime<Utc>) -> String {
    time.format("%Y%m%d%H%M%S.0Z").to_string()
}

/// 100 ns ticks since 1601 (MS-DTYP 2.3.3).
pub fn file_time(time: DateTime<Utc>) -> i64 {
    const UNIX_EPOCH_TICKS: i64 = 116_444_736_000_000_000;
    UNIX_EPOCH_TICKS + time.timestamp_micros() * 10
}

/// A GUID of version 4 in the byte order that AD stores.
pub fn new_guid(rng: &dyn Rng) -> Vec<u8> {
    let mut random = [0; 16];
    rng.fill(&mut random);
    uuid::Builder::from_random_bytes(random).into_uuid().to_bytes_le().to_vec()
}
