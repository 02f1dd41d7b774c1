//! How long to wait before the next attempt.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

/// No wait that grows goes beyond this: a DC that is back is found within minutes.
const CAP: Duration = Duration::from_secs(300);

/// Delays without end for a database that is away: without it nothing can be done, and giving up
/// would only move the waiting to somebody else.
pub(super) fn for_a_database() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(20))
        .with_max_delay(Duration::from_secs(2))
        .with_jitter()
        .without_max_times()
        .build()
}

/// `after` for the first attempt, doubled with each further one, spread by a fifth either way so
/// that a thousand workflows do not come back in one moment. A wait that is long by itself (a key
/// that becomes usable in hours) is taken as it is.
pub fn wait(after: Duration, attempts: u32, fraction: f64) -> Duration {
    if after >= CAP {
        return after;
    }
    let doubled = after.saturating_mul(1_u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX));
    doubled.min(CAP).mul_f64(0.8 + 0.4 * fraction.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_cap_and_stay_there() {
        let second = Duration::from_secs(1);
        assert_eq!(wait(second, 1, 0.5), second);
        assert_eq!(wait(second, 4, 0.5), second * 8);
        assert_eq!(wait(second, 40, 0.5), CAP);
        assert_eq!(wait(second, 1, 0.0), Duration::from_millis(800));
        assert_eq!(wait(Duration::from_secs(36_000), 7, 0.0), Duration::from_secs(36_000));
    }
}
