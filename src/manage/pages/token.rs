//! [`Token`]: names a form, so that a repeated form has an effect only once.

use crate::key::KeyId;

/// The name of a form, so that a repeated form has an effect only once.
///
/// It is as random as the id of a key, but not a secret: it only distinguishes the forms of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token(String);

impl Token {
    /// Generates a token. Fails only if the random generator fails.
    pub(super) fn new() -> Option<Self> {
        let id = KeyId::generate().ok()?;
        Some(Self(id.as_str().trim_start_matches("key_").to_owned()))
    }

    /// Reads the token of a form.
    pub(super) fn read(text: &str) -> Option<Self> {
        let is_token = (16..=64).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        is_token.then(|| Self(text.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the name of the request, which differs from those of clients of the API.
    pub(super) fn request(&self) -> String {
        format!("form:{}", self.0)
    }
}
