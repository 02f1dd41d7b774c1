//! Every exchange, queue and routing key, in one place.

use domain::Lane;

use crate::bus::Origin;

/// Names on the broker, all with one prefix so that several installations share a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    prefix: String,
}

impl Topology {
    /// `farmhand` gives `farmhand.workflows`, `farmhand.urgent` ...
    pub fn new(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into() }
    }

    /// Topic exchange that workflow events go to.
    pub fn workflows_exchange(&self) -> String {
        format!("{}.workflows", self.prefix)
    }

    /// The quorum queue of a lane.
    pub fn queue(&self, lane: Lane) -> String {
        format!("{}.{lane}", self.prefix)
    }

    /// The key under which a lane's events are published to the workflows exchange.
    pub fn routing_key(&self, lane: Lane) -> String {
        format!("workflow.{lane}")
    }

    /// Topic exchange that other systems publish requests to; its one queue takes every key.
    pub fn requests_exchange(&self) -> String {
        format!("{}.requests", self.prefix)
    }

    /// The quorum queue of requests.
    pub fn intake(&self) -> String {
        format!("{}.intake", self.prefix)
    }

    /// Topic exchange of what is announced, by us and by others; the key is the event's type.
    pub fn events_exchange(&self) -> String {
        format!("{}.events", self.prefix)
    }

    /// The quorum queue through which Farmhand itself hears what is announced, with every key. It is
    /// there from the first time that somebody listens: without a listener it would grow for ever.
    pub fn reactions(&self) -> String {
        format!("{}.reactions", self.prefix)
    }

    pub fn queue_of(&self, origin: Origin) -> String {
        match origin {
            Origin::Lane(lane) => self.queue(lane),
            Origin::Intake => self.intake(),
            Origin::Reactions => self.reactions(),
        }
    }

    /// The queue of its own that a user may have for replies.
    pub fn reply_queue(&self, user: &str) -> String {
        format!("{}.reply.{user}", self.prefix)
    }

    /// Whether replies to this user may go to that queue. A reply goes to the queue that the asker
    /// names, with our rights: it must not be one that the asker could not write to itself, least
    /// of all one of our own. Taken are RabbitMQ's direct reply-to, queues whose name the broker
    /// made up for their owner, and the user's reply queue.
    pub fn takes_replies(&self, queue: &str, user: &str) -> bool {
        ["amq.rabbitmq.reply-to.", "amq.gen-"].iter().any(|made| queue.starts_with(made))
            || queue == self.reply_queue(user)
    }

    /// Fanout exchange and quorum queue of the same name for what cannot be worked on.
    pub fn dead_letters(&self) -> String {
        format!("{}.dead", self.prefix)
    }
}

impl Default for Topology {
    fn default() -> Self {
        Self::new("farmhand")
    }
}

/// Header of a dead letter that says why it is one.
pub const DEAD_LETTER_REASON: &str = "farmhand-reason";
/// Header of a dead letter that says where it came from: a lane, `intake` or `reactions`.
pub const DEAD_LETTER_ORIGIN: &str = "farmhand-origin";
/// How often one message is given back before it becomes a dead letter: a message that kills its
/// consumer must not do so for ever. Every return counts, whether by a nack, a drop or a lost
/// connection, so `nack` is no way to wait for something.
pub const DELIVERY_LIMIT: i32 = 20;

/// The reason of a dead letter that was given back too often.
pub fn delivery_limit_reason() -> String {
    format!("given back more than {DELIVERY_LIMIT} times without being settled")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_interface_contract() {
        let topology = Topology::default();
        assert_eq!(topology.workflows_exchange(), "farmhand.workflows");
        assert_eq!(topology.queue(Lane::Urgent), "farmhand.urgent");
        assert_eq!(topology.queue(Lane::Lifecycle), "farmhand.lifecycle");
        assert_eq!(topology.queue(Lane::Checks), "farmhand.checks");
        assert_eq!(topology.dead_letters(), "farmhand.dead");
        assert_eq!(topology.requests_exchange(), "farmhand.requests");
        assert_eq!(topology.intake(), "farmhand.intake");
        assert_eq!(topology.events_exchange(), "farmhand.events");
        assert_eq!(topology.reactions(), "farmhand.reactions");
        assert_eq!(Topology::new("test7").queue(Lane::Urgent), "test7.urgent");
    }

    #[test]
    fn replies_go_to_queues_of_the_asker_and_to_no_other() {
        let topology = Topology::default();
        for queue in ["amq.rabbitmq.reply-to.g1h2AA5yZXBseUA.x==", "amq.gen-Ax7", "farmhand.reply.pipeline"] {
            assert!(topology.takes_replies(queue, "pipeline"), "{queue}");
        }
        for queue in [
            "farmhand.urgent",
            "farmhand.intake",
            "farmhand.reactions",
            "farmhand.dead",
            "farmhand.reply.other",
            "orders",
            "",
        ] {
            assert!(!topology.takes_replies(queue, "pipeline"), "{queue}");
        }
    }
}
