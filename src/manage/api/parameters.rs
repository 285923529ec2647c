//! [`Parameters`]: the parameters of a query, with errors that name the wrong ones.

use std::borrow::Cow;
use std::fmt;

use http::StatusCode;

use super::ApiError;
use super::field::{Mistakes, may_be_told};

/// The parameters of a query that were not taken yet.
///
/// An unknown parameter is refused: with a typing error in it, the answer would be another one.
pub(super) struct Parameters<'a, const N: usize> {
    names: [&'static str; N],
    given: [Option<Cow<'a, str>>; N],
    mistakes: Mistakes,
}

impl<'a, const N: usize> Parameters<'a, N> {
    /// Starts with all parameters of a query. `unknown` is the message for others than those with these names.
    pub(super) fn read(query: &'a str, names: [&'static str; N], unknown: &'static str) -> Self {
        let (mut given, mut mistakes) = ([const { None }; N], Mistakes::default());
        let mut has_untold = false;
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match names.iter().position(|known| *known == name) {
                Some(index) if given[index].is_some() => {
                    mistakes.add(wrong(names[index], "given twice: pass it once"));
                }
                Some(index) => given[index] = Some(value),
                None if may_be_told(&name) => mistakes.add(wrong(&name, unknown)),
                None => has_untold = true,
            }
        }
        if has_untold {
            mistakes.add(ApiError::new(StatusCode::BAD_REQUEST, unknown));
        }
        Self { names, given, mistakes }
    }

    /// Reads a parameter, if there is one, by `parse`, whose error repeats nothing of its text.
    pub(super) fn take<T, E: fmt::Display>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let index = self.names.iter().position(|known| *known == name);
        let text = index.and_then(|index| self.given[index].take());
        let read = text.map(|text| parse(&text).map_err(|error| wrong(name, error)));
        self.mistakes.or_default(read.transpose())
    }

    /// Returns what was read, or all that is wrong.
    pub(super) fn finish<T>(self, read: T) -> Result<T, ApiError> {
        self.mistakes.finish(read)
    }
}

/// Reads one of several texts.
pub(super) fn one_of<T: fmt::Display>(
    text: &str,
    known: impl IntoIterator<Item = T>,
    expected: &'static str,
) -> Result<T, &'static str> {
    known.into_iter().find(|known| known.to_string() == text).ok_or(expected)
}

/// Returns the error of a wrong parameter.
pub(super) fn wrong(parameter: &str, message: impl fmt::Display) -> ApiError {
    ApiError::field_is(StatusCode::BAD_REQUEST, parameter, message)
}
