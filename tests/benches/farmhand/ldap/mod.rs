//! The directory operations of one deploy: recorded at the port, replayed by bare ldap3.

pub mod bare;
pub mod record;
mod replay;
mod substitute;

pub use bare::Bare;
pub use replay::{Order, replay};
