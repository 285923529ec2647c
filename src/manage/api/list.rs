//! [`parse_query`]: the filters of the list of keys.

use super::ApiError;
use super::parameters::{Parameters, one_of};
use crate::key::{KeyKind, Stage};
use crate::rfc3339::parse_time;
use crate::store::{Actor, KeyCursor, KeyQuery, KeyState};

/// How many keys a page has by default, and at most.
pub(super) const DEFAULT_LIMIT: usize = 20;
pub(super) const MAX_LIMIT: usize = 100;

/// The longest part of a name, in characters: as long as a name.
pub(super) const MAX_NAME: usize = 100;

const NAMES: [&str; 9] = [
    "limit",
    "cursor",
    "state",
    "name",
    "stage",
    "kind",
    "created_by",
    "unused_since",
    "rotation_due_by",
];

const UNKNOWN: &str = "Unknown parameter: use `limit`, `cursor`, `state`, `name`, `stage`, `kind`, \
                       `created_by`, `unused_since` and `rotation_due_by`";

/// Reads the query of a request.
pub(super) fn parse_query(query: &str) -> Result<KeyQuery, ApiError> {
    let mut given = Parameters::read(query, NAMES, UNKNOWN);
    let mut parsed = KeyQuery::new().limit(DEFAULT_LIMIT);
    if let Some(limit) = given.take("limit", parse_limit) {
        parsed.limit = limit;
    }
    parsed.after = given.take("cursor", str::parse::<KeyCursor>);
    parsed.state = given.take("state", |text| one_of(text, KeyState::ALL, STATES));
    parsed.name = given.take("name", part_of_a_name);
    parsed.stage = given.take("stage", str::parse::<Stage>);
    parsed.kind = given.take("kind", |text| one_of(text, KINDS, KINDS_ARE));
    parsed.created_by = given.take("created_by", str::parse::<Actor>);
    parsed.unused_since = given.take("unused_since", parse_time);
    parsed.rotation_due_by = given.take("rotation_due_by", parse_time);
    given.finish(parsed)
}

const STATES: &str = "unknown state: use `active`, `disabled`, `expired`, `revoked` or `suspended`";

pub(super) const KINDS: [KeyKind; 2] = [KeyKind::Secret, KeyKind::Public];
const KINDS_ARE: &str = "unknown kind: use `secret` or `public`";

fn part_of_a_name(text: &str) -> Result<String, String> {
    match (1..=MAX_NAME).contains(&text.chars().take(MAX_NAME + 1).count()) {
        true => Ok(text.to_owned()),
        false => Err(format!("invalid part of a name: use 1 to {MAX_NAME} characters")),
    }
}

/// Reads the number of keys of a page.
pub(super) fn parse_limit(text: &str) -> Result<usize, String> {
    let limit = text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
    limit.ok_or_else(|| format!("invalid number: pass one from 1 to {MAX_LIMIT}"))
}
