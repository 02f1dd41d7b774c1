//! The embedded directory over the wire, with a client of its own: what the product's client
//! never does (unpaged searches, forged controls, other people's logins) must be right too.

mod adapter;
mod client;
mod faults;
mod limits;
mod paging;
mod protocol;
mod rules;
mod scale;
mod storage;
