//! [`KeyDigest`] and [`KeyHasher`]: the hash of a key, which is all that a store sees.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use thiserror::Error;

use super::checksum::new_hmac;

/// The SHA-256 or HMAC-SHA-256 of the whole text of a key.
///
/// It is compared in constant time. A store looks records up by it, and keeps it as 32 bytes or 64
/// hexadecimal digits.
///
/// # Examples
///
/// ```
/// use tower_api_key::{KeyDigest, KeyHasher};
///
/// let digest = KeyHasher::sha256().digest("ak_1");
/// assert_eq!(KeyDigest::from_bytes(*digest.as_bytes()), digest);
/// assert_eq!(digest.to_string().len(), 64);
/// assert_eq!(digest.to_string().parse::<KeyDigest>()?, digest);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// Creates a digest from the bytes of [`as_bytes`](Self::as_bytes).
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn words(&self) -> [u64; 4] {
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(self.0.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        words
    }
}

impl PartialEq for KeyDigest {
    fn eq(&self, other: &Self) -> bool {
        // Word by word without a branch: in constant time, like byte by byte, and faster.
        let words = self.words().into_iter().zip(other.words());
        let difference = words.fold(0, |all, (word, other)| all | (word ^ other));
        difference.ct_eq(&0).into()
    }
}

impl Eq for KeyDigest {}

impl Hash for KeyDigest {
    /// Hashes the first eight bytes, which are as random as all of them.
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.words()[0]);
    }
}

impl fmt::Display for KeyDigest {
    /// Writes 64 hexadecimal digits in lower case.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyDigest(..)")
    }
}

/// The error of a text that is not 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a key digest has 64 hexadecimal digits")]
pub struct ParseDigestError;

impl FromStr for KeyDigest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, ParseDigestError> {
        let digit = |byte: u8| char::from(byte).to_digit(16).ok_or(ParseDigestError);
        let text: &[u8; 64] = text.as_bytes().try_into().map_err(|_| ParseDigestError)?;
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            *byte = (digit(pair[0])? * 16 + digit(pair[1])?) as u8;
        }
        Ok(Self(bytes))
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for KeyDigest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for KeyDigest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Hashes the text of a key into its digest.
///
/// Keys are random, with at least 128 bits: one round of SHA-256 makes a stolen table of digests
/// useless, and a slow password hash would only slow the server down. A *pepper* is a secret that is
/// not in the database: with it, an attacker who can write to the database cannot add a key either.
///
/// It is part of a [`KeyScheme`](super::KeyScheme), which everything needs that issues or looks up
/// keys: the store must have digests of the same hasher. New keys are hashed by the first method.
/// Presented keys are tried with each method in turn, so that a pepper can be replaced while keys of
/// the old one still work.
///
/// # Examples
///
/// ```
/// use tower_api_key::KeyHasher;
///
/// let old = KeyHasher::hmac_sha256(b"the pepper of last year, 32 bytes");
/// let both = KeyHasher::hmac_sha256(b"the pepper of this year, 32 bytes")
///     .or_hmac_sha256(b"the pepper of last year, 32 bytes");
/// assert_eq!(both.digests("ak_1").nth(1), Some(old.digest("ak_1")));
///
/// let without = KeyHasher::sha256();
/// let both = KeyHasher::hmac_sha256(b"the pepper of this year, 32 bytes").or_sha256();
/// assert_eq!(both.digests("ak_1").nth(1), Some(without.digest("ak_1")));
/// ```
#[derive(Clone)]
pub struct KeyHasher {
    current: Way,
    previous: Vec<Way>,
}

/// One method of hashing.
#[derive(Clone)]
pub(crate) enum Way {
    Sha256,
    HmacSha256(Arc<Hmac<Sha256>>),
    /// Of a key `id|secret`, only the secret is hashed.
    Sha256AfterId,
}

impl KeyHasher {
    /// Hashes with SHA-256. The default.
    #[must_use]
    pub const fn sha256() -> Self {
        Self { current: Way::Sha256, previous: Vec::new() }
    }

