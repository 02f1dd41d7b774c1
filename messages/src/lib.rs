//! What the processes of Farmhand say to each other.
//!
//! A message is a hint: it carries ids and a reason, never a decision. Whoever receives one
//! reloads everything from the database, so a lost, late, doubled or forged message changes
//! nothing.
//!
//! To add a message: a struct in `event.rs` with a golden JSON test, a name in `topology.rs`
//! if it travels a new way, an entry in `asyncapi.rs`, and a case in the contract suite
//! (`tests/tests/bus_contract.rs`) if it needs a new promise.

pub mod announcements;
pub mod asyncapi;
pub mod bus;
pub mod cloud_event;
pub mod envelope;
pub mod event;
pub mod memory;
pub mod rabbitmq;
pub mod request;
pub mod requests;
pub mod topology;
pub mod trace;

pub use announcements::{Announcements, Heard, Listener, Publisher};
pub use asyncapi::asyncapi;
pub use bus::{Bus, BusError, BusHealth, Consumer, DeadLetter, Delivery, Origin, Settle};
pub use cloud_event::CloudEvent;
pub use envelope::{Envelope, EnvelopeError};
pub use event::WorkflowEvent;
pub use memory::MemoryBus;
pub use rabbitmq::{
    Overheard, RabbitMqAdmin, RabbitMqAsker, RabbitMqBus, RabbitMqOptions, RabbitMqOptionsError, RabbitMqPeer,
};
pub use request::{Answered, ReplyData, RequestEvent};
pub use requests::{Asker, Reply, RequestConsumer, RequestDelivery, Requests};
pub use topology::Topology;
