//! How the JSON looks, for the OpenAPI document. `domain` and `store` know nothing of OpenAPI, so
//! their shapes are written down here once more; `contract_tests.rs` compares both.
#![expect(dead_code, reason = "read by the ToSchema derive, never built")]

mod compromise;
mod drift;
mod farm;
mod reaction;
mod report;
mod rotation;
mod schedule;
mod token;
mod workflow;

pub(crate) use compromise::*;
pub(crate) use drift::*;
pub(crate) use farm::*;
pub(crate) use reaction::*;
pub(crate) use report::*;
pub(crate) use rotation::*;
pub(crate) use schedule::*;
pub(crate) use token::*;
pub(crate) use workflow::*;
