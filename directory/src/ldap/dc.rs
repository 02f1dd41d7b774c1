//! One DC: the read and write port over its pool of connections.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::{Dn, Rdn};
use futures::FutureExt;
use futures::stream::BoxStream;
use ldap3::adapters::{Adapter, EntriesOnly, PagedResults};
use ldap3::{Ldap, LdapError, LdapResult, Mod};

use super::entries::{RawEntry, parse_entry};
use super::login::brief;
use super::observe::observe;
use super::pool::{Lease, Pool};
use super::{diagnostic, guard};
use crate::entry::{Entry, RootDse};
use crate::error::{DirectoryError, DirectoryErrorKind, Refusal, ResultCode};
use crate::port::{Attribute, Base, DirectoryRead, DirectoryWrite, Modification, Scope, Search};

type Result<T> = std::result::Result<T, DirectoryError>;

/// A DC refuses more than 1,000 entries in one answer (MaxPageSize).
const PAGE: i32 = 500;

/// A search of many pages may take this many times the deadline of one answer.
pub(super) const SEARCH_PATIENCE: u32 = 10;

/// One DC of a directory, reached through connections of its own pool.
#[derive(Debug, Clone)]
pub struct LdapDc {
    pub(super) pool: Arc<Pool>,
    pub(super) name: String,
    root: Arc<RootDse>,
}

/// Why an operation did not succeed.
pub(super) enum Failure {
    Client(LdapError),
    Kind(DirectoryErrorKind),
}
impl Failure {
    /// The request was never sent.
    fn never_left(&self) -> bool {
        matches!(self, Self::Client(LdapError::OpSend { .. }))
    }

    /// The connection had died, or died meanwhile.
    pub(super) fn is_dead(&self) -> bool {
        let gone = matches!(
            self,
            Self::Client(LdapError::ResultRecv { .. } | LdapError::EndOfStream | LdapError::Io { .. })
        );
        gone || self.never_left()
    }
}
impl From<LdapError> for Failure {
    fn from(error: LdapError) -> Self {
        Self::Client(error)
    }
}

/// What is asked of the wire.
#[derive(Clone)]
pub(super) struct Query {
    pub(super) base: String,
    scope: ldap3::Scope,
    filter: String,
    attributes: Vec<String>,
}

impl LdapDc {
    pub(super) fn new(pool: Arc<Pool>, name: String, root: Arc<RootDse>) -> Self {
        Self { pool, name, root }
    }

    pub(super) fn timeout(&self) -> Duration {
        self.pool.connector.options.operation_timeout
    }

    pub(super) fn error(&self, operation: &str, kind: DirectoryErrorKind) -> DirectoryError {
        DirectoryError::new(&self.name, operation, kind)
    }

    fn refused(&self, operation: &str) -> impl Fn(Refusal) -> DirectoryError {
        move |refusal| self.error(operation, DirectoryErrorKind::Refused(refusal))
    }