    /// Hashes with HMAC-SHA-256 and `pepper`, which should be 32 random bytes.
    ///
    /// # Panics
    ///
    /// Panics if the pepper has fewer than 16 bytes.
    #[must_use]
    pub fn hmac_sha256(pepper: &[u8]) -> Self {
        Self { current: Way::hmac(pepper), previous: Vec::new() }
    }

    /// Also accepts keys that were hashed with SHA-256.
    #[must_use]
    pub fn or_sha256(mut self) -> Self {
        self.previous.push(Way::Sha256);
        self
    }

    /// Also accepts keys that were hashed with HMAC-SHA-256 and `pepper`.
    ///
    /// # Panics
    ///
    /// Panics if the pepper has fewer than 16 bytes.
    #[must_use]
    pub fn or_hmac_sha256(mut self, pepper: &[u8]) -> Self {
        self.previous.push(Way::hmac(pepper));
        self
    }

    /// Also accepts keys `id|secret` of which another system, such as Laravel Sanctum, has hashed only
    /// the secret with SHA-256.
    ///
    /// The layer looks such a key up by the digest of [both parts](super::StoredHash::of_secret_after),
    /// so its secret does not work with the id of another key.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::KeyHasher;
    /// use tower_api_key::key::StoredHash;
    ///
    /// // The column `token` of Laravel Sanctum, with the SHA-256 of `abc`, in the row with the id 12.
    /// let token = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    /// let stored = token.parse::<StoredHash>()?.of_secret_after("12");
    /// let hasher = KeyHasher::sha256().or_sha256_after_id();
    /// assert!(hasher.digests("12|abc").any(|digest| digest == stored));
    /// assert!(!hasher.digests("13|abc").any(|digest| digest == stored));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn or_sha256_after_id(mut self) -> Self {
        self.previous.push(Way::Sha256AfterId);
        self
    }

    /// Returns the digest under which a new key is stored.
    #[must_use]
    pub fn digest(&self, key: &str) -> KeyDigest {
        self.current.digest(key.as_bytes())
    }

    /// Returns the digests under which a presented key may be stored, the current first.
    pub fn digests<'a>(&'a self, key: &'a str) -> impl Iterator<Item = KeyDigest> + 'a {
        self.ways(key.as_bytes()).map(|way| way.digest(key.as_bytes()))
    }

    /// Returns the methods by which this key may have been hashed. The current one applies to all keys.
    pub(crate) fn ways<'a>(&'a self, key: &'a [u8]) -> impl Iterator<Item = &'a Way> + 'a {
        let previous = self.previous.iter().filter(|way| way.is_for(key));
        std::iter::once(&self.current).chain(previous)
    }
}

impl Way {
    fn hmac(pepper: &[u8]) -> Self {
        assert!(pepper.len() >= 16, "the pepper is too short: use at least 16 random bytes");
        Self::HmacSha256(Arc::new(new_hmac(pepper)))
    }

    fn is_for(&self, key: &[u8]) -> bool {
        !matches!(self, Self::Sha256AfterId) || split_id(key).is_some()
    }

    pub(crate) fn digest(&self, key: &[u8]) -> KeyDigest {
        KeyDigest(match self {
            Self::Sha256 => sha256(key),
            Self::Sha256AfterId => {
                let (id, secret) = split_id(key).unwrap_or((b"", key));
                return after_id(id, &Sha256::digest(secret).into());
            }
            Self::HmacSha256(hmac) => {
                let mut hmac = Hmac::clone(hmac);
                hmac.update(key);
                hmac.finalize().into_bytes().into()
            }
        })
    }
}

/// Returns the SHA-256 of a key; one block suffices for most.
fn sha256(key: &[u8]) -> [u8; 32] {
    /// FIPS 180-4, section 5.3.3.
    const INITIAL: [u32; 8] = [
        0x6a09_e667,
        0xbb67_ae85,
        0x3c6e_f372,
        0xa54f_f53a,
        0x510e_527f,
        0x9b05_688c,
        0x1f83_d9ab,
        0x5be0_cd19,
    ];
    let mut block = [0; 64];
    let (text, length) = block.split_at_mut(56);
    let Some((text, [end, ..])) = text.split_at_mut_checked(key.len()) else {
        return Sha256::digest(key).into();
    };
    // Padded as in section 5.1.1, without the buffering of a general hasher.
    text.copy_from_slice(key);
    *end = 0x80;
    length.copy_from_slice(&(8 * key.len() as u64).to_be_bytes());
    let mut state = INITIAL;
    sha2::block_api::compress256(&mut state, &[block]);
    let mut digest = [0; 32];
    for (bytes, word) in digest.as_chunks_mut().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    digest
}

