//! The test kit: real services, throw-away services, processes and faults.
//!
//! It stands on what `deploy/lab/up` starts and looks at the world through other eyes than the
//! product's (`ldapsearch`, `psql`, AMQP by hand), so that a mistake in an adapter cannot hide
//! itself. Everything it makes has a name of its own and goes when its guard is dropped: tests
//! run in parallel and in any order.
//!
//! | module | gives |
//! |---|---|
//! | [`lab`] | where the services are, unique names, [`lab::Cleanup`] for what a test makes in the directory |
//! | [`ldap`] | reading and writing the directory as the administrator |
//! | [`database`] | a fresh PostgreSQL or SQLite database |
//! | [`amqp`] | a topology of the test's own, forged messages |
//! | [`ears`] | what Farmhand announces, as another part of it hears it |
//! | [`session`] | a host that tries passwords, in sessions that stay open |
//! | [`objects`] | groups and gMSAs that no Farmhand made |
//! | [`twin`] | a domain with two DCs that may be cut off from each other, and killed |
//! | [`private`] | RabbitMQ, PostgreSQL, a DC that may be killed, frozen and wiped |
//! | [`proxy`] | a TCP path that can be cut, held and slowed to the byte |
//! | [`process`] | the `farmhand` binary as a child process |
//! | [`cluster`] | orchestrators and workers as processes that belong together; the embedded directory as their DC |
//! | [`wait`] | the only place where tests sleep |
//! | [`world`] | all of Farmhand in this process, on the embedded directory |

pub mod amqp;
pub mod clock;
pub mod cluster;
pub mod computers;
pub mod database;
pub mod ears;
pub mod lab;
pub mod ldap;
pub mod objects;
pub mod private;
pub mod process;
pub mod proxy;
mod script;
pub mod session;
pub mod twin;
pub mod wait;
pub mod world;
