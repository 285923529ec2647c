//! [`parse_query`]: which keys are listed.

use std::fmt;

use http::StatusCode;

use super::ApiError;
use super::field::may_be_told;
use crate::store::{KeyQuery, KeyState};

/// How many keys a page has unless the query says otherwise, and at most.
pub(super) const DEFAULT_LIMIT: usize = 20;
pub(super) const MAX_LIMIT: usize = 100;

/// Reads the query of a request.
///
/// A parameter that is not known is refused: a filter with a typing error would list other keys
/// than were asked for.
pub(super) fn parse_query(query: &str) -> Result<KeyQuery, ApiError> {
    let (mut limit, mut cursor, mut state) = (None, None, None);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let (name, parameter) = match &*name {
            "limit" => ("limit", &mut limit),
            "cursor" => ("cursor", &mut cursor),
            "state" => ("state", &mut state),
            other if may_be_told(other) => return Err(wrong(other, UNKNOWN)),
            _ => return Err(ApiError::new(StatusCode::BAD_REQUEST, UNKNOWN)),
        };
        if parameter.replace(value).is_some() {
            return Err(wrong(name, "it is given twice"));
        }
    }
    let mut parsed = KeyQuery::new().limit(DEFAULT_LIMIT);
    if let Some(limit) = limit {
        let limit = limit.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
        let error = || wrong("limit", format!("a number from 1 to {MAX_LIMIT} is expected"));
        parsed = parsed.limit(limit.ok_or_else(error)?);
    }
    if let Some(cursor) = cursor {
        parsed = parsed.after(Some(cursor.parse().map_err(|error| wrong("cursor", error))?));
    }
    if let Some(state) = state {
        let known = KeyState::ALL.into_iter().find(|known| known.as_str() == state);
        parsed = parsed.state(known.ok_or_else(|| wrong("state", STATES))?);
    }
    Ok(parsed)
}

const UNKNOWN: &str = "The parameters are `limit`, `cursor` and `state`";

const STATES: &str = "a state is `active`, `disabled`, `expired`, `revoked` or `suspended`";

fn wrong(parameter: &str, message: impl fmt::Display) -> ApiError {
    ApiError::field_is(StatusCode::BAD_REQUEST, parameter, message)
}
