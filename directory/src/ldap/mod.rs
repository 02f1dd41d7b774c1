//! The LDAP adapter: the directory port on ldap3 0.12, against real DCs and the embedded one.
//!
//! [`LdapDirectory`] is one configured directory. It keeps a small pool of connections to each DC
//! ([`pool`](self)), every one encrypted, logged in and asked for its rootDSE before use. What
//! crosses the wire goes through [`LdapDc`], which gives each operation a deadline, a tracing
//! span and a metric, and turns what comes back into the port's types without trusting it.
//!
//! What this adapter holds on to, whatever it is asked:
//!
//! - no password leaves over an unencrypted connection, and no login is anonymous;
//! - a refused login is not repeated, by any connection, lane or task (lockout);
//! - msDS-ManagedPassword is neither asked for, searched by, written nor passed on;
//! - a write whose answer did not come is reported as such, never repeated here.

mod connect;
mod dc;
mod diagnostic;
mod entries;
mod filter;
mod guard;
mod login;
mod observe;
mod options;
mod pages;
mod pool;
mod probe;
mod servers;
mod tls;

mod directory;

pub use dc::LdapDc;
pub use directory::LdapDirectory;
pub use filter::{filter_bytes, filter_value};
pub use options::{LdapOptions, parse_urls};
pub use probe::UrlProbe;
