//! [`InvalidFields`]: all mistakes in a new key, a change or a query.

use std::error::Error;
use std::fmt;
use std::time::SystemTime;

use crate::clock::in_range;

/// The most mistakes that are kept, so that a long list of wrong texts does not fill the memory.
const MAX_MISTAKES: usize = 100;

/// The error of a new key, a change or a query with invalid fields. It lists all of them, in the order in which
/// they were set.
///
/// Builders such as [`NewKey`](crate::NewKey) take texts or values. They never panic over a text: they keep the
/// mistake, and the call that uses the builder returns this error and does nothing.
///
/// # Examples
///
/// ```
/// use tower_api_key::key::IssueError;
/// use tower_api_key::{KeyScheme, NewKey};
///
/// let key = NewKey::named("nightly import").tenant("a b").abilities(["bots:read", "bots write"]);
/// let Err(IssueError::Invalid(invalid)) = key.generate(&KeyScheme::default()) else { panic!() };
/// let fields: Vec<_> = invalid.iter().map(|invalid| invalid.field()).collect();
/// assert_eq!(fields, ["tenant", "abilities[1]"]);
/// assert!(invalid.to_string().starts_with("tenant: a tenant id has 1 to 128 characters"));
/// ```
#[derive(Clone, Default)]
pub struct InvalidFields {
    list: Vec<InvalidField>,
    /// How many items of each list were passed, for the places of the next ones. No part of the error.
    passed: Vec<(&'static str, usize)>,
}

/// An invalid field, and the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidField {
    path: String,
    reason: String,
}

impl InvalidField {
    /// Returns the name of the field, such as `tenant`, or `abilities[1]` for the second item of a list. It is the
    /// name of the method that sets the field. The index counts all items that were passed to the method, in all
    /// calls.
    #[must_use]
    pub fn field(&self) -> &str {
        &self.path
    }

    /// Returns what is wrong, and the rule for the field.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl InvalidFields {
    /// No mistakes yet.
    pub(crate) const NONE: Self = Self { list: Vec::new(), passed: Vec::new() };

    /// Returns the invalid fields.
    pub fn iter(&self) -> impl Iterator<Item = &InvalidField> {
        self.list.iter()
    }

    /// Converts a value, or keeps the mistake in it.
    pub(crate) fn convert<T, V>(&mut self, name: &'static str, value: V) -> Option<T>
    where
        V: TryInto<T, Error: fmt::Display>,
    {
        value.try_into().map_err(|error| self.add(name, None, error)).ok()
    }

    /// Converts the values of a list, and keeps the mistakes in them.
    pub(crate) fn convert_all<T, V>(
        &mut self,
        name: &'static str,
        values: impl IntoIterator<Item = V>,
    ) -> Vec<T>
    where
        V: TryInto<T, Error: fmt::Display>,
    {
        let convert = |value: V| {
            let index = self.count(name);
            value.try_into().map_err(|error| self.add(name, Some(index), error)).ok()
        };
        values.into_iter().filter_map(convert).collect()
    }

    /// Returns the index of the next item of a list. The list itself may have fewer items than were passed: without
    /// invalid ones and duplicates, or after it was cleared.
    fn count(&mut self, name: &'static str) -> usize {
        let known = self.passed.iter().position(|(known, _)| *known == name);
        let place = known.unwrap_or_else(|| {
            self.passed.push((name, 0));
            self.passed.len() - 1
        });
        let (_, passed) = &mut self.passed[place];
        *passed += 1;
        *passed - 1
    }

    /// Returns a time that every store can keep, to the microsecond, or keeps the mistake.
    pub(crate) fn time(
        &mut self,
        name: &'static str,
        time: Option<SystemTime>,
    ) -> Option<SystemTime> {
        let time = time.map(in_range).transpose();
        time.unwrap_or_else(|error| {
            self.add(name, None, error);
            None
        })
    }

    /// Keeps a mistake.
    pub(crate) fn add(
        &mut self,
        name: &'static str,
        index: Option<usize>,
        reason: impl fmt::Display,
    ) {
        if self.list.len() < MAX_MISTAKES {
            let path = index.map_or_else(|| name.to_owned(), |index| format!("{name}[{index}]"));
            self.list.push(InvalidField { path, reason: reason.to_string() });
        }
    }

    /// Tells whether there are no mistakes.
    pub(crate) const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Returns the mistakes as an error, if there are any.
    pub(crate) fn check(&self) -> Result<(), Self> {
        if self.is_empty() { Ok(()) } else { Err(self.clone()) }
    }
}

impl fmt::Display for InvalidFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, InvalidField { path, reason }) in self.list.iter().enumerate() {
            write!(f, "{}{path}: {reason}", if index == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl fmt::Debug for InvalidFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("InvalidFields").field(&self.list).finish()
    }
}

impl PartialEq for InvalidFields {
    fn eq(&self, other: &Self) -> bool {
        self.list == other.list
    }
}

impl Eq for InvalidFields {}

impl Error for InvalidFields {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::TenantId;

    #[test]
    fn all_mistakes_are_told_and_no_more_of_them_kept_than_somebody_reads() {
        let mut invalid = InvalidFields::NONE;
        assert_eq!(invalid.check(), Ok(()));
        assert_eq!(invalid.convert::<TenantId, _>("tenant", "a b"), None);
        let texts = (0..1000).map(|number| format!("{number} {number}"));
        assert!(invalid.convert_all::<TenantId, _>("tenants", texts).is_empty());
        let text = invalid.check().unwrap_err().to_string();
        assert!(text.contains("; tenants[0]: a tenant id has 1 to 128 characters"), "{text}");
        assert_eq!(invalid.iter().count(), MAX_MISTAKES);
    }

    #[test]
    fn a_mistake_is_told_with_its_place_among_all_values_of_several_calls() {
        let mut invalid = InvalidFields::NONE;
        let mut tenants: Vec<TenantId> = Vec::new();
        for text in ["a b", "acme", "c d", "initech", "e f"] {
            tenants.extend(invalid.convert_all("tenants", [text]));
        }
        let fields: Vec<_> = invalid.iter().map(InvalidField::field).collect();
        assert_eq!(fields, ["tenants[0]", "tenants[2]", "tenants[4]"]);
    }
}