    /// Runs `work` on a connection, once more on a fresh one where that cannot do harm: a read
    /// whose connection turned out dead, or anything that never left.
    async fn run<T, F>(
        &self,
        operation: &str,
        limit: Duration,
        reads: bool,
        work: impl Fn(Ldap) -> F,
    ) -> Result<T>
    where
        F: Future<Output = std::result::Result<T, Failure>>,
    {
        let mut again = true;
        loop {
            let lease = self.pool.lease().await?;
            let failure = match self.attempt(limit, reads, work(lease.connection.ldap.clone())).await {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            let harmless = failure.never_left() || (reads && failure.is_dead());
            let kind = self.settle(failure, &lease).await;
            if !(again && harmless) {
                return Err(self.error(operation, kind));
            }
            again = false;
        }
    }

    /// Runs `work` under a deadline.
    pub(super) async fn attempt<T>(
        &self,
        limit: Duration,
        reads: bool,
        work: impl Future<Output = std::result::Result<T, Failure>>,
    ) -> std::result::Result<T, Failure> {
        match tokio::time::timeout(limit, AssertUnwindSafe(work).catch_unwind()).await {
            Ok(Ok(outcome)) => outcome,
            // ldap3 panics in the caller's task on answers that it cannot read.
            Ok(Err(_)) => Err(Failure::Kind(match reads {
                true => DirectoryErrorKind::Malformed("the client could not read it".to_owned()),
                false => DirectoryErrorKind::NoAnswer("the client could not read the answer".to_owned()),
            })),
            Err(_) => Err(Failure::Kind(DirectoryErrorKind::NoAnswer("the deadline passed".to_owned()))),
        }
    }

    /// The failure in the port's terms; a connection that gave no answer is not used again.
    pub(super) async fn settle(&self, failure: Failure, lease: &Lease<'_>) -> DirectoryErrorKind {
        let kind = match failure {
            Failure::Kind(kind) => kind,
            Failure::Client(LdapError::FilterParsing) => DirectoryErrorKind::Refused(Refusal::Configuration(
                "the search filter is malformed".to_owned(),
            )),
            Failure::Client(LdapError::AddNoValues) => DirectoryErrorKind::Refused(Refusal::Configuration(
                "an attribute to add has no value".to_owned(),
            )),
            Failure::Client(LdapError::LdapResult { result }) => diagnostic::refusal(&result),
            Failure::Client(error) => DirectoryErrorKind::NoAnswer(brief(&error)),
        };
        if matches!(kind, DirectoryErrorKind::NoAnswer(_) | DirectoryErrorKind::Malformed(_)) {
            lease.discard().await;
        }
        kind
    }

    /// A search in the terms of the wire, with its name for errors; refused where it asks for what we
    /// never read.
    pub(super) fn asked(&self, search: &Search) -> Result<(String, Query)> {
        let operation = format!("search {} for {}", search.base, shortened(&search.filter));
        guard::check_filter(&search.filter).map_err(self.refused(&operation))?;
        guard::check_attributes(search.attributes.iter().map(String::as_str))
            .map_err(self.refused(&operation))?;
        let query = Query {
            base: search.base.to_string(),
            scope: match search.scope {
                Scope::Base => ldap3::Scope::Base,
                Scope::One => ldap3::Scope::OneLevel,
                Scope::Subtree => ldap3::Scope::Subtree,
            },
            filter: search.filter.clone(),
            attributes: search.attributes.clone(),
        };
        Ok((operation, query))
    }

    /// What came, understood.
    pub(super) fn entries(&self, operation: &str, entries: Vec<RawEntry>) -> Result<Vec<Entry>> {
        let entries = entries.into_iter().map(RawEntry::into_entry).collect::<std::result::Result<_, _>>();
        entries.map_err(|text| self.error(operation, DirectoryErrorKind::Malformed(text)))
    }

    /// Entries of a query, complete.
    async fn query(&self, operation: &str, query: Query) -> Result<Vec<RawEntry>> {
        let timeout = self.timeout();
        let limit = timeout * SEARCH_PATIENCE;
        self.run(operation, limit, true, |ldap| complete_search(ldap, query.clone(), timeout)).await
    }

    /// Runs one write and judges its answer.
    async fn write<F>(&self, operation: &str, work: impl Fn(Ldap, Duration) -> F) -> Result<()>
    where
        F: Future<Output = std::result::Result<LdapResult, LdapError>>,
    {
        let timeout = self.timeout();
        // ldap3's own timer comes first and says more.
        let limit = timeout + Duration::from_secs(1);
        let answer = self.run(operation, limit, false, |ldap| {
            let work = work(ldap, timeout);
            async move { judge(work.await?) }
        });
        answer.await
    }
}

fn judge(result: LdapResult) -> std::result::Result<(), Failure> {
    match result.rc {
        0 => Ok(()),
        _ => Err(Failure::Kind(diagnostic::refusal(&result))),
    }
}

async fn complete_search(
    ldap: Ldap,
    query: Query,
    timeout: Duration,
) -> std::result::Result<Vec<RawEntry>, Failure> {
    let mut entries = one_search(ldap.clone(), query, timeout).await?;
    complete_ranges(&ldap, &mut entries, timeout).await?;
    Ok(entries)
}

/// Reads the rest of every attribute that came in part.
pub(super) async fn complete_ranges(
    ldap: &Ldap,
    entries: &mut [RawEntry],
    timeout: Duration,
) -> std::result::Result<(), Failure> {
    for entry in entries {
        for (attribute, next) in std::mem::take(&mut entry.ranges) {
            read_on(ldap, entry, &attribute, next, timeout).await?;
        }
    }
    Ok(())
}

/// Reads the rest of an attribute that came in part.
async fn read_on(
    ldap: &Ldap,
    entry: &mut RawEntry,
    attribute: &str,
    mut next: usize,
    timeout: Duration,
) -> std::result::Result<(), Failure> {
    loop {
        let query = Query {
            base: entry.dn.clone(),
            scope: ldap3::Scope::Base,
            filter: ANY.to_owned(),
            attributes: vec![format!("{attribute};range={next}-*")],
        };
        let more = one_search(ldap.clone(), query, timeout).await?.into_iter().next();
        match more.and_then(|more| entry.extend(attribute, more)) {
            Some(further) if further > next => next = further,
            Some(_) => {
                let text = format!("the range of {attribute} does not go on after {next}");
                return Err(Failure::Kind(DirectoryErrorKind::Malformed(text)));
            }
            None => return Ok(()),
        }
    }
}

const ANY: &str = "(objectClass=*)";

type Adapters = Vec<Box<dyn Adapter<'static, String, Vec<String>>>>;

/// Every page of one search, referrals left out.
async fn one_search(
    ldap: Ldap,
    query: Query,
    timeout: Duration,
) -> std::result::Result<Vec<RawEntry>, Failure> {
    let mut paging: Adapters = Vec::new();
    if query.scope != ldap3::Scope::Base {
        paging.push(Box::new(PagedResults::new(PAGE)));
    }
    Ok(one_answer(ldap, paging, query, timeout).await?.0)
}

/// The entries of an answer, referrals left out, and how it ended: well.
pub(super) async fn one_answer(
    mut ldap: Ldap,
    more: Adapters,
    query: Query,
    timeout: Duration,
) -> std::result::Result<(Vec<RawEntry>, LdapResult), Failure> {
    let mut adapters: Adapters = vec![Box::new(EntriesOnly::new())];
    adapters.extend(more);
    let mut stream = ldap
        .with_timeout(timeout)
        .streaming_search_with(adapters, &query.base, query.scope, &query.filter, query.attributes)
        .await?;
    let mut entries = Vec::new();
    while let Some(entry) = stream.next().await? {
        let entry =
            parse_entry(entry.0).map_err(|text| Failure::Kind(DirectoryErrorKind::Malformed(text)))?;
        entries.push(entry);
    }
    // The pages end quietly on an error; only the final result tells.
    let end = stream.finish().await;
    match end.rc {
        0 => Ok((entries, end)),
        _ => Err(Failure::Kind(diagnostic::refusal(&end))),
    }
}

/// A filter as an error message shows it: those of many SPNs run over pages.
fn shortened(filter: &str) -> String {
    const SHOWN: usize = 160;
    match filter.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}...", &filter[..at]),
        None => filter.to_owned(),
    }
}

