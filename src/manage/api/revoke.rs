//! [`parse_query`]: whether successors are revoked as well.

use std::fmt;

use http::StatusCode;

use super::ApiError;
use super::field::may_be_told;

/// The parameter that also revokes the successors of a key.
pub(super) const WITH_SUCCESSORS: &str = "with_successors";

/// Reads whether the successors of a key are revoked as well.
///
/// An unknown parameter is refused: after a typing error, a successor would still work.
pub(super) fn parse_query(query: &str) -> Result<bool, ApiError> {
    let mut with_successors = None;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if name != WITH_SUCCESSORS {
            let message = format!("Unknown parameter: use `{WITH_SUCCESSORS}`");
            return Err(match may_be_told(&name) {
                true => wrong(&name, message),
                false => ApiError::new(StatusCode::BAD_REQUEST, message),
            });
        }
        let value = match &*value {
            "true" => true,
            "false" => false,
            _ => return Err(wrong(WITH_SUCCESSORS, "not a boolean: pass `true` or `false`")),
        };
        if with_successors.replace(value).is_some() {
            return Err(wrong(WITH_SUCCESSORS, "given twice: pass it once"));
        }
    }
    Ok(with_successors.unwrap_or_default())
}

fn wrong(parameter: &str, message: impl fmt::Display) -> ApiError {
    ApiError::field_is(StatusCode::BAD_REQUEST, parameter, message)
}
