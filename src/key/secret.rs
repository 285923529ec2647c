//! [`Secret`]: the text of a new key, shown once.

use std::fmt;

use zeroize::Zeroizing;

/// The text of a newly issued key.
///
/// It is the only type that holds a whole key, and is meant to be shown once: it cannot be cloned,
/// printed or serialized, its `Debug` is redacted, and its memory is overwritten when it is dropped.
///
/// # Examples
///
/// ```
/// use tower_api_key::KeyFormat;
///
/// let secret = KeyFormat::default().generate()?;
/// assert_eq!(format!("{secret:?}"), "Secret(..)");
/// println!("Keep this safe, it is shown once: {}", secret.reveal());
/// # Ok::<_, tower_api_key::key::GenerateError>(())
/// ```
pub struct Secret(Zeroizing<String>);

impl Secret {
    pub(crate) fn new(text: Zeroizing<String>) -> Self {
        Self(text)
    }

    /// Reveals the text of the key.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}