/// Splits `id|secret`, whose id ends at the first bar.
fn split_id(key: &[u8]) -> Option<(&[u8], &[u8])> {
    let bar = key.iter().position(|byte| *byte == b'|').filter(|bar| *bar > 0)?;
    Some((&key[..bar], &key[bar + 1..]))
}

/// Returns the digest under which a key `id|secret` is stored of which only the secret was hashed.
///
/// The hashed text starts like no key, so no other key has this digest.
pub(super) fn after_id(id: &[u8], hash: &[u8; 32]) -> KeyDigest {
    let mut hasher = Sha256::new();
    hasher.update(b"id|secret\0");
    hasher.update(id);
    hasher.update(b"|");
    hasher.update(hash);
    KeyDigest(hasher.finalize().into())
}

impl Default for KeyHasher {
    fn default() -> Self {
        Self::sha256()
    }
}

impl fmt::Debug for KeyHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |way: &Way| match way {
            Way::Sha256 => "SHA-256",
            Way::HmacSha256(_) => "HMAC-SHA-256",
            Way::Sha256AfterId => "SHA-256 after an id",
        };
        let previous: Vec<_> = self.previous.iter().map(name).collect();
        f.debug_struct("KeyHasher")
            .field("current", &name(&self.current))
            .field("previous", &previous)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_standards() {
        // FIPS 180-2, appendix B.1.
        assert_eq!(
            KeyHasher::sha256().digest("abc").to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        // RFC 4231, test case 6: a key longer than a block.
        let text = "Test Using Larger Than Block-Size Key - Hash Key First";
        assert_eq!(
            KeyHasher::hmac_sha256(&[0xaa; 131]).digest(text).to_string(),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }

    #[test]
    fn a_key_of_one_block_has_the_digest_that_a_hasher_returns() {
        let text: String = ('!'..='~').cycle().take(256).collect();
        for length in 0..=text.len() {
            let expected = KeyDigest(Sha256::digest(&text[..length]).into());
            assert_eq!(KeyHasher::sha256().digest(&text[..length]), expected, "{length}");
        }
    }

    #[test]
    fn hexadecimal_digits_are_read_back() {
        let digest = KeyHasher::sha256().digest("x");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!(digest.to_string().to_uppercase().parse(), Ok(digest));
        for wrong in ["", "00", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64), &"ä".repeat(32)]
        {
            assert_eq!(wrong.parse::<KeyDigest>(), Err(ParseDigestError));
        }
    }

    #[test]
    fn presented_keys_are_tried_with_every_pepper_in_turn() {
        let hasher = KeyHasher::hmac_sha256(&[1; 32]).or_hmac_sha256(&[2; 32]).or_sha256();
        let expected = [
            KeyHasher::hmac_sha256(&[1; 32]).digest("k"),
            KeyHasher::hmac_sha256(&[2; 32]).digest("k"),
            KeyHasher::sha256().digest("k"),
        ];
        assert_eq!(hasher.digests("k").collect::<Vec<_>>(), expected);
        assert_eq!(hasher.digest("k"), expected[0]);
    }

    #[test]
    fn debug_shows_neither_pepper_nor_digest() {
        let hasher = KeyHasher::hmac_sha256(b"hush, a pepper, hush").or_sha256();
        assert_eq!(
            format!("{hasher:?} {:?}", hasher.digest("k")),
            r#"KeyHasher { current: "HMAC-SHA-256", previous: ["SHA-256"] } KeyDigest(..)"#
        );
    }

    #[test]
    #[should_panic(expected = "the pepper is too short")]
    fn a_short_pepper_is_refused() {
        let _ = KeyHasher::hmac_sha256(b"pepper");
    }
}
