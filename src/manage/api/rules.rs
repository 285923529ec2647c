//! [`Rules`]: the manager's rules for single fields of a body.

use std::time::SystemTime;

use http::StatusCode;

use super::ApiError;
use super::error::UNKNOWN_ABILITY;
use super::field::Field;
use crate::key::{Ability, AbilitySet};
use crate::manage::issue::check_expiry;
use crate::manage::name::check_name;
use crate::manage::{KeyManager, ManageError};
use crate::rfc3339::parse_time;

/// The manager's rules for single fields, or none.
///
/// A body is first read without them, because the manager applies them itself, and later: a repeated request is not
/// refused for what has become wrong since. If fields are wrong, the body is read again with the rules, for an error
/// with all wrong fields.
#[derive(Clone, Copy)]
pub(in crate::manage) struct Rules<'a>(Option<(&'a KeyManager, &'a AbilitySet)>);

impl<'a> Rules<'a> {
    pub(in crate::manage) const NONE: Self = Self(None);

    /// Returns the rules for a key that has these abilities.
    pub(super) const fn of(keys: &'a KeyManager, before: &'a AbilitySet) -> Self {
        Self(Some((keys, before)))
    }

    /// Reads a name.
    pub(super) fn name(self, field: Field) -> Result<String, ApiError> {
        let name = field.text()?;
        if self.0.is_some() {
            check_name(&name)?;
        }
        Ok(name)
    }

    /// Reads a list of abilities.
    pub(super) fn abilities(self, field: Field) -> Result<Vec<Ability>, ApiError> {
        field.list(|text| {
            let ability: Ability = text.parse().map_err(|error| format!("{error}"))?;
            self.check_ability(&ability).map_err(|_| UNKNOWN_ABILITY.to_owned())?;
            Ok::<_, String>(ability)
        })
    }

    fn check_ability(self, ability: &Ability) -> Result<(), ManageError> {
        let Some((keys, before)) = self.0 else { return Ok(()) };
        keys.check_abilities(&AbilitySet::from_iter([ability.clone()]), before)
    }

    /// Reads an expiry; `null` is never.
    pub(super) fn expiry(self, field: Field) -> Result<Option<SystemTime>, ApiError> {
        if field.is_null() {
            return Ok(None);
        }
        let time = field.parse(parse_time)?;
        if let Some((keys, _)) = self.0 {
            check_expiry(Some(time), keys.now())?;
        }
        Ok(Some(time))
    }
}

/// Returns the error of a body with all wrong fields that `read` finds by the [rules](Rules), if `error` is that of
/// a field.
pub(super) fn all_wrong<T>(
    error: ApiError,
    read: impl FnOnce() -> Result<T, ApiError>,
) -> ApiError {
    if error.status() != StatusCode::UNPROCESSABLE_ENTITY {
        return error;
    }
    match read() {
        Ok(_) => error,
        Err(all) if all.covers(&error) => all,
        Err(all) => all.and(error),
    }
}
