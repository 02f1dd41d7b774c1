//! A directory that notes what is asked of it while a recording runs, and how it hung together.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Result, ensure};
use async_trait::async_trait;
use directory::entry::RootDse;
use directory::{
    Attribute, Base, Directory, DirectoryError, DirectoryRead, DirectoryWrite, DomainController, Entry,
    LdapDirectory, Modification, Scope, Search,
};
use domain::{DirectoryName, Dn};

type Answer<T> = std::result::Result<T, DirectoryError>;

/// What the adapter asks of a rootDSE.
const ROOT_DSE: [&str; 13] = [
    "dnsHostName",
    "defaultNamingContext",
    "rootDomainNamingContext",
    "configurationNamingContext",
    "schemaNamingContext",
    "dsServiceName",
    "currentTime",
    "highestCommittedUSN",
    "domainFunctionality",
    "forestFunctionality",
    "isGlobalCatalogReady",
    "vendorName",
    "supportedControl",
];
/// What the adapter asks to know the DCs; it does so below the port.
const SERVERS: [&str; 7] = [
    "objectClass",
    "hasMasterNCs",
    "msDS-hasMasterNCs",
    "options",
    "msDS-Behavior-Version",
    "dNSHostName",
    "serverReference",
];

#[derive(Debug, Clone)]
pub enum Call {
    Read { base: String, attributes: Vec<String> },
    Search { base: String, scope: Scope, filter: String, attributes: Vec<String> },
    Add { dn: String, attributes: Vec<Attribute> },
    Modify { dn: String, modifications: Vec<Modification> },
    Delete { dn: String },
    Rename { dn: String, name: String },
}

impl Call {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Read { .. } => "read",
            Self::Search { .. } => "search",
            Self::Add { .. } => "add",
            Self::Modify { .. } => "modify",
            Self::Delete { .. } => "delete",
            Self::Rename { .. } => "rename",
        }
    }

    fn writes(&self) -> bool {
        matches!(self, Self::Add { .. } | Self::Modify { .. } | Self::Delete { .. } | Self::Rename { .. })
    }

    fn read(base: &Base, attributes: &[&str]) -> Self {
        Self::Read { base: base.to_string(), attributes: owned(attributes) }
    }
}

/// One operation of the recording.
#[derive(Debug, Clone)]
pub struct Recorded {
    pub call: Call,
    /// Asked of the global catalogue.
    pub catalog: bool,
    /// Operations that had to end first: for a read the one whose end set it off, for a write all
    /// that had ended.
    pub after: Vec<usize>,
    /// How many entries came; `None` where it was not seen or there are none by nature.
    pub entries: Option<usize>,
    /// objectSid of what came, which is another one for every object that is made.
    pub sids: Vec<Vec<u8>>,
    ended: bool,
}

#[derive(Default)]
struct Tape {
    on: bool,
    calls: Vec<Recorded>,
    ended: Vec<usize>,
    failed: Option<String>,
}

#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Tape>>);

impl Recorder {
    fn tape(&self) -> MutexGuard<'_, Tape> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, catalog: bool, call: impl FnOnce() -> Call) -> Option<usize> {
        let mut tape = self.tape();
        if !tape.on {
            return None;
        }
        let call = call();
        let after =
            if call.writes() { tape.ended.clone() } else { tape.ended.last().copied().into_iter().collect() };
        tape.calls.push(Recorded { call, catalog, after, entries: None, sids: Vec::new(), ended: false });
        Some(tape.calls.len() - 1)
    }

    fn end<T>(
        &self,
        index: Option<usize>,
        answer: &Answer<T>,
        entries: impl FnOnce(&T) -> Option<Vec<&Entry>>,
    ) {
        let Some(index) = index else { return };
        let mut tape = self.tape();
        tape.ended.push(index);
        tape.calls[index].ended = true;
        match answer {
            Err(error) => tape.failed = Some(error.to_string()),
            Ok(value) => {
                if let Some(entries) = entries(value) {
                    let sids =
                        entries.iter().filter_map(|entry| entry.bytes("objectSid").map(<[u8]>::to_vec));
                    let call = &mut tape.calls[index];
                    (call.sids, call.entries) = (sids.collect(), Some(entries.len()));
                }
            }
        }
    }
}

/// The directory that the worker is given.
pub struct Recording {
    inner: Arc<LdapDirectory>,
    recorder: Recorder,
}

impl Recording {
    pub fn new(inner: Arc<LdapDirectory>) -> Self {
        Self { inner, recorder: Recorder::default() }
    }

    pub fn start(&self) {
        *self.recorder.tape() = Tape { on: true, ..Tape::default() };
    }

    pub fn stop(&self) -> Result<Vec<Recorded>> {
        let tape = std::mem::take(&mut *self.recorder.tape());
        ensure!(tape.failed.is_none(), "the recorded deploy met trouble: {:?}", tape.failed);
        ensure!(tape.calls.iter().all(|call| call.ended), "an operation of the recorded deploy did not end");
        Ok(tape.calls)
    }
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recording({:?})", self.inner)
    }
}

#[async_trait]
impl Directory for Recording {
    fn name(&self) -> &DirectoryName {
        self.inner.name()
    }

    fn is_embedded(&self) -> bool {
        self.inner.is_embedded()
    }

