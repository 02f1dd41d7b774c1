//! The journal: outcomes of many workflows in one commit.
//!
//! A durable commit is the dearest thing a step does. While one batch is on its way to the
//! database, the outcomes of other workflows gather for the next; an idle system commits at once.

use std::sync::Arc;

use store::{Committed, JournalEntry, Store, StoreError};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_util::task::TaskTracker;

use super::backoff;

/// Rows of one batch. Larger ones save no more commits and make a failed batch dearer.
const BATCH: usize = 512;
/// Entries that may wait for a committer: one for each slot of a busy worker; beyond that the
/// runs wait here rather than in memory.
const WAITING: usize = 2048;

/// A write that could not be made durable; the run stops and leaves the rest to its lease.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JournalError {
    #[error("the store refused the write")]
    Refused(#[source] Arc<StoreError>),
    #[error("the journal is closed")]
    Closed,
}

type Answer = Result<Committed, JournalError>;

struct Waiting {
    entry: JournalEntry,
    answer: oneshot::Sender<Answer>,
}

/// A handle to the committers of a lane. They stop when the last handle is dropped.
#[derive(Clone)]
pub(crate) struct Journal(mpsc::Sender<Waiting>);

impl Journal {
    pub fn start(store: &Store, tasks: &TaskTracker, committers: usize) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..committers.max(1) {
            tasks.spawn(commit_batches(store.clone(), receiver.clone()));
        }
        Self(sender)
    }

    /// Returns when the entry is durable, or known not to count.
    pub async fn commit(&self, entry: JournalEntry) -> Answer {
        let (answer, committed) = oneshot::channel();
        self.0.send(Waiting { entry, answer }).await.map_err(|_| JournalError::Closed)?;
        committed.await.map_err(|_| JournalError::Closed)?
    }
}

async fn commit_batches(store: Store, receiver: Arc<Mutex<mpsc::Receiver<Waiting>>>) {
    loop {
        let mut batch = Vec::new();
        // The lock is let go before the commit, so that another committer gathers meanwhile.
        if receiver.lock().await.recv_many(&mut batch, BATCH).await == 0 {
            return;
        }
        metrics::histogram!("farmhand_journal_batch").record(batch.len() as f64);
        let (entries, answers): (Vec<_>, Vec<_>) = batch.into_iter().map(|w| (w.entry, w.answer)).unzip();
        match commit(&store, &entries, &answers).await {
            Ok(committed) => {
                for (answer, committed) in answers.into_iter().zip(committed) {
                    // A run that is gone (its lease was lost) does not wait for the answer.
                    let _ = answer.send(Ok(committed));
                }
            }
            Err(error) => commit_singly(&store, entries, answers, error).await,
        }
    }
}

/// Tries until the database is back, or nobody waits for the answer any more.
async fn commit(
    store: &Store,
    entries: &[JournalEntry],
    answers: &[oneshot::Sender<Answer>],
) -> Result<Vec<Committed>, StoreError> {
    let mut delays = backoff::for_a_database();
    loop {
        match store.commit(entries).await {
            Err(error) if error.is_passing() && !answers.iter().all(oneshot::Sender::is_closed) => {
                tracing::warn!(error = %error, entries = entries.len(), "commit failed; tried again");
                tokio::time::sleep(delays.next().unwrap_or_default()).await;
            }
            outcome => return outcome,
        }
    }
}

/// One entry that the database refuses must not take the others of its batch with it.
async fn commit_singly(
    store: &Store,
    entries: Vec<JournalEntry>,
    answers: Vec<oneshot::Sender<Answer>>,
    error: StoreError,
) {
    if let ([_], [_]) = (&entries[..], &answers[..]) {
        tracing::error!(error = %error, cause = ?error, "the store refused a journal entry");
        let error = Arc::new(error);
        answers.into_iter().for_each(|answer| drop(answer.send(Err(JournalError::Refused(error.clone())))));
        return;
    }
    for (entry, answer) in entries.into_iter().zip(answers) {
        let alone = [entry];
        let outcome = commit(store, &alone, std::slice::from_ref(&answer)).await;
        let outcome = outcome.map_err(|error| {
            tracing::error!(error = %error, cause = ?error, workflow = %alone[0].workflow_id, "the store refused a journal entry");
            JournalError::Refused(Arc::new(error))
        });
        let _ =
            answer.send(outcome.map(|committed| committed.first().copied().unwrap_or(Committed::LeaseLost)));
    }
}
