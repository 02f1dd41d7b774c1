//! What other systems are told, from the fact to their queue.

mod broker;
mod embedded;
#[path = "../containment/kit.rs"]
#[expect(dead_code, reason = "shared with the scenarios of the containment")]
mod kit;