    async fn pin(&self, dc: Option<&str>) -> Answer<Arc<dyn DirectoryWrite>> {
        let inner = self.inner.pin(dc).await?;
        Ok(Arc::new(RecordingDc { inner, recorder: self.recorder.clone() }))
    }

    async fn writable_dcs(&self) -> Answer<Vec<DomainController>> {
        let root = self.inner.pin(None).await?.known_root_dse();
        let index = self.recorder.begin(false, || Call::Search {
            base: root
                .map(|root| format!("CN=Sites,{}", root.configuration_naming_context))
                .unwrap_or_default(),
            scope: Scope::Subtree,
            filter: "(|(objectClass=nTDSDSA)(objectClass=server))".to_owned(),
            attributes: owned(&SERVERS),
        });
        let answer = self.inner.writable_dcs().await;
        self.recorder.end(index, &answer, |_| None);
        answer
    }

    async fn global_catalog(&self) -> Answer<Arc<dyn DirectoryRead>> {
        let inner = self.inner.global_catalog().await?;
        Ok(Arc::new(RecordingCatalog { inner, recorder: self.recorder.clone() }))
    }
}

struct RecordingDc {
    inner: Arc<dyn DirectoryWrite>,
    recorder: Recorder,
}

struct RecordingCatalog {
    inner: Arc<dyn DirectoryRead>,
    recorder: Recorder,
}

async fn root_dse(inner: &dyn DirectoryRead, recorder: &Recorder, catalog: bool) -> Answer<RootDse> {
    let index = recorder.begin(catalog, || Call::read(&Base::Root, &ROOT_DSE));
    let answer = inner.root_dse().await;
    recorder.end(index, &answer, |_| None);
    answer
}

async fn read(
    inner: &dyn DirectoryRead,
    recorder: &Recorder,
    catalog: bool,
    base: &Base,
    attributes: &[&str],
) -> Answer<Option<Entry>> {
    let index = recorder.begin(catalog, || Call::read(base, attributes));
    let answer = inner.read(base, attributes).await;
    recorder.end(index, &answer, |entry| Some(entry.iter().collect()));
    answer
}

async fn search(
    inner: &dyn DirectoryRead,
    recorder: &Recorder,
    catalog: bool,
    search: &Search,
) -> Answer<Vec<Entry>> {
    let index = recorder.begin(catalog, || Call::Search {
        base: search.base.to_string(),
        scope: search.scope,
        filter: search.filter.clone(),
        attributes: search.attributes.clone(),
    });
    let answer = inner.search(search).await;
    recorder.end(index, &answer, |entries| Some(entries.iter().collect()));
    answer
}

#[async_trait]
impl DirectoryRead for RecordingDc {
    fn dc(&self) -> &str {
        self.inner.dc()
    }
    fn known_root_dse(&self) -> Option<Arc<RootDse>> {
        self.inner.known_root_dse()
    }
    async fn root_dse(&self) -> Answer<RootDse> {
        root_dse(self.inner.as_ref(), &self.recorder, false).await
    }
    async fn read(&self, base: &Base, attributes: &[&str]) -> Answer<Option<Entry>> {
        read(self.inner.as_ref(), &self.recorder, false, base, attributes).await
    }
    async fn search(&self, asked: &Search) -> Answer<Vec<Entry>> {
        search(self.inner.as_ref(), &self.recorder, false, asked).await
    }
}

#[async_trait]
impl DirectoryWrite for RecordingDc {
    async fn add(&self, dn: &Dn, attributes: &[Attribute]) -> Answer<()> {
        let call = || Call::Add { dn: dn.to_string(), attributes: attributes.to_vec() };
        let index = self.recorder.begin(false, call);
        let answer = self.inner.add(dn, attributes).await;
        self.recorder.end(index, &answer, |()| None);
        answer
    }
    async fn modify(&self, dn: &Dn, modifications: &[Modification]) -> Answer<()> {
        let call = || Call::Modify { dn: dn.to_string(), modifications: modifications.to_vec() };
        let index = self.recorder.begin(false, call);
        let answer = self.inner.modify(dn, modifications).await;
        self.recorder.end(index, &answer, |()| None);
        answer
    }
    async fn delete(&self, dn: &Dn) -> Answer<()> {
        let index = self.recorder.begin(false, || Call::Delete { dn: dn.to_string() });
        let answer = self.inner.delete(dn).await;
        self.recorder.end(index, &answer, |()| None);
        answer
    }
    async fn rename(&self, dn: &Dn, name: &str) -> Answer<()> {
        let call = || Call::Rename { dn: dn.to_string(), name: name.to_owned() };
        let index = self.recorder.begin(false, call);
        let answer = self.inner.rename(dn, name).await;
        self.recorder.end(index, &answer, |()| None);
        answer
    }
}

#[async_trait]
impl DirectoryRead for RecordingCatalog {
    fn dc(&self) -> &str {
        self.inner.dc()
    }
    fn known_root_dse(&self) -> Option<Arc<RootDse>> {
        self.inner.known_root_dse()
    }
    async fn root_dse(&self) -> Answer<RootDse> {
        root_dse(self.inner.as_ref(), &self.recorder, true).await
    }
    async fn read(&self, base: &Base, attributes: &[&str]) -> Answer<Option<Entry>> {
        read(self.inner.as_ref(), &self.recorder, true, base, attributes).await
    }
    async fn search(&self, asked: &Search) -> Answer<Vec<Entry>> {
        search(self.inner.as_ref(), &self.recorder, true, asked).await
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}
