//! SIGINT and SIGTERM: the first asks, the second forces.

use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;

/// timeout(1) and its like signal the process and then its whole group: the second one a moment
/// later is nobody's second thought.
const ECHO: Duration = Duration::from_millis(500);

/// Cancels the token on the first signal; ends the process on the second.
pub fn on_signals() -> Result<CancellationToken, Failure> {
    let unheard = |e: std::io::Error| Failure::internal(format!("signals cannot be heard: {e}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(unheard)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(unheard)?;
    let token = CancellationToken::new();
    let stop = token.clone();
    tokio::spawn(async move {
        let mut first = None;
        loop {
            let number = tokio::select! {
                _ = interrupt.recv() => 2,
                _ = terminate.recv() => 15,
            };
            let asked = first.get_or_insert_with(Instant::now);
            if !stop.is_cancelled() {
                tracing::info!("stopping; a second signal ends it at once");
                stop.cancel();
            } else if asked.elapsed() > ECHO {
                tracing::warn!("ended by a second signal; leases of what was under way will run out");
                std::process::exit(128 + number);
            }
        }
    });
    Ok(token)
}
