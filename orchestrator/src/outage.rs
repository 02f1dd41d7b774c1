//! Passing trouble: how long to wait, and how to say so once instead of on every try.

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use domain::Rng;

const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// Doubling waits with jitter, between 100 ms and 5 s. The jitter keeps many processes that lost
/// the same database from coming back to it in step.
pub(crate) struct Backoff {
    rng: Arc<dyn Rng>,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(rng: Arc<dyn Rng>) -> Self {
        Self { rng, next: SHORTEST }
    }

    pub(crate) fn delay(&mut self) -> Duration {
        let full = self.next;
        self.next = (full * 2).min(LONGEST);
        SHORTEST.max(full.mul_f64(0.5 + self.rng.fraction() / 2.0))
    }

    pub(crate) fn reset(&mut self) {
        self.next = SHORTEST;
    }
}

/// Remembers which kinds of trouble were already said.
pub(crate) struct Outage {
    task: &'static str,
    said: BTreeSet<&'static str>,
}

impl Outage {
    pub(crate) fn new(task: &'static str) -> Self {
        Self { task, said: BTreeSet::new() }
    }

    /// Logs the first failure of its kind since things were last well. Whether it was the first.
    pub(crate) fn failed(&mut self, kind: &'static str, error: &(dyn Error + 'static)) -> bool {
        let first = self.said.insert(kind);
        if first {
            tracing::warn!(task = self.task, kind, error = %chain(error), "trouble; trying again until it is over");
        }
        first
    }

    /// Whether something failed since things were last well.
    pub(crate) fn is_on(&self) -> bool {
        !self.said.is_empty()
    }

    /// Logs once that everything works again. Whether there was anything to end.
    pub(crate) fn over(&mut self) -> bool {
        let any = self.is_on();
        if any {
            tracing::info!(task = self.task, "the trouble is over");
            self.said.clear();
        }
        any
    }
}

/// An error with its causes in one line, since no `Display` of ours repeats its source.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use domain::SystemRng;

    use super::*;

    #[test]
    fn waits_grow_to_the_cap_and_start_again_after_success() {
        let mut backoff = Backoff::new(Arc::new(SystemRng));
        let delays: Vec<_> = (0..12).map(|_| backoff.delay()).collect();
        assert!(delays.iter().all(|delay| (SHORTEST..=LONGEST).contains(delay)), "{delays:?}");
        assert!(delays[11] >= LONGEST / 2, "{delays:?}");
        backoff.reset();
        assert_eq!(backoff.delay(), SHORTEST);
    }

    #[test]
    fn each_kind_of_trouble_is_said_once_until_it_is_over() {
        let mut outage = Outage::new("test");
        let error = std::io::Error::other("no");
        assert!(!outage.over(), "nothing has failed yet");
        assert!(outage.failed("a", &error));
        assert!(outage.failed("b", &error));
        assert!(!outage.failed("a", &error));
        assert!(outage.over());
        assert!(outage.failed("a", &error));
    }

    #[test]
    fn the_chain_holds_every_cause() {
        let error = store::StoreError::Unavailable(Box::new(std::io::Error::other("refused")));
        assert!(chain(&error).ends_with(": refused"), "{}", chain(&error));
    }
}
