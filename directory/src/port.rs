//! The directory port: read and write apart, so that code receives the weakest it needs.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::{DirectoryName, Dn, Sid};
use futures::StreamExt as _;
use futures::stream::BoxStream;

use crate::entry::{Entry, RootDse};
use crate::error::DirectoryError;

type Result<T> = std::result::Result<T, DirectoryError>;

/// Where a read or search starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    Dn(Dn),
    Sid(Sid),
    /// objectGUID in its text form: the object under whatever name.
    Guid(String),
    /// A well-known container by GUID, which follows it when an administrator moves it
    /// (MS-ADTS 3.1.1.3.1.2.4, `<WKGUID=...>`).
    WellKnown {
        guid: &'static str,
        domain: Dn,
    },
    /// The whole forest at a global catalogue, the rootDSE on a base search.
    Root,
}

impl Base {
    /// The container for managed service accounts; listed in otherWellKnownObjects.
    pub const MANAGED_SERVICE_ACCOUNTS: &'static str = "1EB93889E40C45DF9F0C64D23BBB6237";
    pub const USERS: &'static str = "A9D1CA15768811D1ADED00C04FD8D5CD";
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dn(dn) => dn.fmt(f),
            Self::Sid(sid) => write!(f, "<SID={sid}>"),
            Self::Guid(guid) => write!(f, "<GUID={guid}>"),
            Self::WellKnown { guid, domain } => write!(f, "<WKGUID={guid},{domain}>"),
            Self::Root => Ok(()),
        }
    }
}
impl From<&Dn> for Base {
    fn from(dn: &Dn) -> Self {
        Self::Dn(dn.clone())
    }
}
impl From<&Sid> for Base {
    fn from(sid: &Sid) -> Self {
        Self::Sid(sid.clone())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Base,
    One,
    Subtree,
}

/// A search. Always paged: a real DC refuses more than 1,000 entries in one answer.
#[derive(Debug, Clone)]
pub struct Search {
    pub base: Base,
    pub scope: Scope,
    /// RFC 4515; values escaped with [`crate::ldap::filter_value`].
    pub filter: String,
    pub attributes: Vec<String>,
}

impl Search {
    pub fn new(base: impl Into<Base>, scope: Scope, filter: impl Into<String>, attributes: &[&str]) -> Self {
        let attributes = attributes.iter().map(|name| (*name).to_owned()).collect();
        Self { base: base.into(), scope, filter: filter.into(), attributes }
    }
}

/// One attribute of an Add. Values are bytes: AD mixes text and binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    pub name: String,
    pub values: Vec<Vec<u8>>,
}

/// One element of a Modify, carried out in the order given (MS-ADTS 3.1.1.5.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Modification {
    Add(Attribute),
    /// Without values: the whole attribute.
    Delete(Attribute),
    /// Without values: removes the attribute whether or not it is there.
    Replace(Attribute),
}

/// A writable domain controller as the directory names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainController {
    /// dNSHostName: what a workflow is pinned to.
    pub name: String,
    /// DN of its NTDS Settings object.
    pub settings: Dn,
    pub site: String,
    pub is_global_catalog: bool,
    /// msDS-Behavior-Version; 5 is Windows Server 2012.
    pub behavior_version: Option<i64>,
}

/// Reading from one DC. Every operation has a deadline; every search is paged and follows ranges.
#[async_trait]
pub trait DirectoryRead: Send + Sync {
    /// dNSHostName of the DC that answers.
    fn dc(&self) -> &str;

    async fn root_dse(&self) -> Result<RootDse>;

    /// The rootDSE as it was when the connection was opened, where that is at hand: naming
    /// contexts do not change, and asking for them before every read doubles the traffic.
    fn known_root_dse(&self) -> Option<Arc<RootDse>> {
        None
    }

    /// One object, `None` where there is none (or none that we may see).
    async fn read(&self, base: &Base, attributes: &[&str]) -> Result<Option<Entry>>;

    async fn search(&self, search: &Search) -> Result<Vec<Entry>>;

    /// The same page by page, so that a search of any size takes the memory of a page or two.
    /// Nothing is tried again behind the caller's back: an error ends it in the middle.
    fn pages<'a>(&'a self, search: &'a Search) -> BoxStream<'a, Result<Vec<Entry>>> {
        futures::stream::once(self.search(search)).boxed()
    }
}

/// Writing to one DC. An error of kind "outcome unknown" means: read before you try again.
#[async_trait]
pub trait DirectoryWrite: DirectoryRead {
    async fn add(&self, dn: &Dn, attributes: &[Attribute]) -> Result<()>;
    async fn modify(&self, dn: &Dn, modifications: &[Modification]) -> Result<()>;
    async fn delete(&self, dn: &Dn) -> Result<()>;
    /// Another RDN value (unescaped) in the same container: ModifyDN that deletes the old RDN.
    async fn rename(&self, dn: &Dn, name: &str) -> Result<()>;
}

/// One configured directory: a domain, its DCs and its forest's global catalogue.
#[async_trait]
pub trait Directory: Send + Sync + fmt::Debug {
    fn name(&self) -> &DirectoryName;

    /// Whether this is the embedded one; every page and command says so.
    fn is_embedded(&self) -> bool;

    /// A writable DC: the named one, or the first configured that answers. A workflow stays on
    /// the DC it began with, since another may not have its changes yet; a named DC that does
    /// not answer is an error, never a reason to take another.
    async fn pin(&self, dc: Option<&str>) -> Result<Arc<dyn DirectoryWrite>>;

    /// Every writable DC of the domain, as the directory itself names them.
    async fn writable_dcs(&self) -> Result<Vec<DomainController>>;

    /// The same as it was answered last, where that is not longer ago than `at_most`: for what is
    /// looked at again with a fresh answer.
    fn known_writable_dcs(&self, _at_most: Duration) -> Option<Vec<DomainController>> {
        None
    }

    /// The forest's global catalogue: read only, a partial set of attributes.
    async fn global_catalog(&self) -> Result<Arc<dyn DirectoryRead>>;
}

/// All configured directories by name.
#[derive(Debug, Clone, Default)]
pub struct Directories(HashMap<String, Arc<dyn Directory>>);

impl Directories {
    pub fn new(directories: impl IntoIterator<Item = Arc<dyn Directory>>) -> Self {
        Self(directories.into_iter().map(|directory| (directory.name().key(), directory)).collect())
    }

    pub fn get(&self, name: &DirectoryName) -> Option<&Arc<dyn Directory>> {
        self.0.get(&name.key())
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Directory>> {
        self.0.values()
    }
}
