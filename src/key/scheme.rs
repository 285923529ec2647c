//! [`KeyScheme`]: the formats and hashing of keys in one value.

use std::fmt;

use thiserror::Error;

use super::digest::Way;
use super::{
    GenerateError, KeyDigest, KeyFormat, KeyFormats, KeyHasher, KeyKind, PresentedKey, Secret,
    Stage,
};

/// How often a key is generated again because it matches another format.
const ATTEMPTS: usize = 16;

/// The formats of keys, and how they are hashed.
///
/// Everything that issues, checks or looks up the same keys needs the same scheme: the layer, the
/// [`KeyManager`](crate::KeyManager), a [`MemoryStore`](crate::MemoryStore) that issues keys. Make one
/// and pass cheap clones, or mount [the layer of the manager](crate::KeyManager::layer), which has the
/// manager's scheme. A client needs only the [formats](Self::formats), and must not know a pepper.
///
/// By default, keys are issued in the [default format](KeyFormat), any text that could be a key is
/// accepted, and keys are hashed with SHA-256.
///
/// # Issuing
///
/// A new key has the format that its [description](crate::NewKey) sets. Otherwise it has the only
/// format of the scheme that matches its prefix, stage and kind; of formats that differ only in their
/// bodies, the first. Otherwise it is not issued, and the [error](IssueError) lists the formats. The
/// scheme issues no key that it would refuse.
///
/// # Examples
///
/// ```
/// use tower_api_key::key::IssueError;
/// use tower_api_key::{
///     ApiKeyLayer, KeyFormat, KeyHasher, KeyManager, KeyScheme, ManageError, MemoryStore, NewKey,
/// };
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let scheme = KeyScheme::new([
///     KeyFormat::new("sk_live_").stage("live"),
///     KeyFormat::new("sk_test_").stage("test"),
/// ])
/// .hasher(KeyHasher::hmac_sha256(b"a pepper of 32 random bytes ...."));
///
/// let store = MemoryStore::new();
/// let keys = KeyManager::new(store.clone()).scheme(scheme.clone());
/// let layer = ApiKeyLayer::new(store).scheme(scheme); // or `keys.layer()`
///
/// let live = keys.issue(NewKey::named("nightly import").stage("live")).await?;
/// assert!(live.secret.reveal().starts_with("sk_live_"));
///
/// let error = keys.issue(NewKey::named("nightly import")).await.unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "several formats match the key: choose one by its prefix, `sk_live_` (stage live) or \
///      `sk_test_` (stage test)",
/// );
/// assert!(matches!(error, ManageError::Issue(IssueError::Ambiguous(_))));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct KeyScheme {
    formats: KeyFormats,
    hasher: KeyHasher,
}

impl KeyScheme {
    /// Creates a scheme with these formats. Keys are hashed with SHA-256.
    pub fn new(formats: impl Into<KeyFormats>) -> Self {
        Self { formats: formats.into(), hasher: KeyHasher::default() }
    }

    /// Sets how keys are hashed.
    pub fn hasher(mut self, hasher: KeyHasher) -> Self {
        self.hasher = hasher;
        self
    }

    /// Returns the formats of keys. If there are none, any text could be a key.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::{KeyFormat, KeyScheme};
    ///
    /// let scheme = KeyScheme::new(KeyFormat::new("sk_live_"));
    /// assert_eq!(scheme.formats().iter().next().unwrap().prefix(), "sk_live_");
    /// assert!(KeyScheme::default().formats().is_empty());
    /// ```
    #[must_use]
    pub const fn formats(&self) -> &KeyFormats {
        &self.formats
    }

    /// Returns the digest under which a new key is stored.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::{KeyHasher, KeyScheme};
    ///
    /// assert_eq!(KeyScheme::default().digest("ak_1"), KeyHasher::sha256().digest("ak_1"));
    /// ```
    #[must_use]
    pub fn digest(&self, key: &str) -> KeyDigest {
        self.hasher.digest(key)
    }

    /// Returns the digests under which a presented key may be stored, the current first.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::{KeyHasher, KeyScheme};
    ///
    /// let hasher = KeyHasher::hmac_sha256(b"a pepper of 32 random bytes ....").or_sha256();
    /// let scheme = KeyScheme::default().hasher(hasher);
    /// assert_eq!(scheme.digests("ak_1").next(), Some(scheme.digest("ak_1")));
    /// assert_eq!(scheme.digests("ak_1").count(), 2);
    /// ```
    pub fn digests<'a>(&'a self, key: &'a str) -> impl Iterator<Item = KeyDigest> + 'a {
        self.hasher.digests(key)
    }

    /// Returns the methods by which a presented key may have been hashed, the current first.
    pub(crate) fn ways<'a>(&'a self, key: &'a [u8]) -> impl Iterator<Item = &'a Way> + 'a {
        self.hasher.ways(key)
    }

    /// Returns the formats in which keys are issued.
    pub(crate) fn issued_formats(&self) -> KeyFormats {
        match self.formats.is_empty() {
            true => KeyFormat::default().into(),
            false => self.formats.clone(),
        }
    }

    /// Returns the format of a key to issue with this prefix, stage and kind, if they are set.
    pub(crate) fn choose(
        &self,
        prefix: Option<&str>,
        stage: Option<&Stage>,
        kind: Option<KeyKind>,
    ) -> Result<KeyFormat, IssueError> {
        let all = self.issued_formats();
        let begin = all.only(|format| prefix.is_none_or(|prefix| prefix == format.prefix()));
        if begin.is_empty() {
            return Err(IssueError::Prefix(all));
        }
        let fitting = begin.only(|format| {
            (stage.is_none() || format.allows_stage(stage))
                && kind.is_none_or(|kind| format.allows_kind(kind))
        });
        let Some(first) = fitting.iter().next() else { return Err(IssueError::Meaning(begin)) };
        if fitting.iter().all(|other| other.means_the_same_as(first)) {
            return Ok(first.clone());
        }
        Err(IssueError::Ambiguous(fitting))
    }

    /// Generates a key of `format` that this scheme accepts with this stage and kind.
    pub(crate) fn generate(
        &self,
        format: &KeyFormat,
        stage: Option<&Stage>,
        kind: KeyKind,
    ) -> Result<Secret, IssueError> {
        if !format.allows(stage, kind) {
            return Err(IssueError::Meaning(format.clone().into()));
        }
        // The random characters can complete the longer prefix of another format.
        for _ in 0..ATTEMPTS {
            let secret = format.generate()?;
            if self.formats.parse(secret.reveal()).is_ok_and(|key| says(&key, stage, kind)) {
                return Ok(secret);
            }
        }
        Err(IssueError::Refused(self.issued_formats()))
    }
}

