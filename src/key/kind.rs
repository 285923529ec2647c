//! [`KeyKind`]: whether a key is a secret.

use std::fmt;

/// Whether a key is a secret or may be seen by everyone.
///
/// Companies issue both, told apart by prefix: `hania_sk_…` for servers, `hania_…` for a
/// widget in the browser. Mixing them up is the mistake that a kind prevents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum KeyKind {
    /// From server to server only. The default.
    #[default]
    Secret,
    /// For places where its text can be read, such as a page's source.
    Public,
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Secret => "secret",
            Self::Public => "public",
        })
    }
}
