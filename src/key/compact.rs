//! [`Compact`]: a string that is stored without an allocation if it is short.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::num::NonZeroU8;

use super::HeapSize;

/// A text of at most `N` bytes in place, or a longer text in an allocation `H`.
///
/// A record has several short texts. Their allocations would take more memory than the texts.
#[derive(Clone)]
pub(crate) struct Compact<const N: usize, H>(Place<N, H>);

#[derive(Clone)]
enum Place<const N: usize, H> {
    Here(Short<N>),
    There(H),
}

/// The bytes come first, so that they are aligned: [`std::str::from_utf8`] is faster then.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C)]
struct Short<const N: usize> {
    bytes: [u8; N],
    /// The length plus one. It is never zero, and that niche distinguishes a short text from an allocation.
    after: NonZeroU8,
}

impl<const N: usize> Short<N> {
    fn new(text: &str) -> Option<Self> {
        let mut bytes = [0; N];
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        let after = u8::try_from(text.len() + 1).ok().and_then(NonZeroU8::new)?;
        Some(Self { bytes, after })
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.after.get()) - 1).unwrap_or_default()
    }
}

impl<const N: usize, H: AsRef<str>> Compact<N, H> {
    /// Returns the text. [`as_bytes`](Self::as_bytes) is faster.
    pub(crate) fn as_str(&self) -> &str {
        match &self.0 {
            // Never fails: the bytes are those of a whole text.
            Place::Here(short) => std::str::from_utf8(short.as_bytes()).unwrap_or_default(),
            Place::There(long) => long.as_ref(),
        }
    }

    #[inline]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Place::Here(short) => short.as_bytes(),
            Place::There(long) => long.as_ref().as_bytes(),
        }
    }
}

impl<const N: usize, H: AsRef<str>> AsRef<str> for Compact<N, H> {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl<const N: usize, H: for<'a> From<&'a str>> From<&str> for Compact<N, H> {
    fn from(text: &str) -> Self {
        Self(Short::new(text).map_or_else(|| Place::There(text.into()), Place::Here))
    }
}

impl<const N: usize, H: for<'a> From<&'a str>> Default for Compact<N, H> {
    fn default() -> Self {
        Self::from("")
    }
}

impl<const N: usize, H: AsRef<str>> PartialEq for Compact<N, H> {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            // The bytes after a text are zero, so all `N` bytes can be compared in a few steps.
            (Place::Here(own), Place::Here(other)) => own == other,
            _ => self.as_bytes() == other.as_bytes(),
        }
    }
}

impl<const N: usize, H: AsRef<str>> Eq for Compact<N, H> {}

impl<const N: usize, H: AsRef<str>> PartialOrd for Compact<N, H> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Orders by bytes, which is the order of texts.
impl<const N: usize, H: AsRef<str>> Ord for Compact<N, H> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

/// Hashes like the text.
impl<const N: usize, H: AsRef<str>> Hash for Compact<N, H> {
    fn hash<S: Hasher>(&self, state: &mut S) {
        state.write(self.as_bytes());
        state.write_u8(0xff);
    }
}

impl<const N: usize, H: AsRef<str>> fmt::Debug for Compact<N, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl<const N: usize, H: HeapSize> HeapSize for Compact<N, H> {
    fn heap_size(&self) -> usize {
        match &self.0 {
            Place::Here(_) => 0,
            Place::There(long) => long.heap_size(),
        }
    }
}

#[cfg(feature = "serde")]
impl<const N: usize, H: AsRef<str>> serde::Serialize for Compact<N, H> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(feature = "serde")]
impl<'de, const N: usize, H: for<'a> From<&'a str>> serde::Deserialize<'de> for Compact<N, H> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Ok(Self::from(&*text))
    }
}

/// An allocated text behind a pointer of one word, for texts that are rarely long.
// One word instead of two, in each of millions of records.
#[derive(Clone)]
pub(crate) struct Thin(Box<Box<str>>);

impl From<&str> for Thin {
    fn from(text: &str) -> Self {
        Self(Box::new(text.into()))
    }
}

impl AsRef<str> for Thin {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl HeapSize for Thin {
    fn heap_size(&self) -> usize {
        size_of::<Box<str>>() + self.0.heap_size()
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher as _, RandomState};
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_compact_text_takes_no_more_than_its_bytes_and_their_number() {
        assert_eq!(size_of::<Compact<31, Arc<str>>>(), 32);
        assert_eq!(size_of::<Compact<23, Box<str>>>(), 24);
        assert_eq!(size_of::<Compact<15, Thin>>(), 16);
    }

    fn agrees<H: AsRef<str> + HeapSize + for<'a> From<&'a str>>(one: &str, other: &str) {
        let [compact, second] = [one, other].map(Compact::<15, H>::from);
        assert_eq!((compact.as_str(), compact.as_bytes()), (one, one.as_bytes()));
        assert_eq!(compact.cmp(&second), one.cmp(other));
        assert_eq!(compact == second, one == other);
        assert_eq!(compact.heap_size() == 0, one.len() <= 15);
        assert_eq!(format!("{compact:?}"), format!("{one:?}"));
        let hasher = RandomState::new();
        assert_eq!(hasher.hash_one(compact), hasher.hash_one(one));
    }

    proptest! {
        #[test]
        fn a_compact_text_is_like_a_text(one in "\\PC{0,20}", other in "\\PC{0,20}") {
            agrees::<Thin>(&one, &other);
            agrees::<Arc<str>>(&one, &other);
            agrees::<Box<str>>(&one, &one);
        }
    }
}
