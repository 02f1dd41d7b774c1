//! Every exchange, queue and routing key, in one place.

use domain::Lane;

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
/// Header of a dead letter that says which lane it came from.
pub const DEAD_LETTER_LANE: &str = "farmhand-lane";
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
        assert_eq!(Topology::new("test7").queue(Lane::Urgent), "test7.urgent");
    }
}
