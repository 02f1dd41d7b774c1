//! A topology of the test's own on a shared broker, and messages that the product did not make.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use messages::{Origin, Topology};

use crate::lab::{Lab, random_text};
use crate::script::{self, report_drop};

/// Names on the broker with a prefix of their own; whatever was declared under them is deleted
/// with this guard.
#[derive(Debug)]
pub struct TestTopology {
    pub url: String,
    pub prefix: String,
    script: PathBuf,
}

impl TestTopology {
    pub fn new(lab: &Lab) -> Self {
        let prefix = format!("test-{}", random_text(10));
        Self { url: lab.amqp_url.clone(), prefix, script: lab.script("amqp") }
    }

    pub fn topology(&self) -> Topology {
        Topology::new(self.prefix.clone())
    }

    /// Publishes anything, past the product: malformed, forged, of the wrong type. `headers` may
    /// hold `content-type`. Returns when the broker confirmed it.
    pub fn publish(&self, exchange: &str, key: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<()> {
        let mut command = Command::new(&self.script);
        command.args(["publish", &self.url, exchange, key]);
        command.args(headers.iter().map(|(name, value)| format!("{name}={value}")));
        script::check(&mut command, body).map(drop)
    }

    fn delete(&self) -> Result<()> {
        let topology = self.topology();
        let mut command = Command::new(&self.script);
        command.args(["delete", &self.url]);
        command.args(Origin::all().map(|origin| format!("queue:{}", topology.queue_of(origin))));
        let dead = topology.dead_letters();
        command.args([format!("queue:{dead}"), format!("exchange:{dead}")]);
        let exchanges =
            [topology.workflows_exchange(), topology.requests_exchange(), topology.events_exchange()];
        command.args(exchanges.map(|exchange| format!("exchange:{exchange}")));
        script::check(&mut command, b"").map(drop)
    }
}

impl Drop for TestTopology {
    fn drop(&mut self) {
        report_drop(&format!("queues of {}", self.prefix), self.delete());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_to_an_exchange_that_is_not_there_is_an_error() {
        let topology = TestTopology::new(&Lab::from_env());
        let error = topology
            .publish(&topology.topology().workflows_exchange(), "k", &[], b"{")
            .unwrap_err()
            .to_string();
        assert!(error.contains("404 NOT_FOUND"), "{error}");
    }

    #[test]
    fn the_default_exchange_takes_a_message_whole() {
        let topology = TestTopology::new(&Lab::from_env());
        topology
            .publish("", "nobody", &[("content-type", "text/plain"), ("x", "y")], &vec![b'a'; 400_000])
            .unwrap();
    }
}
