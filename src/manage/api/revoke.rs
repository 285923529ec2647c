//! [`parse_query`]: whether successors are revoked as well.

use super::ApiError;
use super::parameters::{Parameters, one_of};

/// The parameter that also revokes the successors of a key.
pub(super) const WITH_SUCCESSORS: &str = "with_successors";

/// Reads whether the successors of a key are revoked as well.
///
/// An unknown parameter is refused: after a typing error, a successor would still work.
pub(super) fn parse_query(query: &str) -> Result<bool, ApiError> {
    let mut given = Parameters::read(query, [WITH_SUCCESSORS], UNKNOWN);
    let with_successors = given.take(WITH_SUCCESSORS, |text| one_of(text, [true, false], FLAG));
    given.finish(with_successors.unwrap_or_default())
}

const UNKNOWN: &str = "Unknown parameter: use `with_successors`";
const FLAG: &str = "not a boolean: pass `true` or `false`";
