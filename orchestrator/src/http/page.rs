//! Lists are `{items, next}`; `next` is an opaque cursor or null.

use super::errors::ApiError;

const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 200;

pub(crate) fn limit(given: Option<u32>) -> Result<u32, ApiError> {
    let limit = given.unwrap_or(DEFAULT_LIMIT);
    if (1..=MAX_LIMIT).contains(&limit) {
        return Ok(limit);
    }
    let message = format!("limit is {limit}, allowed is 1 to {MAX_LIMIT}");
    Err(ApiError::invalid(message, "ask for a smaller page and follow `next`"))
}
