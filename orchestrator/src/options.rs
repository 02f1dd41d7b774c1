//! What the composition hands in.

use std::sync::Arc;
use std::time::Duration;

use domain::{Clock, DirectoryName, Rng};
use messages::{Announcements, Bus};
use metrics_exporter_prometheus::PrometheusHandle;
use store::Store;

use crate::intake::IntakeOptions;

pub struct OrchestratorOptions {
    pub store: Store,
    pub bus: Arc<dyn Bus>,
    /// Where other systems hear what happens.
    pub announcements: Arc<dyn Announcements>,
    pub clock: Arc<dyn Clock>,
    pub rng: Arc<dyn Rng>,
    pub prometheus: PrometheusHandle,
    /// The embedded directory is in use: answers say so, since nothing they report is real.
    pub embedded: bool,
    /// The configured directories; a manifest that names another one is refused.
    pub known_directories: Vec<DirectoryName>,
    /// Requests over the broker; `None`: they are left where they are.
    pub intake: Option<IntakeOptions>,
    pub settings: Settings,
}

/// What rotation checks judge by, and how long they are remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RotationPolicy {
    /// A managed password interval above this is a finding.
    pub max_interval_days: u32,
    /// How long changes of verdict or key are kept.
    pub keep_days: u32,
}

impl Default for RotationPolicy {
    /// New-ADServiceAccount's interval, and thirteen months.
    fn default() -> Self {
        Self { max_interval_days: 30, keep_days: 400 }
    }
}

/// Intervals and sizes. The defaults are what production runs on.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How often the relay looks for events that nobody woke it for (another process wrote them).
    pub relay_poll: Duration,
    /// How many events are published side by side.
    pub relay_batch: u32,
    /// How long the relay waits for the broker to confirm one event.
    pub relay_timeout: Duration,
    /// How long an announcement that the broker does not take is tried again.
    pub keep_announcements: Duration,
    /// How often expired leases and due waits are looked for.
    pub reap_every: Duration,
    /// How often queued workflows are looked for whose event may be lost.
    pub repeat_every: Duration,
    /// How long a queued workflow may go unanswered before its event is emitted again.
    pub repeat_first_after: Duration,
    /// How often the scheduler looks for due times that nobody woke it for (another process changed
    /// a schedule, or the clock was set forward).
    pub schedule_every: Duration,
    /// How long it stays on record what became of a due time.
    pub keep_fires: Duration,
    /// Shortest pause between two looks at a watched workflow; up to half as much again is added.
    pub watch_every: Duration,
    /// How often an event stream makes sure that its caller's token is still valid.
    pub watch_recheck: Duration,
    /// How long a token that was found valid is believed without asking the database. A revoked
    /// token works on for at most this long in other processes.
    pub token_cache: Duration,
    /// How long an account stays disabled before it is deleted, where the request does not say.
    pub cool_down: Duration,
    pub rotation: RotationPolicy,
    /// How long after the last full drift check every farm is compared anyway.
    pub drift_full_every: Duration,
    /// How often it is looked whether a quarantined host can read anything again.
    pub quarantine_check_every: Duration,
    /// How long a request from the broker is held while the database is away, before it is given
    /// back. RabbitMQ cuts off who holds a message for 30 minutes.
    pub intake_hold: Duration,
    /// How many events are in our hands at once. What is urgent overtakes those, so many.
    pub react_prefetch: u16,
    /// How long it stays on record what rules and webhooks made of events.
    pub keep_reactions: Duration,
    /// How often deliveries are looked for that nobody woke us for (another process wrote them).
    pub webhook_every: Duration,
    /// How long a receiver has for its answer.
    pub webhook_timeout: Duration,
    /// How long nobody else sends a delivery that one has begun to send; longer than the timeout.
    pub webhook_lease: Duration,
    /// The pause before the second attempt, and the longest one.
    pub webhook_retry_first: Duration,
    pub webhook_retry_most: Duration,
    /// Whether events may be sent over plain HTTP to other machines.
    pub allow_http_webhooks: bool,
    /// How often in a minute another system may call one webhook, of one process.
    pub webhook_calls_a_minute: u32,
    /// How long requests under way may take after the stop was asked for.
    pub drain: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            relay_poll: Duration::from_secs(1),
            relay_batch: 256,
            relay_timeout: Duration::from_secs(10),
            keep_announcements: Duration::from_secs(24 * 60 * 60),
            reap_every: Duration::from_millis(500),
            repeat_every: Duration::from_secs(5),
            repeat_first_after: Duration::from_secs(15),
            schedule_every: Duration::from_millis(500),
            keep_fires: Duration::from_secs(90 * 24 * 60 * 60),
            watch_every: Duration::from_millis(100),
            watch_recheck: Duration::from_secs(5),
            token_cache: Duration::from_secs(2),
            cool_down: Duration::from_secs(7 * 24 * 60 * 60),
            rotation: RotationPolicy::default(),
            drift_full_every: Duration::from_secs(24 * 60 * 60),
            quarantine_check_every: Duration::from_secs(15 * 60),
            intake_hold: Duration::from_secs(15 * 60),
            react_prefetch: 512,
            keep_reactions: Duration::from_secs(30 * 24 * 60 * 60),
            webhook_every: Duration::from_secs(1),
            webhook_timeout: Duration::from_secs(10),
            webhook_lease: Duration::from_secs(30),
            webhook_retry_first: Duration::from_secs(10),
            webhook_retry_most: Duration::from_secs(60 * 60),
            allow_http_webhooks: false,
            webhook_calls_a_minute: 600,
            drain: Duration::from_secs(10),
        }
    }
}
