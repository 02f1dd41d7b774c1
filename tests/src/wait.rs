//! Waiting for a condition: the only place where tests sleep.

use std::time::Duration;

use tokio::time::{Instant, sleep};

const INTERVAL: Duration = Duration::from_millis(20);

/// Asks until `probe` gives something. `what` completes "not seen within 5s: ...".
///
/// # Panics
/// When `limit` passes; a probe that hangs is cut off at the limit too.
pub async fn eventually<T, F>(what: &str, limit: Duration, mut probe: F) -> T
where
    F: AsyncFnMut() -> Option<T>,
{
    let seen = tokio::time::timeout(limit, async {
        loop {
            if let Some(value) = probe().await {
                return value;
            }
            sleep(INTERVAL).await;
        }
    });
    seen.await.unwrap_or_else(|_| panic!("not seen within {limit:?}: {what}"))
}

/// Asks for the whole of `span` and fails as soon as `probe` gives something. For claims that a
/// thing does *not* happen; keep the span short.
///
/// # Panics
/// When the thing happens.
pub async fn never<T: std::fmt::Debug, F>(what: &str, span: Duration, mut probe: F)
where
    F: AsyncFnMut() -> Option<T>,
{
    let end = Instant::now() + span;
    while Instant::now() < end {
        if let Some(value) = probe().await {
            panic!("must not happen: {what}: {value:?}");
        }
        sleep(INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_condition_is_asked_until_it_holds() {
        let mut asked = 0;
        let got = eventually("three questions", Duration::from_secs(5), async || {
            asked += 1;
            (asked == 3).then_some("yes")
        });
        assert_eq!(got.await, "yes");
        assert_eq!(asked, 3);
    }

    #[tokio::test]
    #[should_panic(expected = "not seen within 50ms: the end of the world")]
    async fn a_probe_that_hangs_is_cut_off() {
        eventually("the end of the world", Duration::from_millis(50), async || {
            std::future::pending::<Option<()>>().await
        })
        .await;
    }
}
