//! [`Fields`]: the fields of a body, with errors that name the wrong ones.

use std::fmt;
use std::str::FromStr;

use http::StatusCode;
use serde_json::{Map, Value};

use super::ApiError;

/// The longest text on a list, in bytes.
const MAX_TEXT: usize = 1024;

/// The most texts on a list.
pub(super) const MAX_ITEMS: usize = 100;

/// The fields of an object that were not taken yet.
pub(super) struct Fields {
    path: String,
    map: Map<String, Value>,
}

/// A value, and its path in the body.
pub(super) struct Field {
    path: String,
    value: Value,
}

/// All that is wrong with a request.
#[derive(Default)]
#[must_use]
pub(super) struct Mistakes(Option<ApiError>);

impl Mistakes {
    /// Returns a value. If it is wrong, keeps the error and returns the default, which [`finish`](Self::finish) then
    /// does not let pass.
    pub(super) fn or_default<T: Default>(&mut self, read: Result<T, ApiError>) -> T {
        read.unwrap_or_else(|error| {
            self.add(error);
            T::default()
        })
    }

    /// Keeps an error.
    pub(super) fn add(&mut self, error: ApiError) {
        self.0 = Some(match self.0.take() {
            Some(others) => others.and(error),
            None => error,
        });
    }

    /// Returns what was read, or all that is wrong.
    pub(super) fn finish<T>(self, read: T) -> Result<T, ApiError> {
        self.0.map_or(Ok(read), Err)
    }
}

impl Fields {
    /// Starts with the whole body.
    pub(super) fn of_body(body: Value) -> Result<Self, ApiError> {
        match body {
            Value::Object(map) => Ok(Self { path: String::new(), map }),
            _ => Err(ApiError::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "The body is not an object: send a JSON object",
            )),
        }
    }

    /// Takes the field `name`, if there is one.
    pub(super) fn take(&mut self, name: &str) -> Option<Field> {
        let value = self.map.remove(name)?;
        Some(Field { path: format!("{}{name}", self.path), value })
    }

    /// Takes the field `name`, if there is one that is not `null`.
    pub(super) fn take_value(&mut self, name: &str) -> Option<Field> {
        self.take(name).filter(|field| !field.value.is_null())
    }

    /// Takes the field `name`.
    pub(super) fn require(&mut self, name: &str) -> Result<Field, ApiError> {
        self.take(name)
            .ok_or_else(|| wrong(format!("{}{name}", self.path), "missing: it is required"))
    }

    /// Refuses fields that were not taken.
    pub(super) fn end(self) -> Result<(), ApiError> {
        let (mut mistakes, path) = (Mistakes::default(), &self.path);
        let (told, untold): (Vec<_>, Vec<_>) = self.map.keys().partition(|name| may_be_told(name));
        for name in told {
            mistakes.add(wrong(format!("{path}{name}"), "unknown field: remove it"));
        }
        if !untold.is_empty() {
            let message = "The body has an unknown field: remove it";
            mistakes.add(match path.strip_suffix('.') {
                Some(path) => wrong(path, message),
                None => ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, message),
            });
        }
        mistakes.finish(())
    }
}

impl Field {
    /// Reads a text.
    pub(super) fn text(self) -> Result<String, ApiError> {
        match self.value {
            Value::String(text) => Ok(text),
            _ => Err(wrong(self.path, "not a string: pass a string")),
        }
    }

    /// Reads `true` or `false`.
    pub(super) fn flag(self) -> Result<bool, ApiError> {
        match self.value {
            Value::Bool(flag) => Ok(flag),
            _ => Err(wrong(self.path, "not a boolean: pass `true` or `false`")),
        }
    }

    /// Reads a whole number that is not above `most`.
    pub(super) fn number(self, most: u64) -> Result<u64, ApiError> {
        // To JSON Schema, `1.0` is a whole number too.
        let whole = |number: f64| (number.fract() == 0.0 && number >= 0.0).then_some(number as u64);
        let number = self.value.as_u64().or_else(|| self.value.as_f64().and_then(whole));
        let number = number.filter(|number| *number <= most);
        let error =
            || wrong(self.path, format!("invalid number: pass a whole number from 0 to {most}"));
        number.ok_or_else(error)
    }

    /// Reads a text by `parse`, whose error repeats nothing of the text.
    pub(super) fn parse<T, E: fmt::Display>(
        self,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, ApiError> {
        let path = self.path.clone();
        parse(&self.text()?).map_err(|error| wrong(path, error))
    }

    /// Reads a list of texts by `parse`, whose error repeats nothing of a text.
    pub(super) fn list<T, E: fmt::Display>(
        self,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Vec<T>, ApiError> {
        let Value::Array(values) = self.value else {
            return Err(wrong(self.path, "not a list: pass an array"));
        };
        if values.len() > MAX_ITEMS {
            return Err(wrong(self.path, format!("too many items: pass at most {MAX_ITEMS}")));
        }
        let item = |(index, value)| {
            let item = Self { path: format!("{}[{index}]", self.path), value };
            if item.value.as_str().is_some_and(|text| text.len() > MAX_TEXT) {
                return Err(wrong(
                    item.path,
                    format!("too long: an item has at most {MAX_TEXT} bytes"),
                ));
            }
            item.parse(&parse)
        };
        let mut mistakes = Mistakes::default();
        let items = values.into_iter().enumerate().map(item);
        let read = items.filter_map(|item| mistakes.or_default(item.map(Some))).collect();
        mistakes.finish(read)
    }

    /// Reads a list of what is written as text.
    pub(super) fn list_of<T: FromStr<Err: fmt::Display>>(self) -> Result<Vec<T>, ApiError> {
        self.list(str::parse)
    }

    /// Reads a list, and passes its items to `collect`.
    pub(super) fn collect<T, C, E: fmt::Display>(
        self,
        collect: impl FnOnce(Vec<T>) -> Result<C, E>,
    ) -> Result<C, ApiError>
    where
        T: FromStr<Err: fmt::Display>,
    {
        let path = self.path.clone();
        collect(self.list_of()?).map_err(|error| wrong(path, error))
    }

    /// Reads an object.
    pub(super) fn object(self) -> Result<Fields, ApiError> {
        match self.value {
            Value::Object(map) => Ok(Fields { path: format!("{}.", self.path), map }),
            _ => Err(wrong(self.path, "not an object: pass an object")),
        }
    }

    /// Returns whether the value is `null`.
    pub(super) fn is_null(&self) -> bool {
        self.value.is_null()
    }
}

/// Returns whether an unknown name may be repeated in an error.
///
/// A key that was pasted in place of a name is longer: it has at least 128 random bits.
pub(super) fn may_be_told(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=20).contains(&name.len()) && name.bytes().all(is_plain)
}

pub(super) fn wrong(field: impl Into<String>, message: impl fmt::Display) -> ApiError {
    ApiError::field_is(StatusCode::UNPROCESSABLE_ENTITY, field, message)
}
