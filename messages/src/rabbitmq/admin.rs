//! What an administrator of the broker does behind our back. For uninstalling, and for tests.

use lapin::options::{ExchangeDeleteOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;

use super::error::LinkError;
use super::link::Link;
use super::options::{RabbitMqOptions, Settings};
use crate::bus::Origin;
use crate::{BusError, RabbitMqOptionsError, Topology};

/// Changes queues and exchanges from outside of a bus. Every call has a connection of its own.
pub struct RabbitMqAdmin {
    settings: Settings,
}

impl RabbitMqAdmin {
    /// # Errors
    /// For options that can never work.
    pub fn new(options: &RabbitMqOptions) -> Result<Self, RabbitMqOptionsError> {
        Ok(Self { settings: options.settings()? })
    }

    pub fn topology(&self) -> &Topology {
        &self.settings.topology
    }

    /// Deletes a queue with everything in it; one that is not there is fine.
    pub async fn delete_queue(&self, name: &str) -> Result<(), BusError> {
        let link = self.connect().await?;
        let deleted = link.channel.queue_delete(name.into(), QueueDeleteOptions::default()).await;
        link.close().await;
        deleted.map(|_| ()).map_err(|error| LinkError::opening(error).to_bus_error())
    }

    /// Declares a durable classic queue: what a name clash with another program looks like.
    pub async fn declare_classic_queue(&self, name: &str) -> Result<(), BusError> {
        let link = self.connect().await?;
        let (options, arguments) = (QueueDeclareOptions::durable(), FieldTable::default());
        let declared = link.channel.queue_declare(name.into(), options, arguments).await;
        link.close().await;
        declared.map(|_| ()).map_err(|error| LinkError::opening(error).to_bus_error())
    }

    /// Deletes an exchange; one that is not there is fine.
    pub async fn delete_exchange(&self, name: &str) -> Result<(), BusError> {
        let link = self.connect().await?;
        let deleted = link.channel.exchange_delete(name.into(), ExchangeDeleteOptions::default()).await;
        link.close().await;
        deleted.map_err(|error| LinkError::opening(error).to_bus_error())
    }

    /// Deletes everything that a bus with these options declares.
    pub async fn delete_topology(&self) -> Result<(), BusError> {
        let topology = &self.settings.topology;
        for origin in Origin::all() {
            self.delete_queue(&topology.queue_of(origin)).await?;
        }
        self.delete_queue(&topology.dead_letters()).await?;
        self.delete_exchange(&topology.workflows_exchange()).await?;
        self.delete_exchange(&topology.requests_exchange()).await?;
        self.delete_exchange(&topology.events_exchange()).await?;
        self.delete_exchange(&topology.dead_letters()).await
    }

    async fn connect(&self) -> Result<Link, BusError> {
        Link::connect(&self.settings, "admin").await.map_err(|error| error.to_bus_error())
    }
}
