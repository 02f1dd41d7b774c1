//! Domain controllers in memory, each with a copy of its own that no replication brings together:
//! what a step does on one of them shows there and nowhere else.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use directory::entry::RootDse;
use directory::{
    Attribute, Base, Directory, DirectoryError, DirectoryErrorKind, DirectoryRead, DirectoryWrite,
    DomainController, Entry, Modification, ResultCode, Scope, Search,
};
use domain::{DirectoryName, Dn};
use tokio::sync::Semaphore;

use super::dn;

type Result<T> = std::result::Result<T, DirectoryError>;
type Values = Vec<Vec<u8>>;

/// How a write goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It is refused with that code; nothing is done.
    Refused(ResultCode),
    /// It is done, and the connection breaks before the answer.
    AnswerLost,
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<String, (Dn, BTreeMap<String, Values>)>,
    usn: u64,
    /// The next writes to an object whose DN holds that text, in order.
    troubles: Vec<(String, Trouble)>,
    /// DNs of the writes that were done, in order.
    written: Vec<Dn>,
    down: bool,
}

/// One DC. Clones are the same DC.
#[derive(Debug, Clone)]
pub struct FakeDc {
    name: String,
    state: Arc<Mutex<State>>,
    /// Every write waits here for leave, if there is one.
    gate: Arc<Mutex<Option<Arc<Semaphore>>>>,
}

impl FakeDc {
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), state: Arc::default(), gate: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an object there, in place of what has its DN.
    pub fn put(&self, entry: &Entry) {
        let values = |name: &str| (name.to_ascii_lowercase(), entry.values(name).to_vec());
        let attributes = entry.names().map(values).collect();
        self.lock().objects.insert(entry.dn.key().to_owned(), (entry.dn.clone(), attributes));
    }

    pub fn get(&self, at: &Dn) -> Option<Entry> {
        self.lock().objects.get(at.key()).map(to_entry)
    }

    /// Whether it does not answer at all.
    pub fn set_down(&self, down: bool) {
        self.lock().down = down;
    }

    /// The next write to an object whose DN holds `part` goes wrong that way.
    pub fn trouble(&self, part: &str, trouble: Trouble) {
        self.lock().troubles.push((part.to_owned(), trouble));
    }

    /// From now on every write waits for a permit.
    pub fn gate(&self) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        *self.gate.lock().unwrap_or_else(PoisonError::into_inner) = Some(gate.clone());
        gate
    }

    /// DNs of the writes that were done, in order.
    pub fn written(&self) -> Vec<Dn> {
        self.lock().written.clone()
    }

    fn error(&self, operation: &str, kind: DirectoryErrorKind) -> DirectoryError {
        DirectoryError::new(&self.name, operation, kind)
    }

    fn refusal(&self, code: ResultCode) -> DirectoryError {
        let (extended, data, diagnostic) = (None, None, "of a test".to_owned());
        self.error("write", DirectoryErrorKind::Result { code, extended, data, diagnostic })
    }

    fn unreachable(&self) -> DirectoryError {
        self.error("connect", DirectoryErrorKind::Unreachable("it is down".to_owned()))
    }

    fn up(&self) -> Result<MutexGuard<'_, State>> {
        let state = self.lock();
        if state.down { Err(self.unreachable()) } else { Ok(state) }
    }

    fn answers(&self) -> Result<()> {
        self.up().map(drop)
    }

    async fn write(
        &self,
        at: &Dn,
        work: impl FnOnce(&mut State) -> std::result::Result<(), ResultCode>,
    ) -> Result<()> {
        let gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(gate) = gate {
            gate.acquire().await.expect("an open gate").forget();
        }
        let mut state = self.up()?;
        let found = state.troubles.iter().position(|(part, _)| at.as_str().contains(part.as_str()));
        let trouble = found.map(|index| state.troubles.remove(index).1);
        if let Some(Trouble::Refused(code)) = trouble {
            return Err(self.refusal(code));
        }
        work(&mut state).map_err(|code| self.refusal(code))?;
        state.usn += 1;
        let usn = state.usn.to_string().into_bytes();
        if let Some((_, attributes)) = state.objects.get_mut(at.key()) {
            attributes.insert("usnchanged".to_owned(), vec![usn]);
        }
        state.written.push(at.clone());
        match trouble {
            Some(Trouble::AnswerLost) => {
                Err(self.error("write", DirectoryErrorKind::NoAnswer("the connection broke".to_owned())))
            }
            _ => Ok(()),
        }
    }
}

