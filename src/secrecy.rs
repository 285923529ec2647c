//! [`looks_like_secret`]: finds secrets in the wrong place, before they are repeated.

/// Returns whether a text may be the secret of a key: it has a random part of at least 128 bits. Ids of this crate
/// (`key_` and 20 characters) and UUIDs do not.
pub(crate) fn looks_like_secret(text: &str) -> bool {
    let words = || text.split(|character: char| !character.is_ascii_alphanumeric());
    let longest = words().map(str::len).max().unwrap_or(0);
    // Behind a prefix 128 bits are 22 characters and more. Without one, a ULID has 26.
    longest >= if words().count() > 1 { 22 } else { 32 }
}