/// Tells whether a prefix does not contradict this.
fn says(key: &PresentedKey<'_>, stage: Option<&Stage>, kind: KeyKind) -> bool {
    key.format().is_none_or(|format| format.allows(stage, kind))
}

/// Why a scheme does not issue a key.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IssueError {
    /// Several formats match the key: these.
    #[error("several formats match the key: choose one by its prefix, {}", Choices(.0))]
    Ambiguous(KeyFormats),
    /// No format has the requested prefix. These exist.
    #[error("no keys are issued with this prefix: choose {}", Choices(.0))]
    Prefix(KeyFormats),
    /// No format has the requested stage or kind. These have the requested prefix, or are all if none
    /// was requested.
    #[error("the prefix stands for another stage or kind: there is {}", Choices(.0))]
    Meaning(KeyFormats),
    /// The key has a format of its own that the scheme would refuse. The scheme has these formats.
    #[error("a key of this format would be refused: choose {}", Choices(.0))]
    Refused(KeyFormats),
    /// The secret could not be generated.
    #[error(transparent)]
    Generate(#[from] GenerateError),
}

/// Writes formats as a choice.
struct Choices<'a>(&'a KeyFormats);

impl fmt::Display for Choices<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, format) in self.0.iter().enumerate() {
            let or = if index == 0 { "" } else { " or " };
            write!(f, "{or}`{}`", format.prefix())?;
            match (format.stage_of_prefix(), format.kind_of_prefix()) {
                (None, None) => {}
                (Some(stage), None) => write!(f, " (stage {stage})")?,
                (None, Some(kind)) => write!(f, " (kind {kind})")?,
                (Some(stage), Some(kind)) => write!(f, " (stage {stage}, kind {kind})")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
