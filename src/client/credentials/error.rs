//! [`CredentialsError`]: why a key was not found or stored.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::KeySource;
use crate::key::{FormatError, KeyFormat, KeyFormats, MAX_KEY_LENGTH};

/// The error of a key that was not found, stored or removed.
///
/// It never holds a key, nor any other content of a file or an environment variable.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// The text is not a key.
    #[error("{reason}; a key is {expected}")]
    WrongKey {
        /// What is wrong with it.
        reason: FormatError,
        /// What a key looks like.
        expected: String,
    },
    /// The value of an environment variable or a file is not a key.
    #[error("{found_in} holds no key: {reason}; a key is {expected}")]
    WrongKeyIn {
        /// The variable or the file.
        found_in: KeySource,
        /// What is wrong with it.
        reason: FormatError,
        /// What a key looks like.
        expected: String,
    },
    /// The environment variable of this name is empty, for example because a pipeline lacks a secret.
    #[error("the environment variable {0} is set, but empty: set it to a key, or unset it")]
    EmptyVariable(String),
    /// The user's home directory is not known, or is not an absolute path.
    #[error(
        "the home directory of the user is not known: set HOME (on Windows, USERPROFILE) to an absolute path"
    )]
    NoHome,
    /// Others than the owner can read or change the file.
    #[error("others than its owner may read or change {path:?}: run `chmod 600 {path:?}`")]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// The file belongs to another user.
    #[error("{path:?} belongs to another user: remove it, or run as that user")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file is a symbolic link, a directory, or otherwise not a regular file.
    #[error("{path:?} is not a regular file: remove it (links are not followed)")]
    NotAFile {
        /// The file.
        path: PathBuf,
    },
    /// The file has, or would have, more than 64 KiB.
    #[error("{path:?} is too big for a file with a key: at most 64 KiB")]
    TooBig {
        /// The file.
        path: PathBuf,
    },
    /// The file is not a JSON object, or its `api_key` is not a string.
    #[error("{path:?} is not a JSON object whose `api_key` is a string: repair or remove it")]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("{path:?} cannot be read")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file cannot be written or removed.
    #[error("{path:?} cannot be written")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Describes the format to a user with a wrong key.
pub(super) fn describe(formats: &KeyFormats) -> String {
    let formats: Vec<_> = formats.iter().map(KeyFormat::to_string).collect();
    if formats.is_empty() {
        return format!("1 to {MAX_KEY_LENGTH} visible ASCII characters, without `,;\"\\`");
    }
    formats.join(", or ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Alphabet;

    #[test]
    fn every_format_is_described() {
        let hex = KeyFormat::new("sk_test_").body(Alphabet::Hex, 32);
        assert_eq!(
            describe(&KeyFormats::from([KeyFormat::new("sk_live_"), hex])),
            "`sk_live_` followed by 40 base-62 characters, or \
             `sk_test_` followed by 32 hexadecimal characters"
        );
        assert!(describe(&KeyFormats::default()).contains("256 visible"));
    }
}