fn names(attributes: &[&str]) -> Vec<String> {
    attributes.iter().map(|name| (*name).to_owned()).collect()
}

/// ldap3 takes one type for names and values, and values as a set.
fn wire(attribute: &Attribute) -> (Vec<u8>, HashSet<Vec<u8>>) {
    (attribute.name.clone().into_bytes(), attribute.values.iter().cloned().collect())
}

fn wire_modification(modification: &Modification) -> Mod<Vec<u8>> {
    match modification {
        Modification::Add(attribute) => {
            let (name, values) = wire(attribute);
            Mod::Add(name, values)
        }
        Modification::Delete(attribute) => {
            let (name, values) = wire(attribute);
            Mod::Delete(name, values)
        }
        Modification::Replace(attribute) => {
            let (name, values) = wire(attribute);
            Mod::Replace(name, values)
        }
    }
}

fn changed(modification: &Modification) -> &str {
    match modification {
        Modification::Add(attribute) | Modification::Delete(attribute) | Modification::Replace(attribute) => {
            &attribute.name
        }
    }
}

/// The most derived class of a new object: with its DN, what a right is granted for.
fn leaf_class(attributes: &[Attribute]) -> String {
    let classes = attributes.iter().find(|attribute| attribute.name.eq_ignore_ascii_case("objectClass"));
    let leaf = classes.and_then(|attribute| attribute.values.last());
    leaf.map_or_else(|| "object".to_owned(), |leaf| String::from_utf8_lossy(leaf).into_owned())
}

#[async_trait]
impl DirectoryRead for LdapDc {
    fn dc(&self) -> &str {
        &self.name
    }

