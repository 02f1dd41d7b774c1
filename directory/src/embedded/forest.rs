//! The directory in memory: objects, their tree, their links, and the indexes over them.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use domain::{Dn, Sid};

use super::object::{Object, ObjectId};
use super::schema::{self, AttributeType, Source};
use super::values;

/// A forward link, e.g. group –member→ account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Link {
    pub source: ObjectId,
    pub attribute: &'static str,
    pub target: ObjectId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    pub next_id: ObjectId,
    pub next_rid: u32,
    /// highestCommittedUSN.
    pub usn: u64,
}

impl Default for Counters {
    fn default() -> Self {
        // AD starts at 1000 below a fresh domain; built-in accounts have the RIDs before.
        Self { next_id: 1, next_rid: 1000, usn: 1 }
    }
}

/// What one write does. Carried out on disk first, then here.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    pub put: Vec<Object>,
    pub remove: Vec<ObjectId>,
    pub link: Vec<Link>,
    pub unlink: Vec<Link>,
    pub counters: Counters,
}

impl Changes {
    /// Appends a later write, so that many can share one commit.
    pub fn append(&mut self, later: Changes) {
        self.put.extend(later.put);
        self.remove.extend(later.remove);
        self.link.extend(later.link);
        self.unlink.extend(later.unlink);
        self.counters = later.counters;
    }
}

