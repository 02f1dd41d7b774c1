//! Webhooks: kept with their secrets, told of events with a log of each attempt, and heard.

mod deliver;
mod keep;
mod model;
mod receive;

pub use model::{
    Attempt, ClaimedDelivery, Delivery, DeliveryStats, NewDelivery, Received, Settlement, Webhook,
};
