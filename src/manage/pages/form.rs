//! [`Form`]: the fields that a browser sends.

use http::{HeaderMap, StatusCode, header};

use crate::manage::api::ApiError;

/// The fields of a form or of a query, as the browser sent them.
#[derive(Default)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads the body of a form. Other bodies are refused.
    pub(super) fn of_body(headers: &HeaderMap, body: &[u8]) -> Result<Self, ApiError> {
        let content_type = headers.get(header::CONTENT_TYPE).map(|value| value.as_bytes());
        let essence = content_type.and_then(|value| value.split(|byte| *byte == b';').next());
        let is_form = essence.is_some_and(|essence| {
            essence.trim_ascii().eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
        });
        match is_form {
            true => Ok(Self::parse(body)),
            false => {
                let message = "The body has to be that of a form";
                Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message))
            }
        }
    }

    pub(super) fn parse(text: &[u8]) -> Self {
        let fields = form_urlencoded::parse(text);
        Self(fields.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    /// Returns the first value of a field, or an empty text.
    pub(super) fn get(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(each, _)| each == name);
        found.map_or("", |(_, value)| value)
    }

    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(each, _)| each == name).map(|(_, value)| &**value)
    }

    /// Returns the fields whose names begin with `prefix`, by the rest of their names.
    pub(super) fn under(&self, prefix: &str) -> impl Iterator<Item = (String, String)> {
        // Backwards, so that a map of them has the first value of each.
        let fields = self.0.iter().rev();
        fields.filter_map(move |(name, value)| {
            Some((name.strip_prefix(prefix)?.to_owned(), value.clone()))
        })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(each, _)| each == name)
    }
}
