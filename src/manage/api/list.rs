//! [`parse_query`]: the filters of the list of keys.

use std::borrow::Cow;
use std::fmt;

use http::StatusCode;

use super::ApiError;
use super::field::may_be_told;
use crate::key::{KeyKind, Stage};
use crate::rfc3339::parse_time;
use crate::store::{Actor, KeyCursor, KeyQuery, KeyState};

/// How many keys a page has by default, and at most.
pub(super) const DEFAULT_LIMIT: usize = 20;
pub(super) const MAX_LIMIT: usize = 100;

/// The longest part of a name, in characters: as long as a name.
pub(super) const MAX_NAME: usize = 100;

/// The parameters.
#[derive(Default)]
struct Parameters<'a>([Option<Cow<'a, str>>; NAMES.len()]);

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
///
/// An unknown parameter is refused: a filter with a typing error would list other keys.
pub(super) fn parse_query(query: &str) -> Result<KeyQuery, ApiError> {
    let mut given = Parameters::read(query)?;
    let mut parsed = KeyQuery::new().limit(DEFAULT_LIMIT);
    if let Some(limit) = given.take("limit", parse_limit)? {
        parsed.limit = limit;
    }
    parsed.after = given.take("cursor", str::parse::<KeyCursor>)?;
    parsed.state = given.take("state", |text| one_of(text, KeyState::ALL, STATES))?;
    parsed.name = given.take("name", part_of_a_name)?;
    parsed.stage = given.take("stage", str::parse::<Stage>)?;
    parsed.kind = given.take("kind", |text| one_of(text, KINDS, KINDS_ARE))?;
    parsed.created_by = given.take("created_by", str::parse::<Actor>)?;
    parsed.unused_since = given.take("unused_since", parse_time)?;
    parsed.rotation_due_by = given.take("rotation_due_by", parse_time)?;
    Ok(parsed)
}

impl<'a> Parameters<'a> {
    fn read(query: &'a str) -> Result<Self, ApiError> {
        let mut read = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let Some(index) = NAMES.iter().position(|known| *known == name) else {
                return Err(match may_be_told(&name) {
                    true => wrong(&name, UNKNOWN),
                    false => ApiError::new(StatusCode::BAD_REQUEST, UNKNOWN),
                });
            };
            if read.0[index].replace(value).is_some() {
                return Err(wrong(NAMES[index], "given twice: pass it once"));
            }
        }
        Ok(read)
    }

    /// Reads a parameter, if there is one, by `parse`, whose error repeats nothing of its text.
    fn take<T, E: fmt::Display>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, ApiError> {
        let index = NAMES.iter().position(|known| *known == name);
        let text = index.and_then(|index| self.0[index].take());
        text.map(|text| parse(&text).map_err(|error| wrong(name, error))).transpose()
    }
}

const STATES: &str = "unknown state: use `active`, `disabled`, `expired`, `revoked` or `suspended`";

pub(super) const KINDS: [KeyKind; 2] = [KeyKind::Secret, KeyKind::Public];
const KINDS_ARE: &str = "unknown kind: use `secret` or `public`";

fn one_of<T: fmt::Display>(
    text: &str,
    known: impl IntoIterator<Item = T>,
    expected: &'static str,
) -> Result<T, &'static str> {
    known.into_iter().find(|known| known.to_string() == text).ok_or(expected)
}

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

pub(super) fn wrong(parameter: &str, message: impl fmt::Display) -> ApiError {
    ApiError::field_is(StatusCode::BAD_REQUEST, parameter, message)
}
