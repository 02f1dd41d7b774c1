//! A directory that tells when a DC has acknowledged a reader list: the moment from which it denies.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use async_trait::async_trait;
use directory::entry::RootDse;
use directory::{
    Attribute, Base, Directory, DirectoryError, DirectoryRead, DirectoryWrite, DomainController, Entry,
    LdapDirectory, Modification, Search,
};
use domain::{DirectoryName, Dn};
use futures::stream::BoxStream;
use tokio::sync::Notify;

type Answer<T> = std::result::Result<T, DirectoryError>;

const READERS: &str = "msDS-GroupMSAMembership";
const LIMIT: Duration = Duration::from_secs(60);

/// A reader list that a DC took.
#[derive(Debug, Clone)]
pub struct Written {
    pub dc: String,
    pub dn: Dn,
    pub modifications: Vec<Modification>,
    pub at: Instant,
}

#[derive(Default)]
struct Log {
    written: Mutex<Vec<Written>>,
    more: Notify,
}

impl Log {
    fn add(&self, written: Written) {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).push(written);
        self.more.notify_one();
    }
}

/// The directory of the urgent lane.
pub struct Watched {
    inner: LdapDirectory,
    log: Arc<Log>,
}

impl Watched {
    pub fn new(inner: LdapDirectory) -> Self {
        Self { inner, log: Arc::default() }
    }

    /// From now on.
    pub fn forget(&self) {
        self.log.written.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The first `count` reader lists since.
    pub async fn first(&self, count: usize) -> Result<Vec<Written>> {
        let seen = async {
            loop {
                let written = self.log.written.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if written.len() >= count {
                    return written;
                }
                self.log.more.notified().await;
            }
        };
        tokio::time::timeout(LIMIT, seen)
            .await
            .with_context(|| format!("{count} reader lists were not written"))
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watched({:?})", self.inner)
    }
}

#[async_trait]
impl Directory for Watched {
    fn name(&self) -> &DirectoryName {
        self.inner.name()
    }
    fn is_embedded(&self) -> bool {
        self.inner.is_embedded()
    }
    async fn pin(&self, dc: Option<&str>) -> Answer<Arc<dyn DirectoryWrite>> {
        Ok(Arc::new(WatchedDc { inner: self.inner.pin(dc).await?, log: self.log.clone() }))
    }
    async fn writable_dcs(&self) -> Answer<Vec<DomainController>> {
        self.inner.writable_dcs().await
    }
    fn known_writable_dcs(&self, at_most: Duration) -> Option<Vec<DomainController>> {
        self.inner.known_writable_dcs(at_most)
    }
    async fn global_catalog(&self) -> Answer<Arc<dyn DirectoryRead>> {
        self.inner.global_catalog().await
    }
}

struct WatchedDc {
    inner: Arc<dyn DirectoryWrite>,
    log: Arc<Log>,
}

#[async_trait]
impl DirectoryRead for WatchedDc {
    fn dc(&self) -> &str {
        self.inner.dc()
    }
    fn known_root_dse(&self) -> Option<Arc<RootDse>> {
        self.inner.known_root_dse()
    }
    async fn root_dse(&self) -> Answer<RootDse> {
        self.inner.root_dse().await
    }
    async fn read(&self, base: &Base, attributes: &[&str]) -> Answer<Option<Entry>> {
        self.inner.read(base, attributes).await
    }
    async fn search(&self, search: &Search) -> Answer<Vec<Entry>> {
        self.inner.search(search).await
    }
    fn pages<'a>(&'a self, search: &'a Search) -> BoxStream<'a, Answer<Vec<Entry>>> {
        self.inner.pages(search)
    }
}

#[async_trait]
impl DirectoryWrite for WatchedDc {
    async fn add(&self, dn: &Dn, attributes: &[Attribute]) -> Answer<()> {
        self.inner.add(dn, attributes).await
    }
    async fn modify(&self, dn: &Dn, modifications: &[Modification]) -> Answer<()> {
        self.inner.modify(dn, modifications).await?;
        let (at, modifications) = (Instant::now(), modifications.to_vec());
        let names = |modification: &Modification| {
            let (Modification::Add(attribute)
            | Modification::Delete(attribute)
            | Modification::Replace(attribute)) = modification;
            attribute.name.eq_ignore_ascii_case(READERS)
        };
        if modifications.iter().any(names) {
            self.log.add(Written { dc: self.dc().to_owned(), dn: dn.clone(), modifications, at });
        }
        Ok(())
    }
    async fn delete(&self, dn: &Dn) -> Answer<()> {
        self.inner.delete(dn).await
    }
    async fn rename(&self, dn: &Dn, name: &str) -> Answer<()> {
        self.inner.rename(dn, name).await
    }
}
