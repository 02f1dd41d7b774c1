//! The port for announcements: what Farmhand tells other systems, and what it hears of them.
//!
//! The same adapters as [`crate::Bus`], the same contract suite, the same promises; beyond them:
//!
//! * Announcing needs no listener: what nobody has bound a queue for is gone. Whoever has hears it at
//!   least once, with the same id each time.
//! * Farmhand's own queue is there from the first [`Announcements::listen`] on, and keeps what is
//!   announced from then on, whether or not somebody listens at the moment.
//! * Who published, the broker says: it takes a message with the property `user_id` only from a
//!   connection of that user, and Farmhand announces with its own. So nobody else can pass for it.

use std::fmt;

use async_trait::async_trait;

use crate::bus::{BusError, Held, Origin, Settle};
use crate::cloud_event;

#[async_trait]
pub trait Announcements: Send + Sync + fmt::Debug + 'static {
    /// Publishes a serialised [`crate::CloudEvent`] under its type; returns when confirmed, also where
    /// nobody listens.
    async fn announce(&self, event_type: &str, event_id: &str, body: &[u8]) -> Result<(), BusError>;

    /// Starts listening to everything that is announced, with at most `prefetch` unsettled (0 counts
    /// as 1); several listeners share it. Returns at once, also during an outage; [`Listener::next`]
    /// waits.
    async fn listen(&self, prefetch: u16) -> Result<Box<dyn Listener>, BusError>;

    /// How many events wait for a listener of ours, deliveries under way not counted.
    async fn reactions_waiting(&self) -> Result<u64, BusError>;
}

#[async_trait]
pub trait Listener: Send {
    /// As [`crate::Consumer::next`].
    async fn next(&mut self) -> Option<Heard>;

    /// As [`crate::Consumer::cancel`].
    async fn cancel(&mut self);
}

/// Who published an event, by the broker's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Publisher {
    /// The broker's user that we are ourselves.
    Farmhand,
    /// Another user of the broker.
    User(String),
    /// The publisher did not say, so nobody can.
    Unknown,
}

impl Publisher {
    /// By the message's `user_id`, to somebody who is `own` on the broker.
    pub(crate) fn of(user_id: Option<String>, own: &str) -> Self {
        match user_id.filter(|user| !user.is_empty()) {
            None => Self::Unknown,
            Some(user) if user == own => Self::Farmhand,
            Some(user) => Self::User(user),
        }
    }
}

impl fmt::Display for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Farmhand => f.write_str("Farmhand"),
            Self::User(user) => write!(f, "the broker's user {user}"),
            Self::Unknown => f.write_str("a publisher that does not say who it is"),
        }
    }
}

/// An event in our hands until it is settled; as [`crate::Delivery`].
pub struct Heard {
    pub body: Vec<u8>,
    pub publisher: Publisher,
    /// Seen before, by us or by another listener.
    pub redelivered: bool,
    held: Held,
}

impl Heard {
    pub fn new(body: Vec<u8>, publisher: Publisher, redelivered: bool, settle: Box<dyn Settle>) -> Self {
        Self { body, publisher, redelivered, held: Held::new(settle) }
    }

    /// Done with it.
    pub async fn ack(self) -> Result<(), BusError> {
        self.held.ack().await
    }

    /// Give it back; it comes again, to us or to another.
    pub async fn nack(self) -> Result<(), BusError> {
        self.held.nack().await
    }

    /// It can never be understood: keep it in the dead letter queue with the reason. Of a message
    /// that is larger than any event, only the beginning is kept.
    pub async fn dead_letter(self, reason: &str) -> Result<(), BusError> {
        let kept = self.body.get(..cloud_event::MAX_BYTES).unwrap_or(&self.body);
        self.held.dead_letter(Origin::Reactions, kept, reason).await
    }
}

impl fmt::Debug for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { body, publisher, redelivered, .. } = self;
        write!(f, "Heard({} bytes of {publisher}, redelivered: {redelivered})", body.len())
    }
}

#[cfg(test)]
mod tests {
    use super::Publisher;

    #[test]
    fn only_our_own_user_is_farmhand() {
        let of = |user: &str| Publisher::of(Some(user.to_owned()), "farmhand");
        assert_eq!(of("farmhand"), Publisher::Farmhand);
        assert_eq!(of("Farmhand"), Publisher::User("Farmhand".to_owned()));
        assert_eq!(of(""), Publisher::Unknown);
        assert_eq!(Publisher::of(None, "farmhand"), Publisher::Unknown);
        assert_eq!(Publisher::of(Some(String::new()), ""), Publisher::Unknown, "no name is nobody's name");
    }
}
