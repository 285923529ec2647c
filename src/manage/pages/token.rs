//! [`Token`]: names a form, so that what is sent twice is done once.

use crate::key::KeyId;

/// Names a form, so that what is sent twice is done once.
///
/// It is as random as the id of a key, and no secret: it only keeps a form apart from others of the tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token(String);

impl Token {
    /// Makes one, if the system has random numbers.
    pub(super) fn new() -> Option<Self> {
        let id = KeyId::generate().ok()?;
        Some(Self(id.as_str().trim_start_matches("key_").to_owned()))
    }

    /// Reads one that came with a form.
    pub(super) fn read(text: &str) -> Option<Self> {
        let is_token = (16..=64).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        is_token.then(|| Self(text.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the name of the request, which is none that a client of the API happens to use.
    pub(super) fn request(&self) -> String {
        format!("form:{}", self.0)
    }
}