    async fn root_dse(&self) -> Result<RootDse> {
        let query = Query {
            base: String::new(),
            scope: ldap3::Scope::Base,
            filter: ANY.to_owned(),
            attributes: names(&super::entries::ROOT_DSE_ATTRIBUTES),
        };
        observe("read", &self.name, "", async {
            let malformed = |text: String| self.error("read rootDSE", DirectoryErrorKind::Malformed(text));
            let entry = self.query("read rootDSE", query).await?.into_iter().next();
            let entry = entry.ok_or_else(|| malformed("there is none".to_owned()))?;
            super::entries::root_dse(entry).map_err(malformed)
        })
        .await
    }

    fn known_root_dse(&self) -> Option<Arc<RootDse>> {
        Some(self.root.clone())
    }

    /// The entry of a read at [`Base::Root`] carries the domain's DN, since the rootDSE has none.
    async fn read(&self, base: &Base, attributes: &[&str]) -> Result<Option<Entry>> {
        let operation = format!("read {base}");
        guard::check_attributes(attributes.iter().copied()).map_err(self.refused(&operation))?;
        let query = Query {
            base: base.to_string(),
            scope: ldap3::Scope::Base,
            filter: ANY.to_owned(),
            attributes: names(attributes),
        };
        observe("read", &self.name, &query.base.clone(), async {
            let entry = match self.query(&operation, query).await {
                Ok(entries) => entries.into_iter().next(),
                Err(error) if error.is(ResultCode::NO_SUCH_OBJECT) => None,
                Err(error) => return Err(error),
            };
            let Some(entry) = entry else { return Ok(None) };
            if *base == Base::Root {
                return Ok(Some(entry.with_dn(self.root.default_naming_context.clone())));
            }
            let malformed = |text| self.error(&operation, DirectoryErrorKind::Malformed(text));
            entry.into_entry().map(Some).map_err(malformed)
        })
        .await
    }

    async fn search(&self, search: &Search) -> Result<Vec<Entry>> {
        let (operation, query) = self.asked(search)?;
        observe("search", &self.name, &query.base.clone(), async {
            let entries = self.query(&operation, query).await?;
            self.entries(&operation, entries)
        })
        .await
    }

    fn pages<'a>(&'a self, search: &'a Search) -> BoxStream<'a, Result<Vec<Entry>>> {
        self.page_stream(search)
    }
}

#[async_trait]
impl DirectoryWrite for LdapDc {
    async fn add(&self, dn: &Dn, attributes: &[Attribute]) -> Result<()> {
        let operation = format!("add {dn} ({})", leaf_class(attributes));
        let names = attributes.iter().map(|attribute| attribute.name.as_str());
        guard::check_attributes(names).map_err(self.refused(&operation))?;
        let adding = self.write(&operation, |mut ldap, timeout| {
            let attributes: Vec<_> = attributes.iter().map(wire).collect();
            async move { ldap.with_timeout(timeout).add(dn.as_str(), attributes).await }
        });
        observe("add", &self.name, dn.as_str(), adding).await
    }

    async fn modify(&self, dn: &Dn, modifications: &[Modification]) -> Result<()> {
        let mut named: Vec<&str> = modifications.iter().map(changed).collect();
        named.dedup();
        let operation = format!("modify {dn} ({})", named.join(", "));
        guard::check_attributes(named).map_err(self.refused(&operation))?;
        let modifying = self.write(&operation, |mut ldap, timeout| {
            let modifications: Vec<_> = modifications.iter().map(wire_modification).collect();
            async move { ldap.with_timeout(timeout).modify(dn.as_str(), modifications).await }
        });
        observe("modify", &self.name, dn.as_str(), modifying).await
    }

    async fn delete(&self, dn: &Dn) -> Result<()> {
        let operation = format!("delete {dn}");
        let deleting = self.write(&operation, |mut ldap, timeout| async move {
            ldap.with_timeout(timeout).delete(dn.as_str()).await
        });
        observe("delete", &self.name, dn.as_str(), deleting).await
    }

    async fn rename(&self, dn: &Dn, name: &str) -> Result<()> {
        let operation = format!("rename {dn} ({name})");
        let rdn = Rdn { attribute: dn.rdn().attribute.clone(), value: name.to_owned() }.to_string();
        let renaming = self.write(&operation, |mut ldap, timeout| {
            let rdn = &rdn;
            // AD takes no rename that keeps the old RDN.
            async move { ldap.with_timeout(timeout).modifydn(dn.as_str(), rdn, true, None).await }
        });
        observe("rename", &self.name, dn.as_str(), renaming).await
    }
}