type Ends = HashMap<(ObjectId, &'static str), BTreeSet<ObjectId>>;

#[derive(Debug, Default)]
pub struct Forest {
    objects: HashMap<ObjectId, Arc<Object>>,
    by_dn: HashMap<String, ObjectId>,
    children: HashMap<ObjectId, BTreeSet<ObjectId>>,
    /// By attribute, then by the value's key.
    index: HashMap<&'static str, HashMap<Vec<u8>, Vec<ObjectId>>>,
    forward: Ends,
    back: Ends,
    pub counters: Counters,
}

impl Forest {
    pub fn apply(&mut self, changes: Changes) {
        for link in changes.unlink {
            self.unlink(link);
        }
        for id in changes.remove {
            self.take(id);
        }
        for object in changes.put {
            self.take(object.id);
            self.put(object);
        }
        for link in changes.link {
            self.link(link);
        }
        self.counters = changes.counters;
    }

    fn put(&mut self, mut object: Object) {
        object.shrink();
        self.by_dn.insert(object.dn.key().to_owned(), object.id);
        if let Some(parent) = object.parent {
            self.children.entry(parent).or_default().insert(object.id);
        }
        for (name, key) in index_keys(&object) {
            self.index.entry(name).or_default().entry(key).or_default().push(object.id);
        }
        self.objects.insert(object.id, Arc::new(object));
    }

    fn take(&mut self, id: ObjectId) {
        let Some(object) = self.objects.remove(&id) else { return };
        self.by_dn.remove(object.dn.key());
        if let Some(siblings) = object.parent.and_then(|parent| self.children.get_mut(&parent)) {
            siblings.remove(&id);
        }
        for (name, key) in index_keys(&object) {
            let Some(index) = self.index.get_mut(name) else { continue };
            if let Some(ids) = index.get_mut(&key) {
                ids.retain(|other| *other != id);
                if ids.is_empty() {
                    index.remove(&key);
                }
            }
        }
    }

    fn link(&mut self, Link { source, attribute, target }: Link) {
        self.forward.entry((source, attribute)).or_default().insert(target);
        self.back.entry((target, attribute)).or_default().insert(source);
    }

    fn unlink(&mut self, Link { source, attribute, target }: Link) {
        remove_end(&mut self.forward, (source, attribute), target);
        remove_end(&mut self.back, (target, attribute), source);
    }

    pub fn len(&self) -> usize {
        self.objects.len()
    }

    pub fn get(&self, id: ObjectId) -> Option<&Arc<Object>> {
        self.objects.get(&id)
    }

    pub fn by_dn(&self, dn: &Dn) -> Option<&Arc<Object>> {
        self.objects.get(self.by_dn.get(dn.key())?)
    }

    /// Objects whose indexed attribute has that value.
    pub fn indexed(&self, attribute: &AttributeType, value: &[u8]) -> &[ObjectId] {
        let found =
            self.index.get(attribute.name).and_then(|index| index.get(&values::key(attribute, value)));
        found.map_or(&[], Vec::as_slice)
    }

    pub fn by_value(&self, name: &str, value: &[u8]) -> impl Iterator<Item = &Arc<Object>> {
        let ids = schema::attribute(name).map_or(&[][..], |attribute| self.indexed(attribute, value));
        ids.iter().filter_map(|id| self.objects.get(id))
    }

    pub fn by_sid(&self, sid: &Sid) -> Option<&Arc<Object>> {
        self.by_value("objectSid", &sid.to_bytes()).next()
    }

    pub fn has_children(&self, id: ObjectId) -> bool {
        self.children.get(&id).is_some_and(|children| !children.is_empty())
    }

    pub fn children(&self, id: ObjectId) -> impl Iterator<Item = ObjectId> + '_ {
        self.children.get(&id).into_iter().flatten().copied()
    }

    /// The object and everything below it in its naming context.
    pub fn subtree(&self, id: ObjectId) -> Vec<ObjectId> {
        let mut found = vec![id];
        let mut at = 0;
        while let Some(id) = found.get(at).copied() {
            found.extend(self.children(id));
            at += 1;
        }
        found
    }

    pub fn is_within(&self, id: ObjectId, ancestor: ObjectId) -> bool {
        let parent = |id: &ObjectId| self.objects.get(id).and_then(|object| object.parent);
        std::iter::successors(Some(id), parent).any(|id| id == ancestor)
    }

    /// Heads of the naming contexts.
    pub fn heads(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.objects.values().filter(|object| object.parent.is_none())
    }

    /// The other ends of a link attribute, forward or back.
    pub fn ends(&self, id: ObjectId, attribute: &AttributeType) -> Option<&BTreeSet<ObjectId>> {
        match attribute.source {
            Source::Forward { .. } => self.forward.get(&(id, attribute.name)),
            Source::Back { forward } => self.back.get(&(id, forward)),
            _ => None,
        }
    }

    pub fn is_linked(&self, link: Link) -> bool {
        self.forward.get(&(link.source, link.attribute)).is_some_and(|ends| ends.contains(&link.target))
    }

    /// Every link that starts or ends at the object.
    pub fn links_of(&self, id: ObjectId) -> Vec<Link> {
        let links =
            schema::attributes().filter(|attribute| matches!(attribute.source, Source::Forward { .. }));
        links
            .flat_map(|attribute| {
                let attribute = attribute.name;
                let out = self.forward.get(&(id, attribute)).into_iter().flatten();
                let back = self.back.get(&(id, attribute)).into_iter().flatten();
                out.map(move |target| Link { source: id, attribute, target: *target })
                    .chain(back.map(move |source| Link { source: *source, attribute, target: id }))
            })
            .collect()
    }

    /// Everything that following a link attribute reaches, cycles included, without the start
    /// (unless a cycle leads back to it).
    pub fn closure(&self, start: ObjectId, attribute: &AttributeType) -> HashSet<ObjectId> {
        let mut seen = HashSet::new();
        let mut open = vec![start];
        while let Some(id) = open.pop() {
            for end in self.ends(id, attribute).into_iter().flatten() {
                if seen.insert(*end) {
                    open.push(*end);
                }
            }
        }
        seen
    }

    /// The nearest ancestor of a missing DN that exists.
    pub fn nearest(&self, dn: &Dn) -> Option<&Arc<Object>> {
        std::iter::successors(dn.parent(), Dn::parent).find_map(|dn| self.by_dn(&dn))
    }
}

fn index_keys(object: &Object) -> Vec<(&'static str, Vec<u8>)> {
    let indexed = |name: &str| schema::attribute(name).filter(|attribute| attribute.indexed);
    let keys = object.attributes().filter_map(|(name, values)| Some((indexed(name)?, values)));
    let mut keys: Vec<_> = keys
        .flat_map(|(attribute, values)| {
            values.iter().map(|value| (attribute.name, values::key(attribute, value)))
        })
        .collect();
    // http/x and HTTP/X on one object are one key.
    keys.sort();
    keys.dedup();
    keys
}

fn remove_end(ends: &mut Ends, key: (ObjectId, &'static str), end: ObjectId) {
    if let Some(set) = ends.get_mut(&key) {
        set.remove(&end);
        if set.is_empty() {
            ends.remove(&key);
        }
    }
}
