//! A few connections to one DC, opened when needed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::Instant;
use url::Url;

use super::connect::{Connection, Connector};
use super::observe::observe;
use super::options::sibling;
use crate::error::{DirectoryError, DirectoryErrorKind};

/// A DC drops connections that were idle for 900 s (MaxConnIdleTime). One that was idle for this
/// long is replaced before a write can run into the drop.
const IDLE: Duration = Duration::from_secs(600);

/// The connections of one DC as one URL reaches it.
#[derive(Debug)]
pub(super) struct Pool {
    pub connector: Arc<Connector>,
    pub url: Url,
    /// dNSHostName of the DC, once it has answered. A URL can name several DCs (a domain's name);
    /// what was begun on one must not go on at another.
    name: Mutex<Option<String>>,
    slots: Vec<Slot>,
    /// When it last could not be reached.
    failed: Mutex<Option<Instant>>,
    /// Whether it holds a writable copy; asked once.
    pub writable: OnceCell<bool>,
}

#[derive(Debug, Default)]
struct Slot {
    /// Operations that run or wait here.
    load: AtomicUsize,
    open: tokio::sync::Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    connection: Option<Connection>,
    serial: u64,
    last_used: Option<Instant>,
    /// What came of the last attempt, for those who waited for it.
    failure: Option<(Instant, DirectoryErrorKind)>,
}

/// A place on a connection, for one operation.
#[derive(Debug)]
pub(super) struct Lease<'a> {
    slot: &'a Slot,
    serial: u64,
    pub connection: Connection,
    _load: Load<'a>,
}

/// Counts an operation on a slot for as long as it lives.
#[derive(Debug)]
struct Load<'a>(&'a AtomicUsize);

impl<'a> Load<'a> {
    fn on(slot: &'a Slot) -> Self {
        slot.load.fetch_add(1, Ordering::Relaxed);
        Self(&slot.load)
    }
}
impl Drop for Load<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pool {
    pub fn new(connector: Arc<Connector>, url: Url) -> Self {
        let slots = (0..connector.options.connections.max(1)).map(|_| Slot::default()).collect();
        let (name, failed) = (Mutex::new(None), Mutex::new(None));
        Self { connector, url, name, slots, failed, writable: OnceCell::new() }
    }

    /// A connection that works as far as is known: the least loaded one, so that one task after
    /// another shares the first and only work side by side opens more.
    pub async fn lease(&self) -> Result<Lease<'_>, DirectoryError> {
        let asked = Instant::now();
        let slot = self.slots.iter().min_by_key(|slot| slot.load.load(Ordering::Relaxed));
        let slot = slot.unwrap_or(&self.slots[0]);
        let load = Load::on(slot);
        let mut open = slot.open.lock().await;
        let fresh = open.last_used.is_some_and(|at| at.elapsed() < IDLE);
        let alive = open.connection.as_mut().filter(|_| fresh).is_some_and(|open| !open.ldap.is_closed());
        let connection = match &open.connection {
            Some(connection) if alive => connection.clone(),
            _ => self.reopen(&mut open, asked).await?,
        };
        open.last_used = Some(Instant::now());
        Ok(Lease { slot, serial: open.serial, connection, _load: load })
    }

    async fn reopen(&self, open: &mut Open, asked: Instant) -> Result<Connection, DirectoryError> {
        // Whoever waited while an attempt failed shares its outcome: many operations against a
        // frozen DC take one deadline together, not one after the other.
        if let Some((at, kind)) = &open.failure
            && *at >= asked
        {
            return Err(DirectoryError::new(self.label(), "connect", kind.clone()));
        }
        open.connection = None;
        match observe("connect", &self.label(), "", self.open()).await {
            Ok(connection) => {
                open.serial += 1;
                open.failure = None;
                *lock(&self.failed) = None;
                open.connection = Some(connection.clone());
                Ok(connection)
            }
            Err(error) => {
                open.failure = Some((Instant::now(), error.kind.clone()));
                *lock(&self.failed) = Some(Instant::now());
                Err(error)
            }
        }
    }

    /// Opens a connection to the DC that this pool stands for: by its URL, or by its own name
    /// where the URL leads to another DC this time.
    async fn open(&self) -> Result<Connection, DirectoryError> {
        let connection = self.connector.open(&self.url).await?;
        // The first connection settles which DC this is, for those that open beside it too.
        let name = lock(&self.name).get_or_insert_with(|| connection.root.dns_host_name.clone()).clone();
        if name.eq_ignore_ascii_case(&connection.root.dns_host_name) {
            return Ok(connection);
        }
        let other = connection.root.dns_host_name.clone();
        let moved = |detail: String| {
            let text = format!("{} leads to {other} now instead of {name}{detail}", self.url);
            DirectoryError::new(self.label(), "connect", DirectoryErrorKind::Unreachable(text))
        };
        let own = sibling(&self.url, &name, (636, 389)).ok_or_else(|| moved(String::new()))?;
        let direct = self.connector.open(&own).await.map_err(|error| moved(format!(", and {error}")))?;
        match name.eq_ignore_ascii_case(&direct.root.dns_host_name) {
            true => Ok(direct),
            false => Err(moved(String::new())),
        }
    }

    /// dNSHostName, once known.
    pub fn name(&self) -> Option<String> {
        lock(&self.name).clone()
    }

    fn label(&self) -> String {
        self.name().unwrap_or_else(|| self.url.to_string())
    }

    /// Whether it could not be reached a moment ago.
    pub fn failed_within(&self, span: Duration) -> bool {
        lock(&self.failed).is_some_and(|at| at.elapsed() < span)
    }
}

impl Lease<'_> {
    /// Takes the connection out of use: it is closed, or gave no answer in time. Operations of
    /// others on it go on; the next one opens anew.
    pub async fn discard(&self) {
        let mut open = self.slot.open.lock().await;
        if open.serial == self.serial {
            open.connection = None;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
