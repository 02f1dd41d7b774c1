//! One connection with one channel: opened, watched, opened again for ever.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use futures::future::BoxFuture;
use futures::{Stream, StreamExt};
use lapin::tcp::AMQPUriTcpExt;
use lapin::{Channel, Connection, ConnectionProperties, Event};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::declare;
use super::error::LinkError;
use super::health::HealthBoard;
use super::options::Settings;
use crate::BusError;

/// The first pause between attempts.
const MIN_BACKOFF: Duration = Duration::from_millis(100);
/// A connection that lived this long starts the pauses anew when it is lost.
const STABLE: Duration = Duration::from_secs(10);
/// After TCP is up, how long a silent broker is waited for before another attempt. lapin cannot
/// be told to give up a handshake and keeps a thread for it until the peer closes, so attempts
/// at a paused broker must be few.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(60);
/// How long a closing handshake may take.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);
/// How often a connection's state is looked at, should lapin's event of its end be lost.
const PULSE: Duration = Duration::from_secs(5);
const REPLY_SUCCESS: u16 = 200;

/// What all tasks of a bus share.
pub(super) struct Core {
    pub settings: Settings,
    pub board: HealthBoard,
    pub closing: CancellationToken,
    pub tasks: TaskTracker,
    /// For what must go on after a drop, which may happen outside of a runtime.
    pub runtime: tokio::runtime::Handle,
    /// RabbitMQ sometimes fails one of two declarations of a quorum queue at the same moment.
    declaring: tokio::sync::Mutex<()>,
    /// Two peeks at once would each see half of the dead letters.
    pub peeking: tokio::sync::Mutex<()>,
    /// Counts how often a queue was found missing and declared anew; see [`super::consumer`].
    pub queues_renewed: tokio::sync::watch::Sender<u64>,
    numbers: AtomicU64,
}

impl Core {
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            board: HealthBoard::new(),
            closing: CancellationToken::new(),
            tasks: TaskTracker::new(),
            runtime: tokio::runtime::Handle::current(),
            declaring: tokio::sync::Mutex::default(),
            peeking: tokio::sync::Mutex::default(),
            queues_renewed: tokio::sync::watch::Sender::new(0),
            numbers: AtomicU64::new(1),
        }
    }

    pub fn ensure_open(&self) -> Result<(), BusError> {
        if self.closing.is_cancelled() { Err(BusError::Closed) } else { Ok(()) }
    }

    pub fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Declares everything that we need, if it is not there.
    pub async fn declare(&self, channel: &Channel) -> Result<(), LinkError> {
        let _one_at_a_time = self.declaring.lock().await;
        declare::topology(channel, &self.settings.topology).await.map_err(LinkError::opening)
    }

    /// Declares what a listener needs besides.
    pub async fn declare_reactions(&self, channel: &Channel) -> Result<(), LinkError> {
        let _one_at_a_time = self.declaring.lock().await;
        declare::reactions(channel, &self.settings.topology).await.map_err(LinkError::opening)
    }
}

/// A working connection.
pub(super) struct Link {
    pub connection: Arc<Connection>,
    pub channel: Channel,
    events: Pin<Box<dyn Stream<Item = Event> + Send>>,
    last_error: Option<LinkError>,
    since: Instant,
}

impl Link {
    /// Connects and opens a channel; declares nothing.
    pub async fn connect(settings: &Settings, role: &str) -> Result<Self, LinkError> {
        let connection = connect(settings, role).await.map_err(LinkError::opening)?;
        let channel = connection.create_channel().await.map_err(LinkError::opening)?;
        let events = Box::pin(connection.events_listener());
        Ok(Self {
            connection: Arc::new(connection),
            channel,
            events,
            last_error: None,
            since: Instant::now(),
        })
    }

    /// Connects, opens a channel and declares the topology.
    pub async fn open(core: &Core, role: &str) -> Result<Self, LinkError> {
        let opening = async {
            let link = Self::connect(&core.settings, role).await?;
            core.declare(&link.channel).await?;
            Ok(link)
        };
        match tokio::time::timeout(HANDSHAKE_PATIENCE, opening).await {
            Ok(opened) => opened,
            Err(_) => Err(LinkError::lost("the broker takes connections but does not answer")),
        }
    }

    /// Returns when the connection or its channel is gone. Safe to drop and call again.
    pub async fn lost(&mut self, core: &Core, role: &str) -> LinkError {
        loop {
            match tokio::time::timeout(PULSE, self.events.next()).await {
                Ok(Some(Event::Error(error))) => self.last_error = Some(LinkError::working(error)),
                Ok(Some(Event::ConnectionBlocked(reason))) => {
                    core.board.down(role, &format!("the broker takes no messages now: {reason}"));
                }
                Ok(Some(Event::ConnectionUnblocked)) => core.board.up(role),
                Ok(Some(_)) | Err(_) => {}
                Ok(None) => return LinkError::lost("the connection is gone"),
            }
            // An error may be that of another channel on the same connection.
            if !self.connection.status().connected() || !self.channel.status().connected() {
                let last = self.last_error.take();
                return last.unwrap_or_else(|| LinkError::lost("the connection was closed"));
            }
        }
    }

