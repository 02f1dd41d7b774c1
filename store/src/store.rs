//! The handle that everything else holds.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use domain::WorkflowId;
use sea_orm::{
    DatabaseConnection, DatabaseTransaction, DbBackend, SqliteTransactionMode, TransactionOptions,
    TransactionTrait,
};
use secrecy::SecretString;
use tokio::sync::Notify;
use tracing::instrument;

use crate::calendars::KnownCalendars;
use crate::connect::{Pools, connect};
use crate::{EventWriter, StoreError};

/// Where the database is and how many connections it may cost.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// `postgres://...` or `sqlite://path`; may hold a password.
    pub url: SecretString,
    /// For PostgreSQL. SQLite has one connection that writes and a few that read.
    pub max_connections: u32,
    /// How long a call waits for a free connection before it is [`StoreError::Unavailable`].
    pub acquire_timeout: Duration,
}

/// The database. Cheap to clone.
///
/// Every call is atomic: after an error nothing of it was written, save that an
/// [`StoreError::Unavailable`] may have hidden the answer to a commit that took place.
#[derive(Clone)]
pub struct Store(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pools: Pools,
    pub events: Arc<dyn EventWriter>,
    written: Notify,
    announced: Notify,
    /// On SQLite, where rows cannot be locked, one relay at a time.
    pub relaying: tokio::sync::Mutex<()>,
    pub announcing: tokio::sync::Mutex<()>,
    schedules_changed: Notify,
    deliveries_written: Notify,
    reactions: AtomicU64,
    pub calendars: Mutex<KnownCalendars>,
    without_lock: Mutex<HashSet<WorkflowId>>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({:?})", self.backend())
    }
}

impl Store {
    /// Connects; never migrates.
    pub async fn connect(options: &StoreOptions, events: Arc<dyn EventWriter>) -> Result<Self, StoreError> {
        let pools = connect(options).await?;
        Ok(Self(Arc::new(Inner {
            pools,
            events,
            written: Notify::new(),
            announced: Notify::new(),
            schedules_changed: Notify::new(),
            deliveries_written: Notify::new(),
            reactions: AtomicU64::new(0),
            calendars: Mutex::default(),
            relaying: tokio::sync::Mutex::new(()),
            announcing: tokio::sync::Mutex::new(()),
            without_lock: Mutex::new(HashSet::new()),
        })))
    }

    /// Whether the database answers.
    #[instrument(level = "debug", name = "db.ping", skip_all)]
    pub async fn ping(&self) -> Result<(), StoreError> {
        let _time = timed("ping");
        Ok(self.reader().ping().await?)
    }

    /// Closes every connection; calls under way fail with [`StoreError::Unavailable`].
    pub async fn close(&self) {
        // Closing a pool cannot fail; the signature is shared with drivers where it can.
        let _ = self.0.pools.reader.close_by_ref().await;
        let _ = self.0.pools.writer.close_by_ref().await;
    }

    /// Returns once an event has been written to the outbox through this store since the last
    /// call: what wakes the relay without polling. Events of other processes it does not see.
    pub async fn event_written(&self) {
        self.0.written.notified().await;
    }

    pub(crate) fn wake_relay(&self) {
        self.0.written.notify_one();
    }

    /// As [`Self::event_written`], for announcements.
    pub async fn announcement_written(&self) {
        self.0.announced.notified().await;
    }

    /// After the commit, where something was announced in it.
    pub(crate) fn wake_announcer(&self, announced: bool) {
        if announced {
            self.0.announced.notify_one();
        }
    }

    /// Returns once a schedule has been made or changed through this store since the last call.
    pub async fn schedules_changed(&self) {
        self.0.schedules_changed.notified().await;
    }

    pub(crate) fn announce_schedules(&self) {
        self.0.schedules_changed.notify_one();
    }

    /// Returns once something has been to deliver to a webhook, or a webhook was changed, through this
    /// store since the last call.
    pub async fn deliveries_written(&self) {
        self.0.deliveries_written.notified().await;
    }

    pub(crate) fn wake_deliverer(&self) {
        self.0.deliveries_written.notify_one();
    }

    /// Grows with every change of a rule or a webhook through this store: who remembers them reads
    /// them anew.
    pub fn reactions_version(&self) -> u64 {
        self.0.reactions.load(Ordering::Acquire)
    }

    pub(crate) fn reactions_have_changed(&self) {
        self.0.reactions.fetch_add(1, Ordering::AcqRel);
        self.wake_deliverer();
    }

    pub(crate) fn writer(&self) -> &DatabaseConnection {
        &self.0.pools.writer
    }

    pub(crate) fn reader(&self) -> &DatabaseConnection {
        &self.0.pools.reader
    }

    pub(crate) fn backend(&self) -> DbBackend {
        self.0.pools.writer.get_database_backend()
    }

    pub(crate) fn is_postgresql(&self) -> bool {
        self.backend() == DbBackend::Postgres
    }

    /// A transaction that may write. On SQLite it takes the lock at once: one that reads first and
    /// then wants to write is refused if another process wrote in between.
    pub(crate) async fn begin(&self) -> Result<DatabaseTransaction, StoreError> {
        let mode = Some(SqliteTransactionMode::Immediate);
        let options = TransactionOptions { sqlite_transaction_mode: mode, ..Default::default() };
        Ok(self.writer().begin_with_options(options).await?)
    }

    /// Remembers that a claimed workflow needs no farm's lock, so its end takes one statement
    /// instead of a transaction. Only a shortcut: what is not remembered goes the longer way.
    pub(crate) fn remember_without_lock(&self, id: WorkflowId) {
        self.0.without_lock.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
    }

    pub(crate) fn forget(&self, id: WorkflowId) {
        self.0.without_lock.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    pub(crate) fn known_without_lock(&self, id: WorkflowId) -> bool {
        self.0.without_lock.lock().unwrap_or_else(PoisonError::into_inner).contains(&id)
    }
}

/// Measures one call of the store, however it ends.
pub(crate) fn timed(operation: &'static str) -> Timer {
    Timer { operation, start: Instant::now() }
}

pub(crate) struct Timer {
    operation: &'static str,
    start: Instant,
}

impl Drop for Timer {
    fn drop(&mut self) {
        metrics::histogram!("farmhand_store_seconds", "operation" => self.operation)
            .record(self.start.elapsed().as_secs_f64());
    }
}
