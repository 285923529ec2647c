//! [`ApiKey`]: the text of a key that a program presents.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::key::{FormatError, KeyFormats, Secret};

/// The text of an API key that a program presents.
///
/// Its `Debug` is redacted, it cannot be printed or serialized, and its memory is overwritten when the
/// last clone is dropped. Copies that a layer or a client sends are not overwritten.
///
/// # Examples
///
/// ```
/// use tower_api_key::client::ApiKey;
///
/// let key: ApiKey = "sk_live_abc123def456".parse()?;
/// assert_eq!(format!("{key:?}"), "ApiKey(..)");
/// assert!("sk_live_abc123def456\n".parse::<ApiKey>().is_err());
/// # Ok::<_, tower_api_key::key::FormatError>(())
/// ```
#[derive(Clone)]
pub struct ApiKey(Arc<Zeroizing<String>>);

impl ApiKey {
    /// Parses a text as a key of one of the formats.
    ///
    /// # Errors
    ///
    /// Returns why the text is not a key. The error never holds the text.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::KeyFormat;
    /// use tower_api_key::client::ApiKey;
    /// use tower_api_key::key::{FormatError, KeyFormats};
    ///
    /// let formats = KeyFormats::from(KeyFormat::new("sk_live_"));
    /// assert_eq!(ApiKey::parse("pk_live_1234", &formats).unwrap_err(), FormatError::Prefix);
    /// ```
    pub fn parse(text: &str, formats: &KeyFormats) -> Result<Self, FormatError> {
        formats.parse(text)?;
        Ok(Self(Arc::new(Zeroizing::new(text.to_owned()))))
    }

    /// Reveals the text of the key.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::client::ApiKey;
    ///
    /// let key: ApiKey = "sk_live_abc123def456".parse()?;
    /// assert_eq!(key.reveal(), "sk_live_abc123def456");
    /// # Ok::<_, tower_api_key::key::FormatError>(())
    /// ```
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl FromStr for ApiKey {
    type Err = FormatError;

    /// Parses any text that could be a key.
    fn from_str(text: &str) -> Result<Self, FormatError> {
        Self::parse(text, &KeyFormats::default())
    }
}

impl From<Secret> for ApiKey {
    fn from(secret: Secret) -> Self {
        Self(Arc::new(Zeroizing::new(secret.reveal().to_owned())))
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(..)")
    }
}
