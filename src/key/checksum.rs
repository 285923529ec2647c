//! [`Checksum`]: the last characters of a key, which reveal typing errors and forgeries.

use std::fmt;

use hmac::digest::KeyInit as _;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::Alphabet;
use super::alphabet::MAX_DIGITS;

/// The last characters of a key, which are computed from the others.
///
/// There are two sorts, and only one of them is a protection:
///
/// * [`crc32`](Self::crc32) finds typing errors and truncated keys without asking the store, and lets
///   secret scanners recognize keys. **Anyone can compute it**: it does not keep attackers from the
///   store.
/// * [`keyed`](Self::keyed) is a message authentication code. Without the secret, one guess in 2⁶⁴
///   succeeds, so that a flood of invented keys ends before hashing and before the store. It does not
///   replace the store: a revoked key keeps its valid checksum.
///
/// The checksum is written in the alphabet of the body.
///
/// # Examples
///
/// ```
/// use tower_api_key::key::FormatError;
/// use tower_api_key::{Checksum, KeyFormat};
///
/// let plain = KeyFormat::new("ak_").checksum(Checksum::none());
/// assert_eq!(plain.len(), 43);
/// let crc32 = KeyFormat::new("ak_").checksum(Checksum::crc32());
/// assert_eq!(crc32.len(), 49);
///
/// let servers = KeyFormat::new("ak_").checksum(Checksum::keyed(b"a secret of 32 random bytes ...."));
/// let key = servers.generate()?;
/// assert!(servers.parse(key.reveal()).is_ok());
/// let invented = format!("{}{}", &key.reveal()[..key.reveal().len() - 1], "_");
/// assert!(servers.parse(&invented).is_err());
///
/// // A client has no secret: it accepts the form, and cannot generate keys.
/// let clients = KeyFormat::new("ak_").checksum(Checksum::keyed_unchecked());
/// assert!(clients.parse(key.reveal()).is_ok() && clients.generate().is_err());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Checksum(Sort);

#[derive(Clone)]
enum Sort {
    None,
    Crc32,
    Keyed(Box<Hmac<Sha256>>),
    KeyedUnchecked,
}

impl Checksum {
    /// Adds no checksum.
    #[must_use]
    pub const fn none() -> Self {
        Self(Sort::None)
    }

    /// Adds the CRC-32 of the body, as in GitHub's tokens: six characters in base 62.
    #[must_use]
    pub const fn crc32() -> Self {
        Self(Sort::Crc32)
    }

    /// Adds the first 64 bits of an HMAC-SHA-256 over prefix and body.
    ///
    /// Every server that verifies keys needs the same `secret`. It should be at least 32 random bytes.
    /// Changing it refuses all keys that were issued before.
    ///
    /// # Panics
    ///
    /// Panics if `secret` has fewer than 16 bytes.
    #[must_use]
    pub fn keyed(secret: &[u8]) -> Self {
        assert!(
            secret.len() >= 16,
            "the secret of a keyed checksum is too short: use at least 16 random bytes"
        );
        Self(Sort::Keyed(Box::new(new_hmac(secret))))
    }

    /// Accepts the characters of a [`keyed`](Self::keyed) checksum without checking them.
    ///
    /// For clients, which must not have the secret. Such a format generates no keys.
    #[must_use]
    pub const fn keyed_unchecked() -> Self {
        Self(Sort::KeyedUnchecked)
    }

    /// Returns the number of characters that the checksum takes in `alphabet`.
    pub(crate) const fn length(&self, alphabet: Alphabet) -> usize {
        match self.0 {
            Sort::None => 0,
            Sort::Crc32 => alphabet.digits_for(32),
            Sort::Keyed(_) | Sort::KeyedUnchecked => alphabet.digits_for(64),
        }
    }

    /// Tells whether keys can be generated with it.
    pub(crate) const fn is_known(&self) -> bool {
        !matches!(self.0, Sort::KeyedUnchecked)
    }

    /// Appends the checksum of `text`, whose body starts at `body`.
    pub(crate) fn push(&self, text: &mut String, body: usize, alphabet: Alphabet) {
        if let Some((digits, length)) = self.digits(text.as_bytes(), body, alphabet) {
            text.extend(digits[..length].iter().map(|digit| char::from(*digit)));
        }
    }

    /// Tells whether `found` is the checksum of `text`, whose body starts at `body`.
    pub(crate) fn verify(&self, text: &str, body: usize, found: &str, alphabet: Alphabet) -> bool {
        self.digits(text.as_bytes(), body, alphabet)
            .is_none_or(|(digits, length)| digits[..length].ct_eq(found.as_bytes()).into())
    }

    fn digits(
        &self,
        text: &[u8],
        body: usize,
        alphabet: Alphabet,
    ) -> Option<([u8; MAX_DIGITS], usize)> {
        let length = self.length(alphabet);
        Some((alphabet.number(self.value(text, body)?, length), length))
    }

    fn value(&self, text: &[u8], body: usize) -> Option<u64> {
        match &self.0 {
            Sort::None | Sort::KeyedUnchecked => None,
            Sort::Crc32 => Some(u64::from(crc32fast::hash(&text[body..]))),
            Sort::Keyed(hmac) => {
                let mut hmac = Hmac::clone(hmac);
                hmac.update(text);
                let code: [u8; 32] = hmac.finalize().into_bytes().into();
                let mut first = [0; 8];
                first.copy_from_slice(&code[..8]);
                Some(u64::from_be_bytes(first))
            }
        }
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Sort::None => "none",
            Sort::Crc32 => "crc32",
            Sort::Keyed(_) => "keyed",
            Sort::KeyedUnchecked => "keyed_unchecked",
        })
    }
}

/// Prepares an HMAC-SHA-256, which takes a secret of any length.
pub(super) fn new_hmac(secret: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(secret).expect("HMAC takes keys of any length")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc32_agrees_with_a_token_that_github_published() {
        let mut token = String::from("ghp_zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ");
        Checksum::crc32().push(&mut token, 4, Alphabet::Base62);
        assert_eq!(token, "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");
    }

    #[test]
    fn a_keyed_checksum_depends_on_its_secret_and_on_the_prefix() {
        let of = |secret: &[u8], text: &str| {
            let mut whole = text.to_owned();
            Checksum::keyed(secret).push(&mut whole, 3, Alphabet::Base62);
            whole.split_off(text.len())
        };
        let known = of(b"0123456789abcdef", "ak_body");
        assert_eq!(known.len(), 11);
        assert_ne!(known, of(b"0123456789abcdeF", "ak_body"));
        assert_ne!(known, of(b"0123456789abcdef", "bk_body"));
        let checksum = Checksum::keyed(b"0123456789abcdef");
        assert!(checksum.verify("ak_body", 3, &known, Alphabet::Base62));
        assert!(!checksum.verify("ak_bodx", 3, &known, Alphabet::Base62));
    }

    #[test]
    fn debug_does_not_show_the_secret() {
        assert_eq!(format!("{:?}", Checksum::keyed(b"0123456789abcdef")), "keyed");
    }
}
