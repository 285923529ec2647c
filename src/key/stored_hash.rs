//! [`StoredHash`]: the hash of a key that another system stored.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use thiserror::Error;

use super::KeyDigest;
use super::digest::after_id;

/// Either alphabet, padded or not.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// The SHA-256 or HMAC-SHA-256 of a key that another system stored.
///
/// It is parsed from 64 hexadecimal digits in either case, or from base64 in either alphabet, with or
/// without padding.
///
/// # Examples
///
/// ```
/// use tower_api_key::KeyHasher;
/// use tower_api_key::key::StoredHash;
///
/// let hash: StoredHash = "vil0VGl443OebW2oXEvp8zTOMt8rn9S2/xtVwNV+nUQ=".parse()?;
/// assert_eq!(hash.of_key(), KeyHasher::sha256().digest("key-1"));
///
/// let error = "$2y$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"
///     .parse::<StoredHash>()
///     .unwrap_err();
/// assert!(error.to_string().starts_with("no key can be looked up by a hash of bcrypt"));
/// # Ok::<_, tower_api_key::key::StoredHashError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct StoredHash(KeyDigest);

/// The error of a text by which no key can be looked up. It never holds the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StoredHashError {
    /// It is a salted password hash, which differs each time.
    #[error(
        "no key can be looked up by a hash of {0}, which has a salt: leave it in its table, and set \
         `ApiKeyLayer::fallback`, which asks there and adopts each key when it is first used"
    )]
    Salted(&'static str),
    /// It is a hash of another algorithm, or not a hash.
    #[error(
        "not a SHA-256 or HMAC-SHA-256: write 64 hexadecimal digits, or 43 characters of \
         base64 with padding or without"
    )]
    Form,
}

/// The prefixes of salted hashes, with the names of their algorithms.
const SALTED: [(&str, &str); 12] = [
    ("$2$", "bcrypt"),
    ("$2a$", "bcrypt"),
    ("$2b$", "bcrypt"),
    ("$2x$", "bcrypt"),
    ("$2y$", "bcrypt"),
    ("$argon2", "Argon2"),
    ("$scrypt$", "scrypt"),
    ("$7$", "scrypt"),
    ("$s0$", "scrypt"),
    ("$pbkdf2", "PBKDF2"),
    ("pbkdf2_", "PBKDF2"),
    ("pbkdf2:", "PBKDF2"),
];

impl StoredHash {
    /// Returns the digest of a key whose whole text was hashed. The layer needs a
    /// [`KeyHasher`](super::KeyHasher) that hashes like the other system.
    #[must_use]
    pub const fn of_key(&self) -> KeyDigest {
        self.0
    }

    /// Returns the digest of a key `id|secret`, such as those of Laravel Sanctum, of which only the
    /// secret was hashed. The secret does not work with another id.
    ///
    /// The layer needs a [`KeyHasher`](super::KeyHasher::or_sha256_after_id) that accepts such keys.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::KeyHasher;
    /// use tower_api_key::key::StoredHash;
    ///
    /// // The column `token` of `personal_access_tokens`, in the row with the id 12.
    /// let hash = KeyHasher::sha256().digest("secret").to_string();
    /// let digest = hash.parse::<StoredHash>()?.of_secret_after("12");
    ///
    /// let hasher = KeyHasher::sha256().or_sha256_after_id();
    /// assert!(hasher.digests("12|secret").any(|presented| presented == digest));
    /// assert!(!hasher.digests("13|secret").any(|presented| presented == digest));
    /// assert!(!hasher.digests("secret").any(|presented| presented == digest));
    /// # Ok::<_, tower_api_key::key::StoredHashError>(())
    /// ```
    #[must_use]
    pub fn of_secret_after(&self, id: &str) -> KeyDigest {
        after_id(id.as_bytes(), self.0.as_bytes())
    }
}

impl FromStr for StoredHash {
    type Err = StoredHashError;

    fn from_str(text: &str) -> Result<Self, StoredHashError> {
        let beginning = text.get(..8).unwrap_or(text).to_ascii_lowercase();
        if let Some((_, name)) = SALTED.iter().find(|(prefix, _)| beginning.starts_with(prefix)) {
            return Err(StoredHashError::Salted(name));
        }
        if let Ok(digest) = text.parse() {
            return Ok(Self(digest));
        }
        let bytes = [STANDARD, URL_SAFE].iter().find_map(|engine| engine.decode(text).ok());
        let bytes: Option<[u8; 32]> = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes.map(|bytes| Self(KeyDigest::from_bytes(bytes))).ok_or(StoredHashError::Form)
    }
}

impl fmt::Debug for StoredHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoredHash(..)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::key::KeyHasher;

    proptest! {
        #[test]
        fn every_way_to_write_a_hash_is_read(bytes in any::<[u8; 32]>()) {
            let digest = KeyDigest::from_bytes(bytes);
            let (lower, standard) = (digest.to_string(), STANDARD.encode(bytes));
            let url = standard.replace('+', "-").replace('/', "_");
            let unpadded = |text: &str| text.trim_end_matches('=').to_owned();
            for text in [
                lower.to_uppercase(),
                unpadded(&standard),
                unpadded(&url),
                lower,
                standard,
                url,
            ] {
                prop_assert_eq!(text.parse::<StoredHash>().unwrap().of_key(), digest);
            }
        }

        #[test]
        fn any_other_text_is_an_error_that_does_not_repeat_it(text in "\\PC{9,80}") {
            if let Err(error) = text.parse::<StoredHash>() {
                prop_assert!(!error.to_string().contains(&text));
            }
        }
    }

    #[test]
    fn salted_hashes_are_named_with_the_way_out() {
        for (text, name) in [
            ("$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW", "bcrypt"),
            ("$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA", "Argon2"),
            (
                "$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBs",
                "scrypt",
            ),
            ("$pbkdf2-sha256$29000$N2YMIWQsBWBMae09x1jrPQ$1t8iyB2A", "PBKDF2"),
            ("pbkdf2_sha256$260000$salt$hash", "PBKDF2"),
        ] {
            let error = text.parse::<StoredHash>().unwrap_err();
            assert_eq!(error, StoredHashError::Salted(name));
            assert!(error.to_string().contains("ApiKeyLayer::fallback"), "{error}");
        }
    }

    #[test]
    fn hashes_of_other_lengths_are_refused() {
        let sha1 = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
        for wrong in ["", "x", sha1, &"0".repeat(128), &"A".repeat(42), &"A".repeat(44), "ä"] {
            assert_eq!(wrong.parse::<StoredHash>(), Err(StoredHashError::Form), "{wrong}");
        }
    }

    #[test]
    fn the_id_is_a_part_of_the_digest() {
        let hash = StoredHash(KeyHasher::sha256().digest("secret"));
        let hasher = KeyHasher::sha256().or_sha256_after_id();
        let is_found = |key: &str, id: &str| {
            hasher.digests(key).any(|digest| digest == hash.of_secret_after(id))
        };
        assert!(is_found("12|secret", "12"));
        for key in ["1|secret", "012|secret", "12|Secret", "12|", "|secret", "secret", "12secret"] {
            assert!(!is_found(key, "12"), "{key}");
        }
        // An id ends at the first bar.
        assert!(!is_found("1|2|secret", "1|2"));
        // A text without a bar, or without an id, is tried in the other ways only.
        assert_eq!(hasher.digests("secret").count(), 1);
        assert_eq!(hasher.digests("|secret").count(), 1);
        assert_eq!(hasher.digests("12|secret").count(), 2);
    }
}
