//! A compromised host is cut off: from the request to the proof.

mod kit;
mod lab;
mod many;
mod races;
mod refusals;
mod scope;
mod trouble;
