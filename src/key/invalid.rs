//! [`InvalidFields`]: all mistakes in a new key, a change or a query.

use std::error::Error;
use std::fmt;

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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InvalidFields(Vec<InvalidField>);

/// An invalid field, and the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidField {
    path: String,
    reason: String,
}

impl InvalidField {
    /// Returns the name of the field, such as `tenant`, or `abilities[1]` for the second item of a list. It is the
    /// name of the method that sets the field.
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
    pub(crate) const NONE: Self = Self(Vec::new());

    /// Returns the invalid fields.
    pub fn iter(&self) -> impl Iterator<Item = &InvalidField> {
        self.0.iter()
    }

    /// Converts a value, or keeps the mistake in it.
    pub(crate) fn convert<T, V>(&mut self, name: &'static str, value: V) -> Option<T>
    where
        V: TryInto<T, Error: fmt::Display>,
    {
        value.try_into().map_err(|error| self.add(name, None, error)).ok()
    }

    /// Converts the values of a list that has `before` valid items already.
    pub(crate) fn convert_all<T, V>(
        &mut self,
        name: &'static str,
        before: usize,
        values: impl IntoIterator<Item = V>,
    ) -> Vec<T>
    where
        V: TryInto<T, Error: fmt::Display>,
    {
        // Invalid items count in the index, too.
        let start = format!("{name}[");
        let before =
            before + self.0.iter().filter(|invalid| invalid.path.starts_with(&start)).count();
        let values = values.into_iter().enumerate();
        let convert = |(index, value): (usize, V)| {
            value.try_into().map_err(|error| self.add(name, Some(before + index), error)).ok()
        };
        values.filter_map(convert).collect()
    }

    /// Keeps a mistake.
    pub(crate) fn add(
        &mut self,
        name: &'static str,
        index: Option<usize>,
        reason: impl fmt::Display,
    ) {
        if self.0.len() < MAX_MISTAKES {
            let path = index.map_or_else(|| name.to_owned(), |index| format!("{name}[{index}]"));
            self.0.push(InvalidField { path, reason: reason.to_string() });
        }
    }

    /// Tells whether there are no mistakes.
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the mistakes as an error, if there are any.
    pub(crate) fn check(&self) -> Result<(), Self> {
        if self.is_empty() { Ok(()) } else { Err(self.clone()) }
    }
}

impl fmt::Display for InvalidFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, InvalidField { path, reason }) in self.0.iter().enumerate() {
            write!(f, "{}{path}: {reason}", if index == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

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
        assert!(invalid.convert_all::<TenantId, _>("tenants", 3, texts).is_empty());
        let text = invalid.check().unwrap_err().to_string();
        assert!(text.contains("; tenants[3]: a tenant id has 1 to 128 characters"), "{text}");
        assert_eq!(invalid.iter().count(), MAX_MISTAKES);
    }

    #[test]
    fn a_mistake_is_told_with_its_place_among_all_values_of_several_calls() {
        let mut invalid = InvalidFields::NONE;
        let mut tenants: Vec<TenantId> = Vec::new();
        for text in ["a b", "acme", "c d", "initech", "e f"] {
            tenants.extend(invalid.convert_all("tenants", tenants.len(), [text]));
        }
        let fields: Vec<_> = invalid.iter().map(InvalidField::field).collect();
        assert_eq!(fields, ["tenants[0]", "tenants[2]", "tenants[4]"]);
    }
}
