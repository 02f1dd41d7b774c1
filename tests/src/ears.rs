//! Hears everything that is announced, from when it is opened.

use std::time::Duration;

use domain::AnnouncementKind;
use messages::{Announcements, CloudEvent, Listener, Publisher};

/// Generous: the machine may be busy with builds.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Ears {
    listener: Box<dyn Listener>,
    heard: Vec<CloudEvent>,
    /// Of [`Self::heard`], those that a test has not asked for yet.
    open: Vec<CloudEvent>,
}

impl Ears {
    /// # Panics
    /// When the bus is closed.
    pub async fn open(announcements: &dyn Announcements) -> Self {
        let listener = announcements.listen(1_000).await.expect("the bus is open");
        Self { listener, heard: Vec::new(), open: Vec::new() }
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
            let next = tokio::time::timeout(PATIENCE, self.listener.next()).await;
            let Ok(next) = next else { panic!("no {kind} came, but {:#?}", self.heard) };
            let heard = next.expect("the bus is open");
            assert_eq!(heard.publisher, Publisher::Farmhand);
            let event = CloudEvent::parse(&heard.body).expect("an event");
            heard.ack().await.expect("the bus is open");
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
