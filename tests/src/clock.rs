//! A clock that runs as the machine's does, and is put ahead: what the lab's `ad-age` is to a DC.

use std::sync::Mutex;

use chrono::{DateTime, TimeDelta, Utc};
use domain::{Clock, SystemClock};

/// The machine's time, ahead by what a test says.
#[derive(Debug, Default)]
pub struct AheadClock(Mutex<TimeDelta>);

impl AheadClock {
    /// From now on it is `time`. While nothing is under way: leases and waits are counted by it.
    pub fn set(&self, time: DateTime<Utc>) {
        *self.ahead() = time - SystemClock.now();
    }

    fn ahead(&self) -> std::sync::MutexGuard<'_, TimeDelta> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Clock for AheadClock {
    fn now(&self) -> DateTime<Utc> {
        SystemClock.now() + *self.ahead()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs_on_from_where_it_was_put() {
        let clock = AheadClock::default();
        assert!((clock.now() - SystemClock.now()).abs() < TimeDelta::minutes(1));
        let later = SystemClock.now() + TimeDelta::days(40);
        clock.set(later);
        assert!(clock.now() >= later && clock.now() < later + TimeDelta::hours(1));
    }
}
