//! [`parse_query`]: what is revoked besides the key.

use std::fmt;

use http::StatusCode;

use super::ApiError;
use super::field::may_be_told;

/// The parameter that has the successors of a key revoked too.
pub(super) const WITH_SUCCESSORS: &str = "with_successors";

/// Reads whether the successors of a key are to be revoked with it.
///
/// A parameter that is not known is refused: with a typing error, a successor would work on.
pub(super) fn parse_query(query: &str) -> Result<bool, ApiError> {
    let mut with_successors = None;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if name != WITH_SUCCESSORS {
            let message = format!("The parameter is `{WITH_SUCCESSORS}`");
            return Err(match may_be_told(&name) {
                true => wrong(&name, message),
                false => ApiError::new(StatusCode::BAD_REQUEST, message),
            });
        }
        let value = match &*value {
            "true" => true,
            "false" => false,
            _ => return Err(wrong(WITH_SUCCESSORS, "it has to be `true` or `false`")),
        };
        if with_successors.replace(value).is_some() {
            return Err(wrong(WITH_SUCCESSORS, "it is given twice"));
        }
    }
    Ok(with_successors.unwrap_or_default())
}

fn wrong(parameter: &str, message: impl fmt::Display) -> ApiError {
    ApiError::field_is(StatusCode::BAD_REQUEST, parameter, message)
}
