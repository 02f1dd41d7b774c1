//! Opens the message bus.

use std::path::PathBuf;
use std::sync::Arc;

use messages::memory::MemoryBus;
use messages::rabbitmq::{RabbitMqBus, RabbitMqOptions};
use messages::{Announcements, Bus, Requests, Topology};
use orchestrator::IntakeOptions;
use secrecy::SecretString;

use super::store::chain;
use crate::config::{SecretUrl, Settings};
use crate::failure::Failure;

/// One connection to the broker, by its ports.
pub struct Opened {
    pub bus: Arc<dyn Bus>,
    pub requests: Arc<dyn Requests>,
    pub announcements: Arc<dyn Announcements>,
}

impl Opened {
    fn of(bus: impl Bus + Requests + Announcements) -> Self {
        let bus = Arc::new(bus);
        Self { bus: bus.clone(), requests: bus.clone(), announcements: bus }
    }

    /// Who may ask for work over the broker; `None` where nobody may.
    pub fn intake(&self, settings: &Settings) -> Option<IntakeOptions> {
        let on = settings.intake.is_on(settings.amqp.is_configured());
        let users = settings.intake.users.clone();
        on.then(|| IntakeOptions { requests: self.requests.clone(), users })
    }
}

/// Where the broker is. `None`: the in-process bus.
pub struct Broker {
    url: Option<SecretUrl>,
    topology: Topology,
    ca_file: Option<PathBuf>,
}

impl Broker {
    pub fn of(settings: &Settings) -> Result<Self, Failure> {
        let (url, topology) = (settings.amqp.url()?, Topology::new(&settings.amqp.prefix));
        Ok(Self { url, topology, ca_file: settings.amqp.ca_file.clone() })
    }

    /// One that is not in-process: several processes share it.
    pub fn shared(settings: &Settings, command: &str) -> Result<Self, Failure> {
        let broker = Self::of(settings)?;
        if broker.is_embedded() {
            return Err(Failure::refused(
                "invalid-configuration",
                format!("`farmhand {command}` needs a broker that it shares with the other processes"),
                "set FARMHAND_AMQP_URL, or run everything in one process with `farmhand up`",
            ));
        }
        Ok(broker)
    }

    pub fn is_embedded(&self) -> bool {
        self.url.is_none()
    }

    /// For people: without the password.
    pub fn shown(&self) -> String {
        self.url.as_ref().map_or_else(|| "in-process".to_owned(), ToString::to_string)
    }

    /// Starts connecting; a broker that is away is waited for in the background.
    pub fn open(&self, instance: &str) -> Result<Opened, Failure> {
        let Some(url) = &self.url else { return Ok(Opened::of(MemoryBus::new())) };
        let mut options = RabbitMqOptions::new(SecretString::from(url.expose()));
        options.topology = self.topology.clone();
        options.ca_file.clone_from(&self.ca_file);
        options.connection_name = format!("farmhand {instance}");
        let bus = RabbitMqBus::start(&options).map_err(|error| {
            let hint = "check FARMHAND_AMQP_URL, amqp.ca_file and amqp.prefix";
            Failure::refused("invalid-configuration", chain(&error), hint)
        })?;
        Ok(Opened::of(bus))
    }
}