fn to_entry((at, attributes): &(Dn, BTreeMap<String, Values>)) -> Entry {
    Entry::new(at.clone(), attributes.clone())
}

/// What was asked for, and no more.
fn only<'a>(entry: &Entry, mut asked: impl Iterator<Item = &'a str> + Clone) -> Entry {
    if asked.clone().any(|name| name == "*") {
        return entry.clone();
    }
    let held = |name: &str| (name.to_owned(), entry.values(name).to_vec());
    Entry::new(entry.dn.clone(), asked.by_ref().map(held))
}

fn modify(
    attributes: &mut BTreeMap<String, Values>,
    modifications: &[Modification],
) -> std::result::Result<(), ResultCode> {
    for modification in modifications {
        let (Modification::Add(change) | Modification::Delete(change) | Modification::Replace(change)) =
            modification;
        let held = attributes.entry(change.name.to_ascii_lowercase()).or_default();
        let same = |one: &[u8], other: &[u8]| one.eq_ignore_ascii_case(other);
        let holds = |value: &Vec<u8>, held: &Values| held.iter().any(|known| same(known, value));
        match modification {
            Modification::Add(_) => match change.values.iter().any(|value| holds(value, held)) {
                true => return Err(ResultCode::ATTRIBUTE_OR_VALUE_EXISTS),
                false => held.extend(change.values.iter().cloned()),
            },
            Modification::Delete(_) => match change.values.iter().all(|value| holds(value, held)) {
                true => held.retain(|known| !change.values.iter().any(|value| same(known, value))),
                false => return Err(ResultCode::NO_SUCH_ATTRIBUTE),
            },
            Modification::Replace(_) => *held = change.values.clone(),
        }
    }
    Ok(())
}

/// Whether a filter selects the entry: `&`, `|`, equality (of SIDs in their text form too) and `*`.
fn matches(entry: &Entry, filter: &str) -> bool {
    let inner = filter.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).expect("a filter");
    match inner.split_at_checked(1) {
        Some(("&", parts)) => split(parts).into_iter().all(|part| matches(entry, part)),
        Some(("|", parts)) => split(parts).into_iter().any(|part| matches(entry, part)),
        _ => {
            let (name, wanted) = inner.split_once('=').expect("an equality");
            let sid = || entry.sid(name).is_some_and(|sid| sid.to_string() == wanted);
            let same = |value: &Vec<u8>| wanted == "*" || value.eq_ignore_ascii_case(wanted.as_bytes());
            entry.values(name).iter().any(same) || sid()
        }
    }
}

/// `(a)(b(c))` as its parts.
fn split(filters: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, character) in filters.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            parts.push(&filters[start..=at]);
            start = at + 1;
        }
    }
    parts
}

#[async_trait]
impl DirectoryRead for FakeDc {
    fn dc(&self) -> &str {
        &self.name
    }
    async fn root_dse(&self) -> Result<RootDse> {
        self.answers()?;
        let domain = dn("DC=contoso,DC=com");
        Ok(RootDse {
            dns_host_name: self.name.clone(),
            default_naming_context: domain.clone(),
            root_domain_naming_context: domain.clone(),
            configuration_naming_context: dn("CN=Configuration,DC=contoso,DC=com"),
            schema_naming_context: dn("CN=Schema,CN=Configuration,DC=contoso,DC=com"),
            ds_service_name: dn("CN=NTDS Settings,DC=contoso,DC=com"),
            current_time: None,
            highest_committed_usn: None,
            domain_functionality: Some(7),
            forest_functionality: Some(7),
            is_global_catalog_ready: true,
            vendor_name: None,
            supported_controls: Vec::new(),
        })
    }
    async fn read(&self, base: &Base, attributes: &[&str]) -> Result<Option<Entry>> {
        let state = self.up()?;
        let found = match base {
            Base::Dn(at) => state.objects.get(at.key()).map(to_entry),
            Base::Sid(sid) => state
                .objects
                .values()
                .map(to_entry)
                .find(|entry| entry.sid("objectSid").as_ref() == Some(sid)),
            Base::Guid(guid) => state
                .objects
                .values()
                .map(to_entry)
                .find(|entry| entry.guid("objectGUID").as_ref() == Some(guid)),
            Base::WellKnown { .. } | Base::Root => None,
        };
        Ok(found.map(|entry| only(&entry, attributes.iter().copied())))
    }
    async fn search(&self, search: &Search) -> Result<Vec<Entry>> {
        let state = self.up()?;
        let Base::Dn(base) = &search.base else { return Ok(Vec::new()) };
        let below = |entry: &Entry| match search.scope {
            Scope::Base => entry.dn == *base,
            Scope::One => entry.dn.parent().as_ref() == Some(base),
            Scope::Subtree => entry.dn.is_within(base),
        };
        let entries = state.objects.values().map(to_entry);
        let found = entries.filter(|entry| below(entry) && matches(entry, &search.filter));
        let asked = || search.attributes.iter().map(String::as_str);
        Ok(found.map(|entry| only(&entry, asked())).collect())
    }
}

