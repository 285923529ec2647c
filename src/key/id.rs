//! [`KeyId`], [`Stage`] and [`TenantId`]: short names in plain characters.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

use super::Alphabet;
use super::compact::Compact;
use crate::text::is_text;

/// The longest name that is accepted, in bytes.
const MAX_LENGTH: usize = 128;

/// The error of a name that is empty, too long, or has an invalid character.
///
/// A name has 1 to 128 characters of `A-Z`, `a-z`, `0-9`, `_`, `-` and `.`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a {0} has 1 to 128 characters of A-Z, a-z, 0-9, `_`, `-` and `.`")]
pub struct IdError(&'static str);

/// Ids of this crate are stored in place; longer ones are shared by their owners.
type Id = Compact<31, Arc<str>>;

fn parse<T: for<'a> From<&'a str>>(text: &str, what: &'static str) -> Result<T, IdError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if (1..=MAX_LENGTH).contains(&text.len()) && text.bytes().all(allowed) {
        Ok(text.into())
    } else {
        Err(IdError(what))
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($text:ty), $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        #[cfg_attr(feature = "serde", serde(try_from = "String", into = "String"))]
        pub struct $name($text);

        impl $name {
            /// Returns the text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                self.0.as_ref()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                parse(text, $what).map(Self)
            }
        }

        is_text!($name);

        impl super::HeapSize for $name {
            fn heap_size(&self) -> usize {
                self.0.heap_size()
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                self.as_str() == other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                self.as_str() == *other
            }
        }
    };
}

id! {
    /// The public id of a key, `key_…`, for logs, lists and revocation.
    ///
    /// It never authenticates: neither the id nor the secret can be computed from the other.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::KeyId;
    ///
    /// let id = KeyId::generate().expect("the operating system has randomness");
    /// assert!(id.as_str().starts_with("key_"));
    /// assert_eq!(id.as_str().parse(), Ok(id));
    /// ```
    KeyId(Id), "key id"
}

impl KeyId {
    /// Generates a new id with 119 random bits.
    ///
    /// # Errors
    ///
    /// Returns an error if the operating system has no randomness to give.
    pub fn generate() -> Result<Self, super::GenerateError> {
        let mut text = String::with_capacity(24);
        text.push_str("key_");
        super::random_text(Alphabet::Base62, 20, &mut text)?;
        Ok(Self(text.as_str().into()))
    }
}

impl KeyId {
    /// Returns the bytes of the text without a check.
    #[inline]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl TenantId {
    /// Tells whether both share one allocation.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Tells whether the allocation is shared.
    pub(crate) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

id! {
    /// The stage, environment or mode for which a key was issued: `prod` and `dev`, or
    /// `live` and `test`.
    ///
    /// It is case-sensitive: `prod` is not `PROD`.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::Stage;
    ///
    /// let stage: Stage = "prod".parse()?;
    /// assert_eq!(stage.as_str(), "prod");
    /// # Ok::<_, tower_api_key::key::IdError>(())
    /// ```
    Stage(Arc<str>), "stage"
}

id! {
    /// The company, workspace or account on whose behalf a key acts.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::TenantId;
    ///
    /// let tenant: TenantId = "acme".parse()?;
    /// assert_eq!(tenant.as_str(), "acme");
    /// assert!("two words".parse::<TenantId>().is_err());
    /// # Ok::<_, tower_api_key::key::IdError>(())
    /// ```
    TenantId(Arc<str>), "tenant id"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        assert_eq!("prod".parse::<Stage>().unwrap(), "prod");
        for wrong in ["", "a b", "a/b", "ä", "a\n", "a\"b", &"x".repeat(129)] {
            assert!(wrong.parse::<TenantId>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_error_says_what_is_allowed_without_repeating_the_input() {
        let error = "hush hush".parse::<KeyId>().unwrap_err().to_string();
        assert!(error.starts_with("a key id has 1 to 128") && !error.contains("hush"));
    }

    #[test]
    fn two_ids_differ() {
        assert_ne!(KeyId::generate().unwrap(), KeyId::generate().unwrap());
    }
}