    /// Says goodbye; what is not settled on this connection comes again.
    pub async fn close(self) {
        let goodbye = self.connection.close(REPLY_SUCCESS, "goodbye".into());
        if let Ok(Err(error)) | Err(error) = tokio::time::timeout(CLOSE_PATIENCE, goodbye)
            .await
            .map_err(|_| lapin::ErrorKind::MissingHeartbeatError.into())
        {
            tracing::debug!(%error, "a connection could not be closed in order");
        }
    }

    pub fn was_stable(&self) -> bool {
        self.since.elapsed() >= STABLE
    }
}

async fn connect(settings: &Settings, role: &str) -> lapin::Result<Connection> {
    let name = format!("{} {role}", settings.connection_name);
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let (tls, patience) = (settings.tls.clone(), settings.connect_timeout);
    let tcp = async move |uri: lapin::uri::AMQPUri, runtime| {
        let connecting = AMQPUriTcpExt::connect_with_config_async(&uri, tls.as_ref(), &runtime);
        match tokio::time::timeout(patience, connecting).await {
            Ok(stream) => stream.map_err(lapin::Error::from),
            Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
        }
    };
    Connection::connector(settings.uri.clone(), lapin::runtime::default_runtime()?, tcp, properties).await
}

/// What is known while there is no connection: nothing yet, or why there is none.
pub(super) type Verdict = tokio::sync::watch::Sender<Option<LinkError>>;

/// Tries until it works. The verdict stays empty through the first attempt as long as that may
/// still succeed soon, so that publishers need not fail for a moment's loss.
pub(super) async fn establish<T>(
    core: &Core,
    role: &str,
    pauses: &mut Pauses,
    verdict: &Verdict,
    open: impl Fn() -> BoxFuture<'static, Result<T, LinkError>>,
) -> T {
    let report = |error: &LinkError| {
        core.board.down(role, error.text());
        verdict.send_replace(Some(error.clone()));
    };
    if let Some(pause) = pauses.before_first() {
        tokio::time::sleep(pause).await;
    }
    loop {
        let mut attempt = open();
        let soon = core.settings.connect_timeout * 2;
        let opened = match tokio::time::timeout(soon, &mut attempt).await {
            Ok(opened) => opened,
            Err(_) => {
                report(&LinkError::lost("the broker takes connections but does not answer"));
                attempt.await
            }
        };
        match opened {
            Ok(opened) => {
                core.board.up(role);
                verdict.send_replace(None);
                return opened;
            }
            Err(error) => {
                tracing::debug!(role, error = error.text(), "no connection to the message broker");
                report(&error);
                tokio::time::sleep(pauses.after(&error)).await;
            }
        }
    }
}

/// The pauses between attempts: exponential, capped, with jitter, without end.
pub(super) struct Pauses {
    builder: ExponentialBuilder,
    next: ExponentialBackoff,
    refused: Duration,
    /// The last connection broke soon after it was made.
    flapping: bool,
}

impl Pauses {
    pub fn new(settings: &Settings) -> Self {
        let builder = ExponentialBuilder::new()
            .with_min_delay(MIN_BACKOFF)
            .with_max_delay(settings.max_backoff)
            .with_jitter()
            .without_max_times();
        Self { builder, next: builder.build(), refused: settings.refused_backoff, flapping: false }
    }

    /// A connection was lost. One that had been stable is replaced at once.
    pub fn lost(&mut self, was_stable: bool) {
        if was_stable {
            self.next = self.builder.build();
        }
        self.flapping = !was_stable;
    }

    fn before_first(&mut self) -> Option<Duration> {
        if self.flapping { self.next.next() } else { None }
    }

    fn after(&mut self, error: &LinkError) -> Duration {
        let pause = self.next.next().unwrap_or(self.refused);
        if error.is_refused() { pause.max(self.refused) } else { pause }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RabbitMqOptions;

    fn pauses() -> Pauses {
        Pauses::new(&RabbitMqOptions::new("amqp://h".to_owned().into()).settings().expect("fine"))
    }

    #[test]
    fn pauses_grow_to_the_cap_and_never_end() {
        let mut pauses = pauses();
        let error = LinkError::lost("gone");
        let all: Vec<Duration> = (0..1_000).map(|_| pauses.after(&error)).collect();
        assert!(all[0] < Duration::from_millis(250), "{:?}", all[0]);
        assert!(all[900] >= Duration::from_secs(10) && all[900] <= Duration::from_secs(20), "{:?}", all[900]);
    }

    #[test]
    fn a_refusal_is_tried_again_slowly() {
        assert!(pauses().after(&LinkError::Refused("ACCESS_REFUSED".to_owned())) >= Duration::from_secs(30));
    }

    #[test]
    fn a_stable_connection_is_replaced_at_once_and_a_flapping_one_after_a_pause() {
        let mut pauses = pauses();
        assert_eq!(pauses.before_first(), None);
        pauses.lost(true);
        assert_eq!(pauses.before_first(), None);
        pauses.lost(false);
        assert!(pauses.before_first().is_some());
    }
}