#[async_trait]
impl DirectoryWrite for FakeDc {
    async fn add(&self, at: &Dn, attributes: &[Attribute]) -> Result<()> {
        let new = attributes.iter().map(|new| (new.name.to_ascii_lowercase(), new.values.clone())).collect();
        let add = |state: &mut State| {
            if state.objects.contains_key(at.key()) {
                return Err(ResultCode::ENTRY_ALREADY_EXISTS);
            }
            state.objects.insert(at.key().to_owned(), (at.clone(), new));
            Ok(())
        };
        self.write(at, add).await
    }
    async fn modify(&self, at: &Dn, modifications: &[Modification]) -> Result<()> {
        let change = |state: &mut State| {
            let (_, attributes) = state.objects.get_mut(at.key()).ok_or(ResultCode::NO_SUCH_OBJECT)?;
            let mut changed = attributes.clone();
            modify(&mut changed, modifications)?;
            *attributes = changed;
            Ok(())
        };
        self.write(at, change).await
    }
    async fn delete(&self, at: &Dn) -> Result<()> {
        let delete = |state: &mut State| match state.objects.remove(at.key()) {
            Some(_) => Ok(()),
            None => Err(ResultCode::NO_SUCH_OBJECT),
        };
        self.write(at, delete).await
    }
    async fn rename(&self, at: &Dn, name: &str) -> Result<()> {
        let rename = |state: &mut State| {
            let renamed = at.renamed(name).ok_or(ResultCode::INVALID_DN_SYNTAX)?;
            let (_, attributes) = state.objects.remove(at.key()).ok_or(ResultCode::NO_SUCH_OBJECT)?;
            state.objects.insert(renamed.key().to_owned(), (renamed, attributes));
            Ok(())
        };
        self.write(at, rename).await
    }
}

/// The DCs of one domain; who does not say which is led to the first.
#[derive(Debug)]
pub struct FakeForest {
    name: DirectoryName,
    pub dcs: Vec<FakeDc>,
}

impl FakeForest {
    pub fn of(names: &[&str]) -> Self {
        Self { name: DirectoryName::default(), dcs: names.iter().map(|name| FakeDc::new(name)).collect() }
    }
}

#[async_trait]
impl Directory for FakeForest {
    fn name(&self) -> &DirectoryName {
        &self.name
    }
    fn is_embedded(&self) -> bool {
        false
    }
    async fn pin(&self, name: Option<&str>) -> Result<Arc<dyn DirectoryWrite>> {
        let is_meant = |dc: &&FakeDc| name.is_none_or(|name| dc.name.eq_ignore_ascii_case(name));
        let dc = self.dcs.iter().find(is_meant).ok_or_else(|| {
            let text = "there is no such domain controller".to_owned();
            DirectoryError::new(name.unwrap_or_default(), "connect", DirectoryErrorKind::Unreachable(text))
        })?;
        dc.answers()?;
        Ok(Arc::new(dc.clone()))
    }
    async fn writable_dcs(&self) -> Result<Vec<DomainController>> {
        let of = |dc: &FakeDc| DomainController {
            name: dc.name.clone(),
            settings: dn(&format!("CN=NTDS Settings,CN={},DC=contoso,DC=com", dc.name)),
            site: "Default-First-Site-Name".to_owned(),
            is_global_catalog: true,
            behavior_version: Some(7),
        };
        Ok(self.dcs.iter().map(of).collect())
    }
    async fn global_catalog(&self) -> Result<Arc<dyn DirectoryRead>> {
        let first = self.dcs.first().ok_or_else(|| {
            DirectoryError::new("", "connect", DirectoryErrorKind::Unreachable("there is no DC".to_owned()))
        })?;
        first.answers()?;
        Ok(Arc::new(first.clone()))
    }
}
