//! Hears everything that is announced, from when it is opened.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::AnnouncementKind;
use messages::{Announcements, BusError, CloudEvent, Listener};
use tokio::sync::broadcast;

/// Generous: the machine may be busy with builds.
const PATIENCE: Duration = Duration::from_secs(60);
/// Events that a test may be behind.
const BEHIND: usize = 4096;

/// A bus on which tests hear along. Farmhand's own listeners share one queue, and the orchestrator
/// takes from it: who listened there as well would hear only a part.
#[derive(Debug)]
pub struct Tapped {
    bus: Arc<dyn Announcements>,
    confirmed: broadcast::Sender<Vec<u8>>,
}

impl Tapped {
    pub fn new(bus: Arc<dyn Announcements>) -> Self {
        Self { bus, confirmed: broadcast::channel(BEHIND).0 }
    }
}

#[async_trait]
impl Announcements for Tapped {
    async fn announce(&self, event_type: &str, event_id: &str, body: &[u8]) -> Result<(), BusError> {
        self.bus.announce(event_type, event_id, body).await?;
        // Nobody may be there to hear it.
        let _ = self.confirmed.send(body.to_vec());
        Ok(())
    }

    async fn listen(&self, prefetch: u16) -> Result<Box<dyn Listener>, BusError> {
        self.bus.listen(prefetch).await
    }

    async fn reactions_waiting(&self) -> Result<u64, BusError> {
        self.bus.reactions_waiting().await
    }
}

pub struct Ears {
    confirmed: broadcast::Receiver<Vec<u8>>,
    heard: Vec<CloudEvent>,
    /// Of [`Self::heard`], those that a test has not asked for yet.
    open: Vec<CloudEvent>,
}

impl Ears {
    pub fn open(bus: &Tapped) -> Self {
        Self { confirmed: bus.confirmed.subscribe(), heard: Vec::new(), open: Vec::new() }
    }

    /// The next of that kind that was not asked for before, whatever came in between.
    ///
    /// # Panics
    /// When none comes, or what comes is no event of Farmhand's.
    pub async fn next(&mut self, kind: AnnouncementKind) -> CloudEvent {
        self.next_about(kind, |_| true).await
    }

    /// The same of those that are about something.
    ///
    /// # Panics
    /// As [`Self::next`].
    pub async fn next_about(
        &mut self,
        kind: AnnouncementKind,
        is_it: impl Fn(&CloudEvent) -> bool,
    ) -> CloudEvent {
        let wanted = kind.event_type();
        loop {
            let found = self.open.iter().position(|event| event.kind == wanted && is_it(event));
            if let Some(at) = found {
                return self.open.remove(at);
            }
            let next = tokio::time::timeout(PATIENCE, self.confirmed.recv()).await;
            let Ok(next) = next else { panic!("no {kind} came, but {:#?}", self.heard) };
            let event = CloudEvent::parse(&next.expect("none was missed")).expect("an event");
            self.heard.push(event.clone());
            self.open.push(event);
        }
    }

    /// What was heard of that kind, asked for or not.
    pub fn heard(&self, kind: AnnouncementKind) -> Vec<&CloudEvent> {
        let wanted = kind.event_type();
        self.heard.iter().filter(|event| event.kind == wanted).collect()
    }
}
