//! When the last of a number of workflows was durable in its end.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::sync::Notify;

/// A run that takes longer is broken, not slow.
const LIMIT: Duration = Duration::from_secs(180);

#[derive(Debug, Default)]
pub struct Finished {
    count: AtomicU64,
    target: AtomicU64,
    reached_at: Mutex<Option<Instant>>,
    reached: Notify,
}

impl Finished {
    /// From now on `more` are waited for. Nothing may be under way.
    pub fn expect(&self, more: u64) {
        *self.reached_at.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.target.store(self.count.load(Ordering::SeqCst) + more, Ordering::SeqCst);
    }

    /// One more has ended.
    pub fn add(&self, ended: u64) {
        let count = self.count.fetch_add(ended, Ordering::SeqCst) + ended;
        if count >= self.target.load(Ordering::SeqCst) {
            let mut at = self.reached_at.lock().unwrap_or_else(PoisonError::into_inner);
            at.get_or_insert_with(Instant::now);
            self.reached.notify_one();
        }
    }

    /// When the last of them ended.
    pub async fn all(&self) -> Result<Instant> {
        let waiting = async {
            loop {
                if let Some(at) = *self.reached_at.lock().unwrap_or_else(PoisonError::into_inner) {
                    return at;
                }
                self.reached.notified().await;
            }
        };
        tokio::time::timeout(LIMIT, waiting).await.with_context(|| {
            let (count, target) = (self.count.load(Ordering::SeqCst), self.target.load(Ordering::SeqCst));
            format!("{} workflows had not ended after {LIMIT:?}", target.saturating_sub(count))
        })
    }
}
