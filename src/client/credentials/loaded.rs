//! [`LoadedKey`]: a key and its source.

use std::fmt;
use std::path::PathBuf;

use crate::client::ApiKey;

/// A key, and where it was found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LoadedKey {
    /// The key.
    pub key: ApiKey,
    /// Where it was found.
    pub source: KeySource,
}

/// Where a key was found.
///
/// Its `Display` is for users: `the environment variable HAPND_API_KEY`, or `the file …`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeySource {
    /// In the environment variable of this name.
    EnvironmentVariable(String),
    /// In this file.
    File(PathBuf),
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EnvironmentVariable(name) => write!(f, "the environment variable {name}"),
            Self::File(path) => write!(f, "the file {}", path.display()),
        }
    }
}
