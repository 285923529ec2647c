//! [`FormatError`] and [`GenerateError`]: why a text is not a key, and why no key was generated.

use thiserror::Error;

/// Why a text is not a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FormatError {
    /// It starts with no known prefix.
    #[error("the key has an unknown prefix")]
    Prefix,
    /// It is too short or too long; the longest key has [`MAX_KEY_LENGTH`](crate::key::MAX_KEY_LENGTH) bytes.
    #[error("the key has a wrong length")]
    Length,
    /// It has a character that keys of the format do not have.
    #[error("the key has a character that is not allowed")]
    Character,
    /// Its checksum is wrong: a typing error, or a forgery.
    #[error("the key has a wrong checksum")]
    Checksum,
}

/// The error of generating a key.
#[derive(Debug, Error)]
#[error(transparent)]
pub struct GenerateError(#[from] pub(super) Cause);

#[derive(Debug, Error)]
pub(super) enum Cause {
    #[error("the operating system has no randomness to give")]
    Randomness(#[source] getrandom::Error),
    #[error("the format lacks the secret of its keyed checksum: set it by `Checksum::keyed`")]
    Checksum,
}

impl From<getrandom::Error> for GenerateError {
    fn from(error: getrandom::Error) -> Self {
        Self(Cause::Randomness(error))
    }
}
